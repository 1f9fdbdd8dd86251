"""When and with what a step is recorded: ephemeral results, and the arguments of the call."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import sleep, workflow
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.colours import Colour, every_colour, native_colours


def noting(log: list[str], name: str, value: Any = None) -> Any:
    """A body that notes its name and returns a value."""

    def body() -> Any:
        log.append(name)
        return value

    body.__name__ = name
    return body


class Unsayable:
    """A value that cannot be stored."""


@every_colour
def test_ephemeral_steps_make_no_commit_of_their_own(colour: Colour) -> None:
    """ST21: two ephemeral steps, one durable step and the completion are two commits."""
    log: list[str] = []
    steps = [colour.step(noting(log, name, name), ephemeral=name != "kept") for name in ("one", "two", "kept")]
    with Lab() as lab:
        lab.start("r", colour.all_of(*steps))
        before = lab.commits

        lab.run_once("r")

        assert lab.commits - before == 2
        assert [e.location for e in lab.history("r")] == ["one", "two", "kept"]


@every_colour
def test_ephemeral_results_are_written_with_the_park(colour: Colour) -> None:
    """ST21: no later than the next park."""
    log: list[str] = []
    seen: list[Any] = []
    with Lab() as lab:
        lab.start("r", colour.kept(colour.step(noting(log, "one", 1), ephemeral=True), seen))
        before = lab.commits

        lab.run_to_end("r")

        assert (log, seen) == (["one"], [1, 1])
        assert lab.commits - before == 2


@every_colour
def test_ephemeral_results_come_out_alike_after_any_crash(colour: Colour) -> None:
    """ST21: lost with the process, they are computed again."""
    steps = [colour.step(noting([], name, name), ephemeral=name != "kept") for name in ("one", "kept", "two")]
    flow = colour.all_of(*steps)

    told = crash_everywhere(Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))

    assert told.output == ["one", "kept", "two"]


@every_colour
def test_arguments_are_recorded_by_name(colour: Colour) -> None:
    """ST29: record_args records them with the entry's first write."""

    def charge(order: int, *, fee: int = 2) -> int:
        return order + fee

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge), 40))

        assert lab.run_to_end("r") == 42
        assert lab.history("r")[0].args["order"] == 40


@every_colour
def test_arguments_are_recorded_as_they_were_at_the_call(colour: Colour) -> None:
    """ST29: what the body does to them does not show."""

    def charge(lines: list[int]) -> int:
        lines.clear()
        return 1

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge), [1, 2]))

        lab.run_to_end("r")

        assert lab.history("r")[0].args == {"lines": [1, 2]}


def circle() -> list[Any]:
    """A list that holds itself."""
    made: list[Any] = []
    made.append(made)
    return made


@native_colours
@pytest.mark.parametrize("odd", [threading.Lock(), circle(), (n for n in ()), Unsayable()], ids=lambda v: type(v).__name__)
def test_an_argument_that_cannot_be_encoded_is_kept_as_a_note(colour: Colour, odd: Any) -> None:
    """ST29: a note of its type; it never fails the step."""

    def charge(order: int, tool: Any) -> int:
        return order

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge), 40, odd))

        assert lab.run_to_end("r") == 40
        recorded = lab.history("r")[0].args
        assert recorded["order"] == 40
        assert type(odd).__qualname__ in recorded["tool"]


@native_colours
def test_arguments_may_be_left_unrecorded(colour: Colour) -> None:
    """ST29: record_args=False."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(lambda secret: 1, name="login", record_args=False), "hunter2"))

        lab.run_to_end("r")

        assert lab.history("r")[0].args is None


@native_colours
def test_other_arguments_at_a_numbered_name_are_warned_of(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """ST30: not compared on recall but at numbered names, where a warning names the entry."""
    orders = [1, 2]
    with Lab() as lab:
        lab.start("r", charging(colour, orders))
        lab.run_once("r")
        orders[:] = [5, 6]

        with caplog.at_level(logging.WARNING, "flowkit"):
            output = lab.run_to_end("r")

        assert output == [1, 2]
        assert [record.getMessage().split("'")[1] for record in caplog.records] == ["charge#2"]


def charging(colour: Colour, orders: list[int]) -> Any:
    """A workflow that charges the orders it finds and then sleeps."""

    def charge(order: int) -> int:
        return order

    called = colour.step(charge)

    def plain() -> Any:
        found = [called(each) for each in orders]
        sleep(60)
        return found

    async def awaiting() -> Any:
        found = [await called(each) for each in orders]
        await aio.sleep(60)
        return found

    return workflow(name="flow")(awaiting if colour.flow_awaits else plain)
