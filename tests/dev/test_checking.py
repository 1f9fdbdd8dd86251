"""What a check of open runs tells the terminal and the pages."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from flowkit import Workflow, receive, step, workflow
from flowkit.dev import checking
from flowkit.dev.checking import check_open_runs
from flowkit.dev.protocol import Checked
from flowkit.testing import Lab, MemoryDriver

pay = step(lambda: "paid", name="pay")


@workflow(name="shop")
def old() -> None:
    pay()
    receive("go")


@workflow(name="shop")
def without() -> None:
    receive("go")


@workflow(name="shop")
def retyped() -> None:
    receive("pay")


@workflow(name="shop")
def ended() -> None:
    return


@workflow(name="shop")
def swapped() -> None:
    pay.options(name="late")()
    raise RuntimeError("and so no line makes this run fit")


def checked(code: Workflow[..., Any]) -> tuple[Checked, int]:
    """What is told of one run of `old` under this code, and how many misfits there are."""
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")
        told, misfits = check_open_runs(driver, {"shop": code}, lambda runs: None)
    return told, len(misfits)


def test_a_cause_names_both_sides_and_no_instant_or_place_besides() -> None:
    told, misfits = checked(without)

    (held,) = told.held
    assert (held.cause.recorded, held.cause.made, misfits) == ("step `pay`", "message `go`", 1)
    assert held.cause.source.startswith("tests/dev/test_checking.py:")
    assert held.cause.places == (f"`{held.cause.source}`, {held.lines[0].where} `{held.lines[0].code}`",)


def test_code_that_makes_nothing_more_is_said_so() -> None:
    (held,) = checked(ended)[0].held

    assert (held.cause.recorded, held.cause.made) == ("step `pay`", "nothing more there")


def test_a_cause_without_a_line_says_where_the_code_stands() -> None:
    told, _ = checked(swapped)

    (held,) = told.held
    assert held.lines == ()
    assert held.cause.recorded == "step `pay`"
    assert held.cause.made.startswith("step `late` at tests/dev/test_checking.py:")


def test_the_newest_runs_over_all_workflows_are_tried_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow(name="other")
    def other() -> None:
        receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        for number in range(2):
            lab.start(f"o{number}", other)
            lab.start(f"s{number}", old)
        monkeypatch.setattr(checking, "MOST_RUNS", 3)

        told, _ = check_open_runs(driver, {"shop": old, "other": other}, lambda runs: None)

    assert [(fit.workflow, fit.fits, fit.unchecked) for fit in told.fits] == [("other", 1, 1), ("shop", 2, 0)]


def test_code_that_loops_for_ever_does_not_keep_the_process_busy_that_is_to_serve() -> None:
    turns = [0]

    @workflow(name="shop")
    def spins() -> None:
        while True:
            turns[0] += 1

    told, _ = checked(spins)

    pause, deadline = threading.Event(), time.monotonic() + 5
    before = -1
    while before != turns[0]:
        assert time.monotonic() < deadline
        before = turns[0]
        pause.wait(0.05)
    assert told.notes == ("r was not checked: its pass took longer than 0.2 s",)
