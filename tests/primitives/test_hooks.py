"""Error hooks: what they are told, once and after it is durable, and that they change nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import (
    CriticalError,
    RollbackFailed,
    RunError,
    StepError,
    checkpoint,
    join,
    receive,
    step,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.primitives.colours import Colour, every_colour, native_colours


def failing(*errors: BaseException) -> Any:
    """A body that raises these, one each time, and then succeeds."""
    left = list(errors)

    def charge() -> str:
        if left:
            raise left.pop(0)
        return "paid"

    return charge


@every_colour
def test_each_failed_attempt_that_will_be_retried_is_told(colour: Colour) -> None:
    """HK1: one StepError each, with the retry's delay and instant and the retries that remain."""
    told: list[Any] = []
    charge = colour.step(failing(OSError("a"), OSError("b")), retries=2)
    with Lab(on_error=told.append) as lab:
        start = lab.now
        lab.start("r", colour.one(charge))

        assert lab.run_to_end("r") == "paid"

        assert [type(e) for e in told] == [StepError] * 2
        first, second = told
        assert (first.run_id, first.step_name, first.attempt, first.max_retries) == ("r", "charge", 1, 2)
        assert (first.remaining_retries, first.will_retry, str(first.error)) == (2, True, "OSError: a")
        assert (first.retry_delay, second.retry_delay) == (0.2, 0.4)
        assert first.retry_at == pytest.approx(start + 0.2, abs=1e-5)
        assert (second.attempt, second.remaining_retries, second.will_retry) == (2, 1, True)


@every_colour
def test_a_terminal_step_failure_is_told_once(colour: Colour) -> None:
    """HK2: one StepError with will_retry=False, no RunError besides."""
    told: list[Any] = []
    with Lab(on_error=told.append) as lab:
        lab.start("r", colour.one(colour.step(failing(CriticalError("no")))))

        lab.run_once("r")

        assert [(type(e), e.will_retry, e.retry_at, e.retry_delay) for e in told] == [(StepError, False, None, None)]


@every_colour
def test_a_recalled_failure_is_not_told_again(colour: Colour) -> None:
    """HK2: nothing again when it is recalled."""
    told: list[Any] = []
    with Lab(on_error=told.append) as lab:
        lab.start("r", colour.caught(colour.step(failing(CriticalError("no"))), []))

        assert lab.run_to_end("r") == "handled"

        assert len(told) == 1


@native_colours
def test_an_exhausted_step_is_told_last_with_its_exhaustion(colour: Colour) -> None:
    """HK1, HK2: N retries give N+1 events."""
    told: list[Any] = []
    with Lab(on_error=told.append) as lab:
        lab.start("r", colour.one(colour.step(failing(OSError("a"), OSError("b")), retries=1)))

        lab.run_once("r")
        lab.advance(1)
        lab.run_once("r")

        assert [(e.attempt, e.will_retry, e.remaining_retries) for e in told] == [(1, True, 1), (2, False, 0)]


def own_error() -> None:
    """Fails by itself."""
    raise ValueError("mine")


def failing_flows(colour: Colour) -> dict[str, Any]:
    """Workflows that fail with an error no step reported."""
    charge = colour.step(failing(CriticalError("no")))

    async def in_join() -> None:
        await aio.join(a=charge)

    async def in_receive() -> None:
        await aio.receive("go", timeout=0)

    async def in_code() -> None:
        own_error()

    plain = {
        "JoinError": lambda: join(a=charge),
        "ReceiveTimeout": lambda: receive("go", timeout=0),
        "ValueError": own_error,
    }
    awaiting = {"JoinError": in_join, "ReceiveTimeout": in_receive, "ValueError": in_code}
    return awaiting if colour.flow_awaits else plain


@native_colours
@pytest.mark.parametrize("kind", ["JoinError", "ReceiveTimeout", "ValueError"])
def test_a_run_that_fails_with_another_error_gives_one_run_error(colour: Colour, kind: str) -> None:
    """HK3: an error that no step reported."""
    told: list[Any] = []
    with Lab(on_error=told.append) as lab:
        lab.start("r", workflow(name="flow")(failing_flows(colour)[kind]))

        lab.run_once("r")
        lab.run_once("r")

        runs = [e for e in told if isinstance(e, RunError)]
        assert [(e.run_id, e.workflow, e.error.type.rpartition(".")[2]) for e in runs] == [("r", "flow", kind)]


def test_an_error_raised_from_a_steps_failure_is_the_codes_own() -> None:
    """HK3: the step was told, and the run besides."""
    told: list[Any] = []
    charge = step(failing(CriticalError("no")), name="charge")

    @workflow
    def flow() -> None:
        try:
            charge()
        except CriticalError as error:
            raise LookupError("wrapped") from error

    with Lab(on_error=told.append) as lab:
        lab.start("r", flow)

        lab.run_once("r")

        assert [type(e) for e in told] == [StepError, RunError]


@native_colours
def test_a_used_up_handler_gives_one_rollback_failed(colour: Colour) -> None:
    """HK4: not one per attempt."""
    told: list[Any] = []

    def refund(receipt: str) -> None:
        raise OSError("bank is closed")

    charge = colour.step(lambda: "receipt", name="charge", rollback=refund, rollback_retries=2)

    def plain() -> None:
        checkpoint("begin")
        charge()
        raise ValueError("undo")

    async def awaiting() -> None:
        await aio.checkpoint("begin")
        await charge()
        raise ValueError("undo")

    with Lab(on_error=told.append) as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        with pytest.raises(ValueError, match="undo"):
            lab.run_to_end("r")

        assert [type(e) for e in told] == [RunError, RollbackFailed]
        assert (told[1].step_name, told[1].attempts) == ("charge", 3)


