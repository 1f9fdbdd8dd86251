"""Workload I: what a step's commit costs while an inspector is open on the run, as against none.

The windows are a process of their own, which does what a browser does: it holds the stream and fetches the page's two live
parts at most as often as their throttles allow. So whatever is measured is the database's doing, not this interpreter's.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flowkit import step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.sqlite import SQLiteDriver
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread
from tests.inspector.alone import alone

__all__ = ["measure_inspected"]

COMMITS_A_SECOND = 100
COMMITS_A_SLICE = 200
THROTTLES = {"now": 0.25, "history": 0.5}
RUN = "watched"

_latencies: list[float] = []


@step
def tick(number: int) -> int:
    return number


@workflow
def paced(count: int) -> int:
    """A step every hundredth of a second; how long each takes stands in `_latencies`."""
    _latencies.clear()
    due = time.perf_counter()
    for number in range(count):
        due += 1 / COMMITS_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        tick(number)
        _latencies.append(time.perf_counter() - began)
    return count


def measure_inspected(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    """Slices with windows open alternate with slices without."""
    file = folder / "i.db"
    shut, opened = [], []
    with Flowkit(SQLiteDriver(file), workflows=[paced]) as fk, alone(file) as inspector:
        for number in range(2 * rounds):
            shut.append(_slice(fk, f"{RUN}-shut-{number}"))
            with _windows(inspector.port, f"{RUN}-{number}"):
                opened.append(_slice(fk, f"{RUN}-{number}"))
    without, with_it = Spread(shut), Spread(opened)
    more = with_it.median / without.median - 1
    yield Row(
        "I commit, inspector open",
        f"{more:+.1%}  p50 {without.median * 1e6:,.0f} → {with_it.median * 1e6:,.0f} µs",
        f"without {min(shut) * 1e6:,.0f}–{max(shut) * 1e6:,.0f}, with {min(opened) * 1e6:,.0f}–{max(opened) * 1e6:,.0f} µs",
        "≤ +2 %",
        more <= 0.02,
    )


def _slice(fk: Flowkit, id: str) -> float:
    fk.run(id, paced, COMMITS_A_SLICE)
    return Spread(_latencies).median


@contextmanager
def _windows(port: int, run: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "tests.bench.inspected", str(port), run]) as process:
        try:
            time.sleep(0.5)
            yield
        finally:
            process.kill()


def watch(port: int, run: str) -> None:
    """What a browser does with a run's page, for ever."""
    _wait_for(port, run)
    stream = http.client.HTTPConnection("localhost", port)
    stream.request("GET", f"/events?run={run}&since=")
    events = stream.getresponse()
    again = dict.fromkeys(THROTTLES, 0.0)
    while line := events.readline():
        for part, throttle in THROTTLES.items():
            if line.startswith(b"event: run") and time.monotonic() >= again[part]:
                again[part] = time.monotonic() + throttle
                _fetch(port, f"/runs/{run}?part={part}")


def _wait_for(port: int, run: str) -> None:
    while _fetch(port, f"/runs/{run}") != 200:
        time.sleep(0.05)


def _fetch(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("localhost", port)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
