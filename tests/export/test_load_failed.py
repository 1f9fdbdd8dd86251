"""`Lab.load` of runs that failed, and with other code than they were recorded with."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    CriticalError,
    JoinError,
    checkpoint,
    join,
    loop,
    removed,
    step,
    version,
    workflow,
)
from flowkit.testing import Lab
from tests.export.records import NEVER, loaded_ends_alike, note, recorded


def test_a_run_that_failed_in_a_pruned_loop_goes_on_in_that_turn() -> None:
    broken = [True]

    @workflow
    def long() -> int:
        def turn(n: int) -> Any:
            note(str(n))
            if n == 12:
                fragile()
            return Continue(n + 1) if n < 14 else Break(n)

        return loop(turn, 0, name="turns", prune_every=5, keep=2)

    @step(retries=0)
    def fragile() -> None:
        if broken[0]:
            raise OSError("broken")

    record = recorded(long)
    with Lab() as lab:
        lab.load(record, long)
        with pytest.raises(Exception, match="broken"):
            lab.run_to_end("r")
    broken[0] = False

    with Lab() as lab:
        lab.load(record, long)
        output = lab.run_to_end("r")

    assert output == 14
    assert NEVER == ["13", "14"]


def test_all_branches_that_failed_a_join_run_again() -> None:
    broken = [True]

    @step(retries=0)
    def fragile(name: str) -> str:
        if broken[0]:
            raise OSError(name)
        return name

    @workflow
    def both() -> dict[str, Any]:
        return join("both", a=lambda: fragile("a"), b=lambda: fragile("b"), c=lambda: note("c"))

    record = recorded(both)
    with Lab() as lab:
        lab.load(record, both)
        with pytest.raises(JoinError):
            lab.run_to_end("r")
    broken[0] = False

    with Lab() as lab:
        lab.load(record, both)
        output = lab.run_to_end("r")

    assert output == {"a": "a", "b": "b", "c": "c"}
    assert NEVER == []


def test_a_failure_that_the_code_handled_is_answered() -> None:
    @step(retries=0)
    def refused() -> None:
        NEVER.append("refused")
        raise CriticalError("no")

    @workflow
    def handles() -> str:
        try:
            refused()
        except CriticalError as error:
            return note(f"handled {error}")
        return "fine"

    loaded_ends_alike(recorded(handles), handles)


def test_a_version_gate_answers_as_this_run_took_it() -> None:
    @workflow(name="shop")
    def old() -> list[Any]:
        note("a")
        note("b")
        return [1]

    @workflow(name="shop")
    def new() -> list[Any]:
        note("a")
        taken = version("c", 2)
        if taken >= 2:
            note.options(name="c")("c")
        note("b")
        return [taken]

    loaded_ends_alike(recorded(old), new)


def test_a_recorded_gate_keeps_its_answer() -> None:
    def shop(latest: int) -> Any:
        @workflow(name="shop")
        def made() -> int:
            answer = version("gate", latest)
            note("after")
            return answer

        return made

    loaded_ends_alike(recorded(shop(1)), shop(3))


def test_a_placeholder_stands_for_what_the_code_no_longer_makes() -> None:
    @workflow(name="shop")
    def old() -> str:
        note.options(name="validate")("v")
        return note("a")

    @workflow(name="shop")
    def new() -> str:
        removed("validate", "step")
        return note("a")

    loaded_ends_alike(recorded(old), new)


def test_a_run_that_was_rolled_back_is_answered_and_not_undone_again() -> None:
    undone: list[str] = []

    @step(rollback=undone.append)
    def reserve() -> str:
        NEVER.append("reserve")
        return "seat"

    @workflow
    def trip() -> str:
        checkpoint("trip")
        reserve()
        raise LookupError("no hotel")

    record = recorded(trip)
    with Lab() as lab:
        lab.load(record, trip)

        with pytest.raises(LookupError, match="no hotel"):
            lab.run_to_end("r")

    assert undone == ["seat"]
    assert NEVER == []
