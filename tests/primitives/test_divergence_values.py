"""Stored values that today's annotations cannot read, and runs that are blocked until code fits."""

from __future__ import annotations

import flowkit.aio as aio
from flowkit import (
    Continue,
    HistoryDiverged,
    receive,
    step,
    workflow,
)
from flowkit.testing import Lab
from tests.scripts import a_then_wait, b_then_wait, start
from tests.worlds import World, both


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
