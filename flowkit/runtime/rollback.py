"""Undoing a run: the handlers of all completed steps that have one, newest completion first.

The handlers were collected by a frozen pass from the top, so closures see what they saw. If one that is owed was not found,
nothing is undone and the run is blocked. Each handler is recorded before the next begins; one that uses up its attempts
stops the rollback, since undoing what came before it could do harm.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flowkit.codec import decode_error
from flowkit.core.change import Finish
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.events import RollbackFailed
from flowkit.core.location import split
from flowkit.core.outcome import Done, Failed, Outcome, Place, TimedOut, Wake
from flowkit.core.resolution import by_hand_of
from flowkit.core.retry import RetryPolicy, next_attempt_at
from flowkit.engine.commits import Final
from flowkit.engine.failures import chosen_delay, error_line, info_bytes
from flowkit.engine.passes import Pass
from flowkit.engine.ports import BodyCall, Port
from flowkit.engine.scope import Scope
from flowkit.engine.state import StateBox
from flowkit.errors import CriticalError, HistoryDiverged, PayloadError, StepTimeout, Suspended
from flowkit.primitives.step import StepCall, StepPlan

if TYPE_CHECKING:
    from flowkit.runtime.execution import Execution

__all__ = ["Rollback", "misfit_of", "owing"]


class Rollback:
    """One rollback under way. `collected` is the frozen pass, `failures` the handlers' failed attempts so far, added to here:
    when a handler's thread is given up at its timeout, the next one goes on with them.
    """

    def __init__(self, execution: Execution, running: Pass, collected: Pass, failures: list[FailedAttempt]) -> None:
        self._execution = execution
        self._pass = running
        self._collected = collected
        self._failures = failures

    def misfit(self) -> HistoryDiverged | None:
        """Why nothing may be undone: code that does not fit, or steps that owe a rollback and were not found."""
        return misfit_of(self._collected)

    async def perform(self, port: Port) -> Outcome[None]:
        """Run the handlers that are still owed; how the run then stands is committed."""
        scope = Scope(self._pass.root)
        self._pass.root.thread = 0
        for entry in self._owing():
            try:
                finished = await self._handle(port, scope, entry)
            except Suspended as signal:
                return Failed(signal)
            if not finished:
                return Done(None)
        self._pass.ledger.shows(self._execution.failure)
        final = Final(status=self._execution.ending, ending="", release=True)
        await self._execution.commit(port, self._pass, final)
        return Done(None)

    def _owing(self) -> list[Entry]:
        return owing(self._collected)

    def _handler(self, entry: Entry) -> StepCall | None:
        return _handler_in(self._collected, entry)

    # --- one handler ------------------------------------------------------------------------------------------------

    async def _handle(self, port: Port, scope: Scope, entry: Entry) -> bool:
        running, call = self._pass, self._handler(entry)
        assert call is not None
        while True:
            attempts = [failure for failure in self._failures if (failure.entry, failure.round) == (entry.seq, entry.round)]
            await self._wait_for_retry(port, scope, entry, attempts, call.plan)
            number = len(attempts) + 1
            started = running.recorder.now()
            state = StateBox(running.state)
            running.progress(entry.location, number - 1, call.plan.rollback_retries + 1, _line(attempts))
            outcome = await self._run(port, scope, entry, call.plan, self._undo(entry, call), state, number)
            patch: bytes | None = None
            try:
                patch = state.patch(running.host.max_payload) if isinstance(outcome, Done) else None
            except PayloadError as unstorable:
                outcome = Failed(unstorable)
            if isinstance(outcome, Done):
                running.ledger.stage_rolled_back(entry)
                if patch is not None:
                    running.ledger.stage_state(running.state.merge(patch, running.ledger.settle_instant(running.recorder.now())))
                await port.commit(scope)
                return True
            error = self._error(outcome, call, number)
            if not await self._failed_attempt(port, scope, entry, call, error, number, started):
                return False

    def _undo(self, entry: Entry, call: StepCall) -> Callable[[], Any]:
        """The handler with all that it takes: nothing, or the output and some of the step's arguments."""
        plan = call.plan
        assert plan.rollback is not None
        if plan.rollback_names == ("",):
            return plan.rollback
        output = plan.returns.decode(entry.output) if entry.output is not None else None
        named: dict[str, Any] = plan.bind.complete(*call.passed(entry)) if plan.rollback_names else {}
        return partial(plan.rollback, output, **{name: named[name] for name in plan.rollback_names if name in named})

    async def _run(
        self, port: Port, scope: Scope, entry: Entry, plan: StepPlan, undo: Callable[[], Any], state: StateBox, number: int
    ) -> Outcome[Any] | TimedOut:
        """Run the handler. One that gives an awaitable is async, however it is written: a lambda, an object, a step."""
        stand_in = self._pass.stand_in
        if stand_in is not None and await stand_in.undoes(scope, entry, port):
            return Done(None)
        body = partial(
            BodyCall, name=f"rollback of {plan.name}", location=f"{entry.location}/rollback", args=(), kwargs={},
            timeout=plan.timeout, record=None, state=state, attempt=number, since=entry.created_at, part="rollback",
            step=entry.location,
        )  # fmt: skip
        outcome = await port.body(scope, body(function=undo, awaits=inspect.iscoroutinefunction(undo)))
        if isinstance(outcome, Done) and inspect.isawaitable(made := outcome.value):
            outcome = await port.body(scope, body(function=lambda: made, awaits=True))
        return outcome

    async def _wait_for_retry(
        self, port: Port, scope: Scope, entry: Entry, attempts: list[FailedAttempt], plan: StepPlan
    ) -> None:
        due = attempts[-1].retry_at if attempts else None
        while due is not None and self._pass.recorder.now() < due:
            place = Place(entry.location, len(attempts), plan.rollback_retries + 1, _line(attempts))
            await port.wait(scope, Wake(at=due, place=place), since=self._pass.rings, seen=0)

    def _error(self, outcome: Failed | TimedOut, call: StepCall, number: int) -> BaseException:
        if isinstance(outcome, Failed):
            return outcome.error
        return StepTimeout(
            f"the rollback of {call.plan.name!r} ran longer than its timeout of {outcome.timeout:g} s",
            name=call.plan.name,
            attempts=number,
            timeout=outcome.timeout,
        )

    async def _failed_attempt(
        self, port: Port, scope: Scope, entry: Entry, call: StepCall, error: BaseException, number: int, started: float
    ) -> bool:
        """Record it; False if it was the last, and with it the rollback stops."""
        running, plan = self._pass, call.plan
        failed_at = running.recorder.now()
        policy = RetryPolicy(plan.rollback_retries, plan.policy.backoff, plan.policy.backoff_max, plan.policy.jitter)
        retry_at = None
        if not isinstance(error, CriticalError | PayloadError):
            delay = chosen_delay(error, running.log, entry.location, number)
            retry_at = next_attempt_at(policy, number, failed_at, chance=running.host.chance(), delay=delay)
        info, body = info_bytes(error)
        failure = FailedAttempt(
            entry=entry.seq, part="rollback", round=entry.round, n=number, started_at=started, ended_at=failed_at,
            retry_at=retry_at, error=body,
        )  # fmt: skip
        self._failures.append(failure)
        running.ledger.stage_failure(failure)
        running.progress(entry.location, number, plan.rollback_retries + 1, error_line(info))
        if retry_at is not None:
            await port.commit(scope)
            return True
        running.report_after(
            RollbackFailed(run_id=running.facts.id, step_name=split(entry.location)[1], attempts=number, error=info)
        )
        finish = Finish(error=body) if self._execution.ending == "cancelled" else None
        await self._execution.commit(port, running, Final(status="failed", finish=finish, release=True))
        return False


