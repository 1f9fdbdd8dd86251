"""What-if forks: what they copy, what they take from the original, and what they ask."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flowkit import PayloadError, ReceiveTimeout, RunConflict, Workflow
from flowkit.core.fork import read_fork
from flowkit.testing import Lab
from tests.client.forks import Refused, asked, done, ended, original, stock, trade, trade_aio, view_of

COLOURS = pytest.mark.parametrize("code", [trade, trade_aio], ids=["plain", "async"])


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


@COLOURS
def test_a_fork_with_another_output_stops_at_the_first_step_that_gets_other_arguments(lab: Lab, code: Workflow[..., Any]) -> None:
    fork = original(lab, code).fork("price", value=250)

    assert asked(lab, fork.id) == ("paused", "asks: run `charge` for real, or give its result")
    assert [(e.location, e.kind, e.status) for e in fork.history()] == [
        ("shop", "checkpoint", "completed"), ("price", "step", "completed"), ("charge", "step", "pending"),
    ]  # fmt: skip
    assert fork.history()[1].output == 250
    assert done == []


@COLOURS
def test_what_is_run_for_real_runs_once_and_what_is_equal_after_it_is_taken_from_the_original(
    lab: Lab, code: Workflow[..., Any]
) -> None:
    fork = original(lab, code).fork("price", value=250)
    ended(lab, fork.id)
    fork.resolve(real=True, reason="a test account")
    fork.send("address", "Rome")
    ended(lab, fork.id)
    assert asked(lab, fork.id) == ("paused", "asks: send `sold` for real, or take it for sent")
    fork.resolve(value=None, reason="the stock is real")

    assert ended(lab, fork.id).output == {"receipt": "receipt for 250", "to": "Rome", "box": "a box of tea"}
    assert done == ["charge 250"]
    assert [each.sender for each in lab.client.driver.inbox(view_of(lab, "stock").row.seq, (), 9)] == ["o"]


def test_a_raised_error_is_what_the_workflow_sees(lab: Lab) -> None:
    fork = original(lab).fork("charge", error=Refused("no credit"))

    made = ended(lab, fork.id)

    assert (made.status, type(made.error), str(made.error)) == ("failed", Refused, "no credit")
    assert done == []


def test_another_message_is_what_the_code_receives(lab: Lab) -> None:
    fork = original(lab).fork("address", message="Oslo")

    made = ended(lab, fork.id)

    assert made.output == {"receipt": "receipt for 100", "to": "Oslo", "box": "a box of tea"}
    assert done == []


def test_a_fork_of_a_run_that_waits_may_be_given_the_message(lab: Lab) -> None:
    lab.start("stock", stock)
    run = lab.start("o", trade, "tea")
    lab.run_once("o")
    done.clear()

    fork = run.fork("address", message="Oslo")

    assert asked(lab, fork.id)[0] == "sleeping"
    assert [(e.location, e.status) for e in fork.history()][-2:] == [("address", "completed"), ("sleep", "pending")]
    assert run.status() == "sleeping"
    assert done == []


def test_the_original_stays_as_it_is(lab: Lab) -> None:
    run = original(lab)
    before = view_of(lab, "o")

    ended(lab, run.fork("price", value=250).id)

    assert view_of(lab, "o") == before


def test_a_fork_says_of_which_run_and_entry_it_is_one_and_what_was_changed_why(lab: Lab) -> None:
    run = original(lab)
    fork = run.fork("price", value=250, reason="the new price list")

    record = read_fork(view_of(lab, fork.id).fork)

    assert record is not None
    assert (record.origin, record.run, record.at, record.location, record.kind) == ("o", run.seq, 2, "price", "step")
    assert (bytes(record.output), record.by_hand.reason) == (b"250", "the new price list")  # type: ignore[arg-type]
    assert read_fork(view_of(lab, "o").fork) is None


def test_a_fork_has_the_tag_the_input_the_tags_and_the_start_of_the_original(lab: Lab) -> None:
    lab.start("stock", stock)
    run = lab.start("o", trade.options(tags=("vip",)), "tea")
    lab.run_once("o")
    lab.advance("1d")

    fork = run.fork("price", value=250)

    row, was = view_of(lab, fork.id).row, view_of(lab, "o").row
    assert (row.tags, row.start_at, row.workflow) == (("vip", "fork"), was.start_at, "trade")
    assert view_of(lab, fork.id).input == view_of(lab, "o").input
    assert [each.id for each in lab.client.runs(tag="fork")] == [fork.id]


def test_a_fork_is_named_after_the_original_or_as_asked(lab: Lab) -> None:
    run = original(lab)

    assert run.fork("price", value=1).id.startswith("o-fork-")
    assert run.fork(2, value=1, id="what if").id == "what if"


@pytest.mark.parametrize(
    ("at", "changed", "refusal"),
    [
        ("prise", {"value": 1}, "run 'o' has no entry 'prise'. Did you mean 'price'"),
        ("sleep", {"value": 1}, "'sleep' is a sleep: a fork changes what a step gave, or a message"),
        ("price", {"message": 1}, "'price' is a step: give its value= or error="),
        ("price", {}, "takes one of value="),
        ("price", {"value": 1, "error": Refused()}, "takes one of value="),
        ("address", {"value": 1}, "'address' is a receive: give its message="),
        ("price", {"value": 1, "reason": " "}, "a reason is required"),
    ],
)
def test_what_cannot_be_changed_is_refused(lab: Lab, at: str, changed: dict[str, Any], refusal: str) -> None:
    run = original(lab)

    with pytest.raises(ValueError, match=re.escape(refusal)):
        run.fork(at, **changed)

    assert [each.id for each in lab.client.runs(tag="fork")] == []


def test_a_value_that_does_not_fit_is_refused(lab: Lab) -> None:
    run = original(lab)

    with pytest.raises(PayloadError, match="does not fit `int`"):
        run.fork("price", value="dear")


def test_an_id_that_is_taken_is_refused(lab: Lab) -> None:
    run = original(lab)

    with pytest.raises(RunConflict, match="'stock' exists already"):
        run.fork("price", value=1, id="stock")


def test_time_that_the_original_slept_is_not_slept_again(lab: Lab) -> None:
    fork = original(lab).fork("address", message="Oslo")
    now = lab.now

    made = lab.run_once(fork.id)

    assert (made.status, lab.now) == ("completed", now)


def test_a_wait_that_ran_out_in_the_original_runs_out_again(lab: Lab) -> None:
    lab.start("stock", stock)
    run = lab.start("o", trade, "tea")
    with pytest.raises(ReceiveTimeout):
        lab.run_to_end("o")
    done.clear()
    fork = run.fork("charge", value="a gift")
    now = lab.now

    made = lab.run_once(fork.id)

    assert (made.status, lab.now) == ("paused", now)
    assert [(e.location, e.status) for e in fork.history()][-1] == ("address", "failed")
    assert done == []


def test_a_message_of_its_own_comes_before_a_wait_that_ran_out(lab: Lab) -> None:
    lab.start("stock", stock)
    run = lab.start("o", trade, "tea")
    with pytest.raises(ReceiveTimeout):
        lab.run_to_end("o")
    fork = run.fork("charge", value="a gift")
    fork.send("address", "Pisa")

    lab.run_once(fork.id)

    assert [(e.location, e.status) for e in fork.history()][3] == ("address", "completed")


def test_a_fork_does_not_take_what_the_original_received_later(lab: Lab) -> None:
    fork = original(lab).fork("charge", value="a gift")

    made = lab.run_once(fork.id)

    assert (made.status, made.waiting_for) == ("sleeping", ["address"])


def test_hooks_are_not_called_for_a_fork(lab: Lab) -> None:
    run = original(lab)
    fork = run.fork("charge", error=Refused("no"))

    assert ended(lab, fork.id).status == "failed"

    assert done == []


def test_once_the_original_is_gone_everything_is_asked_for(lab: Lab) -> None:
    lab.client.driver.retain({"completed": 1})
    fork = original(lab).fork("address", message="Oslo")
    lab.advance("2d")
    assert lab.client.driver.purge(lab.now) == 1

    assert asked(lab, fork.id)[0] == "sleeping"
    lab.advance("2h")

    assert asked(lab, fork.id) == ("paused", "asks: send `sold` for real, or take it for sent")
