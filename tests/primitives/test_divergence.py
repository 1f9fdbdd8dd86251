"""Code and history that do not fit: found before anything is run or written."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    HistoryDiverged,
)
from flowkit.testing import Lab
from tests.scripts import Calls, a_then_wait, start
from tests.worlds import World, both


@both
def test_another_kind_at_a_place_is_divergence_naming_both_kinds(colour: str) -> None:
    """CH1 another kind at that place is divergence, naming both kinds."""
    world = World(colour)

    def sleeps(do: World) -> Calls:
        yield do.sleep("1h", name="a")

    with Lab() as lab:
        start(lab, world, a_then_wait)

        made = lab.run_once("r", workflow=world.flow(sleeps))

        assert made.status == "blocked"
        assert isinstance(made.error, HistoryDiverged)
        assert (made.error.recorded_kind, made.error.asked_kind) == ("step", "sleep")
        assert "step `a`" in str(made.error)
        assert "sleep `a`" in str(made.error)
        assert 'removed("a", "step")' in str(made.error)


@both
def test_a_step_in_the_place_of_a_recorded_block_is_divergence(colour: str) -> None:
    """CH1, CH6 a block with something in it is a child of the kind `attempt`."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.step("inner")

    def old(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.step("pay")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, old)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert 'removed("pay", "attempt")' in str(made.error)
        assert world.log == []


@both
def test_a_new_call_before_recorded_children_were_visited_runs_nothing(colour: str) -> None:
    """CH2 before a scope performs an entry that history lacks, every recorded direct child must have been visited."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.step("new")
        yield do.step("a")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, a_then_wait)
        before = lab.commits

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert world.log == []
        assert lab.commits == before + 1
        assert [e.location for e in lab.history("r")] == ["a", "go"]


@both
def test_a_new_call_in_a_loop_turn_is_judged_in_that_turn(colour: str) -> None:
    """CH2 in a turn: the turns before it do not matter, the recorded children of this one do."""
    world = World(colour)

    def old_turn(do: World, n: int) -> Calls:
        yield do.step("a", n)
        yield do.receive("go")
        return Continue(n + 1)

    def new_turn(do: World, n: int) -> Calls:
        yield do.step("b", n)
        yield do.receive("go")
        return Continue(n + 1)

    def old(do: World) -> Calls:
        yield do.loop(do.body(old_turn), state=0, name="pack")

    def new(do: World) -> Calls:
        yield do.loop(do.body(new_turn), state=0, name="pack")

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")
        lab.run_once("r")

        made = lab.run_once("r", workflow=world.flow(new))

        assert isinstance(made.error, HistoryDiverged)
        assert made.error.location == "pack/~1/a"
        assert "in `pack/~1`" in str(made.error)


@both
def test_the_first_call_in_a_new_block_is_judged_in_the_scope_around_it(colour: str) -> None:
    """CH2, CH6 what a new block would perform is new in the scope around it, too."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.step("new")

    def new(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, a_then_wait)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert world.log == []
        assert 'version("add-pay", 2) >= 2:' in str(made.error)


@both
def test_a_new_block_in_which_nothing_is_performed_is_no_divergence(colour: str) -> None:
    """CH6 a block is a child only once anything is recorded under it."""
    world = World(colour)

    def block(do: World) -> Calls:
        return 5
        yield

    def new(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")
        yield do.step("a")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, a_then_wait)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "sleeping"


@both
def test_an_open_entry_is_not_gone_on_with_before_earlier_children_were_visited(colour: str) -> None:
    """CH3 before it performs an entry that is recorded but open, every child with a lower number must have been visited."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.receive("go")
        yield do.step("a")

    with Lab() as lab:
        start(lab, world, a_then_wait)
        lab.send("r", "go")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert [(e.location, e.status) for e in lab.history("r")] == [("a", "completed"), ("go", "pending")]
        assert lab.run_once("r", workflow=world.flow(a_then_wait)).output == "done"


@both
def test_an_open_entry_in_a_block_is_judged_in_the_scope_around_it(colour: str) -> None:
    """CH3, CH6 the block counts with the number of the first entry in it."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.receive("go")

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.attempt(do.body(block), name="pay")

    def new(do: World) -> Calls:
        yield do.attempt(do.body(block), name="pay")

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert [e.status for e in lab.history("r")] == ["completed", "pending"]


