"""What all executions of a process share."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable
from typing import Any

from flowkit.clock import Clock
from flowkit.core.events import ErrorEvent
from flowkit.definitions import OnError, Workflow
from flowkit.drivers.base import Driver
from flowkit.drivers.writer import Writer
from flowkit.engine.bodies import Watchdog
from flowkit.engine.passes import Host
from flowkit.engine.threads import BodyPool, Guests, LoopThread
from flowkit.runtime.recorder import LoopSink, StoreRecorder

__all__ = ["House"]

BODIES = 64


class House:
    """Driver, writer, clock, threads and hooks of one handle. `linger` and `record_after` are seconds."""

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        *,
        on_error: OnError | None = None,
        logger: logging.Logger | None = None,
        max_payload: int = 8_000_000,
        linger: float = 1.0,
        record_after: float | None = 0.25,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.driver = driver
        self.clock = clock
        self.writer = Writer(driver, clock)
        self.on_error = on_error
        self.logger = logger or logging.getLogger("flowkit")
        guests = Guests()
        self.loop = LoopThread()
        self.sink = LoopSink(self.loop)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.watchdog = Watchdog(self._watchdog_failed)
        self.ended: Callable[[int], None] = lambda run: None
        self.evict_later: Callable[[Any], None] = lambda execution: None
        self.host = Host(
            guests=guests,
            bodies=BodyPool(guests, BODIES),
            loop=self.loop,
            watchdog=self.watchdog,
            chance=chance,
            linger=linger,
            record_after=record_after,
            max_payload=max_payload,
        )

    def recorder(self, run: int) -> StoreRecorder:
        """One run's recorder."""
        return StoreRecorder(run, self.driver, self.writer, self.clock, self.sink)

    def report(self, workflow: Workflow[..., Any], event: object) -> None:
        """Tell the workflow's hook, then the process's. One that raises is logged and changes nothing."""
        for hook in (workflow.on_error, self.on_error):
            if hook is not None:
                self._tell(hook, event)

    def _tell(self, hook: OnError, event: ErrorEvent | Any) -> None:
        try:
            said = hook(event)
            if inspect.iscoroutine(said):
                self.loop.call(lambda: self._await_hook(said))
        except Exception:  # the user's hook: it must not change what becomes of the run
            self.logger.exception("flowkit: the on_error hook %r raised", hook)

    def _await_hook(self, said: Any) -> None:
        task = asyncio.get_running_loop().create_task(said)
        self.tasks.add(task)
        task.add_done_callback(self._hook_done)

    def _hook_done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.logger.error("flowkit: an async on_error hook raised", exc_info=error)

    def _watchdog_failed(self, error: BaseException) -> None:
        self.logger.error("flowkit: the watchdog could not end or record a body", exc_info=error)

    def close(self) -> None:
        """Stop the threads. Executions must have ended."""
        self.watchdog.close()
        self.writer.close()
        self.loop.close()
        self.host.guests.close()
