"""Bodies that run elsewhere than where the workflow waits for them: on the body pool, or on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from flowkit.core.outcome import Done, Failed, Outcome, TimedOut
from flowkit.engine.bodies import LiveBody, Verdict
from flowkit.engine.ports import BodyCall, live_body, run_body
from flowkit.engine.scope import BodyScope, Scope, current
from flowkit.errors import ScopeClosed

__all__ = ["run_looped", "run_pooled"]


def run_pooled(scope: Scope, call: BodyCall, done: Callable[[Any], None]) -> None:
    """Run a plain body on the body pool; `done` gets its outcome, or None if the strand was stopped first."""
    running = scope.running
    pool = running.host.bodies

    def interrupt(verdict: Verdict) -> None:
        pool.release()  # an abandoned thread no longer counts
        done(TimedOut(call.timeout or 0.0) if verdict == "timeout" else None)

    def job() -> None:
        live.deadline = live_body(running, call, interrupt).deadline  # the time spent waiting for a place does not count
        if live.verdict is not None:
            return
        try:
            outcome: Any = context.run(run_body, scope, call, live)
        except ScopeClosed:
            outcome = None
        if live.end("ended"):
            pool.release()
            done(outcome)

    context = copy_context()
    live = live_body(running, call, interrupt)
    if _begins(scope, live, done):
        pool.run(job)


def run_looped(scope: Scope, call: BodyCall, done: Callable[[Any], None]) -> None:
    """Run an async body on the loop for a plain workflow; `done` gets its outcome, or None if the strand was stopped first."""
    running = scope.running
    tasks: list[asyncio.Task[Any]] = []

    def interrupt(verdict: Verdict) -> None:
        running.host.loop.call(lambda: _cancel_all(tasks))
        done(TimedOut(call.timeout or 0.0) if verdict == "timeout" else None)

    async def run(live: LiveBody) -> None:
        number = running.host.watchdog.enter(live)
        body, watch = BodyScope(scope, live, call), running.host.watch
        current.set(body)
        outcome: Outcome[Any]
        try:
            if watch is None or not watch.bodies:
                outcome = Done(await call.function(*call.args, **call.kwargs))
            else:
                outcome = Done(await watch.awaited(body))
        except KeyboardInterrupt as error:
            return running.crash(error)
        except BaseException as error:  # user code: whatever it raised is its outcome
            outcome = Failed(error)
        finally:
            running.host.watchdog.leave(number)
        if live.end("ended"):
            done(outcome)

    def start() -> None:
        if live.verdict is None:
            tasks.append(asyncio.get_running_loop().create_task(run(live), context=context))

    context = copy_context()
    live = live_body(running, call, interrupt)
    if _begins(scope, live, done):
        running.host.loop.call(start)


def _cancel_all(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()


def _begins(scope: Scope, live: LiveBody, done: Callable[[Any], None]) -> bool:
    """Whether the body may still begin. It is seen by whoever stops the strand before that is asked, so nobody slips through."""
    scope.strand.body = live
    if scope.strand.stop is None or not live.end("stopped"):
        return True
    done(None)
    return False
