"""F: a message's way to a run and back, in one process and between two; and many messages to one run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from flowkit import Break, Continue, loop, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.sqlite import SQLiteDriver
from tests.bench.opened import opened
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["drain", "drained", "echo", "measure_messages", "round_trips"]

MANY = 1_000


@step
def doubled(number: int) -> int:
    return 2 * number


@workflow
def echo() -> None:
    def turn() -> Continue[None] | Break[None]:
        message = receive("ask", completable=True)
        if message.data is None:
            message.complete()
            return Break(None)
        message.complete(doubled(message.data))
        return Continue(None)

    loop(turn)


@workflow
def drain(count: int) -> int:
    def turn(done: int) -> Continue[int] | Break[int]:
        doubled(receive("item").data)
        return Continue(done + 1) if done + 1 < count else Break(done + 1)

    return loop(turn, 0)


def measure_messages(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    with opened(folder, "f", echo, drain) as (fk, _):
        trips = round_trips(fk, 100 * rounds)
        yield _row("F round trip, one process", trips, 1.0)
        ratios = []
        for number in range(rounds):
            limit = raw.slice(0.05)
            ratios.append(drained(fk, f"drain-{number}") / limit)
        ratio = Spread(ratios)
        spread = f"{min(ratios):.2f}–{max(ratios):.2f} R"
        yield Row("F 1,000 messages to one run", f"{ratio.median:.2f} R", spread, "≥ 0.5 R", ratio.median >= 0.5)
        path = folder / "f.db"
    yield _row("F round trip, two processes", _between_two(path, 50 * rounds), 25.0)


def _row(name: str, trips: Spread, limit: float) -> Row:
    p50 = trips.median * 1e3
    return Row(name, f"p50 {p50:.2f} ms", f"p99 {trips.at(0.99) * 1e3:.2f} ms", f"p50 ≤ {limit:g} ms", p50 <= limit)


def round_trips(fk: Flowkit, count: int) -> Spread:
    """How long each of `count` requests took, in seconds."""
    run = fk.start(None, echo)
    taken = []
    for number in range(count):
        began = time.perf_counter()
        assert run.request("ask", number, timeout=30) == 2 * number
        taken.append(time.perf_counter() - began)
    run.request("ask", None, timeout=30)
    return Spread(taken[len(taken) // 10 :])


def drained(fk: Flowkit, run_id: str) -> float:
    """Messages a second, from the first send to the run's end."""
    run = fk.start(run_id, drain, MANY)
    began = time.perf_counter()
    for number in range(MANY):
        run.send("item", number)
    run.result(timeout=120)
    return MANY / (time.perf_counter() - began)


def _between_two(path: Path, count: int) -> Spread:
    worker = subprocess.Popen([sys.executable, "-m", "tests.bench.messages", str(path)], stdin=subprocess.PIPE)
    try:
        with Flowkit(SQLiteDriver(path), worker=False) as fk:
            return round_trips(fk, count)
    finally:
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait(30)


def _serve(path: str) -> None:
    with Flowkit(SQLiteDriver(Path(path)), workflows=[echo]):
        sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
