"""What a body sees around it: no run of its own, the caller's context, and a thread or loop that fits its colour."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import NotInRun, attempt, checkpoint, join, run_info, sleep, step, stopping, workflow
from flowkit.testing import Lab
from tests.primitives.colours import PLAIN, Colour, every_colour, native_colours

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@step
def inner(n: int) -> int:
    """A step that others call in their bodies."""
    return n + 1


@step
async def awaited_inner(n: int) -> int:
    """An async one."""
    return n + 1


def test_a_step_in_the_body_of_a_plain_step_is_a_plain_call() -> None:
    """ST31: without an entry."""

    @step
    def outer() -> int:
        return inner(1) + awaited_inner.plain(1) + asyncio.run(inner.aio(1))

    @workflow
    def flow() -> int:
        return outer()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == 6
        assert [e.location for e in lab.history("r")] == ["outer"]


def test_a_step_in_the_body_of_an_async_step_is_a_plain_call() -> None:
    """ST31: without an entry."""

    @step
    async def outer() -> int:
        return inner(1) + await inner.aio(1) + await awaited_inner(1)

    @workflow
    async def flow() -> int:
        return await outer()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == 6
        assert [e.location for e in lab.history("r")] == ["outer"]


@every_colour
@pytest.mark.parametrize(
    "primitive",
    [lambda: sleep(1), lambda: checkpoint("x"), lambda: join(a=dict), lambda: attempt(dict), lambda: aio.sleep(1)],
)
def test_a_primitive_in_a_body_is_refused(colour: Colour, primitive: Any) -> None:
    """ST31: NotInRun saying so."""

    def outer() -> str:
        with pytest.raises(NotInRun, match="inside the body of step 'outer'"):
            primitive()
        return "refused"

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(outer)))

        assert lab.run_to_end("r") == "refused"
        assert [e.location for e in lab.history("r")] == ["outer"]


@every_colour
def test_run_info_and_stopping_may_be_asked_in_a_body(colour: Colour) -> None:
    """ST31: those two are excepted."""

    def outer() -> Any:
        return [run_info().id, run_info().workflow, run_info().pass_number, stopping()]

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(outer)))

        assert lab.run_to_end("r") == ["r", "one", 1, False]


def test_a_workflow_called_in_a_plain_run_is_a_plain_call() -> None:
    """ST32: its entries land in the caller's scope."""

    @workflow
    def part() -> int:
        return inner(1)

    @workflow
    def flow() -> int:
        return inner(5) + part()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == 8
        assert [e.location for e in lab.history("r")] == ["inner", "inner#2"]


def test_a_workflow_called_in_an_async_run_is_a_plain_call() -> None:
    """ST32: its entries land in the caller's scope."""

    @workflow
    async def part() -> int:
        return await awaited_inner(1)

    @workflow
    async def flow() -> int:
        return await awaited_inner(5) + await part()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == 8
        assert [e.location for e in lab.history("r")] == ["awaited_inner", "awaited_inner#2"]


@pytest.mark.parametrize("colour", [PLAIN, Colour(False, True), Colour(True, False)], ids=str)
def test_a_body_sees_the_callers_context_variables(colour: Colour) -> None:
    """ST33: a copy of them; what it sets there does not come back."""

    def outer() -> str:
        found = tenant.get()
        tenant.set("body")
        return found

    called = colour.step(outer)

    def plain() -> list[str]:
        tenant.set("acme")
        return [called(), tenant.get()]

    async def awaiting() -> list[str]:
        tenant.set("acme")
        return [await called(), tenant.get()]

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        assert lab.run_to_end("r") == ["acme", "acme"]


@native_colours
def test_branches_see_the_callers_context_variables(colour: Colour) -> None:
    """ST33: as do the bodies in them."""
    called = colour.step(lambda: tenant.get(), name="who")

    def plain() -> Any:
        tenant.set("acme")
        return join(a=called, b=called)

    async def awaiting() -> Any:
        tenant.set("acme")
        return await aio.join(a=called, b=called)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        assert lab.run_to_end("r") == {"a": "acme", "b": "acme"}
        assert tenant.get() == "nobody"


@every_colour
def test_bodies_run_where_their_colour_belongs(colour: Colour) -> None:
    """ST34: async ones on the engine's loop, plain ones in a thread; both record alike."""
    threads: list[str] = []

    def outer() -> int:
        threads.append(threading.current_thread().name.rpartition("-")[0] or threading.current_thread().name)
        return 1

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(outer)))

        assert lab.run_to_end("r") == 1
        assert threads[0].startswith("flowkit")
        assert ("loop" in lab_thread(threads)) == colour.body_awaits
        assert [(e.location, e.kind, e.status, e.attempts, e.output) for e in lab.history("r")] == [
            ("outer", "step", "completed", 1, 1)
        ]


def lab_thread(threads: list[str]) -> str:
    """The name of the thread that the body ran in."""
    return "loop" if threads == ["flowkit"] else threads[0]


def test_both_mixed_colours_record_alike() -> None:
    """ST34: one async step in a plain workflow, by `.plain` and bare; one plain step in an async workflow, by `.aio`."""

    @workflow
    def plain() -> list[Any]:
        return [awaited_inner.plain(1), awaited_inner(1)]

    @workflow
    async def awaiting() -> list[int]:
        return [await inner.aio(1), await inner.aio(1)]

    with Lab() as lab:
        lab.start("p", plain)
        lab.start("a", awaiting)

        assert lab.run_to_end("p") == lab.run_to_end("a") == [2, 2]
        assert [(e.status, e.args, e.output) for e in lab.history("p")] == [
            (e.status, e.args, e.output) for e in lab.history("a")
        ]


def test_an_async_body_leaves_the_loop_free_while_a_plain_workflow_waits() -> None:
    """ST34: the guest thread waits, the loop does not: the other branch ends it."""

    @workflow
    def flow() -> Any:
        gate = asyncio.Event()

        async def wait() -> str:
            await gate.wait()
            return "opened"

        async def open_it() -> str:
            gate.set()
            return "open"

        return join(a=step(wait), b=step(open_it))

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == {"a": "opened", "b": "open"}


def test_outside_a_run_steps_and_workflows_are_ordinary_calls() -> None:
    """API section 2: and primitives raise NotInRun, which names the Lab."""

    @workflow
    def flow() -> int:
        return inner(1)

    assert flow() == 2
    assert asyncio.run(awaited_inner(1)) == 2
    assert awaited_inner.plain(1) == 2
    assert asyncio.run(inner.aio(1)) == 2
    assert inner.attempt(1).value == 2
    for primitive in (lambda: sleep(1), lambda: aio.sleep(1), run_info, stopping):
        with pytest.raises(NotInRun, match=r"flowkit\.testing\.Lab"):
            primitive()
