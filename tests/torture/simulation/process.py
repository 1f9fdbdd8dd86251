"""A simulated process: the real client, writer and executions over a faulty way to the store, and no threads of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from flowkit import Workflow
from flowkit.client.handle import Flowkit
from flowkit.core.change import Change
from flowkit.core.entry import Message
from flowkit.drivers.base import Driver, WorkerInfo
from flowkit.engine.recorder import Answer
from flowkit.engine.threads import BodyPool
from flowkit.runtime.execution import Execution
from flowkit.runtime.recorder import LoopSink, StoreRecorder
from flowkit.settings import Settings
from flowkit.testing import FakeClock
from tests.torture.simulation.faults import Died, FaultDriver
from tests.torture.simulation.mirror import Mirror, Violation
from tests.torture.simulation.turns import Inline, Turns

__all__ = ["Loop", "Process", "Ways"]

QUIET = logging.getLogger("flowkit.simulation")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False

AT_ONCE = Settings(write_retry=0)
"""A writer in doubt asks again at once."""

INFO = WorkerInfo(name="simulated", host="nowhere", pid=0)


class Loop:
    """The engine's loop, turned by the simulation itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def call(self, job: Callable[[], None]) -> None:
        """Soon."""
        self.loop.call_soon(job)

    def at_once(self, job: Callable[[], None]) -> None:
        """Now: all of a simulation happens in the loop's own thread."""
        job()

    def close(self) -> None:
        """It is the simulation's."""


class _Watchdog:
    def enter(self, body: object) -> int:
        return 0

    def leave(self, number: int) -> None:
        return None

    def close(self) -> None:
        return None


class Ways(Protocol):
    """What a process needs of the world."""

    clock: FakeClock
    loop: Loop
    guests: Turns | Inline
    store: Driver
    mirror: Mirror

    def breathe(self) -> None:
        """Anything may happen here."""
        ...

    def hops(self) -> int:
        """How long an answer takes to an async run."""
        ...


class _Recorder(StoreRecorder):
    """A run's recorder whose every write gives the world an opportunity, and whose answers take their time."""

    def __init__(self, world: Ways, process: Process, run: int) -> None:
        house = process.client.house
        super().__init__(
            run, process.driver, house.writer, world.clock, house.sink, house.lease, retry=house.settings.write_retry
        )
        self._world = world
        self._process = process

    def write(self, change: Change) -> Answer:
        self._process.flying += 1
        try:
            self._world.breathe()
            answer = super().write(change)
            self._world.breathe()
            return answer
        finally:
            self._process.flying -= 1

    def inbox(self, names: Any, limit: int) -> list[Message]:
        self._world.breathe()
        return super().inbox(names, limit)

    def submit(self, change: Change, landed: Callable[[Answer | BaseException], None]) -> None:
        answer: Answer | BaseException
        try:
            answer = self.write(change)
        except BaseException as error:  # the writer's thread would hand it over just so
            answer = error
        self._process.flying += 1
        self._later(self._world.hops(), lambda: self._land(landed, answer))

    def _land(self, landed: Callable[[Answer | BaseException], None], answer: Answer | BaseException) -> None:
        self._process.flying -= 1
        landed(answer)

    def _later(self, hops: int, job: Callable[[], None]) -> None:
        self._world.loop.call(job if hops == 0 else lambda: self._later(hops - 1, job))


class Process:
    """`plan` says which of its writes fail, and how."""

    def __init__(self, world: Ways, plan: dict[int, str]) -> None:
        self.world = world
        self.driver = FaultDriver(world.store, world.mirror, plan)
        self.client = Flowkit(
            self.driver, worker=False, workflows=(), clock=world.clock, logger=QUIET, settings=AT_ONCE
        )  # fmt: skip
        house = self.client.house
        loop: Any = world.loop
        guests: Any = world.guests
        watchdog: Any = _Watchdog()
        house.loop, house.sink = loop, LoopSink(loop)
        house.host = replace(
            house.host, guests=guests, bodies=BodyPool(guests, 64), loop=loop, watchdog=watchdog, linger=0.0,
            record_after=None, chance=lambda: 0.5,
        )  # fmt: skip
        house.recorder = lambda run: _Recorder(world, self, run)  # type: ignore[method-assign]  # as a process is configured
        self.worker = world.store.join(INFO, world.clock.now())
        self.flying = 0
        self.held: list[Execution] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing goes on in it."""
        return self.driver.dead or not self.held

    def begin(self, run: int, workflow: Workflow[..., Any], code: str) -> Execution | None:
        """Claim the run and start to execute it; None if it is not to be had."""
        claim = self.driver.take(self.worker, run, code, self.world.clock.now())
        if claim is None:
            return None
        house = self.client.house
        execution = Execution(house, claim, workflow, code, house.recorder(claim.run), self._ended)
        self.held.append(execution)
        execution.start()
        return execution

    def _ended(self, execution: Execution) -> None:
        self.held.remove(execution)
        if execution.fatal is not None and not isinstance(execution.fatal, Died):
            self.world.mirror.broken = self.world.mirror.broken or Violation(f"a worker gave up: {execution.fatal!r}")

    def close(self) -> None:
        """Its threads end; what it holds is void."""
        for execution in list(self.held):
            execution.close()
        self.client.house.writer.close()
