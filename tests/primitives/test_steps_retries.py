"""Attempts of steps: how many, when, which errors are worth another, and what the caller gets in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import flowkit
import flowkit.aio as aio
from flowkit import CriticalError, RetryAfter, RollbackError, StepExhausted, join, workflow
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.colours import Colour, every_colour, native_colours


def failing(log: list[str], *errors: BaseException) -> Any:
    """A body that raises these, one each time it runs, and then succeeds."""
    left = list(errors)

    def charge() -> str:
        log.append("charge")
        if left:
            raise left.pop(0)
        return "paid"

    return charge


def always(log: list[str], error: BaseException) -> Any:
    """A body that always raises."""

    def charge() -> str:
        log.append("charge")
        raise error

    return charge


@every_colour
def test_the_default_is_four_attempts(colour: Colour) -> None:
    """ST4: retries=N allows N+1 attempts; the default is four."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(always(log, OSError("down")))))

        with pytest.raises(StepExhausted):
            lab.run_to_end("r")

        assert log == ["charge"] * 4


@every_colour
@pytest.mark.parametrize("retries", [0, 1, 5])
def test_n_retries_allow_one_attempt_more(colour: Colour, retries: int) -> None:
    """ST4: retries=N allows N+1 attempts."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(always(log, OSError("down")), retries=retries)))

        with pytest.raises(StepExhausted):
            lab.run_to_end("r")

        assert len(log) == retries + 1


@every_colour
def test_the_next_attempt_is_due_twice_as_late_each_time(colour: Colour) -> None:
    """ST5: 0.2, 0.4, 0.8 seconds after each failure by default."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(always(log, OSError("down")))))
        waits = []

        for _ in range(3):
            made = lab.run_once("r")
            assert made.wake_at is not None
            waits.append(made.wake_at - lab.now)
            lab.clock.set(made.wake_at)

        assert waits == pytest.approx([0.2, 0.4, 0.8], abs=1e-5)


@every_colour
def test_the_delay_is_capped(colour: Colour) -> None:
    """ST5: min(backoff_max, backoff * 2**k)."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(always([], OSError()), backoff="10s", backoff_max="15s")))

        made = lab.run_once("r")

        assert made.wake_at == lab.now + 15


@native_colours
def test_the_delay_counts_from_the_failure(colour: Colour) -> None:
    """ST5: seconds after the failure, not after the attempt's start."""
    with Lab() as lab:

        def slow() -> None:
            lab.advance(100)
            raise OSError

        lab.start("r", colour.one(colour.step(slow, backoff=1)))
        started = lab.now

        made = lab.run_once("r")

        assert made.wake_at == started + 102


@every_colour
def test_a_pass_before_the_retry_is_due_does_not_call_the_body(colour: Colour) -> None:
    """ST6: the due time is stored; a pass before it calls nothing."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing(log, OSError("down")), backoff=60, backoff_max=500)))
        first = lab.run_once("r")
        lab.advance(119)

        early = lab.run_once("r")

        assert (first.status, early.status, log) == ("sleeping", "sleeping", ["charge"])
        assert early.wake_at == first.wake_at
        assert [e.status for e in lab.history("r")] == ["retrying"]
        lab.advance(1)
        assert lab.run_once("r").output == "paid"


@every_colour
def test_retry_after_replaces_the_delay_and_counts(colour: Colour) -> None:
    """ST7: uncapped, without jitter, and the attempt counts."""
    log: list[str] = []
    body = failing(log, RetryAfter("2h"), RetryAfter(5))
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(body, retries=2, backoff_max=1, jitter=1.0)))

        first = lab.run_once("r")
        assert first.wake_at == lab.now + 7200
        lab.clock.set(first.wake_at)
        second = lab.run_once("r")
        assert second.wake_at == lab.now + 5

        assert lab.run_to_end("r") == "paid"
        assert lab.history("r")[0].attempts == 3


@native_colours
def test_retry_after_on_the_last_attempt_exhausts_the_step(colour: Colour) -> None:
    """ST7: the attempt counts, so the last one has no retry."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(always([], RetryAfter(5)), retries=0)))

        with pytest.raises(StepExhausted) as caught:
            lab.run_to_end("r")

        assert caught.value.error is not None
        assert caught.value.error.type == "flowkit.errors.RetryAfter"


