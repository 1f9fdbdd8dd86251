"""Which open runs a check tries, in both colours and every status."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import Break, Workflow, loop, receive, removed, step, workflow
from flowkit.check import Report, check_runs
from flowkit.testing import Lab, MemoryDriver
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


ran: list[str] = []


def noted(name: str, **options: Any) -> Any:
    return step(lambda *args: ran.append(name), name=name, **options)


def check(lab_driver: Any, *flows: Workflow[..., Any], **options: Any) -> Report:
    ran.clear()
    return check_runs(lab_driver, {flow.name: flow for flow in flows}, **options)


@both
def test_both_colours_are_checked(colour: str) -> None:
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.step("b")
        yield do.receive("go")

    def new(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", world.flow(old))
        lab.run_once("r")
        world.log.clear()

        report = check(driver, world.flow(new))

        word = "await " if world.awaits else ""
        assert [str(line.text) for cause in report.workflows[0].causes for line in cause.lines] == [f'{word}removed("b", "step")']
        assert world.log == []


def test_an_async_frontier_is_found_in_every_branch() -> None:
    nap = step(lambda: None, name="nap")

    async def naps() -> None:
        await aio.sleep("1h")

    async def works() -> None:
        await nap.aio()
        await aio.receive("go")

    @workflow(name="shop")
    async def flow() -> None:
        await aio.join("j", {"x": naps, "y": works})

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", flow)
        lab.run_once("r")

        (report,) = check(driver, flow).workflows

        assert sorted(f.location for f in report.frontiers) == ["j/x/sleep", "j/y/go"]


def test_a_run_that_is_rolling_back_is_checked_for_its_handlers() -> None:
    undone = noted("undone", rollback=lambda: ran.append("undo"))

    @workflow(name="shop")
    def old() -> None:
        from flowkit import checkpoint

        checkpoint("start")
        undone()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        from flowkit import checkpoint

        checkpoint("start")
        removed("undone", "step")
        receive("paid")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")
        lab.get("r").cancel(rollback=True)

        assert check(driver, old).held == 0
        (cause,) = check(driver, new).workflows[0].causes

        assert cause.lines == ()
        assert "undone" in cause.message
        assert ran == []


@both
@pytest.mark.parametrize("status", ["pending", "sleeping", "paused", "blocked"])
def test_runs_in_every_open_status_are_checked(colour: str, status: str) -> None:
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    def other(do: World) -> Calls:
        yield do.step("b")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        run = lab.start("r", world.flow(old))
        {
            "pending": lambda: None,
            "sleeping": lambda: lab.run_once("r"),
            "paused": lambda: (lab.run_once("r"), run.pause()),
            "blocked": lambda: (lab.run_once("r"), lab.run_once("r", workflow=world.flow(other))),
        }[status]()

        report = check(driver, world.flow(old))

        assert (run.status(), report.workflows[0].fit, report.held) == (status, 1, 0)


def test_terminal_runs_and_those_without_code_are_left_out() -> None:
    @workflow(name="shop")
    def done() -> int:
        return 1

    @workflow(name="gone")
    def gone() -> None:
        receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("done", done)
        lab.run_once("done")
        lab.start("gone", gone)

        report = check(driver, done)

        assert (list(report.workflows), dict(report.unattended)) == ([], {"gone": 1})


@both
def test_a_pass_that_takes_too_long_is_not_checked_and_holds_up_no_other(colour: str) -> None:
    world = World(colour)

    def flow(do: World, seconds: float) -> Calls:
        time.sleep(seconds)
        yield do.receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        made = world.flow(flow)
        lab.start("fast", made, 0.0)
        lab.start("slow", made, 0.3)

        (report,) = check(driver, made, seconds_per_run=0.1).workflows

        assert report.fit == 1
        assert [(each.run, each.why) for each in report.unchecked] == [("slow", "its pass took longer than 0.1 s")]
        time.sleep(0.3)


def test_the_newest_runs_are_checked_up_to_the_limit() -> None:
    @workflow(name="shop")
    def flow() -> None:
        receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        for n in range(5):
            lab.start(f"r{n}", flow)

        (report,) = check(driver, flow, limit=2).workflows

        assert (report.fit, report.skipped) == (2, 3)


def test_a_cause_names_the_entries_that_the_code_no_longer_makes() -> None:
    def label(n: int) -> Any:
        noted("print")()
        receive("paid")
        return Break(n)

    def sticker(n: int) -> Any:
        receive("paid")
        return Break(n)

    @workflow(name="shop")
    def old() -> None:
        noted("validate")()
        loop(label, state=0, name="pack")

    @workflow(name="shop")
    def new() -> None:
        loop(sticker, state=0, name="pack")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")

        (cause,) = check(driver, new).workflows[0].causes

    assert cause.missing == ("pack/~/print", "validate")


def test_a_call_that_is_new_leaves_nothing_missing() -> None:
    @workflow(name="shop")
    def old() -> None:
        noted("charge")()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        noted("notify")()
        noted("charge")()
        receive("paid")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")

        (cause,) = check(driver, new).workflows[0].causes

    assert (cause.kind, cause.missing) == ("new", ())
