"""An evict that arrives when it is written down that a body begins, and the body has not begun."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowkit import Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.core.change import Change
from flowkit.drivers.base import Steer
from flowkit.drivers.memory import MemoryDriver
from flowkit.engine.recorder import Answer
from flowkit.runtime.execution import Execution
from flowkit.runtime.recorder import StoreRecorder
from tests.runtime.waiting import until
from tests.worlds import both

BODIES: list[str] = []


@step(at_most_once=True)
def once(name: str) -> str:
    """May begin only once."""
    BODIES.append(name)
    return f"{name} done"


@step(at_most_once=True)
async def once_async(name: str) -> str:
    """May begin only once."""
    BODIES.append(name)
    return f"{name} done"


@workflow
def plain(name: str) -> str:
    """One of those, and what it came to."""
    made = once.attempt(name)
    return made.value if made.ok else made.failure.kind


@workflow
async def awaiting(name: str) -> str:
    """One of those, and what it came to."""
    made = await once_async.attempt(name)
    return made.value if made.ok else made.failure.kind


class Evicting(StoreRecorder):
    """Lets an operator evict the run as soon as a body's intent has landed, and goes on once its worker has heard of it."""

    def __init__(self, fk: Flowkit, run: int, heard: threading.Event) -> None:
        house = fk.house
        super().__init__(run, house.driver, house.writer, house.clock, house.sink, house.lease, retry=house.settings.write_retry)
        self._fk = fk
        self._heard = heard

    def write(self, change: Change) -> Answer:
        answer = super().write(change)
        self._evict_after(change)
        return answer

    def submit(self, change: Change, landed: Callable[[Answer | BaseException], None]) -> None:
        def then(answer: Answer | BaseException) -> None:
            self._evict_after(change)
            landed(answer)

        super().submit(change, then)

    def _evict_after(self, change: Change) -> None:
        if self._heard.is_set() or not any(entry.status == "running" for entry in change.add):
            return
        driver = self._fk.driver
        driver.write([Steer(run="r", verb="evict", op="o")], self._fk.house.clock.now())
        driver.nudge()
        assert self._heard.wait(5)


@pytest.fixture
def evicted() -> Iterator[tuple[Flowkit, threading.Event]]:
    """A worker whose runs are evicted between the intent of a body and its beginning."""
    heard = threading.Event()
    BODIES.clear()
    with Flowkit(MemoryDriver(), worker=True, workflows=[plain, awaiting]) as fk:
        later = fk.house.evict_later

        def evict_later(execution: Execution) -> None:
            later(execution)
            heard.set()

        fk.house.evict_later = evict_later
        fk.house.recorder = lambda run: Evicting(fk, run, heard)  # type: ignore[method-assign]  # as a process is configured
        yield fk, heard


@both
def test_a_body_that_may_begin_only_once_begins_although_the_run_is_evicted(
    evicted: tuple[Flowkit, threading.Event], colour: str
) -> None:
    """Else the next pass would have to take it for interrupted, and nobody could say whether it had an effect."""
    fk, heard = evicted
    flow: Workflow[..., Any] = awaiting if colour == "async" else plain

    run = fk.start("r", flow, colour)
    until(lambda: run.status() == "completed")

    assert heard.is_set()
    assert (run.output(), BODIES) == (f"{colour} done", [colour])
