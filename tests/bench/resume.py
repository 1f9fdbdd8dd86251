"""E: going on after a long history."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from flowkit import receive, step, workflow
from flowkit.client import Flowkit
from tests.bench.opened import opened
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["measure_resume", "resume_seconds"]

_resumed = threading.Event()
_resumed_at = [0.0]


@step(ephemeral=True)
def remembered(number: int) -> int:
    return number


@step
def go_on() -> None:
    _resumed_at[0] = time.perf_counter()
    _resumed.set()


@workflow
def long_history(count: int) -> int:
    for number in range(count):
        remembered(number)
    receive("go")
    go_on()
    return count


def measure_resume(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    per_entry: list[float] = []
    with opened(folder, "e", long_history) as (fk, _):
        for count in (1_000, 10_000, *([100_000] if rounds > 3 else [])):
            taken = Spread([resume_seconds(fk, count) for _ in range(3)])
            per_entry.append(taken.median / count * 1e6)
            yield Row(
                f"E resume {count:,} entries",
                f"{per_entry[-1]:.1f} µs an entry  {taken.median * 1e3:.0f} ms",
                f"{min(taken.values) / count * 1e6:.1f}–{max(taken.values) / count * 1e6:.1f} µs",
                "≤ 8 µs, linear" if count > 1_000 else "",
                per_entry[-1] <= 8 if count > 1_000 else None,
            )


def resume_seconds(fk: Flowkit, count: int) -> float:
    run = fk.start(None, long_history, count)
    while run.status() != "sleeping" or (fk.worker is not None and fk.worker.held()):
        time.sleep(0.01)
    _resumed.clear()
    began = time.perf_counter()
    run.send("go")
    _resumed.wait(60)
    run.result(timeout=60)
    return _resumed_at[0] - began
