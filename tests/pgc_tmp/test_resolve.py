"""`resolve()`: a person gives the outcome of the step that stopped a failed run, and the run goes on."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from typing import Any

import pytest

from flowkit import PayloadError, RollbackError, RunConflict, StepExhausted, step, workflow
from flowkit.core.resolution import by_hand_of
from flowkit.testing import Lab
from tests.client.counter import (
    Declined,
    Receipt,
    charge_plain,
    entry_of,
    failed,
    note,
    order,
    shop,
    stored,
    then_undone,
)


@pytest.fixture(autouse=True)
def _new_shop() -> None:
    shop.log.clear()
    shop.broken = True


def test_a_given_value_is_what_the_workflow_gets() -> None:
    with Lab() as lab:
        run = failed(lab)

        run.resolve(value=Receipt("by phone", 500), reason="charged by phone")

        assert (run.status(), entry_of(lab, "charge").output) == ("pending", {"id": "by phone", "cents": 500})
        assert lab.run_to_end("r") == Receipt("by phone", 500)
        assert shop.log == [("note", "by phone")]


def test_the_entry_says_who_gave_it_when_and_why() -> None:
    with Lab() as lab:
        run = failed(lab)
        lab.advance("1h")
        now = lab.now

        run.resolve(value=Receipt("x", 1), reason="  charged by phone ")

        given = by_hand_of(stored(lab, run, "charge"))
        assert given is not None
        assert (given.how, given.reason, given.at, given.unchecked) == ("value", "charged by phone", now, False)
        assert given.who.startswith("pid ")


def test_the_record_outlives_the_end_of_the_run_and_a_replay() -> None:
    with Lab() as lab:
        run = failed(lab)
        run.resolve(value=Receipt("x", 1), reason="because")
        lab.run_to_end("r")

        run.replay()

        archived = run.desk.driver.history(run.seq, archived=True)
        assert [given.reason for entry in archived if (given := by_hand_of(entry))] == ["because"]
        told = [entry.by_hand for entry in run.history(archived=True) if entry.by_hand]
        assert [(each["how"], each["reason"]) for each in told] == [("value", "because")]


def test_the_attempts_stay() -> None:
    with Lab() as lab:
        run = failed(lab)
        before = run.desk.driver.attempts(run.seq)

        run.resolve(value=Receipt("x", 1), reason="because")

        assert run.desk.driver.attempts(run.seq) == before
        assert (len(before), entry_of(lab, "charge").attempts) == (2, 2)


def test_the_entry_as_it_failed_is_archived() -> None:
    with Lab() as lab:
        run = failed(lab)

        run.resolve(value=Receipt("x", 1), reason="because")

        assert [(each.location, each.status) for each in run.history(archived=True)] == [("charge", "exhausted")]


@pytest.mark.parametrize("value", ["x", None, {"id": "x"}, {"id": 1, "cents": "y"}, Decimal(3)])
def test_a_value_that_does_not_fit_the_annotation_is_refused(value: Any) -> None:
    with Lab() as lab:
        run = failed(lab)

        with pytest.raises(PayloadError, match="charge"):
            run.resolve(value=value, reason="because")

        assert (run.status(), run.history(archived=True)) == ("failed", [])


def test_nothing_is_given_where_the_annotation_allows_none() -> None:
    @workflow
    def flow(cents: int) -> Any:
        broken()
        return "on"

    @step(retries=0)
    def broken() -> str | None:
        raise Declined("no")

    with Lab() as lab:
        run = failed(lab, flow)

        run.resolve(value=None, reason="not needed")

        assert lab.run_to_end("r") == "on"


def test_a_given_error_is_the_steps_terminal_failure() -> None:
    @workflow
    def flow(cents: int) -> Any:
        try:
            return charge_plain(cents)
        except Declined as error:
            return note(f"declined: {error}")

    with Lab() as lab:
        run = failed(lab, flow)

        run.resolve(error=Declined("by hand"), reason="the bank said so")

        assert entry_of(lab, "charge_plain").status == "failed"
        assert lab.run_to_end("r") == "declined: by hand"


def test_a_given_error_that_nobody_handles_fails_the_run_again() -> None:
    with Lab() as lab:
        run = failed(lab)
        run.resolve(error=Declined("by hand"), reason="because")

        with pytest.raises(Declined, match="by hand"):
            lab.run_to_end("r")

        assert run.status() == "failed"
        run.resolve(value=Receipt("x", 1), reason="after all")
        assert lab.run_to_end("r") == Receipt("x", 1)


def test_a_given_rollback_error_undoes_the_run() -> None:
    with Lab() as lab:
        run = failed(lab)
        run.resolve(error=RollbackError("give up"), reason="because")

        with pytest.raises(RollbackError):
            lab.run_to_end("r")

        assert entry_of(lab, "charge").status == "failed"


def test_a_control_flow_exception_cannot_be_given() -> None:
    with Lab() as lab:
        run = failed(lab)

        with pytest.raises(ValueError, match="KeyboardInterrupt"):
            run.resolve(error=KeyboardInterrupt(), reason="because")
        with pytest.raises(ValueError, match="StepExhausted"):
            run.resolve(error=StepExhausted("x", name="a", attempts=1, error=None, kind="exhausted"), reason="because")


def test_trying_again_runs_the_body_with_the_codes_arguments() -> None:
    with Lab() as lab:
        run = failed(lab)
        shop.broken = False

        run.resolve(again=True, reason="the bank is back")

        assert lab.run_to_end("r") == Receipt("real", 500)
        assert shop.log == [("charge", 500), ("note", "real")]


def test_trying_again_with_edited_arguments_passes_those() -> None:
    with Lab() as lab:
        run = failed(lab)
        shop.broken = False

        run.resolve(args={"cents": 400}, reason="a discount was agreed")

        assert lab.run_to_end("r") == Receipt("real", 400)
        given = by_hand_of(stored(lab, run, "charge"))
        assert given is not None
        assert {name: bytes(raw) for name, raw in given.args.items()} == {"cents": b"400"}


def test_edited_arguments_stay_when_the_step_is_recovered_later() -> None:
    with Lab() as lab:
        run = failed(lab)
        run.resolve(args={"cents": 400}, reason="a discount was agreed")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        shop.broken = False

        run.recover()

        assert lab.run_to_end("r") == Receipt("real", 400)


def test_the_rollback_gets_edited_arguments_too() -> None:
    with Lab() as lab:
        run = failed(lab, then_undone)
        shop.broken = False
        run.resolve(args={"cents": 400}, reason="a discount was agreed")

        with contextlib.suppress(RollbackError):
            lab.run_to_end("r")

        assert shop.log == [("charge", 400), ("refund", Receipt("real", 400), 400)]


@pytest.mark.parametrize(("args", "error"), [({"cent": 4}, ValueError), ({"cents": "four"}, PayloadError)])
def test_arguments_that_do_not_fit_are_refused(args: dict[str, Any], error: type[Exception]) -> None:
    with Lab() as lab:
        run = failed(lab)

        with pytest.raises(error, match="cent"):
            run.resolve(args=args, reason="because")


def test_the_rollback_gets_the_given_value() -> None:
    with Lab() as lab:
        run = failed(lab, then_undone)
        run.resolve(value=Receipt("by phone", 7), reason="because")

        with pytest.raises(RollbackError):
            lab.run_to_end("r")

        assert shop.log == [("refund", Receipt("by phone", 7), 500)]
        assert entry_of(lab, "charge").status == "rolled_back"


def test_the_rollback_can_be_switched_off() -> None:
    with Lab() as lab:
        run = failed(lab, then_undone)
        run.resolve(value=Receipt("by phone", 7), reason="because", rollback=False)

        with pytest.raises(RollbackError):
            lab.run_to_end("r")

        assert (shop.log, entry_of(lab, "charge").status) == ([], "completed")


def test_it_is_refused_once_a_handler_has_run() -> None:
    with Lab() as lab:
        shop.broken = False
        run = failed(lab, then_undone)

        with pytest.raises(RunConflict, match="rolled back"):
            run.resolve(value=1, reason="because")


def test_it_is_refused_for_a_run_that_no_step_stopped() -> None:
    @workflow
    def flow(cents: int) -> None:
        note("x")
        raise ValueError("the workflow's own")

    with Lab() as lab:
        run = failed(lab, flow)

        with pytest.raises(RunConflict, match="not stopped by a step"):
            run.resolve(value=1, reason="because")


def test_it_is_refused_unless_the_run_is_failed() -> None:
    with Lab() as lab:
        run = lab.start("r", order, 500)

        with pytest.raises(RunConflict, match="pending"):
            run.resolve(value=1, reason="because")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001, "\ud800"])
def test_a_reason_is_required(reason: str) -> None:
    with Lab() as lab:
        run = failed(lab)

        with pytest.raises(ValueError, match="reason"):
            run.resolve(value=Receipt("x", 1), reason=reason)


@pytest.mark.parametrize("given", [{}, {"value": 1, "again": True}, {"error": Declined(), "args": {}}])
def test_exactly_one_outcome_is_given(given: dict[str, Any]) -> None:
    with Lab() as lab:
        run = failed(lab)

        with pytest.raises(ValueError, match="one of"):
            run.resolve(reason="because", **given)
