"""The async colour: tasks on the engine's own loop."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flowkit.core.location import nested
from flowkit.core.outcome import Done, Failed, Outcome, TimedOut, Wake
from flowkit.engine.arrivals import Arrivals
from flowkit.engine.bodies import LiveBody
from flowkit.engine.commits import Final
from flowkit.engine.offload import run_pooled
from flowkit.engine.passes import Pass, Waiter
from flowkit.engine.ports import BodyCall, Ended, Group, live_body, refusal_of
from flowkit.engine.scope import BodyScope, Scope, Strand, current
from flowkit.errors import ScopeClosed

__all__ = ["AWAITING", "AwaitingPort", "arun_in_scope"]


async def arun_in_scope(scope: Scope, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run async workflow code in `scope` in this task. A function that awaits nothing may be plain."""
    scope.strand.thread = threading.get_ident()
    token = current.set(scope)
    outcome: Outcome[Any]
    try:
        value = function(*args)
        outcome = Done(await value if inspect.isawaitable(value) else value)
    except BaseException as error:  # user code: whatever it raised is its outcome
        outcome = Failed(error)
    finally:
        current.reset(token)
    closed = scope.close(outcome)
    await _until_quiet(scope)
    return closed


async def _until_quiet(scope: Scope) -> None:
    """Let a call that the code has left behind, as a `gather` does whose other half fails, come to its end and be recorded."""
    while scope.visits.busy is not None and scope.strand.stop is None:
        scope.quiet = asyncio.Event()
        try:
            await scope.quiet.wait()
        except asyncio.CancelledError:
            if scope.strand.stop is None:
                raise


class _Branches:
    """An async join's or race's branches, each a task."""

    def __init__(self, scope: Scope, location: str, names: Iterable[str]) -> None:
        self._pass = scope.running
        self._arrived = asyncio.Event()
        self._arrivals = Arrivals(scope.strand, location, names, self._arrived.set)
        self.strands: list[Strand] = []

    @property
    def running(self) -> int:
        return self._arrivals.running

    def start(self, scope: Scope, location: str, functions: Mapping[str, Callable[[], Any]]) -> None:
        for name, function in functions.items():
            strand = Strand(self._pass, awaits=True, parent=scope.strand, on_news=partial(self._arrivals.passes_history, name))
            self.strands.append(strand)
            inside = scope.inside(nested(location, name), strand)
            strand.task = asyncio.get_running_loop().create_task(self._run(name, inside, function))

    async def _run(self, name: str, scope: Scope, function: Callable[[], Any]) -> None:
        outcome = await arun_in_scope(scope, function)
        scope.strand.task = None
        if not self._arrivals.ends(scope.strand, (name, outcome)):
            asyncio.get_running_loop().call_later(self._pass.host.settings.look, self._arrivals.hurry)
        await AWAITING.settle_waits(self._pass)

    async def next(self, strand: Strand) -> Ended:
        while (ended := self._arrivals.next()) is None:
            await AWAITING.settle_waits(self._pass)
            await self._arrived.wait()
            self._arrived.clear()
        return ended

    def stop(self) -> None:
        for strand in self.strands:
            self._pass.end(ScopeClosed("another branch won"), strand)


