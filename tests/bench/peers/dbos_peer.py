"""DBOS on SQLite, as it comes, or on a PostgreSQL server: workloads A, B, C, D and F."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig

from tests.bench.peers.asked import answer
from tests.bench.raw import Raw
from tests.bench.table import Row


@DBOS.step()
def trivial(number: int) -> int:
    return number


@DBOS.workflow()
def chain(count: int) -> int:
    for number in range(count):
        trivial(number)
    return count


@DBOS.step()
async def atrivial(number: int) -> int:
    return number


@DBOS.workflow()
async def achain(count: int) -> int:
    for number in range(count):
        await atrivial(number)
    return count


@DBOS.workflow()
def nap(instant: float) -> float:
    DBOS.sleep(max(0.0, instant - time.time()))
    return time.time() - instant


@DBOS.workflow()
def echo(count: int) -> int:
    for _ in range(count):
        number = DBOS.recv("ask", timeout_seconds=60)
        DBOS.set_event(f"answer-{number}", trivial(number))
    return count


def launched(folder: Path, name: str) -> Path:
    """A database of its own."""
    path = folder / f"dbos-{name}.sqlite"
    server = "".join(sys.argv[3:])
    config: DBOSConfig = {
        "name": "bench", "system_database_url": server or f"sqlite:///{path}", "run_admin_server": False, "log_level": "ERROR"
    }  # fmt: skip
    DBOS(config=config)
    DBOS.launch()
    return path


def chains(folder: Path, raw: Raw) -> Iterator[Row]:
    launched(folder, "a")
    chain(50)
    ratios, rates = [], []
    for _ in range(5):
        limit = raw.slice(0.05)
        began = time.perf_counter()
        chain(100)
        rates.append(100 / (time.perf_counter() - began))
        ratios.append(rates[-1] / limit)
    yield row("dbos chain, plain", ratios, rates)

    async def awaited() -> Iterator[Row]:
        await achain(50)
        ratios, rates = [], []
        for _ in range(5):
            limit = raw.slice(0.05)
            began = time.perf_counter()
            await achain(100)
            rates.append(100 / (time.perf_counter() - began))
            ratios.append(rates[-1] / limit)
        return iter([row("dbos chain, async", ratios, rates)])

    yield from asyncio.run(awaited())


def throughput(folder: Path, raw: Raw) -> Iterator[Row]:
    launched(folder, "b")
    limit = raw.slice(0.1)
    runs, cpu, began = 200, time.process_time(), time.perf_counter()
    handles: list[Any] = [DBOS.start_workflow(chain, 5) for _ in range(runs)]
    for handle in handles:
        handle.get_result()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    limit = statistics.median([limit, raw.slice(0.1)])
    rate = 5 * runs / took
    measured = f"{rate / limit:.2f} R  {rate:,.0f} steps/s  {used / runs / 5 * 1e6:,.0f} µs CPU"
    yield Row("dbos 200 runs × 5, plain", measured, ratio=rate / limit)


def latency(folder: Path, raw: Raw) -> Iterator[Row]:
    launched(folder, "c")
    taken, units, limit = [], [], raw.slice()
    for number in range(60):
        if number % 10 == 0:
            limit = raw.slice()
        began = time.perf_counter()
        DBOS.start_workflow(chain, 1).get_result()
        taken.append(time.perf_counter() - began)
        units.append(taken[-1] * limit)
    p50 = statistics.median(taken)
    yield Row("dbos start to result", f"p50 {statistics.median(units):.1f} / R  {p50 * 1e3:.2f} ms")


def sleepers(folder: Path, raw: Raw) -> Iterator[Row]:
    launched(folder, "d")
    count = 200
    began = time.perf_counter()
    instant = time.time() + 15.0
    handles: list[Any] = [DBOS.start_workflow(nap, instant) for _ in range(count)]
    took = time.perf_counter() - began
    late = max(handle.get_result() for handle in handles)
    yield Row(f"dbos {count} runs put to sleep", f"{took:.2f} s; the last {late:.2f} s late")


def messages(folder: Path, raw: Raw) -> Iterator[Row]:
    launched(folder, "f")
    count, taken = 20, []
    handle: Any = DBOS.start_workflow(echo, count)
    for number in range(count):
        began = time.perf_counter()
        DBOS.send(handle.workflow_id, number, "ask")
        assert DBOS.get_event(handle.workflow_id, f"answer-{number}", timeout_seconds=60) == number
        taken.append(time.perf_counter() - began)
    yield Row("dbos round trip, one process", f"p50 {statistics.median(taken) * 1e3:.2f} ms")


def row(name: str, ratios: list[float], rates: list[float]) -> Row:
    """A line of a chain."""
    ratio = statistics.median(ratios)
    return Row(name, f"{ratio:.2f} R  {statistics.median(rates):,.0f} steps/s", ratio=ratio)


if __name__ == "__main__":
    answer({"A": chains, "B": throughput, "C": latency, "D": sleepers, "F": messages})
    DBOS.destroy()