@native_colours
def test_a_run_that_becomes_blocked_gives_one_run_error(colour: Colour) -> None:
    """HK5: holding the reason."""
    told: list[Any] = []
    named = colour.step(lambda: 1, name="pay")
    with Lab(on_error=told.append) as lab:
        lab.start("r", colour.all_of(named, named))

        lab.run_once("r")

        assert [(type(e), e.error.type) for e in told] == [(RunError, "flowkit.errors.DuplicateName")]


@every_colour
def test_hooks_run_after_the_commit_of_the_failure(colour: Colour) -> None:
    """HK6: what they are told is in the store."""
    seen: list[Any] = []
    with Lab(on_error=lambda event: seen.append([(e.status, e.attempts) for e in lab.history("r")])) as lab:
        lab.start("r", colour.one(colour.step(failing(OSError(), CriticalError("no")))))

        lab.run_once("r")
        lab.advance(1)
        lab.run_once("r")

        assert seen == [[("retrying", 1)], [("failed", 2)]]


@every_colour
@pytest.mark.parametrize(("when", "count"), [("before", 1), ("after", 0)])
def test_a_crash_loses_the_call_or_nothing_but_never_doubles_it(colour: Colour, when: Any, count: int) -> None:
    """HK6: a crash between the commit and the hook."""
    told: list[Any] = []

    def charge() -> None:
        raise CriticalError("no")

    with Lab(on_error=told.append) as lab:
        lab.start("r", colour.one(colour.step(charge)))
        lab.crash_at(1, when)
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        with pytest.raises(CriticalError):
            lab.run_to_end("r")

        assert len([e for e in told if isinstance(e, StepError)]) == count


@every_colour
def test_a_hook_that_raises_is_logged_and_changes_nothing(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """HK7: the next hook is told all the same."""
    told: list[Any] = []

    def broken(event: Any) -> None:
        raise LookupError("hook")

    with Lab(on_error=told.append) as lab, caplog.at_level(logging.ERROR, "flowkit"):
        lab.start("r", colour.one(colour.step(failing(OSError())), on_error=broken))

        assert lab.run_to_end("r") == "paid"

    assert len(told) == 1
    assert len([r for r in caplog.records if "hook" in r.getMessage()]) == 1


@native_colours
@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError()], ids=repr)
def test_a_hook_that_raises_something_odd_changes_nothing(
    colour: Colour, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """HK7: whatever it raises."""

    def broken(event: Any) -> None:
        raise error

    with Lab(on_error=broken) as lab, caplog.at_level(logging.ERROR, "flowkit"):
        lab.start("r", colour.one(colour.step(failing(OSError()))))

        assert lab.run_to_end("r") == "paid"

    assert "hook" in caplog.text


@every_colour
def test_the_workflows_hook_runs_before_the_processs(colour: Colour) -> None:
    """HK7: in that order."""
    told: list[str] = []
    with Lab(on_error=lambda event: told.append("process")) as lab:
        flow = colour.one(colour.step(failing(OSError())), on_error=lambda event: told.append("workflow"))
        lab.start("r", flow)

        lab.run_to_end("r")

        assert told == ["workflow", "process"]


@native_colours
def test_an_async_hook_is_awaited(colour: Colour) -> None:
    """HK7: on the engine's loop; one that raises is logged."""
    told: list[Any] = []
    done = threading.Event()

    async def hook(event: Any) -> None:
        await asyncio.sleep(0)
        told.append(event)
        done.set()

    with Lab(on_error=hook) as lab:
        lab.start("r", colour.one(colour.step(failing(OSError()))))

        assert lab.run_to_end("r") == "paid"
        assert done.wait(2)
        assert len(told) == 1


@native_colours
@pytest.mark.parametrize("error", [LookupError("hook"), SystemExit(1)], ids=repr)
def test_an_async_hook_that_raises_is_logged(colour: Colour, caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    """HK7: and the engine's loop lives on."""

    async def hook(event: Any) -> None:
        raise error

    with Lab(on_error=hook) as lab, caplog.at_level(logging.ERROR, "flowkit"):
        lab.start("r", colour.one(colour.step(failing(OSError()))))

        assert lab.run_to_end("r") == "paid"
        lab.start("s", ping)
        assert lab.run_to_end("s") == "pong"

    assert "hook" in caplog.text


@workflow
async def ping() -> str:
    """Needs the loop."""
    await asyncio.sleep(0)
    return "pong"


@native_colours
def test_a_step_in_a_hook_is_a_plain_call(colour: Colour) -> None:
    """HK7: a hook is outside the run, whatever thread it is called in."""
    told: list[Any] = []
    mail = step(lambda text: told.append(text), name="mail")

    with Lab(on_error=lambda event: mail(event.step_name)) as lab:
        lab.start("r", colour.one(colour.step(failing(OSError()), backoff=0)))

        assert lab.run_to_end("r") == "paid"
        assert told == ["charge"]
        assert [e.location for e in lab.history("r")] == ["charge"]


@native_colours
def test_a_step_in_an_async_hook_is_a_plain_call(colour: Colour) -> None:
    """HK7: a hook is outside the run, whatever loop it is awaited on."""
    told: list[Any] = []
    done = threading.Event()
    mail = step(lambda text: told.append(text), name="mail")

    async def hook(event: Any) -> None:
        mail(event.step_name)
        done.set()

    with Lab(on_error=hook) as lab:
        lab.start("r", colour.one(colour.step(failing(OSError()))))

        assert lab.run_to_end("r") == "paid"
        assert done.wait(2)
        assert told == ["charge"]
