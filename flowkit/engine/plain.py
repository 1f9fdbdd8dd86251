"""The plain colour: guest threads that block where they stand."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any

from flowkit.core.location import nested
from flowkit.core.outcome import Done, Failed, Outcome, TimedOut, Wake
from flowkit.engine.arrivals import Arrivals
from flowkit.engine.bodies import Verdict
from flowkit.engine.commits import Final
from flowkit.engine.offload import run_looped, run_pooled
from flowkit.engine.passes import Pass, Waiter
from flowkit.engine.ports import BodyCall, Ended, Group, live_body, refusal_of, run_body
from flowkit.engine.scope import Scope, Strand, current, wrong_colour
from flowkit.errors import ScopeClosed

__all__ = ["PLAIN", "PlainPort", "run_in_scope"]


def run_in_scope(scope: Scope, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
    """Run plain workflow code in `scope` on this thread."""
    scope.strand.thread = threading.get_ident()
    token = current.set(scope)
    outcome: Outcome[Any]
    try:
        value = function(*args)
        if inspect.iscoroutine(value):
            value.close()
            raise wrong_colour(getattr(function, "__name__", "the function"), awaits=True)
        outcome = Done(value)
    except BaseException as error:  # user code: whatever it raised is its outcome
        outcome = Failed(error)
    finally:
        current.reset(token)
    return scope.close(outcome)


class _Branches:
    """A plain join's or race's branches, each on a guest thread of its own."""

    def __init__(self, scope: Scope, location: str, names: Iterable[str]) -> None:
        self._pass = scope.running
        self._arrived = threading.Event()
        self._arrivals = Arrivals(scope.strand, location, names, self._arrived.set)
        self.strands: list[Strand] = []

    @property
    def running(self) -> int:
        return self._arrivals.running

    def start(self, scope: Scope, location: str, functions: Mapping[str, Callable[[], Any]]) -> None:
        for name in functions:  # all of them are strands before the first one can end
            self.strands.append(self._strand(scope, name))
        for strand, (name, function) in zip(self.strands, functions.items(), strict=True):
            inside = scope.inside(nested(location, name), strand)
            self._pass.host.guests.run(self._job(copy_context(), name, inside, function))

    def _strand(self, scope: Scope, name: str) -> Strand:
        return Strand(self._pass, awaits=False, parent=scope.strand, on_news=lambda: self._arrivals.passes_history(name))

    def _job(self, context: Context, name: str, scope: Scope, function: Callable[[], Any]) -> Callable[[], None]:
        return lambda: context.run(self._run, name, scope, function)

    def _run(self, name: str, scope: Scope, function: Callable[[], Any]) -> None:
        self._arrivals.ends(scope.strand, (name, run_in_scope(scope, function)))
        PLAIN.settle_waits(self._pass)

    def next(self, strand: Strand) -> Ended:
        while (ended := self._arrivals.next()) is None:
            PLAIN.settle_waits(self._pass)
            while not self._arrived.wait(self._pass.host.settings.look):
                if strand.stop is not None:
                    raise strand.stop
                self._arrivals.hurry()
            self._arrived.clear()
        return ended

    def stop(self) -> None:
        for strand in self.strands:
            self._pass.end(ScopeClosed("another branch won"), strand)


class PlainPort:
    """A Port that never suspends."""

    async def commit(self, scope: Scope, final: Final | None = None) -> None:
        running = scope.running
        if running.journal.frozen:
            raise scope.frontier()
        try:
            running.commits.commit(final)
        except BaseException as error:  # the store's or the engine's: the pass knows what it means for the run
            raise running.not_committed(error) from None
        if running.reports:
            running.deliver_reports()
        if scope.strand.stop is not None:
            raise scope.strand.stop

    def _commit(self, running: Pass, final: Final | None = None) -> None:
        """As `commit`, for what waits or parks, and looks by itself whether it is stopped."""
        try:
            running.commits.commit(final)
        except BaseException as error:  # the store's or the engine's: the pass knows what it means for the run
            raise running.not_committed(error) from None
        running.deliver_reports()

    async def body(self, scope: Scope, call: BodyCall) -> Outcome[Any] | TimedOut:
        running = scope.running
        if running.verdicts and (verdict := running.verdicts.pop(call.location, None)) is not None:
            return verdict
        if scope.strand.stop is not None or running.refusing is not None or not running.recorder.healthy:
            self._hold_back(scope, call)
        if call.awaits:
            return self._waited(scope, call, run_looped)
        if scope.strand.parent is None:
            return self._inline(scope, call)
        return self._waited(scope, call, run_pooled)

    def _hold_back(self, scope: Scope, call: BodyCall) -> None:
        """Raise what keeps the body from beginning, if anything does; a store that fails only puts it off."""
        while (refusal := refusal_of(scope, call)) is None and not scope.running.recorder.healthy:
            time.sleep(scope.running.host.settings.red_poll)
        if refusal is not None:
            raise refusal

    def _inline(self, scope: Scope, call: BodyCall) -> Outcome[Any]:
        running = scope.running

        def interrupt(verdict: Verdict) -> None:
            # This thread is the body's and cannot be stopped: the run goes on in another, by replay.
            if verdict == "timeout" and running.abandoned is not None:
                running.abandoned(running, call.location, TimedOut(call.timeout or 0.0))

        live = live_body(running, call, interrupt)
        scope.strand.body = live
        try:
            if scope.strand.stop is not None:  # asked once more, now that whoever stops the strand sees the body
                raise scope.strand.stop
            outcome = run_body(scope, call, live)
        finally:
            scope.strand.body = None
        if not live.end("ended"):
            raise ScopeClosed(f"the body of {call.location!r} was given up")
        return outcome

    def _waited(
        self, scope: Scope, call: BodyCall, start: Callable[[Scope, BodyCall, Callable[[Any], None]], None]
    ) -> Outcome[Any] | TimedOut:
        done: Future[Outcome[Any] | TimedOut | None] = Future()
        start(scope, call, done.set_result)
        outcome = done.result()
        scope.strand.body = None
        if outcome is None:
            raise scope.strand.stop or ScopeClosed(f"the body of {call.location!r} was given up")
        return outcome

    async def wait(self, scope: Scope, wake: Wake, *, since: int, seen: int) -> None:
        running = scope.running
        if running.journal.frozen:
            raise scope.frontier()
        signal = threading.Event()
        waiter = Waiter(scope.strand, wake, signal.set, seen)
        if (park := running.park_with(waiter)) is not None and running.rings == since:
            self._park(running, park)
        elif running.ledger.pending:
            self._commit(running)
        if not running.begin_wait(waiter, since):
            return
        try:
            self._sleep(running, waiter, signal)
        finally:
            running.end_wait(waiter)
        running.check_waitable(scope.strand)

    def _sleep(self, running: Pass, waiter: Waiter, signal: threading.Event) -> None:
        while not signal.is_set():
            self.settle_waits(running)  # at each look: a clock that was set back makes a near wake a far one
            left = running.host.settings.look
            if waiter.wake.at is not None:
                left = min(left, waiter.wake.at - running.recorder.now())
            if left <= 0:
                return
            signal.wait(left)

    def settle_waits(self, running: Pass) -> None:
        """Park the run if nobody performs any more and nothing happens soon."""
        if (park := running.park_with()) is not None:
            try:
                self._park(running, park)
            except ScopeClosed:
                return  # every strand learns it from its own `stop`

    def _park(self, running: Pass, park: Any) -> None:
        self._commit(running, running.final_of(park))
        running.parked()

    async def call(self, scope: Scope, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        return run_in_scope(scope, function, *args)

    def branches(self, scope: Scope, location: str, functions: Mapping[str, Callable[[], Any]]) -> Group:
        group = _Branches(scope, location, functions)
        group.start(scope, location, functions)
        return group

    async def ended(self, scope: Scope, group: Group) -> Ended:
        assert isinstance(group, _Branches)
        return group.next(scope.strand)

    async def blocking(self, function: Callable[[], Any]) -> Any:
        return function()


PLAIN = PlainPort()
