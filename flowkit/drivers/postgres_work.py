"""Workers on PostgreSQL: one lease each, by the server's own clock, and runs taken with `SKIP LOCKED`.

A worker lives as long as its row says; nothing on its machine is asked. So whoever declares it dead must know that no claim of
it is under way: a claim holds a lock on the worker's row that the declaration waits for. Polling costs one statement, and a
transaction only if there is something to take.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from flowkit.core.health import Report, decode_reports, encode_reports
from flowkit.drivers.base import Claim, Claimed, WorkerInfo, WorkerRow
from flowkit.drivers.postgres_change import UNSPOILT
from flowkit.drivers.postgres_claim import LIVE, claim_due, claim_one
from flowkit.drivers.postgres_connections import Connections
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.rules import FINAL
from flowkit.drivers.sql import Row, body_of, joined, text_of
from flowkit.drivers.sqlite_take import CLAIM_COLUMNS, take_runs
from flowkit.errors import Fenced
from flowkit.settings import Settings

__all__ = ["Work"]

T = TypeVar("T")

_SLICE = 5_000
_CLAIMED = [name.strip() for name in CLAIM_COLUMNS.split(",")]
_STATUS, _WORKFLOW = _CLAIMED.index("status"), _CLAIMED.index("workflow")
_OF_RUN = ", ".join(f"r.{name}" for name in _CLAIMED)

_CLOCK = "extract(epoch FROM clock_timestamp())"

_NEXT = (
    "(SELECT min(n.wake_at) FROM unnest(%(names)s::text[]) AS w(name) CROSS JOIN LATERAL (SELECT wake_at FROM runs "
    "WHERE workflow = w.name AND owner IS NULL AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1) AS n)"
)
_LOOK = (
    "SELECT (SELECT state FROM workers WHERE id = %(worker)s), "
    f"EXISTS (SELECT 1 FROM runs WHERE owner = %(worker)s AND wake_at <= %(now)s), {_NEXT}"
).encode()
_OWNED = (
    f"SELECT {_OF_RUN} FROM runs r WHERE r.owner = %(worker)s AND r.updated_at <= %(before)s AND r.seq <> ALL(%(held)s::int8[]) "
    "AND r.workflow = ANY(%(names)s::text[]) ORDER BY r.seq LIMIT %(limit)s"
)
_BLOCKED = (
    f"SELECT {_OF_RUN} FROM unnest(%(names)s::text[], %(marks)s::text[]) AS w(name, mark) "
    f"CROSS JOIN LATERAL (SELECT {CLAIM_COLUMNS} FROM runs JOIN run_io i ON i.run = seq "
    "WHERE workflow = w.name AND status = 'blocked' AND owner IS NULL AND start_at <= %(now)s AND strpos(i.tried, w.mark) = 0 "
    "ORDER BY seq LIMIT %(limit)s{lock}) AS r LIMIT %(limit)s"
)
_SEEK = (
    f"SELECT (SELECT state FROM workers WHERE id = %(worker)s), EXISTS ({_OWNED}) OR EXISTS ({_BLOCKED.replace('{lock}', '')}), "
    f"{_NEXT}"
).encode()
"""Whether there is anything to adopt, which there hardly ever is."""

_ONE = f"SELECT {CLAIM_COLUMNS} FROM runs WHERE seq = %(run)s AND owner IS NULL FOR UPDATE".encode()

_JOIN = (
    "INSERT INTO workers (name, host, pid, boot_id, kind, state, started_at, seen_at, expires_at, info) VALUES "
    "(%(name)s, %(host)s, %(pid)s, %(boot_id)s, %(kind)s, 'live', %(now)s, %(now)s, " + _CLOCK + " + %(lease)s, %(info)s) "
    "RETURNING id"
).encode()
_BEAT = (
    f"UPDATE workers SET seen_at = %(now)s, expires_at = {_CLOCK} + %(lease)s, info = coalesce(%(info)s, info) "
    f"WHERE id = %(worker)s AND state = 'live' AND {UNSPOILT} RETURNING {_CLOCK}"
).encode()
_WORKERS = (
    "SELECT id, name, host, pid, kind, state, started_at, seen_at, info, (SELECT count(*) FROM runs WHERE owner = w.id), "
    f"state = 'live' AND (kind = 'client' OR expires_at > {_CLOCK}) FROM workers w ORDER BY id"
).encode()

_GONE = (
    "SELECT id FROM workers WHERE state = 'live' AND "
    f"((kind = 'worker' AND expires_at <= {_CLOCK}) OR id = ANY(%(dead)s::int8[])) UNION ALL "
    "SELECT id FROM workers w WHERE state = 'dying' AND EXISTS (SELECT 1 FROM runs WHERE owner = w.id)"
).encode()
_DECLARE = (
    "WITH g AS (SELECT id FROM workers WHERE id = ANY(%(ids)s::int8[]) AND state = 'live' AND (id = ANY(%(dead)s::int8[]) OR "
    f"expires_at <= {_CLOCK}) ORDER BY id FOR UPDATE SKIP LOCKED) UPDATE workers w SET state = 'dying' FROM g WHERE w.id = g.id"
).encode()
# A worker that hangs in the middle of a transaction holds rows until the server ends its connection. Whoever waited for them
# could not renew his own lease meanwhile: so they are passed over, and taken when they are free.
_TAKE_OVER = (
    b"WITH g AS (SELECT seq FROM runs WHERE owner = %(worker)s ORDER BY seq LIMIT %(slice)s FOR NO KEY UPDATE SKIP LOCKED) "
    b"UPDATE runs r SET owner = NULL, request = '', epoch = r.epoch + 1, crashes = r.crashes + 1, updated_at = %(now)s, "
    b"status = CASE r.status WHEN 'running' THEN 'pending' ELSE r.status END, "
    b"wake_at = CASE r.status WHEN 'paused' THEN NULL ELSE %(now)s END FROM g WHERE r.seq = g.seq"
)
_DYING = b"SELECT id FROM workers WHERE id = ANY(%(ids)s::int8[]) AND state = 'dying'"


class Work:
    """The working half of the PostgreSQL driver."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._connections = connections
        self._lease, self._adopt_after = settings.lease, settings.adopt_after

    def _clerk(self, work: Callable[[Hand], T]) -> T:
        return self._connections.transact(work, self._connections.clerk)

    # --- joining and leaving

    def join(self, info: WorkerInfo, now: float) -> int:
        """See `Driver.join`."""
        values = {"name": info.name, "host": info.host, "pid": info.pid, "boot_id": info.boot_id, "kind": info.kind}
        more = {"info": info.info, "now": now, "lease": self._lease}

        def insert(hand: Hand) -> int:
            row = hand.own(_JOIN, values | more).fetchone()
            assert row is not None
            return int(row[0])

        return self._clerk(insert)

    def leave(self, worker: int, now: float) -> None:
        """See `Driver.leave`."""
        self._retire([worker], now, dead=[worker])
        self._clerk(lambda hand: hand.own(_FORGET, {"worker": worker}))

    def beat(self, worker: int, now: float, info: str | None) -> float:
        """See `Driver.beat`."""
        values = {"worker": worker, "now": now, "lease": self._lease, "info": info}
        connections = self._connections
        row = connections.commit_one(lambda hand: hand.own(_BEAT, values).fetchone(), connections.pulse)
        if row is None:
            connections.transact(_look_at_the_schema, connections.pulse)
            raise _fenced(worker)
        return float(row[0])

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        """See `Driver.publish`."""
        values = (code, now, text_of(manifest))
        self._clerk(lambda hand: hand.execute("INSERT OR REPLACE INTO codes (code, at, manifest) VALUES (?, ?, ?)", values))

    def report(self, source: str, reports: Sequence[Report], until: float) -> None:
        """See `Driver.report`."""

        def keep(hand: Hand) -> None:
            if reports:
                values = (source, until, text_of(encode_reports(reports)))
                hand.execute("INSERT OR REPLACE INTO health (source, until, reports) VALUES (?, ?, ?)", values)
            else:
                hand.execute("DELETE FROM health WHERE source = ?", (source,))

        self._clerk(keep)

    def reports(self, now: float) -> list[Report]:
        """See `Driver.reports`."""
        sql = "SELECT reports FROM health WHERE until > ? ORDER BY source"
        rows = self._connections.ask(lambda hand: hand.execute(sql, (now,)).fetchall())
        return [report for row in rows for report in decode_reports(body_of(row[0]) or b"[]")]

    def workers(self) -> list[WorkerRow]:
        """See `Driver.workers`."""
        rows = self._connections.ask(lambda hand: hand.own(_WORKERS, {}).fetchall())
        return [
            WorkerRow(
                id=id, name=name, host=host, pid=pid, kind=kind, state=state, started_at=started_at, seen_at=seen_at,
                alive=alive, owned=owned, info=info,
            )
            for id, name, host, pid, kind, state, started_at, seen_at, info, owned, alive in rows
        ]  # fmt: skip

    # --- taking runs

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.claim`."""
        connections = self._connections
        look = {"worker": worker, "names": list(workflows), "now": now}
        state, rings, next_due = connections.commit_one(lambda hand: _first(hand, _LOOK, look), connections.clerk)
        if state != "live":
            raise _fenced(worker)
        if not rings and not (limit > 0 and next_due is not None and next_due <= now):
            return Claimed(next_due=next_due)
        found = connections.commit_one(lambda hand: claim_due(hand, worker, workflows, max(limit, 0), now), connections.clerk)
        if found is None:
            self._clerk(lambda hand: self._refuse_the_dead(hand, worker))
            raise _fenced(worker)
        connections.committed()
        return found

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.adopt`."""
        names = list(workflows)
        look = {"worker": worker, "names": names, "now": now}
        owned = {"worker": worker, "before": now - self._adopt_after, "held": list(held), "names": names, "limit": max(limit, 0)}
        marks = [joined((code,)) for code in workflows.values()]
        blocked = {"names": names, "marks": marks, "now": now, "limit": max(limit, 0)}

        def take(hand: Hand) -> Claimed:
            self._refuse_the_dead(hand, worker)
            rows = hand.own(f"{_OWNED} FOR NO KEY UPDATE".encode(), owned).fetchall()
            rows += hand.own(_BLOCKED.replace("{lock}", " FOR UPDATE OF runs SKIP LOCKED").encode(), blocked).fetchall()
            rows = rows[: max(limit, 0)]
            paused = [(row[0],) for row in rows if row[_STATUS] == "paused"]
            if paused:
                hand.executemany("UPDATE runs SET owner = NULL, wake_at = NULL, request = '' WHERE seq = ?", paused)
            runs = take_runs(hand, worker, [row for row in rows if row[_STATUS] != "paused"], workflows, now)
            return Claimed(runs=runs, next_due=_first(hand, _LOOK, look)[2])

        state, found, next_due = self._connections.ask(lambda hand: _first(hand, _SEEK, owned | blocked))
        if state != "live":
            raise _fenced(worker)
        return self._clerk(take) if found else Claimed(next_due=next_due)

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        """See `Driver.take`."""

        def take(hand: Hand) -> Claim | None:
            self._refuse_the_dead(hand, worker)
            row = hand.own(_ONE, {"run": run}).fetchone()
            if row is None or row[_STATUS] in FINAL or row[_STATUS] == "paused":
                return None
            return take_runs(hand, worker, [row], {row[_WORKFLOW]: code}, now)[0]

        connections = self._connections
        claim = connections.commit_one(lambda hand: claim_one(hand, worker, run, code, now), connections.clerk)
        if claim is None:  # seldom: see why
            return self._clerk(take)
        connections.committed()
        return claim

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        """See `Driver.lost`."""
        if not held:
            return []
        rows = self._connections.ask(lambda hand: hand.own(_MINE, {"worker": worker}).fetchall())
        owned = dict(rows)
        return [run for run, epoch in held.items() if owned.get(run) != epoch]

    def _refuse_the_dead(self, hand: Hand, worker: int) -> None:
        """And keep it from being declared dead until this transaction has ended."""
        if hand.own(LIVE.encode(), {"worker": worker}).fetchone() is None:
            raise _fenced(worker)

    # --- taking over

    def reap(self, now: float, dead: Collection[int]) -> int:
        """See `Driver.reap`."""
        rows = self._connections.ask(lambda hand: hand.own(_GONE, {"dead": list(dead)}).fetchall())
        return self._retire([row[0] for row in rows], now, dead) if rows else 0

    def _retire(self, gone: Collection[int], now: float, dead: Collection[int]) -> int:
        """Mark first, then take over in slices: whoever comes by can finish it."""
        ids = list(gone)
        self._clerk(lambda hand: hand.own(_DECLARE, {"ids": ids, "dead": list(dead)}))
        dying = self._connections.ask(lambda hand: hand.own(_DYING, {"ids": ids}).fetchall())
        return sum(self._take_over(worker, now) for (worker,) in dying)

    def _take_over(self, worker: int, now: float) -> int:
        values = {"worker": worker, "now": now, "slice": _SLICE}
        connections = self._connections
        count, taken = 0, _SLICE
        while taken == _SLICE:
            taken = connections.commit_one(lambda hand: hand.own(_TAKE_OVER, values).rowcount, connections.clerk)
            count += taken
            connections.committed()
        return count


_FORGET = b"DELETE FROM workers w WHERE id = %(worker)s AND NOT EXISTS (SELECT 1 FROM runs WHERE owner = w.id)"
"""A run that somebody has locked is still its: whoever reaps next takes it over."""

_MINE = b"SELECT seq, epoch FROM runs WHERE owner = %(worker)s"


def _look_at_the_schema(hand: Hand) -> None:
    """Each transaction does so when it begins."""


def _first(hand: Hand, sql: bytes, values: dict[str, object]) -> Row:
    row = hand.own(sql, values).fetchone()
    assert row is not None
    return row


def _fenced(worker: int) -> Fenced:
    return Fenced(f"worker {worker} was declared dead and its runs were taken over. Join anew.")
