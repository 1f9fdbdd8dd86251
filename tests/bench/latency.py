"""C: from start to result, one run after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from flowkit import workflow
from tests.bench.opened import atrivial, opened, trivial
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["measure_latency"]


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