@native_colours
@pytest.mark.parametrize("delay", [-1, "soon", float("nan"), None])
def test_a_delay_that_cannot_be_is_an_ordinary_failed_attempt(colour: Colour, delay: Any) -> None:
    """ST7: a bad delay falls back to the step's own."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing(log, RetryAfter(delay)))))

        assert lab.run_to_end("r") == "paid"
        assert lab.history("r")[0].attempts == 2


class Declined(CriticalError):
    """A critical error of the user's."""


@every_colour
@pytest.mark.parametrize("error", [CriticalError("no"), RollbackError("no"), Declined("no")], ids=lambda e: type(e).__name__)
def test_a_critical_error_is_not_retried_and_arrives_as_itself(colour: Colour, error: Exception) -> None:
    """ST8: CriticalError, RollbackError and subclasses; the entry is failed."""
    log: list[str] = []
    seen: list[BaseException] = []
    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(always(log, error)), seen))

        lab.run_to_end("r")

        assert log == ["charge"]
        assert [(type(e), str(e)) for e in seen] == [(type(error), "no")] * 2
        assert lab.history("r")[0].status == "failed"


@every_colour
@pytest.mark.parametrize("accepted", [OSError, (OSError, KeyError), lambda error: isinstance(error, OSError)])
def test_an_error_that_retry_on_does_not_accept_is_terminal(colour: Colour, accepted: Any) -> None:
    """ST9: it reaches the caller as itself, kind critical."""
    log: list[str] = []
    charge = colour.step(failing(log, OSError("down"), ValueError("bad")), retry_on=accepted)
    with Lab() as lab:
        lab.start("r", colour.one(charge))

        with pytest.raises(ValueError, match="bad"):
            lab.run_to_end("r")

        assert log == ["charge"] * 2
        assert [(e.status, e.attempts) for e in lab.history("r")] == [("failed", 2)]


@native_colours
def test_a_refused_error_is_of_kind_critical(colour: Colour) -> None:
    """ST9: its kind is critical."""
    charge = colour.step(always([], ValueError("bad")), retry_on=OSError)
    with Lab() as lab:
        lab.start("r", attempting(colour, charge))

        assert lab.run_to_end("r") == (False, "critical", "charge", 1, "ValueError: bad")


def attempting(colour: Colour, charge: Any) -> Any:
    """A workflow that answers what `attempt` says of the step."""

    def plain() -> Any:
        return told(charge.attempt())

    async def awaiting() -> Any:
        return told(await charge.attempt())

    return workflow(name="attempting")(awaiting if colour.flow_awaits else plain)


def told(attempt: Any) -> Any:
    """An Attempt as a tuple."""
    failure = attempt.failure
    return (attempt.ok, failure.kind, failure.name, failure.attempts, str(failure.error))


@native_colours
def test_a_predicate_that_raises_ends_the_step_with_its_own_error(colour: Colour) -> None:
    """ST9: recorded like any terminal failure, never raised past the record."""
    log: list[str] = []
    seen: list[BaseException] = []

    def judge(error: BaseException) -> bool:
        raise LookupError("no verdict")

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(always(log, OSError()), retry_on=judge), seen))

        lab.run_to_end("r")

        assert log == ["charge"]
        assert [repr(e) for e in seen] == ["LookupError('no verdict')"] * 2
        assert lab.history("r")[0].status == "failed"


