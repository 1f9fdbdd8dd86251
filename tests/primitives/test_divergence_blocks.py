"""What a misfit makes of the run and of its pass, and what people are told."""

from __future__ import annotations

from typing import Any

import flowkit.aio as aio
from flowkit import (
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
from tests.scripts import Calls, a_then_wait, start
from tests.worlds import World, both


@both
def test_divergence_blocks_the_run_undoing_nothing_and_counting_no_attempt(colour: str) -> None:
    """CH8 status, message and fingerprint in one commit; not failed, nothing undone."""
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
            f"  the code has  step `print`    tests/primitives/test_divergence_blocks.py:{line}\n"
            'if `label` left the code, put this in its old place:          removed("label", "step")\n'
            'if `print` is new and only for runs that come by later:       if version("add-print", 2) >= 2:\n'
            "Nothing was run, written or undone. The run goes on by itself when code that fits is loaded."
        )


def test_in_an_async_workflow_the_lines_say_await() -> None:
    """CH9 what is to be pasted works where it is pasted."""
    a, b = step(lambda: None, name="a").aio, step(lambda: None, name="b").aio

    @workflow(name="flow")
    async def old() -> None:
        await a()
        await aio.receive("go")

    @workflow(name="flow")
    async def new() -> None:
        await b()

    with Lab() as lab:
        lab.start("r", old)
        lab.run_once("r")

        made = lab.run_once("r", workflow=new)

        assert isinstance(made.error, HistoryDiverged)
        assert list(made.error.lines) == ['await removed("a", "step")', 'if await version("add-b", 2) >= 2:']


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

        assert 'version("add-a-2", 2) >= 2:' in str(made.error)
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
