"""A worker on a database whose log has wrapped, and the trivial steps that the workloads are made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flowkit import Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Claimed, Op, Result
from flowkit.drivers.sqlite import SQLiteDriver

__all__ = ["STEPS_OF_A_CHAIN", "CountingDriver", "achain", "atrivial", "chain", "instants", "opened", "trivial"]

STEPS_OF_A_CHAIN = 100


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


instants: list[float] = []
"""When each step of the newest chain had come back."""


@step
def trivial(number: int) -> int:
    return number


@step
async def atrivial(number: int) -> int:
    return number


@workflow
def chain(count: int) -> int:
    instants.clear()
    for number in range(count):
        trivial(number)
        instants.append(time.perf_counter())
    return count


@workflow
async def achain(count: int) -> int:
    instants.clear()
    for number in range(count):
        await atrivial(number)
        instants.append(time.perf_counter())
    return count
