"""The workloads: what is run, and what is measured of it. Each gives rows for the one table."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flowkit import Workflow, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Claimed, Op, Result
from flowkit.drivers.sqlite import SQLiteDriver
from tests.bench.raw import Raw

__all__ = ["WORKLOADS", "Row", "Spread"]

STEPS_OF_A_CHAIN = 100
STEPS_OF_A_SHORT_RUN = 5
WEB = ("starlette", "uvicorn", "jinja2", "httpx", "watchfiles", "anyio", "h11", "rich", "click", "sqlite_utils")


@dataclass(frozen=True)
class Spread:
    """Many measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def at(self, share: float) -> float:
        """The value below which `share` of them lie."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Row:
    """A line of the table. `target` is text; `met` None where there is none."""

    name: str
    measured: str
    spread: str = ""
    target: str = ""
    met: bool | None = None


class CountingDriver(SQLiteDriver):
    """Counts transactions."""

    commits = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.commits += 1
        return super().write(ops, now)

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        claimed = super().claim(worker, workflows, limit, now)
        self.commits += bool(claimed.runs or claimed.bells)
        return claimed


@contextmanager
def opened(folder: Path, name: str, *workflows: Workflow[..., object]) -> Iterator[tuple[Flowkit, CountingDriver]]:
    """A worker on a database whose log has wrapped."""
    driver = CountingDriver(folder / f"{name}.db")
    with Flowkit(driver, workflows=[*workflows, chain, achain]) as fk:
        for _ in range(12):
            fk.run(None, chain, STEPS_OF_A_CHAIN)
        yield fk, driver


# --- A: one step after the other ----------------------------------------------------------------------------------------

_instants: list[float] = []


@step
def trivial(number: int) -> int:
    return number


@step
async def atrivial(number: int) -> int:
    return number


@workflow
def chain(count: int) -> int:
    _instants.clear()
    for number in range(count):
        trivial(number)
        _instants.append(time.perf_counter())
    return count


@workflow
async def achain(count: int) -> int:
    _instants.clear()
    for number in range(count):
        await atrivial(number)
        _instants.append(time.perf_counter())
    return count


def measure_chain(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    for name, made, target in (("plain", chain, 0.8), ("async", achain, 0.6)):
        with opened(folder, f"a-{name}") as (fk, _):
            ratios, rates, latencies = [], [], []
            for _ in range(20 * rounds):
                limit = raw.slice()
                fk.run(None, made, STEPS_OF_A_CHAIN)
                taken = [later - before for before, later in pairwise(_instants)]
                rate = len(taken) / sum(taken)
                rates.append(rate)
                ratios.append(rate / limit)
                latencies += taken
        ratio, latency = Spread(ratios), Spread(latencies)
        yield Row(
            f"A chain, {name}",
            f"{ratio.median:.2f} R  {Spread(rates).median:,.0f} steps/s",
            f"{ratio.at(0.1):.2f}–{ratio.at(0.9):.2f} R; a step p50 {latency.median * 1e6:.0f}, "
            f"p99 {latency.at(0.99) * 1e6:.0f} µs",
            f"≥ {target} R",
            ratio.median >= target,
        )


# --- B: many runs at once -----------------------------------------------------------------------------------------------


@workflow
def short(number: int) -> int:
    for _ in range(STEPS_OF_A_SHORT_RUN):
        number = trivial(number)
    return number


@workflow
async def ashort(number: int) -> int:
    for _ in range(STEPS_OF_A_SHORT_RUN):
        number = await atrivial(number)
    return number


def measure_throughput(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    cases: list[tuple[str, tuple[Workflow[..., int], ...], float, float]] = [
        ("plain", (short,), 2.2, 60.0),
        ("async", (ashort,), 3.0, 45.0),
        ("half and half", (short, ashort), 2.2, 60.0),
    ]
    for name, made, target, most_cpu in cases:
        with opened(folder, f"b-{name.split()[0]}", short, ashort) as (fk, driver):
            found = [_flood(fk, driver, raw, made) for _ in range(rounds)]
        ratio = Spread([each[0] for each in found])
        cpu, commits, rate = (Spread([each[part] for each in found]).median for part in (1, 2, 3))
        yield Row(
            f"B 1,000 runs × 5, {name}",
            f"{ratio.median:.2f} R  {rate:,.0f} steps/s  {cpu:.0f} µs CPU  {commits:.3f} commits a step",
            f"{min(ratio.values):.2f}–{max(ratio.values):.2f} R",
            f"≥ {target} R, ≤ {most_cpu:.0f} µs, ≤ 0.05",
            ratio.median >= target and cpu <= most_cpu and commits <= 0.05,
        )


def _flood(
    fk: Flowkit, driver: CountingDriver, raw: Raw, made: Sequence[Workflow[..., int]], runs: int = 1_000
) -> tuple[float, float, float, float]:
    """Steps/s as a share of R, µs of CPU a step, commits a step, steps/s; from the first start to the last end."""
    limit = [raw.slice(0.05) for _ in range(4)]
    commits, cpu, began = driver.commits, time.process_time(), time.perf_counter()
    handles = fk.start_many((None, made[number % len(made)], (number,)) for number in range(runs))
    for handle in handles:
        handle.result(timeout=60)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    commits = driver.commits - commits
    limit += [raw.slice(0.05) for _ in range(4)]
    steps = runs * STEPS_OF_A_SHORT_RUN
    return steps / took / statistics.median(limit), used / steps * 1e6, commits / steps, steps / took


# --- C: from start to result --------------------------------------------------------------------------------------------


@workflow
def single(number: int) -> int:
    return trivial(number)


@workflow
async def asingle(number: int) -> int:
    return await atrivial(number)


def measure_latency(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    for name, made, target in (("plain", single, 4.0), ("async", asingle, 6.5)):
        with opened(folder, f"c-{name}", single, asingle) as (fk, _):
            units, taken = [], []
            for _ in range(10 * rounds):
                limit = raw.slice()
                for number in range(20):
                    began = time.perf_counter()
                    fk.run(None, made, number)
                    taken.append(time.perf_counter() - began)
                units.append(statistics.median(taken[-20:]) * limit)
        unit, latency = Spread(units), Spread(taken)
        yield Row(
            f"C start to result, {name}",
            f"p50 {unit.median:.2f} / R  {latency.median * 1e3:.2f} ms",
            f"{unit.at(0.1):.2f}–{unit.at(0.9):.2f} / R; p99 {latency.at(0.99) * 1e3:.2f} ms",
            f"≤ {target} / R, p99 ≤ 5 ms",
            unit.median <= target and latency.at(0.99) <= 0.005,
        )


# --- E: going on after a long history -----------------------------------------------------------------------------------

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
            taken = Spread([_resume(fk, count) for _ in range(3)])
            per_entry.append(taken.median / count * 1e6)
            yield Row(
                f"E resume {count:,} entries",
                f"{per_entry[-1]:.1f} µs an entry  {taken.median * 1e3:.0f} ms",
                f"{min(taken.values) / count * 1e6:.1f}–{max(taken.values) / count * 1e6:.1f} µs",
                "≤ 8 µs, linear" if count > 1_000 else "",
                per_entry[-1] <= 8 if count > 1_000 else None,
            )


def _resume(fk: Flowkit, count: int) -> float:
    run = fk.start(None, long_history, count)
    while run.status() != "sleeping" or (fk.worker is not None and fk.worker.held()):
        time.sleep(0.01)
    _resumed.clear()
    began = time.perf_counter()
    run.send("go")
    _resumed.wait(60)
    run.result(timeout=60)
    return _resumed_at[0] - began


# --- G: importing -------------------------------------------------------------------------------------------------------


def measure_import(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")  # as installed: compiled once, before it is measured

    def took(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=environment)
        return time.perf_counter() - began

    floor = "import asyncio, sqlite3, msgspec"
    took("import flowkit")
    took(floor)
    net = Spread([(took("import flowkit") - took("pass")) * 1e3 for _ in range(7 * rounds)])
    below = Spread([(took(floor) - took("pass")) * 1e3 for _ in range(7 * rounds)])
    listed = subprocess.run(
        [sys.executable, "-c", "import flowkit, sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    ).stdout.split()
    web = sorted({name.partition(".")[0] for name in listed} & set(WEB))
    yield Row(
        "G import flowkit",
        f"{net.median:.0f} ms net  {len(listed)} modules",
        f"{net.at(0.1):.0f}–{net.at(0.9):.0f} ms; asyncio, sqlite3 and msgspec alone {below.median:.0f} ms; "
        f"web: {', '.join(web) or 'none'}",
        "≤ 60 ms, no web package",
        net.median <= 60 and not web,
    )


WORKLOADS: dict[str, Callable[[Path, Raw, int], Iterator[Row]]] = {
    "A": measure_chain,
    "B": measure_throughput,
    "C": measure_latency,
    "E": measure_resume,
    "G": measure_import,
}
