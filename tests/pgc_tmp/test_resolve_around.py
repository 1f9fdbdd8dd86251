"""`resolve()` amid the rest: joins, crashes at every write, the fence, a later recovery, and no code at hand."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from flowkit import PayloadError, RollbackError, StepExhausted, workflow
from flowkit.core.resolution import by_hand_of
from flowkit.engine.arguments import ArgumentBinder
from flowkit.testing import Lab
from tests.client.counter import (
    Declined,
    Receipt,
    both,
    charge_plain,
    entry_of,
    fail_while_broken,
    failed,
    handled,
    order,
    shop,
    stored,
    then_undone,
)
from tests.crashing import Script, crash_everywhere


@pytest.fixture(autouse=True)
def _new_shop() -> None:
    shop.log.clear()
    shop.broken = True


def test_of_two_steps_that_stopped_a_run_one_must_be_named() -> None:
    with Lab() as lab:
        run = failed(lab, both)

        with pytest.raises(ValueError, match=r"pair/left/charge_plain.*pair/right/charge_plain"):
            run.resolve(value=1, reason="because")
        with pytest.raises(ValueError, match="did not stop"):
            run.resolve("elsewhere", value=1, reason="because")


def test_in_a_join_the_other_failed_step_starts_over() -> None:
    with Lab() as lab:
        run = failed(lab, both)

        run.resolve("pair/left/charge_plain", value=1, reason="because")

        assert sorted((each.location, each.status) for each in lab.history("r")) == [
            ("pair", "running"),
            ("pair/left/charge_plain", "completed"),
            ("pair/right/charge_plain", "pending"),
        ]


def test_the_fence_moves_so_that_a_late_write_is_refused() -> None:
    with Lab() as lab:
        run = failed(lab)
        before = run.desk.driver.get("r")

        run.resolve(value=Receipt("x", 1), reason="because")

        after = run.desk.driver.get("r")
        assert before is not None
        assert after is not None
        assert (after.epoch, after.head, after.owner) == (before.epoch + 1, before.head + 1, None)


def test_one_commit_resolves() -> None:
    with Lab() as lab:
        run = failed(lab)
        before = lab.commits

        run.resolve(value=Receipt("x", 1), reason="because")

        assert lab.commits == before + 1


@pytest.mark.parametrize(
    "given",
    [{"value": Receipt("x", 1)}, {"value": Receipt("x", 1), "rollback": False}, {"error": Declined("by hand")}, {"again": True}],
)
@pytest.mark.parametrize("flow", [handled, order, then_undone])
def test_a_crash_at_any_write_makes_no_difference(flow: Any, given: dict[str, Any]) -> None:
    def resolve(lab: Lab) -> None:
        run = lab.get("r")
        if run.status() == "failed" and not any(entry.by_hand for entry in lab.history("r")):
            run.desk.meet(flow)
            run.resolve(reason="because", **given)

    script = Script("r", (lambda lab: lab.start("r", flow, 500), lambda lab: lab.run_to_end("r"), resolve, _to_end))

    crash_everywhere(script)


def _to_end(lab: Lab) -> None:
    lab.run_to_end("r")


def test_a_recovery_after_a_resolve_keeps_the_given_value() -> None:
    @workflow
    def begun(cents: int) -> Any:
        paid = charge_plain(cents)
        fail_while_broken()
        return paid

    with Lab() as lab:
        run = failed(lab, begun)
        run.resolve(value=7, reason="because")
        with contextlib.suppress(StepExhausted):
            lab.run_to_end("r")
        shop.broken = False

        run.recover()

        assert lab.run_to_end("r") == 7


def test_without_the_code_json_is_taken_as_it_is_and_the_record_says_so() -> None:
    with Lab() as lab:
        run = failed(lab, then_undone)
        run.desk._met.clear()
        run.desk._given = {}
        run.resolve(value={"id": "by phone", "cents": 7}, reason="because")
        run.desk._given = None

        with pytest.raises(RollbackError):
            lab.run_to_end("r", workflow=then_undone)

        given = by_hand_of(stored(lab, run, "charge"))
        assert given is not None
        assert given.unchecked
        assert shop.log == [("refund", Receipt("by phone", 7), 500)]


def test_without_the_code_a_step_that_has_no_rollback_owes_none_in_the_end() -> None:
    @workflow
    def flow(cents: int) -> Any:
        charge_plain(cents)
        raise RollbackError("stop")

    with Lab() as lab:
        run = failed(lab, flow)
        run.desk._met.clear()
        run.desk._given = {}
        run.resolve(value=7, reason="because")
        run.desk._given = None

        with pytest.raises(RollbackError):
            lab.run_to_end("r", workflow=flow)

        assert (run.status(), entry_of(lab, "charge_plain").status) == ("failed", "completed")


@pytest.mark.parametrize("args", [{"cents": "four hundred"}, {"cent": 4}])
def test_arguments_that_nobody_checked_fail_the_step_where_they_do_not_fit_its_code(args: dict[str, Any]) -> None:
    with Lab() as lab:
        run = failed(lab)
        run.desk._met.clear()
        run.desk._given = {}
        run.resolve(args=args, reason="because")
        run.desk._given = None

        with pytest.raises((PayloadError, TypeError), match="cent"):
            lab.run_to_end("r", workflow=order)

        assert (run.status(), shop.log, entry_of(lab, "charge").status) == ("failed", [], "failed")


@pytest.mark.parametrize(
    ("step_args", "step_kwargs", "edited", "passed"),
    [
        ((1, 2), {}, {"b": 9}, ((1, 9, 3), {"d": 4})),
        ((1,), {"d": 7}, {"d": 9}, ((1, 2, 3), {"d": 9})),
        ((1,), {}, {"a": 9, "c": 8}, ((9, 2, 8), {"d": 4})),
    ],
)
def test_an_edited_argument_takes_the_place_of_the_codes(
    step_args: tuple[int, ...], step_kwargs: dict[str, int], edited: dict[str, int], passed: Any
) -> None:
    def body(a: int, b: int = 2, c: int = 3, *, d: int = 4) -> None:
        """Has parameters of each kind."""

    assert ArgumentBinder(body).replaced(step_args, step_kwargs, edited) == passed