class AwaitingPort:
    """A Port that suspends on the engine's loop."""

    async def commit(self, scope: Scope, final: Final | None = None) -> None:
        running = scope.running
        if running.journal.frozen:
            raise scope.frontier()
        try:
            await running.commits.acommit(final)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the store's or the engine's: the pass knows what it means for the run
            raise running.not_committed(error) from None
        if running.reports:
            running.deliver_reports()
        if scope.strand.stop is not None:
            raise scope.strand.stop

    async def _commit(self, running: Pass, final: Final | None = None) -> None:
        """As `commit`, for what waits or parks, and looks by itself whether it is stopped."""
        try:
            await running.commits.acommit(final)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # the store's or the engine's: the pass knows what it means for the run
            raise running.not_committed(error) from None
        running.deliver_reports()

    async def body(self, scope: Scope, call: BodyCall) -> Outcome[Any] | TimedOut:
        running = scope.running
        if running.verdicts and (verdict := running.verdicts.pop(call.location, None)) is not None:
            return verdict
        if scope.strand.stop is not None or running.refusing is not None or not running.recorder.healthy:
            await self._hold_back(scope, call)
        if call.awaits:
            return await self._inline(scope, call)
        return await self._pooled(scope, call)

    async def _hold_back(self, scope: Scope, call: BodyCall) -> None:
        """Raise what keeps the body from beginning, if anything does; a store that fails only puts it off."""
        running = scope.running
        while (refusal := refusal_of(scope, call)) is None and not running.recorder.healthy:  # noqa: ASYNC110  no loop is told
            await asyncio.sleep(running.host.settings.red_poll)
        if refusal is not None:
            raise refusal

    async def _inline(self, scope: Scope, call: BodyCall) -> Outcome[Any] | TimedOut:
        running = scope.running
        task = asyncio.current_task()
        assert task is not None
        inside = True
        cancelled = False
        requests = task.cancelling()

        def deliver() -> None:
            nonlocal cancelled
            if inside:  # never after the body: a cancel that comes late must not hit what the workflow does next
                cancelled = True
                task.cancel()

        live = live_body(running, call, lambda verdict: running.host.loop.at_once(deliver))
        scope.strand.body = live
        if scope.strand.stop is not None:  # asked once more, now that whoever stops the strand sees the body
            scope.strand.body = None
            raise scope.strand.stop
        number = running.host.watchdog.enter(live)
        body, watch = BodyScope(scope, live, call), running.host.watch
        token = current.set(body)
        outcome: Outcome[Any]
        try:
            if watch is None or not watch.bodies:
                outcome = Done(await call.function(*call.args, **call.kwargs))
            else:
                outcome = Done(await watch.awaited(body))
        except KeyboardInterrupt as error:
            running.crash(error)
            outcome = Failed(ScopeClosed("interrupted from the keyboard"))
        except BaseException as error:  # user code: whatever it raised is its outcome
            outcome = Failed(error)
        finally:
            inside = False
            current.reset(token)
            running.host.watchdog.leave(number)
            scope.strand.body = None
        if cancelled:
            task.uncancel()
        if scope.strand.stop is not None:
            raise scope.strand.stop
        if isinstance(outcome, Failed) and isinstance(outcome.error, asyncio.CancelledError) and task.cancelling() > requests:
            raise outcome.error  # the code around the step cancelled it, not the body itself
        return _judge(live, call, outcome, scope)

    async def _pooled(self, scope: Scope, call: BodyCall) -> Outcome[Any] | TimedOut:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def deliver(outcome: Any) -> None:
            scope.running.host.loop.call(lambda: None if done.done() else done.set_result(outcome))

        run_pooled(scope, call, deliver)
        outcome: Outcome[Any] | TimedOut | None = await done
        scope.strand.body = None
        if outcome is None:
            raise scope.strand.stop or ScopeClosed(f"the body of {call.location!r} was given up")
        return outcome

    async def wait(self, scope: Scope, wake: Wake, *, since: int, seen: int) -> None:
        running = scope.running
        if running.journal.frozen:
            raise scope.frontier()
        loop = asyncio.get_running_loop()
        signal = asyncio.Event()
        waiter = Waiter(scope.strand, wake, lambda: _poke(loop, signal), seen)
        park = await self.blocking(lambda: running.park_with(waiter)) if wake.names is not None else running.park_with(waiter)
        if park is not None and running.rings == since:
            await self._park(running, park)
        elif running.ledger.pending:
            await self._commit(running)
        if not running.begin_wait(waiter, since):
            return
        try:
            await self._sleep(running, waiter, signal)
        finally:
            running.end_wait(waiter)
        running.check_waitable(scope.strand)

    async def _sleep(self, running: Pass, waiter: Waiter, signal: asyncio.Event) -> None:
        while not signal.is_set():
            await self.settle_waits(running)  # at each look: a clock that was set back makes a near wake a far one
            left = running.host.settings.look
            if waiter.wake.at is not None:
                left = min(left, waiter.wake.at - running.recorder.now())
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await signal.wait()
            except TimeoutError:
                continue

    async def settle_waits(self, running: Pass) -> None:
        """Park the run if nobody performs any more and nothing happens soon."""
        if running.performing == 0 and (park := await self.blocking(running.park_with)) is not None:
            try:
                await self._park(running, park)
            except ScopeClosed:
                return  # every strand learns it from its own `stop`

    async def _park(self, running: Pass, park: Any) -> None:
        await self._commit(running, running.final_of(park))
        running.parked()

    async def call(self, scope: Scope, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        return await arun_in_scope(scope, function, *args)

    def branches(self, scope: Scope, location: str, functions: Mapping[str, Callable[[], Any]]) -> Group:
        group = _Branches(scope, location, functions)
        group.start(scope, location, functions)
        return group

    async def ended(self, scope: Scope, group: Group) -> Ended:
        assert isinstance(group, _Branches)
        return await group.next(scope.strand)

    async def blocking(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, function)


def _judge(live: LiveBody, call: BodyCall, outcome: Outcome[Any], scope: Scope) -> Outcome[Any] | TimedOut:
    if live.end("ended"):
        return outcome
    if live.verdict == "timeout":
        return TimedOut(call.timeout or 0.0)
    raise scope.strand.stop or ScopeClosed(f"the body of {call.location!r} was given up")


def _poke(loop: asyncio.AbstractEventLoop, signal: asyncio.Event) -> None:
    loop.call_soon_threadsafe(signal.set)


AWAITING = AwaitingPort()
