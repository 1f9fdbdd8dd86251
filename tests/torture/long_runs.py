"""Runs of very many entries, measured in a process of their own.

    python -m tests.torture.long_runs chain DATABASE COUNT

is one run of that many steps, which then waits. Printed as JSON: the microseconds that a step takes, for each stretch of a
thousand; the seconds that a new worker takes to bring it to its end, which reads and replays all of it; rows and bytes.

    python -m tests.torture.long_runs loop DATABASE COUNT

is one run of that many turns of a loop: the same, and how many rows there were at most when it was asked.

The time is the processor's, of this process alone: what the disk and other processes do beside it is not the engine's.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from flowkit import Break, Continue, loop, receive, step, workflow

__all__ = ["main"]

STRETCH = 1_000
MARKS: list[float] = []
"""The processor's time at the beginning of each stretch."""


@step(retries=0)
def tick(number: int) -> int:
    """As little as a step can do."""
    if number % STRETCH == 0:
        MARKS.append(time.process_time())
    return number


@workflow
def chain(count: int) -> int:
    """Many steps, a wait, and an end."""
    total = sum(tick(number) for number in range(count))
    MARKS.append(time.process_time())
    receive("go")
    return total


@workflow
def turns(count: int) -> int:
    """Many turns, a wait, and an end."""

    def turn(state: int) -> Any:
        tick(state)
        if state % (count // 8) == 0:
            ROWS.append(rows())
        return Continue(state + 1) if state + 1 < count else Break(state + 1)

    total = loop(turn, 0, name="turns")
    MARKS.append(time.process_time())
    receive("go")
    return int(total)


ROWS: list[int] = []
FILE: list[Path] = []


def rows() -> int:
    with closing(sqlite3.connect(FILE[0])) as connection:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])


def main(kind: str, database: str, count: str) -> None:
    """See the module's head."""
    import flowkit

    flow = chain if kind == "chain" else turns
    FILE.append(Path(database))
    with flowkit.open(database, durability="process") as fk:
        run = fk.start("long", flow, int(count))
        _until_sleeping(run)
    stretches = [round((end - begin) / STRETCH * 1e6, 1) for begin, end in pairwise(MARKS)]
    with flowkit.open(database, worker=False) as fk:
        fk.send("long", "go")
    began = time.process_time()
    with flowkit.open(database, durability="process") as fk:
        output = fk.get("long").result(timeout=600)
        resumed = time.process_time() - began
    told = {"stretches": stretches, "resumed": resumed, "output": output, "rows": rows(), "most": max(ROWS, default=0)}
    print(json.dumps(told | {"bytes": Path(database).stat().st_size}))


def _until_sleeping(run: Any) -> None:
    while run.status() != "sleeping":
        if run.status() in ("failed", "blocked"):
            raise AssertionError(str(run.error()))
        time.sleep(0.02)


if __name__ == "__main__":
    from tests.torture import long_runs

    long_runs.main(*sys.argv[1:])
