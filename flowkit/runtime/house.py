"""What all executions of a process share."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable
from typing import Any

from flowkit.clock import Clock
from flowkit.core.events import ErrorEvent, RollbackFailed, StepError
from flowkit.core.fields import own_log
from flowkit.definitions import OnError, Workflow
from flowkit.drivers.base import Driver
from flowkit.drivers.writer import Writer
from flowkit.engine.bodies import Watchdog
from flowkit.engine.passes import Host
from flowkit.engine.scope import outside_run
from flowkit.engine.threads import BodyPool, Guests, LoopThread
from flowkit.runtime.capture import Capture
from flowkit.runtime.recorder import LoopSink, StoreRecorder

__all__ = ["House"]

BODIES = 64


class House:
    """Driver, writer, clock, threads and hooks of one handle. `linger` and `record_after` are seconds; `capture` is the level
    from which on the log of runs is kept.
    """

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
        patience_seconds: float = 30.0,
        capture: int | None = None,
    ) -> None:
        self.driver = driver
        self.clock = clock
        self.writer = Writer(driver, clock, patience_seconds=patience_seconds)
        self.on_error = on_error
        self.logger = own_log(logger)
        self.capture = Capture(driver, self.writer, clock, self.logger, capture)
        guests = Guests()
        self.loop = LoopThread()
        self.sink = LoopSink(self.loop)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.watchdog = Watchdog(self._watchdog_failed)
        self.news: Callable[[int], None] = lambda run: None
        """Told of a run that has ended or answered a request, for those who wait for it in this process."""
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
            listener=self.capture,
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
            said = outside_run(hook, event)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the user's hook: it must not change what becomes of the run
            self.logger.exception("flowkit: the on_error hook %r raised", hook, extra=_about(event))
            return
        if inspect.iscoroutine(said):
            self.loop.call(lambda: outside_run(self._start_hook, hook, said, event))

    def _start_hook(self, hook: OnError, said: Any, event: object) -> None:
        task = asyncio.get_running_loop().create_task(self._await_hook(hook, said, event))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _await_hook(self, hook: OnError, said: Any, event: object) -> None:
        try:
            await said
        except asyncio.CancelledError:
            raise
        except BaseException:  # the user's hook: it must not take the engine's loop with it
            self.logger.exception("flowkit: the async on_error hook %r raised", hook, extra=_about(event))

    def _watchdog_failed(self, error: BaseException) -> None:
        self.logger.error("flowkit: the watchdog could not end or record a body", exc_info=error)

    def close(self) -> None:
        """Stop the threads. Executions must have ended."""
        self.watchdog.close()
        self.capture.close()
        self.writer.close()
        self.loop.close()
        self.host.guests.close()


def _about(event: object) -> dict[str, object]:
    """What a record says of the failure that a hook was told of."""
    match event:
        case StepError():
            return {"run": event.run_id, "step": event.step_name, "attempt": event.attempt}
        case RollbackFailed():
            return {"run": event.run_id, "step": event.step_name, "attempt": event.attempts}
        case _:
            return {"run": getattr(event, "run_id", "")}
