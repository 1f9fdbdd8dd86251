"""Steps: a body that does the work, its attempts, and the outcome that is recorded once.

`StepPlan` is what `@step` decided, `StepCall` one call of it. A body runs at least once; its outcome is recorded before the
workflow sees it, and after that it never runs again. The order within an attempt is: the intent where it is needed
(`at_most_once`, or a run whose process keeps dying), the body, one commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, assert_never
from zlib import crc32

import msgspec

from flowkit.codec import Coder, coder, decode_error, signature_coders
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.events import StepError
from flowkit.core.location import split
from flowkit.core.outcome import Done, Failed, Outcome, Place, TimedOut, Wake
from flowkit.core.resolution import edited_args
from flowkit.core.retry import RetryPolicy, next_attempt_at
from flowkit.engine.arguments import ArgumentBinder
from flowkit.engine.failures import chosen_delay, error_line, info_bytes, recorded_failure
from flowkit.engine.ports import BodyCall, Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.errors import (
    CriticalError,
    ErrorInfo,
    PayloadError,
    RetryAfter,
    RollbackCheckpointError,
    RollbackError,
    StepExhausted,
    StepInterrupted,
    StepTimeout,
)

__all__ = ["StepCall", "StepPlan"]

_CRASHES_BEFORE_INTENT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What a step's decorator decided. Durations are seconds; `timeout` None means none."""

    function: Callable[..., Any]
    name: str
    explicit: bool
    awaits: bool
    policy: RetryPolicy
    timeout: float | None
    retry_on_timeout: bool = False
    retry_on: Callable[[BaseException], bool] | None = None
    rollback: Callable[..., Any] | None = None
    rollback_names: tuple[str, ...] = ()
    rollback_retries: int = 3
    ephemeral: bool = False
    at_most_once: bool = False
    record_args: bool = True
    returns: Coder = field(default_factory=coder)
    bind: ArgumentBinder


_args_coder = coder()


