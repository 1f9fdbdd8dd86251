"""A worker on a database whose log has wrapped, and the trivial steps that the workloads are made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowkit import Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Claimed, Op, Result
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.engine.observer import Observer

__all__ = ["STEPS_OF_A_CHAIN", "CountingDriver", "CountingServer", "achain", "atrivial", "chain", "instants", "opened", "trivial"]

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


class CountingServer(PostgresDriver):
    """Counts transactions, over a server."""

    commits = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.commits += 1
        return super().write(ops, now)


@contextmanager
def opened(
    folder: Path | str, name: str, *workflows: Workflow[..., object], observers: Sequence[Observer] = ()
) -> Iterator[tuple[Flowkit, CountingDriver]]:
    """A worker on a database whose log has wrapped; `folder` may be the URL of a new database instead."""
    driver: Any = CountingServer(folder) if isinstance(folder, str) else CountingDriver(folder / f"{name}.db")
    with Flowkit(driver, workflows=[*workflows, chain, achain], observers=observers) as fk:
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
