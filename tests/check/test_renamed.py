"""A step that stands under a new name: the check knows its body again, and says how it keeps its history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flowkit
from flowkit import Workflow, loop, receive, step, workflow
from flowkit.check import Cause, check_runs
from flowkit.definitions.manifest import manifest_of
from flowkit.testing import Lab, MemoryDriver
from tests.runtime.waiting import until


@step
def validate(order: str) -> bool:
    """Says whether the order can be carried out."""
    return order != ""


@step
def check_order(order: str) -> bool:
    """Says whether the order can be carried out."""
    return order != ""


@step(retries=5)
def check_patiently(order: str) -> bool:
    """Says whether the order can be carried out."""
    return order != ""


@step
def same_again(order: str) -> bool:
    """Says whether the order can be carried out."""
    return order != ""


@step
def charge(order: str) -> str:
    return f"charged {order}"


@workflow(name="shop")
def old() -> None:
    validate("a")
    receive("paid")


@workflow(name="shop")
def renamed() -> None:
    check_order("a")
    receive("paid")


def cause_of(before: Workflow[..., Any], after: Workflow[..., Any]) -> Cause:
    """What holds a run of `before` under `after`, where a worker has published what the older code consists of."""
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        driver.publish("", manifest_of([before]).encode(), lab.now)
        lab.start("r", before)
        lab.run_once("r")
        history = lab.history("r")

        report = check_runs(driver, {after.name: after})

        assert lab.history("r") == history
        (cause,) = report.workflows[0].causes
        return cause


def test_a_step_whose_body_stands_under_a_new_name_keeps_its_history_by_the_old_one() -> None:
    cause = cause_of(old, renamed)

    (line,) = cause.lines
    assert (cause.kind, line.text, line.where, line.code) == ("renamed", '@step(name="validate")', "in place of", "@step")
    assert line.place.endswith(f"test_renamed.py:{_line_of(check_order)}")
    assert cause.missing == ()


def _line_of(made: Any) -> int:
    return int(made.__wrapped__.__code__.co_firstlineno)


def test_the_line_keeps_the_options_that_stand_there() -> None:
    @workflow(name="shop")
    def new() -> None:
        check_patiently("a")
        receive("paid")

    cause = cause_of(old, new)

    assert [line.text for line in cause.lines] == ['@step(name="validate", retries=5)']


def test_a_step_in_every_turn_of_a_loop_is_one_line() -> None:
    @workflow(name="shop")
    def before() -> None:
        loop(_turn_before, 0, name="turns")

    @workflow(name="shop")
    def after() -> None:
        loop(_turn_after, 0, name="turns")

    cause = cause_of(before, after)

    assert [line.text for line in cause.lines] == ['@step(name="validate")']


def _turn_before(state: int) -> Any:
    validate("a")
    receive("paid")
    return flowkit.Continue(state + 1)


def _turn_after(state: int) -> Any:
    check_order("a")
    receive("paid")
    return flowkit.Continue(state + 1)


def test_a_rename_and_a_step_that_left_are_mended_together() -> None:
    @workflow(name="shop")
    def before() -> None:
        validate("a")
        charge("a")
        receive("paid")

    cause = cause_of(before, renamed)

    assert sorted(line.text for line in cause.lines) == ['@step(name="validate")', 'removed("charge", "step")']


def test_two_new_names_for_one_body_are_no_rename() -> None:
    @workflow(name="shop")
    def new() -> None:
        check_order("a")
        same_again("a")
        receive("paid")

    cause = cause_of(old, new)

    assert not [line for line in cause.lines if "name=" in line.text]


def test_a_name_that_was_numbered_is_not_given_by_hand() -> None:
    @workflow(name="shop")
    def before() -> None:
        validate("a")
        validate("b")
        receive("paid")

    @workflow(name="shop")
    def after() -> None:
        check_order("a")
        check_order("b")
        receive("paid")

    cause = cause_of(before, after)

    assert not [line for line in cause.lines if "name=" in line.text]


def test_a_body_that_was_in_the_older_code_already_is_no_rename() -> None:
    @workflow(name="shop")
    def before() -> None:
        validate("a")
        receive("go")
        check_order("a")

    @workflow(name="shop")
    def after() -> None:
        receive("go")
        check_order("a")

    cause = cause_of(before, after)

    assert [line.text for line in cause.lines] == ['removed("validate", "step")']


def test_without_a_manifest_of_the_older_code_a_rename_is_a_step_that_left() -> None:
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")

        (cause,) = check_runs(driver, {"shop": renamed}).workflows[0].causes

    assert "name=" not in str(cause.lines)


def test_a_worker_leaves_behind_what_is_needed_to_know_a_step_again(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with flowkit.open(path, workflows=[old]) as fk:
        run = fk.start("r", old)
        until(lambda: run.status() == "sleeping")

    with flowkit.open(path, worker=False) as fk:
        (cause,) = check_runs(fk.driver, {"shop": renamed}).workflows[0].causes

    assert [line.text for line in cause.lines] == ['@step(name="validate")']


def test_the_line_frees_the_run() -> None:
    named = step(name="validate")(check_order.__wrapped__)

    @workflow(name="shop")
    def mended() -> None:
        named("a")
        receive("paid")

    with Lab() as lab:
        lab.start("r", old)
        lab.run_once("r")

        assert lab.run_once("r", workflow=mended).status == "sleeping"
