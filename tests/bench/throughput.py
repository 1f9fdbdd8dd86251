"""B: many short runs at once, to full completion."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from flowkit import Workflow, workflow
from flowkit.client import Flowkit
from tests.bench.opened import CountingDriver, atrivial, opened, trivial
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["ashort", "flood", "measure_throughput", "short"]

STEPS_OF_A_SHORT_RUN = 5


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
            found = [flood(fk, driver, raw, made) for _ in range(rounds)]
        ratio = Spread([each[0] for each in found])
        cpu, commits, rate = (Spread([each[part] for each in found]).median for part in (1, 2, 3))
        yield Row(
            f"B 1,000 runs × 5, {name}",
            f"{ratio.median:.2f} R  {rate:,.0f} steps/s  {cpu:.0f} µs CPU  {commits:.3f} commits a step",
            f"{min(ratio.values):.2f}–{max(ratio.values):.2f} R",
            f"≥ {target} R, ≤ {most_cpu:.0f} µs, ≤ 0.05",
            ratio.median >= target and cpu <= most_cpu and commits <= 0.05,
            ratio.median,
        )


def flood(
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
