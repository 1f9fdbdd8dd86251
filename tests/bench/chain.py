"""A: one run, a hundred trivial steps, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.bench.opened import STEPS_OF_A_CHAIN, achain, chain, instants, opened
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread

__all__ = ["measure_chain"]


def measure_chain(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    for name, made, target in (("plain", chain, 0.8), ("async", achain, 0.6)):
        with opened(folder, f"a-{name}") as (fk, _):
            ratios, rates, latencies = [], [], []
            for _ in range(20 * rounds):
                limit = raw.slice()
                fk.run(None, made, STEPS_OF_A_CHAIN)
                taken = [later - before for before, later in pairwise(instants)]
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
            ratio.median,
        )
