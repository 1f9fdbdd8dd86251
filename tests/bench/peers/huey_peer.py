"""huey on SQLite with fsync: a task queue, which records one result a task and no steps; workloads B and C where they apply."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huey import SqliteHuey

from tests.bench.peers.asked import answer
from tests.bench.raw import Raw
from tests.bench.table import Row


@contextmanager
def consuming(folder: Path, name: str) -> Iterator[Any]:
    """A task, and four threads that consume."""
    huey = SqliteHuey("bench", filename=str(folder / f"huey-{name}.db"), fsync=True)

    @huey.task()  # type: ignore[untyped-decorator]  # huey has no types
    def one(number: int) -> int:
        return number

    consumer = huey.create_consumer(workers=4, periodic=False, initial_delay=0.001, max_delay=0.01, backoff=1.1)
    consumer.start()
    try:
        yield one
    finally:
        consumer.stop()


def throughput(folder: Path, raw: Raw) -> Iterator[Row]:
    with consuming(folder, "b") as one:
        limit, count, began = raw.slice(0.1), 1_000, time.perf_counter()
        for result in [one(number) for number in range(count)]:
            result(blocking=True, timeout=120)
        rate = count / (time.perf_counter() - began)
        limit = statistics.median([limit, raw.slice(0.1)])
    yield Row("huey 1,000 tasks", f"{rate / limit:.2f} R  {rate:,.0f} tasks/s", ratio=rate / limit)


def latency(folder: Path, raw: Raw) -> Iterator[Row]:
    with consuming(folder, "c") as one:
        limit, taken = raw.slice(0.1), []
        for number in range(60):
            began = time.perf_counter()
            one(number)(blocking=True, timeout=30, backoff=1.0, preserve=False)
            taken.append(time.perf_counter() - began)
    p50 = statistics.median(taken)
    yield Row("huey task to result", f"p50 {p50 * limit:.1f} / R  {p50 * 1e3:.2f} ms")


if __name__ == "__main__":
    answer({"B": throughput, "C": latency})
