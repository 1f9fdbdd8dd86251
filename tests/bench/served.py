"""P: the workloads A, B, D and F on a PostgreSQL server, and DBOS on the same server beside them.

The server is the newest that is here, started for this alone, with its own defaults for durability and its files on the disk that
is measured. R is then the rate of one-row INSERTs, each committed by itself, over one connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from flowkit import Workflow
from tests.bench.messages import drain, drained, echo, round_trips
from tests.bench.opened import STEPS_OF_A_CHAIN, achain, chain, instants, opened
from tests.bench.peers.asked import PEERS, rows_of
from tests.bench.raw import Raw, RawServer
from tests.bench.sleepers import alarm, asleep, due_row, nap
from tests.bench.table import Row, Spread
from tests.bench.throughput import ashort, flood, short
from tests.postgres.server import Server, new_database, owned

__all__ = ["measure_served"]

DURABLE = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "256MB", "autovacuum": "on", "max_wal_size": "2GB"}
WORKLOADS = ("A", "B", "D", "F")


def measure_served(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    """All of it; `raw` is of the file, and not used."""
    folder.chmod(0o755)  # the server runs as somebody else
    with owned(place=folder, **DURABLE) as server:
        limit = RawServer(server.url())
        rates = Spread([limit.slice() for _ in range(10)])
        yield Row("P R, on the server", f"{rates.median:,.0f} commits/s", f"{rates.at(0.1):,.0f}–{rates.at(0.9):,.0f}")
        yield from _chains(server, limit, rounds)
        yield from _floods(server, limit, rounds)
        yield from _sleepers(server)
        yield from _messages(server, limit, rounds)
        limit.close()
        for workload in WORKLOADS:
            for peer in PEERS:
                if peer == "dbos":
                    yield from (_named(row) for row in rows_of(peer, workload, folder, new_database(server)))


def _named(row: Row) -> Row:
    return Row(f"P {row.name}", row.measured, ratio=row.ratio)


def _chains(server: Server, limit: Raw, rounds: int) -> Iterator[Row]:
    for name, made in (("plain", chain), ("async", achain)):
        with opened(new_database(server), name) as (fk, _):
            ratios, rates = [], []
            for _ in range(10 * rounds):
                raw = limit.slice()
                fk.run(None, made, STEPS_OF_A_CHAIN)
                taken = [later - before for before, later in pairwise(instants)]
                rates.append(len(taken) / sum(taken))
                ratios.append(rates[-1] / raw)
        ratio = Spread(ratios)
        yield Row(
            f"P A chain, {name}", f"{ratio.median:.2f} R  {Spread(rates).median:,.0f} steps/s",
            f"{ratio.at(0.1):.2f}–{ratio.at(0.9):.2f} R", "≥ 0.55 R" if name == "plain" else "",
            ratio.median >= 0.55 if name == "plain" else None, ratio.median,
        )  # fmt: skip


def _floods(server: Server, limit: Raw, rounds: int) -> Iterator[Row]:
    cases: list[tuple[str, tuple[Workflow[..., int], ...]]] = [("plain", (short,)), ("async", (ashort,))]
    for name, made in cases:
        with opened(new_database(server), name, short, ashort) as (fk, driver):
            found = [flood(fk, driver, limit, made) for _ in range(rounds)]
        ratio, rate = Spread([each[0] for each in found]), Spread([each[3] for each in found])
        cpu = Spread([each[1] for each in found]).median
        yield Row(
            f"P B 1,000 runs × 5, {name}", f"{ratio.median:.2f} R  {rate.median:,.0f} steps/s  {cpu:.0f} µs CPU",
            f"{min(ratio.values):.2f}–{max(ratio.values):.2f} R", "≥ 8,000 steps/s", rate.median >= 8_000, ratio.median,
        )  # fmt: skip


def _sleepers(server: Server) -> Iterator[Row]:
    with opened(new_database(server), "d", nap, alarm) as (fk, driver):
        yield _plain(asleep(fk, driver))
        yield _plain(due_row(fk, "D 1,000 due at one instant", 0.25))


def _messages(server: Server, limit: Raw, rounds: int) -> Iterator[Row]:
    with opened(new_database(server), "f", echo, drain) as (fk, _):
        trips = round_trips(fk, 50 * rounds)
        yield Row("P F round trip, one process", f"p50 {trips.median * 1e3:.2f} ms", f"p99 {trips.at(0.99) * 1e3:.2f} ms")
        ratios = []
        for number in range(rounds):
            raw = limit.slice(0.05)
            ratios.append(drained(fk, f"drain-{number}") / raw)
        spread = f"{min(ratios):.2f}–{max(ratios):.2f} R"
        yield Row("P F 1,000 messages to one run", f"{Spread(ratios).median:.2f} R", spread)


def _plain(row: Row) -> Row:
    """Without the target, which is that of a file."""
    return Row(f"P {row.name}", row.measured, row.spread)