@every_colour
def test_a_step_that_used_up_its_attempts_is_exhausted(colour: Colour) -> None:
    """ST10: name, attempts and the last error; the entry is exhausted."""
    log: list[str] = []
    seen: list[Any] = []
    body = failing(log, OSError("first"), OSError("second"), OSError("third"))
    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(body, retries=1), seen))

        lab.run_to_end("r")

        told = [(e.name, e.attempts, e.kind, e.error.type, e.error.message) for e in seen]
        assert told == [("charge", 2, "exhausted", "OSError", "second")] * 2
        assert [(e.status, e.attempts) for e in lab.history("r")[:1]] == [("exhausted", 2)]


@every_colour
@pytest.mark.parametrize("error", [asyncio.CancelledError("odd"), SystemExit(3), GeneratorExit(), StopIteration(4)], ids=repr)
def test_odd_exceptions_are_failed_attempts_like_any(colour: Colour, error: BaseException) -> None:
    """ST16: CancelledError that the engine did not cause, and SystemExit."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing(log, error))))

        assert lab.run_to_end("r") == "paid"
        assert lab.history("r")[0].attempts == 2


@every_colour
@pytest.mark.parametrize("error", [asyncio.CancelledError("odd"), SystemExit(3)], ids=repr)
def test_odd_exceptions_reach_the_caller_alike_on_every_pass(colour: Colour, error: BaseException) -> None:
    """ST16: as terminal failures they are recorded outcomes too."""
    log: list[str] = []
    seen: list[BaseException] = []
    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(always(log, error), retry_on=OSError), seen))

        assert lab.run_to_end("r") == "handled"
        assert log == ["charge"]
        assert [repr(e) for e in seen] == [repr(error)] * 2


@every_colour
def test_keyboard_interrupt_stops_the_worker_and_records_nothing(colour: Colour) -> None:
    """ST16: KeyboardInterrupt in a body."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing(log, KeyboardInterrupt()))))
        commits = lab.commits

        with pytest.raises(KeyboardInterrupt):
            lab.run_once("r")

        assert (lab.history("r"), lab.commits) == ([], commits)
        lab.crash()
        assert lab.run_to_end("r") == "paid"
        assert lab.history("r")[0].attempts == 1


@every_colour
def test_a_failed_attempt_stores_an_error_and_a_success_clears_it(colour: Colour) -> None:
    """ST19: error and no output; later no error, the count kept."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(failing([], OSError("down")))))
        lab.run_once("r")
        failed = lab.history("r")[0]

        lab.run_to_end("r")

        settled = lab.history("r")[0]
        assert (failed.status, failed.output, str(failed.error), failed.attempts) == ("retrying", None, "OSError: down", 1)
        assert (settled.status, settled.output, settled.error, settled.attempts) == ("completed", "paid", None, 2)


@every_colour
def test_retries_survive_a_crash_at_every_commit(colour: Colour) -> None:
    """LB7 for a step with retries."""

    def flaky() -> str:
        if flowkit.run_info().pass_number < 2:
            raise OSError("down")
        return "paid"

    flow = colour.all_of(colour.step(flaky, retries=9, backoff=1), colour.step(lambda: 7, name="seven"))

    told = crash_everywhere(Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))

    assert told.output == ["paid", 7]


@native_colours
def test_a_keyboard_interrupt_in_workflow_code_stops_the_worker(colour: Colour) -> None:
    """ST16: and records nothing, also on a pass that has not met its history yet, also in a branch."""
    odd: list[Any] = []
    one = colour.step(lambda: 1, name="one")

    def maybe() -> None:
        if odd:
            raise odd.pop()

    def plain() -> Any:
        maybe()
        one()
        return join(a=maybe)

    async def awaiting() -> Any:
        maybe()
        await one()

        async def branch() -> None:
            maybe()

        return await aio.join(a=branch)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))
        lab.crash_at(2, "before")
        with pytest.raises(BaseException, match="durable write"):
            lab.run_once("r")
        odd.append(KeyboardInterrupt())

        with pytest.raises(KeyboardInterrupt):
            lab.run_once("r")

        assert lab.get("r").status() == "running"
        lab.crash()
        assert lab.run_to_end("r") == {"a": None}
