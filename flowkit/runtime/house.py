"""What all executions of a process share."""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from flowkit.clock import Clock
from flowkit.core.events import ErrorEvent, RollbackFailed, StepError
from flowkit.core.fields import own_log
from flowkit.definitions import OnError, Workflow
from flowkit.drivers.base import Claim, Driver
from flowkit.drivers.writer import Writer
from flowkit.durations import format_seconds
from flowkit.engine.bodies import LiveBody, Watchdog
from flowkit.engine.observer import Observer, Watch
from flowkit.engine.passes import Host, Pass
from flowkit.engine.scope import outside_run
from flowkit.engine.threads import BodyPool, Guests, LoopThread
from flowkit.runtime.capture import Capture
from flowkit.runtime.lease import Lease
from flowkit.runtime.recorder import LoopSink, StoreRecorder
from flowkit.settings import Settings

__all__ = ["House"]


class House:
    """Driver, writer, clock, threads and hooks of one handle. `capture` is the level from which on the log of runs is kept;
    `max_payload` and `patience_seconds` stand in for those of the settings.
    """

    def __init__(
        self,
        driver: Driver,
        clock: Clock,
        *,
        on_error: OnError | None = None,
        logger: logging.Logger | None = None,
        settings: Settings | None = None,
        max_payload: int | None = None,
        chance: Callable[[], float] = random.random,
        patience_seconds: float | None = None,
        capture: int | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.settings = settings = Settings() if settings is None else settings
        self.driver = driver
        self.clock = clock
        patience = settings.patience if patience_seconds is None else patience_seconds
        self.on_error = on_error
        self.logger = own_log(logger)
        self.watch = Watch(observers, self.logger) if observers else None
        told = None if self.watch is None else self.watch.wrote
        self.writer = Writer(driver, clock, patience_seconds=patience, settings=settings, log=self.logger, told=told)
        self.lease = Lease(driver.limits.lease, settings.lease_margin)
        self.capture = Capture(driver, self.writer, clock, self.logger, capture, settings)
        guests = Guests()
        self.loop = LoopThread(settings)
        self.sink = LoopSink(self.loop)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.watchdog = Watchdog(self._watchdog_failed, settings, self._body_is_idle)
        self.news: Callable[[int], None] = lambda run: None
        """Told of a run that has ended or answered a request, for those who wait for it in this process."""
        self.evict_later: Callable[[Any], None] = lambda execution: None
        self.host = Host(
            guests=guests,
            bodies=BodyPool(guests, settings.bodies),
            loop=self.loop,
            watchdog=self.watchdog,
            chance=chance,
            settings=settings,
            linger=settings.linger,
            record_after=settings.record_after,
            max_payload=settings.max_payload if max_payload is None else max_payload,
            listener=self.capture,
            log=self.logger,
            watch=self.watch,
        )

    def recorder(self, run: int) -> StoreRecorder:
        """One run's recorder."""
        retry = self.settings.write_retry
        return StoreRecorder(run, self.driver, self.writer, self.clock, self.sink, self.lease, retry=retry)

    def report(self, workflow: Workflow[..., Any], event: object) -> None:
        """Tell the workflow's hook, then the process's. One that raises is logged and changes nothing."""
        for hook in (workflow.on_error, self.on_error):
            if hook is not None:
                self._tell(hook, event, workflow.name)

    def _tell(self, hook: OnError, event: ErrorEvent | Any, workflow: str) -> None:
        try:
            said = outside_run(hook, event)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the user's hook: it must not change what becomes of the run
            self.logger.exception("flowkit: the on_error hook %r raised", hook, extra=_about(event, workflow))
            return
        if inspect.iscoroutine(said):
            self.loop.call(lambda: outside_run(self._start_hook, hook, said, event, workflow))

    def _start_hook(self, hook: OnError, said: Any, event: object, workflow: str) -> None:
        task = asyncio.get_running_loop().create_task(self._await_hook(hook, said, event, workflow))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _await_hook(self, hook: OnError, said: Any, event: object, workflow: str) -> None:
        try:
            await said
        except asyncio.CancelledError:
            raise
        except BaseException:  # the user's hook: it must not take the engine's loop with it
            self.logger.exception("flowkit: the async on_error hook %r raised", hook, extra=_about(event, workflow))

    def _watchdog_failed(self, error: BaseException) -> None:
        self.logger.error("flowkit: the watchdog could not end or record a body", exc_info=error)

    # --- what those who look on are told

    def joined(self, worker: int) -> int:
        """A worker of this handle has this number from here on: every record that is logged says so."""
        self.logger.common["worker"] = worker
        return worker

    def declared_dead(self) -> None:
        """The worker was declared dead."""
        if self.watch is not None:
            self.watch.loses()

    def taken(self, claim: Claim) -> Claim:
        """A pass of this run begins; the claim with what is to be kept with the run when it parks."""
        return claim if self.watch is None else replace(claim, context=self.watch.begins(claim))

    def left(self, claim: Claim, running: Pass | None) -> None:
        """The pass is over."""
        if self.watch is None:
            return
        if running is None:
            self.watch.ends(claim, str, 0.0)
        else:
            self.watch.ends(claim, lambda: running.commits.left, running.facts.started_at)

    def _body_is_idle(self, body: LiveBody, seconds: float) -> None:
        self.logger.warning(
            "flowkit: the body of step %r of run %r still runs %s after its timeout. The run went on without it, and what it "
            "comes to is dropped; a plain body cannot be stopped from outside: let it look at stopping().",
            body.location, body.run, format_seconds(seconds), extra={"run": body.run, "step": body.location},
        )  # fmt: skip

    def close(self) -> None:
        """Stop the threads. Executions must have ended."""
        self.watchdog.close()
        self.capture.close()
        self.writer.close()
        self.loop.close()
        self.host.guests.close()
        if self.watch is not None:
            self.watch.close()


def _about(event: object, workflow: str) -> dict[str, object]:
    """What a record says of the failure that a hook was told of."""
    match event:
        case StepError():
            return {"run": event.run_id, "workflow": workflow, "step": event.step_name, "attempt": event.attempt}
        case RollbackFailed():
            return {"run": event.run_id, "workflow": workflow, "step": event.step_name, "attempt": event.attempts}
        case _:
            return {"run": getattr(event, "run_id", ""), "workflow": workflow}