class StepCall:
    """One call of a step."""

    __slots__ = ("_passed", "_recorded", "args", "explicit", "kwargs", "name", "plan")

    kind: ClassVar[str] = "step"
    frontier: ClassVar[str] = "always"

    def __init__(self, plan: StepPlan, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.plan = plan
        self.name = plan.name
        self.explicit = plan.explicit
        self.args = args
        self.kwargs = kwargs
        self._recorded: dict[str, Any] = {}
        self._passed: tuple[tuple[Any, ...], Mapping[str, Any]] = (args, kwargs)

    def recall(self, scope: Scope, entry: Entry) -> Any:
        if entry.args_crc and ("#" in entry.location or scope.running.journal.begins_numbers(entry.location)):
            self._compare_args(scope, entry)
        if entry.output is not None:
            return self.plan.returns.decode(entry.output)
        if entry.status == "cancelled":
            raise scope.frontier()
        raise recorded_failure(entry)

    async def revisit(self, call: Call, port: Port) -> None:
        return None

    async def perform(self, call: Call, port: Port) -> Outcome[Any]:
        plan, scope, running = self.plan, call.scope, call.scope.running
        if plan.rollback is not None and not scope.checkpointed:
            missing = self._no_checkpoint(call)
            running.refuse(missing)  # no code may catch it and go on
            return Failed(missing)
        if plan.at_most_once and _running(call.entry) and call.location not in running.verdicts:
            return await self._fail(call, port, self._interrupted(call))
        if call.entry is None:
            self._recorded = self.recorded_args()  # before the body, which may change what it was given
        else:
            try:
                self._passed = self.passed(call.entry)
            except (PayloadError, TypeError) as unfit:  # arguments changed by hand, for code that has changed since
                return await self._fail(call, port, unfit)
        while True:
            number = 1
            if call.entry is not None:
                await self._wait_for_retry(call, port)
                number = _finished_attempts(call.entry) + 1
            started = running.recorder.now()
            dying = running.host.record_after is not None and running.ledger.crashes >= _CRASHES_BEFORE_INTENT
            if plan.at_most_once or dying:
                self._note_start(call, number, started)
                await port.commit(scope)
            body = self._body(call, number, started)
            outcome = await port.body(scope, body)
            error: BaseException
            match outcome:
                case Done(value=value):
                    return await self._succeed(call, port, value, number, started, body)
                case TimedOut(timeout=limit):
                    error = StepTimeout(
                        f"step {plan.name!r} ran longer than its timeout of {limit:g} s", name=plan.name, attempts=number,
                        timeout=limit,
                    )  # fmt: skip
                case Failed():
                    error = outcome.error
                case _:
                    assert_never(outcome)
            if (ended := await self._attempt_failed(call, port, error, number, started)) is not None:
                return ended

    # --- one attempt ------------------------------------------------------------------------------------------------

    def _body(self, call: Call, number: int, started: float) -> BodyCall:
        plan = self.plan

        def record() -> None:
            running = call.scope.running
            with running.ledger.lock:  # the body may be ending just now: what its attempt came to is not overwritten
                if call.entry is not None and call.entry.attempts >= number:
                    return
                self._note_start(call, number, started)
            running.commit_in_background()

        return BodyCall(
            name=plan.name, location=call.location, step=call.location, function=plan.function, args=self._passed[0],
            kwargs=self._passed[1], awaits=plan.awaits, timeout=plan.timeout, record=record, at_most_once=plan.at_most_once,
            attempt=number, since=started if call.entry is None else call.entry.created_at,
        )  # fmt: skip

    async def _wait_for_retry(self, call: Call, port: Port) -> None:
        running, entry = call.scope.running, call.entry
        if entry is None or entry.status != "retrying" or entry.due_at is None:
            return
        while running.recorder.now() < entry.due_at:
            await port.wait(call.scope, Wake(at=entry.due_at, place=self._place(entry)), since=running.rings, seen=0)

    def _place(self, entry: Entry | None, location: str = "") -> Place:
        """How lists name this step while attempts are left; `entry` is there if one has failed."""
        most = self.plan.policy.retries + 1
        if entry is None or entry.error is None:
            return Place(location if entry is None else entry.location, 0, most)
        return Place(entry.location, _finished_attempts(entry), most, error_line(decode_error(entry.error)))

    def _note_start(self, call: Call, number: int, started: float) -> None:
        """Stage that attempt `number` is under way."""
        call.scope.running.ledger.shows(self._place(call.entry, call.location))
        if call.entry is None:
            call.open("step", "running", attempts=number, started_at=started, created_at=started, **self._recorded)
            return
        call.entry = call.scope.stage(
            msgspec.structs.replace(call.entry, status="running", attempts=number, started_at=started, due_at=None)
        )

    async def _succeed(self, call: Call, port: Port, value: Any, number: int, started: float, body: BodyCall) -> Outcome[Any]:
        plan, running = self.plan, call.scope.running
        limit = running.host.max_payload
        try:
            output = plan.returns.encode(value, limit=limit)
            patch = None if body.state is None else body.state.patch(limit)
        except PayloadError as error:
            return await self._fail(call, port, error, number)
        fields: dict[str, Any] = {"attempts": number, "output": output, "started_at": started}
        if patch is not None:
            fields["patch"] = patch
        if plan.rollback is not None:
            fields["rollback"] = "owes"
        if call.entry is None:
            fields["created_at"] = started
            fields.update(self._recorded)
        else:
            fields["error"] = None
        with running.ledger.lock:  # of two branches that change one key, memory and store must agree on the later
            call.finish("step", "completed", **fields)
            if patch is not None:
                running.state.apply(patch)
        running.progress(call.location, number)
        if not plan.ephemeral:
            await port.commit(call.scope)
        return Done(plan.returns.decode(output))

    async def _attempt_failed(
        self, call: Call, port: Port, error: BaseException, number: int, started: float
    ) -> Outcome[Any] | None:
        """Record a failed attempt; the terminal outcome, or None if there will be another."""
        plan, running = self.plan, call.scope.running
        failed_at = running.recorder.now()
        try:
            retriable, delay = self._retriable(error), chosen_delay(error, running.log, call.location, number)
        except Exception as broken:  # the user's predicate: what it raises is how the step ends
            return await self._fail(call, port, broken, number, started)
        if not retriable:
            return await self._fail(call, port, error, number, started)
        retry_at = next_attempt_at(plan.policy, number, failed_at, chance=running.host.chance(), delay=delay)
        if retry_at is None:
            return await self._fail(call, port, self._exhausted(error, number), number, started, last=error)
        info, body = info_bytes(error)
        changed = {"attempts": number, "started_at": started, "due_at": retry_at, "error": body}
        with running.ledger.lock:  # a race that is lost in between forgets both or none
            if call.entry is None:
                call.open("step", "retrying", created_at=started, **changed, **self._recorded)
            else:
                call.entry = call.scope.stage(msgspec.structs.replace(call.entry, status="retrying", **changed))
            assert call.entry is not None
            running.ledger.stage_failure(_failure(call.entry, number, started, failed_at, body, retry_at))
        running.progress(call.location, number, plan.policy.retries + 1, error_line(info))
        running.report_after(self._event(call, number, info, retry_at, failed_at))
        if retry_at <= failed_at + running.host.linger:
            await port.commit(call.scope)  # else the failure rides in the commit of the park
        return None

    async def _fail(
        self,
        call: Call,
        port: Port,
        error: BaseException,
        number: int | None = None,
        started: float | None = None,
        last: BaseException | None = None,
    ) -> Outcome[Any]:
        """Record a terminal failure and give back what the workflow gets: the recorded error, as on every replay."""
        running = call.scope.running
        number = number if number is not None else max(1, _finished_attempts(call.entry) + _running(call.entry))
        failed_at = running.recorder.now()
        info, body = info_bytes(error)
        fields: dict[str, Any] = {"attempts": number, "error": body, "output": None}
        if started is not None:
            fields["started_at"] = started
        if call.entry is None:
            fields["created_at"] = started if started is not None else failed_at
            fields.update(self._recorded)
        status = "exhausted" if isinstance(error, StepExhausted) else "failed"
        attempt_body = info_bytes(last)[1] if last is not None else body
        with running.ledger.lock:
            entry = call.finish("step", status, **fields)
            running.ledger.stage_failure(_failure(entry, number, started or failed_at, failed_at, attempt_body, None))
        running.progress(call.location, number, number if status == "exhausted" else 0, error_line(info))
        running.report_after(self._event(call, number, info, None, failed_at))
        await port.commit(call.scope)
        return Failed(recorded_failure(entry))

    # --- judgements -------------------------------------------------------------------------------------------------

    def _retriable(self, error: BaseException) -> bool:
        if isinstance(error, StepTimeout):
            return self.plan.retry_on_timeout
        if isinstance(error, RetryAfter):
            return True
        if isinstance(error, CriticalError | RollbackError | PayloadError):
            return False
        return self.plan.retry_on is None or self.plan.retry_on(error)

    def _exhausted(self, error: BaseException, number: int) -> BaseException:
        if isinstance(error, StepTimeout):
            kind, last = "timeout", info_bytes(error)[0]
        else:
            kind, last = "exhausted", info_bytes(error)[0]
        return StepExhausted(
            f"step {self.plan.name!r} failed {_times(number)}, {'' if number == 1 else 'the last time '}with {last}",
            name=self.plan.name,
            attempts=number,
            error=last,
            kind=kind,  # type: ignore[arg-type]  # one of the two literals above
        )

    def _interrupted(self, call: Call) -> StepInterrupted:
        assert call.entry is not None
        return StepInterrupted(
            f"step {self.plan.name!r} may run at most once and was interrupted in attempt {call.entry.attempts}; whether it "
            f"took effect is unknown. Find out, then handle StepInterrupted in the workflow, or recover() the run.",
            name=self.plan.name,
            attempts=call.entry.attempts,
        )

    def _no_checkpoint(self, call: Call) -> RollbackCheckpointError:
        return RollbackCheckpointError(
            f"step {self.plan.name!r} has a rollback, but no checkpoint comes before it in run "
            f'{call.scope.running.facts.id}, {call.where()}. Call checkpoint("name") first, where undoing should begin.'
        )

    def _event(self, call: Call, number: int, info: ErrorInfo, retry_at: float | None, failed_at: float) -> StepError:
        retries = self.plan.policy.retries
        return StepError(
            run_id=call.scope.running.facts.id,
            step_name=split(call.location)[1],
            attempt=number,
            max_retries=retries,
            remaining_retries=max(0, retries - (number - 1)),
            will_retry=retry_at is not None,
            retry_delay=None if retry_at is None else round(retry_at - failed_at, 6),  # instants differ by float noise below that
            retry_at=retry_at,
            error=info,
        )

    # --- arguments --------------------------------------------------------------------------------------------------

    def passed(self, entry: Entry | None) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """What the body gets: the call's arguments, but for those that a person changed in this entry.

        Raises:
            PayloadError, TypeError: what was changed does not fit the step any more.
        """
        edited = edited_args(entry)
        if not edited:
            return self.args, self.kwargs
        coders = signature_coders(self.plan.function).parameters
        named: dict[str, Any] = dict.fromkeys(edited)
        for name in edited.keys() & coders.keys():
            try:
                named[name] = coders[name].decode(bytes(edited[name]))
            except PayloadError as error:
                why = f"argument {name!r} was changed by hand and does not fit step {self.plan.name!r}: {error}"
                raise PayloadError(why, path=error.path) from error
        return self.plan.bind.replaced(self.args, self.kwargs, named)

    def recorded_args(self) -> dict[str, Any]:
        """The entry's fields for the recorded arguments."""
        if not self.plan.record_args:
            return {}
        body = self._encoded_args()
        return {"args": body, "args_crc": crc32(body)}

    def _encoded_args(self) -> bytes:
        named = self.plan.bind(self.args, self.kwargs)
        try:
            return _args_coder.encode(named)
        except PayloadError:
            return _args_coder.encode({name: _or_note(value) for name, value in named.items()})

    def _compare_args(self, scope: Scope, entry: Entry) -> None:
        if self.plan.record_args and crc32(self._encoded_args()) != entry.args_crc:
            if scope.running.journal.notes_moved(entry.location):
                return
            scope.running.log.warning(
                "step %r is called with other arguments than were recorded for it; its recorded result is used. Numbered "
                "names move when a call before them is added or removed: give such steps a name= of their own.",
                entry.location,
                extra={"step": entry.location},
            )


def _or_note(value: Any) -> Any:
    """The value, or a note of its type if it cannot be encoded: recording arguments never fails a step."""
    try:
        _args_coder.encode(value)
    except PayloadError:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"
    return value


def _running(entry: Entry | None) -> bool:
    return entry is not None and entry.status == "running"


def _finished_attempts(entry: Entry | None) -> int:
    """Attempts that came to an end: one cut short by the death of its process or an evict does not count."""
    return 0 if entry is None else entry.attempts - (entry.status == "running")


def _failure(entry: Entry, number: int, started: float, ended: float, error: bytes, retry_at: float | None) -> FailedAttempt:
    return FailedAttempt(
        entry=entry.seq, round=entry.round, n=number, started_at=started, ended_at=ended, retry_at=retry_at, error=error
    )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