def _line(attempts: list[FailedAttempt]) -> str | None:
    return error_line(decode_error(attempts[-1].error)) if attempts else None


def misfit_of(collected: Pass) -> HistoryDiverged | None:
    """Why nothing may be undone by what this frozen pass found, None if all that is owed can be."""
    if isinstance(collected.refusing, HistoryDiverged):
        return collected.refusing
    missing = [entry.location for entry in owing(collected) if _handler_in(collected, entry) is None]
    if not missing:
        return None
    run_id, names = collected.facts.id, ", ".join(f"`{each}`" for each in missing)
    return HistoryDiverged(
        f"run {run_id} cannot be rolled back: the code no longer makes {names}, which completed and owes a "
        f"rollback. Bring the step and its rollback back into the code. Nothing was undone; the rollback goes on by itself "
        f"when code that fits is loaded.",
        run_id=run_id,
        location=missing[0],
        recorded_kind="step",
        recorded_name=split(missing[0])[1],
    )


def owing(collected: Pass) -> list[Entry]:
    """The entries that owe a rollback, newest completion first."""
    found = [
        entry for entry in collected.ledger.entries.values() if entry.rollback == "owes" and not _owes_nothing(collected, entry)
    ]
    return sorted(found, key=lambda entry: (entry.settled_at or 0.0, entry.seq), reverse=True)


def _owes_nothing(collected: Pass, entry: Entry) -> bool:
    """Whether the value was given where no code could tell if the step has a rollback, and this code, which makes it, has
    none.
    """
    given = by_hand_of(entry)
    found = collected.handlers.get(entry.location)
    return given is not None and given.unchecked and found is not None and _handler_in(collected, entry) is None


def _handler_in(collected: Pass, entry: Entry) -> StepCall | None:
    found = collected.handlers.get(entry.location)
    if found is None or not isinstance(found[0], StepCall) or found[0].plan.rollback is None:
        return None
    return found[0]