@both
def test_returning_with_recorded_children_unvisited_is_divergence_at_the_root(colour: str) -> None:
    """CH4 when the code of a scope returns, every recorded direct child must have been visited."""
    world = World(colour)

    def new(do: World) -> Calls:
        return "early"
        yield

    with Lab() as lab:
        start(lab, world, a_then_wait)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert "the code has  nothing more there" in str(made.error)
        assert lab.get("r").output() is None


@both
@pytest.mark.parametrize("scope", ["turn", "branch", "block"])
def test_returning_with_recorded_children_unvisited_is_divergence_in_every_scope(colour: str, scope: str) -> None:
    """CH4 in a turn, a branch and a block."""
    world = World(colour)

    def old_inside(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    def new_inside(do: World) -> Calls:
        yield do.step("a")

    def around(inside: Any) -> Any:
        def script(do: World) -> Calls:
            calls = {
                "turn": lambda: do.loop(do.body(inside), name="x"),
                "branch": lambda: do.join("x", {"b": do.body(inside)}),
                "block": lambda: do.attempt(do.body(inside), name="x"),
            }
            yield calls[scope]()

        return script

    with Lab() as lab:
        start(lab, world, around(old_inside))

        made = lab.run_once("r", workflow=world.flow(around(new_inside)))

        assert made.status == "blocked"
        assert isinstance(made.error, HistoryDiverged)
        assert made.error.recorded_name == "go"


@both
def test_leaving_by_an_exception_of_the_code_with_children_unvisited_is_divergence(colour: str) -> None:
    """CH5 leaving a scope by an exception with recorded children unvisited is divergence; the run is not failed."""
    world = World(colour)

    def new(do: World) -> Calls:
        yield do.step("a")
        raise KeyError("changed my mind")

    with Lab() as lab:
        start(lab, world, a_then_wait)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"


@both
def test_a_recorded_failure_that_new_code_no_longer_handles_is_divergence(colour: str) -> None:
    """CH5 the exception belongs to an entry that settled before the unvisited ones: history went on."""
    world = World(colour)
    world.broken.add("a")

    def old(do: World) -> Calls:
        with contextlib.suppress(Exception):
            yield do.step("a")
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    with Lab() as lab:
        start(lab, world, old)

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"


@both
def test_a_step_run_again_by_recover_may_fail_before_what_is_recorded_after_it(colour: str) -> None:
    """CH5 unless the exception belongs to an entry that settled after all of them, as a step run again may; open ones too."""
    world = World(colour)
    world.broken.add("c")

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("a", undo=True)
        yield do.step("b", undo=True)
        yield do.step("plain")
        yield do.step("c")

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        run.recover()
        world.broken.add("a")

        made = lab.run_once("r")

        assert made.status == "failed"
        assert str(made.error) == "a is broken"


@both
def test_what_lies_in_a_settled_join_race_loop_or_block_is_claimed_with_it(colour: str) -> None:
    """CH6 only direct children count: no false alarms."""
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        yield do.step("t")
        return Break(n)

    def branch(do: World) -> Calls:
        yield do.step("x")
        yield do.step("y")

    def flow(do: World) -> Calls:
        yield do.loop(do.body(turn), state=1, name="l")
        yield do.join("j", {"b": do.body(branch), "c": do.body(branch)})
        yield do.race("k", {"b": do.body(branch)})
        yield do.attempt(do.body(branch), name="t")
        yield do.receive("go")
        return "done"

    with Lab() as lab:
        start(lab, world, flow)
        lab.send("r", "go")

        made = lab.run_once("r")

        assert made.output == "done"
        assert world.log == []


@both
def test_settled_entries_met_in_another_order_are_accepted(colour: str) -> None:
    """CH7 reordering what is settled fits as long as CH2 to CH5 hold."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.step("b")
        yield do.receive("go")
        return "old"

    def new(do: World) -> Calls:
        yield do.step("b")
        yield do.step("a")
        yield do.receive("go")
        return "new"

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.output == "new"
        assert world.log == []
