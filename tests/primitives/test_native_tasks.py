"""Async code that does two things at once, or drops one: refused, since a replay could not repeat it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import EntryInProgress, step, workflow
from flowkit.testing import Lab


@step
async def two() -> int:
    """An async step."""
    return 2


def blocked(flow: Any) -> EntryInProgress:
    """What blocks a run of this workflow."""
    with Lab() as lab:
        lab.start("r", flow)
        made = lab.run_once("r")
        assert made.status == "blocked"
        assert isinstance(made.error, EntryInProgress)
        return made.error


@step
def pause() -> bool:
    """A plain step that takes a moment."""
    return threading.Event().wait(0.1)


@step
async def slow() -> int:
    """An async step that takes a moment."""
    await asyncio.sleep(0.05)
    return 2


def test_two_steps_at_once_through_gather_are_refused() -> None:
    """PY5: EntryInProgress advising join, with the names of both."""

    @workflow
    async def flow() -> None:
        await asyncio.gather(slow(), two())

    error = blocked(flow)

    assert "join(slow=…, two=…)" in str(error)
    assert "test_native_tasks.py:" in error.source


def test_the_advice_for_one_step_twice_at_once_can_be_pasted() -> None:
    """PY5: a join cannot have two branches of one name."""

    @workflow
    async def flow() -> None:
        await asyncio.gather(slow(), slow())

    assert "join(slow=…, slow_2=…)" in str(blocked(flow))


def test_a_body_under_way_ends_and_is_recorded_before_the_block() -> None:
    """PY5, CH12: nothing new begins, and code that fits goes on with what is there."""
    log: list[str] = []

    @step
    async def first() -> str:
        log.append("first")
        await asyncio.sleep(0.05)
        return "kept"

    @workflow(name="flow")
    async def flow() -> None:
        await asyncio.gather(first(), two())

    @workflow(name="flow")
    async def mended() -> list[Any]:
        return [await first(), await two()]

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_once("r").status == "blocked"
        assert [(e.location, e.status) for e in lab.history("r")] == [("first", "completed")]
        assert lab.run_to_end("r", workflow=mended) == ["kept", 2]
        assert log == ["first"]


def test_two_steps_at_once_through_a_task_group_are_refused() -> None:
    """PY5: a task group wraps what it raises, and the run is blocked all the same."""

    @workflow
    async def flow() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(slow())
            group.create_task(aio.sleep(5))

    assert "join(" in str(blocked(flow))


def test_a_step_that_still_runs_when_its_scope_ends_is_refused() -> None:
    """PY5, PY6: its result could not be seen on a replay."""
    tasks: list[Any] = []

    @workflow
    async def flow() -> str:
        tasks.append(asyncio.create_task(slow()))
        await asyncio.sleep(0.01)
        return "left it behind"

    error = blocked(flow)

    assert "`slow`" in str(error)


@pytest.mark.parametrize("call", [two, lambda: aio.sleep(1), lambda: aio.checkpoint("x"), lambda: aio.attempt(two, name="block")])
def test_an_async_call_that_is_never_awaited_is_named(call: Any) -> None:
    """PY6: with file and line, when its scope ends."""

    @workflow
    async def flow() -> str:
        call()
        return "forgot"

    error = blocked(flow)

    assert "never awaited" in str(error)
    assert "test_native_tasks.py:" in str(error)


def test_a_step_called_in_a_scope_that_has_ended_is_refused() -> None:
    """PY5: as a task does that outlives its branch."""

    @workflow
    async def flow() -> None:
        tasks = []

        async def late() -> None:
            await asyncio.sleep(0.02)
            await two()

        async def branch() -> None:
            tasks.append(asyncio.create_task(late()))

        await aio.join(a=branch)
        await asyncio.gather(*tasks, return_exceptions=True)  # as code may that wants to hear of no error
        await slow()

    error = blocked(flow)

    assert "join/a" in error.location
    assert "ended" in str(error)


def test_a_call_never_awaited_in_a_branch_is_named() -> None:
    """PY6: at the end of its scope, not of the run."""

    @workflow
    async def flow() -> Any:
        async def branch() -> None:
            two()

        await aio.join(a=branch)
        await two()

    assert blocked(flow).location == "join/a"


def test_a_timeout_around_a_step_is_refused() -> None:
    """PY7: EntryInProgress advising timeout= or race."""

    @workflow
    async def flow() -> None:
        async with asyncio.timeout(0.01):
            await slow()

    error = blocked(flow)

    assert "timeout=" in str(error)
    assert "race" in str(error)
    assert error.location == "slow"


@pytest.mark.parametrize(
    "primitive", [lambda: aio.receive("go"), lambda: step(lambda: threading.Event().wait(0.1), name="x").aio()]
)
def test_a_timeout_around_any_primitive_is_refused(primitive: Any) -> None:
    """PY7: whatever it is doing."""

    @workflow
    async def flow() -> None:
        async def other() -> None:
            await slow()

        async def branch() -> None:
            async with asyncio.timeout(0.01):
                await primitive()

        await aio.join(a=branch, b=other)

    assert "timeout=" in str(blocked(flow))


def test_cancelling_the_task_of_a_step_is_refused() -> None:
    """PY7: task.cancel()."""

    @workflow
    async def flow() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert "cancelled from outside" in str(blocked(flow))


def test_a_timeout_inside_a_body_is_the_bodys_own_business() -> None:
    """PY7: only a cancel from outside is refused."""

    @step(retries=0)
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            return "gave up"
        return "waited"

    @workflow
    async def flow() -> str:
        return await impatient()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == "gave up"
