"""Code and history that do not fit: found before anything is run or written, and told with the lines to paste."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import (
    Break,
    Continue,
    DuplicateName,
    EntryInProgress,
    HistoryDiverged,
    loop,
    receive,
    step,
    workflow,
)
from flowkit.testing import Lab
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


def start(lab: Lab, world: World, script: Any) -> None:
    """A run of `script` that has made one pass."""
    lab.start("r", world.flow(script))
    lab.run_once("r")
    world.log.clear()


def a_then_wait(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "done"


def b_then_wait(do: World) -> Calls:
    yield do.step("b")
    yield do.receive("go")
    return "done"


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
        assert 'if version("add-pay", 2) >= 2:' in str(made.error)


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
    """CH6 only direct children count: no false alarms (the original's children diverged)."""
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


@both
def test_divergence_blocks_the_run_undoing_nothing_and_counting_no_attempt(colour: str) -> None:
    """CH8 status, message and fingerprint in one commit; not failed, nothing undone (the original failed and compensated)."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("charge", undo=True)
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("other")

    with Lab() as lab:
        start(lab, world, old)
        before = lab.commits
        entries = lab.history("r")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert lab.commits == before + 1
        assert lab.history("r") == entries
        assert world.log == []
        assert "other" in str(lab.get("r").error())


def test_the_message_gives_both_entries_with_file_and_line_and_both_lines_to_paste() -> None:
    """CH9 word for word as promised."""
    label = step(lambda: None, name="label")
    printed = step(lambda: None, name="print")

    def turn_of(made: Any, n: int) -> Continue[int]:
        made()
        receive("next")
        return Continue(n + 1)

    @workflow(name="packing")
    def old() -> None:
        loop(lambda n: turn_of(label, n), 0, name="pack")

    @workflow(name="packing")
    def new() -> None:
        loop(lambda n: turn_of(printed, n), 0, name="pack")

    with Lab() as lab:
        lab.clock.set(1_795_165_451.0)
        lab.start("order-123", old)
        lab.send("order-123", "next")
        lab.run_once("order-123")

        made = lab.run_once("order-123", workflow=new)

        line = turn_of.__code__.co_firstlineno + 1
        assert str(made.error) == (
            "run order-123 is blocked: code and history do not fit in `pack/~1`\n"
            "  history has   step `label`    completed 2026-11-20 09:04:11Z, entry 4\n"
            f"  the code has  step `print`    tests/primitives/test_divergence.py:{line}\n"
            'if `label` left the code, put this in its old place:          removed("label", "step")\n'
            'if `print` is new and only for runs that come by later:       if version("add-print", 2) >= 2:\n'
            "Nothing was run, written or undone. The run goes on by itself when code that fits is loaded."
        )


@both
def test_the_line_for_a_numbered_call_is_one_that_can_be_pasted(colour: str) -> None:
    """CH9 a version's name has no number mark in it."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a", default_name=True)
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.step("a", default_name=True)
        yield do.step("a", default_name=True)
        yield do.receive("go")

    def mended(do: World) -> Calls:
        yield do.step("a", default_name=True)
        if (yield do.version("add-a-2", 2)) >= 2:
            yield do.step("a", default_name=True)
        yield do.receive("go")
        return "done"

    with Lab() as lab:
        start(lab, world, old)
        made = lab.run_once("r", workflow=world.flow(new))
        lab.send("r", "go")

        assert 'if version("add-a-2", 2) >= 2:' in str(made.error)
        assert lab.run_once("r", workflow=world.flow(mended)).output == "done"


@both
def test_a_pass_that_diverged_is_condemned_whatever_the_code_does(colour: str) -> None:
    """CH10 code that catches the divergence gets it again from every further primitive, and the run is blocked."""
    world = World(colour)
    caught: list[type[BaseException]] = []

    def new(do: World) -> Calls:
        for name in ("b", "c", "a"):
            try:
                yield do.step(name)
            except HistoryDiverged as error:
                caught.append(type(error))
        return "never mind"

    with Lab() as lab:
        lab.start("r", world.flow(a_then_wait))
        lab.run_once("r")
        lab.crash()
        caught.clear()

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert caught == [HistoryDiverged] * 3
        assert lab.get("r").output() is None


@both
def test_a_name_given_twice_blocks_the_run(colour: str) -> None:
    """CH11 `DuplicateName` blocks in the same way, being an error of the code."""
    world = World(colour)

    def twice(do: World) -> Calls:
        yield do.step("a")
        yield do.step("a")

    with Lab() as lab:
        lab.start("r", world.flow(twice))

        made = lab.run_once("r")

        assert made.status == "blocked"
        assert isinstance(made.error, DuplicateName)
        assert [e.location for e in lab.history("r")] == ["a"]


def test_two_calls_at_once_in_a_scope_block_the_run() -> None:
    """CH11 `EntryInProgress` blocks in the same way; later code lets the run go on."""
    import asyncio

    a = step(lambda: "a", name="a").aio
    b = step(lambda: "b", name="b").aio

    @workflow(name="flow")
    async def gathers() -> None:
        await asyncio.gather(a(), b())

    @workflow(name="flow")
    async def joins() -> list[Any]:
        return [await a(), await b()]

    with Lab() as lab:
        lab.start("r", gathers)
        made = lab.run_once("r")

        assert made.status == "blocked"
        assert isinstance(made.error, EntryInProgress)
        assert lab.run_once("r", workflow=joins).output == ["a", "b"]


@both
def test_a_misfit_in_any_branch_is_found_before_any_other_begins(colour: str) -> None:
    """CH12 other code is preceded by a frozen pass, so nothing begins in the branch that would fit."""
    world = World(colour)

    def waits(do: World) -> Calls:
        yield do.receive("go")
        yield do.step("next")

    def old_other(do: World) -> Calls:
        yield do.step("b")
        yield do.receive("stay")

    def new_other(do: World) -> Calls:
        yield do.step("c")

    def old(do: World) -> Calls:
        yield do.join("j", {"x": do.body(waits), "y": do.body(old_other)})

    def new(do: World) -> Calls:
        yield do.join("j", {"x": do.body(waits), "y": do.body(new_other)})

    with Lab() as lab:
        start(lab, world, old)
        lab.send("r", "go")
        entries = lab.history("r")

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert world.log == []
        assert lab.history("r") == entries


@both
def test_a_frozen_pass_does_not_go_past_its_end_in_code_that_swallows_everything(colour: str) -> None:
    """CH12 a bare except around a join whose branches wait makes no misfit."""
    world = World(colour)

    def waits(do: World) -> Calls:
        yield do.receive("go")

    def script(word: str) -> Any:
        def flow(do: World) -> Calls:
            yield do.step("first")
            try:
                yield do.join("j", {"x": do.body(waits), "y": do.body(waits)})
            except BaseException:
                return word
            return word

        return flow

    with Lab() as lab:
        start(lab, world, script("old"))

        made = lab.run_once("r", workflow=world.flow(script("new")))

        assert made.status == "sleeping"


@both
def test_a_misfit_found_late_lets_bodies_under_way_end_and_be_recorded(colour: str) -> None:
    """CH12 if one is found later all the same, bodies running end and are recorded, and nothing new begins."""
    world = World(colour)

    def slow(do: World) -> Calls:
        yield do.step("slow")
        yield do.step("never")

    def bad(do: World) -> Calls:
        yield do.step("twice")
        yield do.step("twice")

    def flow(do: World) -> Calls:
        yield do.join("j", {"slow": do.body(slow), "bad": do.body(bad)})

    with Lab() as lab:
        lab.start("r", world.flow(flow))

        made = lab.run_once("r")

        assert made.status == "blocked"
        assert "j/bad/twice" in [e.location for e in lab.history("r")]
        assert world.log.count("twice") == 1


@both
def test_code_that_fits_goes_on_in_that_same_pass(colour: str) -> None:
    """CH14 until then messages, pause and cancel work on the blocked run."""
    world = World(colour)
    with Lab() as lab:
        start(lab, world, a_then_wait)
        lab.run_once("r", workflow=world.flow(b_then_wait))
        run = lab.get("r")
        run.send("go")
        run.pause()
        run.resume()

        made = lab.run_once("r", workflow=world.flow(a_then_wait))

        assert made.output == "done"
        assert run.error() is None


@both
def test_a_blocked_run_can_be_cancelled_and_replayed(colour: str) -> None:
    """CH14 `cancel` and `replay` work on the blocked run."""
    world = World(colour)
    with Lab() as lab:
        start(lab, world, a_then_wait)
        lab.start("s", world.flow(a_then_wait))
        lab.run_once("s")
        lab.run_once("r", workflow=world.flow(b_then_wait))
        lab.run_once("s", workflow=world.flow(b_then_wait))

        lab.get("r").cancel()
        lab.get("s").replay()

        assert lab.get("r").status() == "cancelled"
        assert lab.run_once("s").status == "sleeping"
        assert [e.location for e in lab.history("s")] == ["b", "go"]


def test_an_input_that_cannot_be_decoded_blocks_the_run_with_the_path() -> None:
    """CH15 a stored input."""

    @workflow(name="flow")
    def old(order: dict[str, int]) -> None:
        receive("go")

    @workflow(name="flow")
    def new(order: list[int]) -> None:
        receive("go")

    with Lab() as lab:
        lab.start("r", old, {"a": 1})
        lab.run_once("r")

        made = lab.run_once("r", workflow=new)

        assert made.status == "blocked"
        assert isinstance(made.error, HistoryDiverged)
        assert "$" in str(made.error)
        assert lab.run_once("r", workflow=old).status == "sleeping"


def test_an_output_that_cannot_be_decoded_blocks_the_run_with_the_path() -> None:
    """CH15 a stored output: `except Exception` around the call does not hide it."""

    @step(name="a")
    def old_a() -> dict[str, int]:
        return {"n": 1}

    @step(name="a")
    def new_a() -> dict[str, list[int]]:
        return {"n": [1]}

    @workflow(name="flow")
    def old() -> None:
        old_a()
        receive("go")

    @workflow(name="flow")
    def new() -> str:
        try:
            new_a()
        except Exception:
            return "hidden"
        receive("go")
        return "done"

    with Lab() as lab:
        lab.start("r", old)
        lab.run_once("r")

        made = lab.run_once("r", workflow=new)

        assert made.status == "blocked"
        assert "`a`" in str(made.error)
        assert "$" in str(made.error)
        assert lab.run_once("r", workflow=old).status == "sleeping"


def test_an_output_that_cannot_be_decoded_blocks_an_async_run() -> None:
    """CH15 in the other colour, and for a loop's state."""

    async def old_turn(state: dict[str, int]) -> Continue[dict[str, int]]:
        await aio.receive("go")
        return Continue(state)

    async def new_turn(state: list[int]) -> Continue[list[int]]:
        await aio.receive("go")
        return Continue(state)

    @workflow(name="flow")
    async def old() -> None:
        await aio.loop(old_turn, {"n": 1}, name="l")

    @workflow(name="flow")
    async def new() -> None:
        await aio.loop(new_turn, [1], name="l")

    with Lab() as lab:
        lab.start("r", old)
        lab.run_once("r")

        made = lab.run_once("r", workflow=new)

        assert made.status == "blocked"
        assert "`l`" in str(made.error)


def test_a_recorded_payload_error_is_a_failure_like_any_other() -> None:
    """CH15, ST20 what could not be stored is the step's failure on every pass."""

    @step
    def odd() -> object:
        return object()

    @workflow
    def flow() -> str:
        try:
            odd()
        except Exception as error:
            caught = type(error).__name__
        receive("go")
        return caught

    with Lab() as lab:
        run = lab.start("r", flow)
        lab.run_once("r")
        run.send("go")

        assert lab.run_once("r").output == "PayloadError"
