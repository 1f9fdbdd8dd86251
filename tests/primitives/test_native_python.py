"""Native Python in a workflow: what works as anywhere, and what is refused since a replay could not repeat it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from typing import Any

import pytest

import flowkit
import flowkit.aio as aio
from flowkit import (
    NotInRun,
    StepExhausted,
    WrongColour,
    attempt,
    checkpoint,
    join,
    loop,
    receive,
    sleep,
    step,
    workflow,
)
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.colours import Colour, native_colours


@step
def one() -> int:
    """A plain step."""
    return 1


@step
async def two() -> int:
    """An async one."""
    return 2


@native_colours
def test_try_except_sees_terminal_failures_only(colour: Colour) -> None:
    """PY1: a failure that will be retried never reaches the code."""
    seen: list[Any] = []

    def charge() -> None:
        raise OSError("down")

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(charge, retries=2), seen))

        assert lab.run_to_end("r") == "handled"
        assert [(type(e), e.attempts) for e in seen] == [(StepExhausted, 3)] * 2


def waiting(colour: Colour, catch: type[BaseException], log: list[str], ending: Any = None) -> Any:
    """A workflow that tries to swallow a wait."""
    after = colour.step(lambda: log.append("after"), name="after")

    def plain() -> str:
        try:
            sleep(60)
        except catch:
            log.append("swallowed")
            if ending is not None:
                raise ending from None
            return "wrong"
        after()
        return "right"

    async def awaiting() -> str:
        try:
            await aio.sleep(60)
        except catch:
            log.append("swallowed")
            if ending is not None:
                raise ending from None
            return "wrong"
        await after()
        return "right"

    return workflow(name="flow")(awaiting if colour.flow_awaits else plain)


@native_colours
def test_except_exception_cannot_swallow_a_wait(colour: Colour) -> None:
    """PY2: nor an evict or a closed scope."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", waiting(colour, Exception, log))

        assert lab.run_once("r").status == "sleeping"
        assert lab.run_to_end("r") == "right"
        assert log == ["after"]


@native_colours
def test_except_exception_cannot_swallow_an_evict(colour: Colour) -> None:
    """PY2: the run goes on where it was."""
    log: list[str] = []
    with Lab() as lab:

        def leave() -> None:
            log.append("leave")
            lab.get("r").evict()

        first, after = colour.step(leave), colour.step(lambda: log.append("after"), name="after")

        def plain() -> str:
            first()
            try:
                after()
            except Exception:
                return "wrong"
            return "right"

        async def awaiting() -> str:
            await first()
            try:
                await after()
            except Exception:
                return "wrong"
            return "right"

        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        assert lab.run_once("r").status == "pending"
        assert lab.run_to_end("r") == "right"
        assert log == ["leave", "after"]


@native_colours
@pytest.mark.parametrize("ending", [None, ValueError("odd"), SystemExit()])
def test_where_a_bare_except_does_the_pass_ends_all_the_same(colour: Colour, ending: Any) -> None:
    """PY2: as it would have, whatever the function then returns or raises."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", waiting(colour, BaseException, log, ending))

        assert lab.run_once("r").status == "sleeping"
        assert lab.run_to_end("r") == "right"
        assert log == ["swallowed", "after"]


@native_colours
def test_a_swallowed_wait_in_a_branch_ends_the_pass_all_the_same(colour: Colour) -> None:
    """PY2: in branches, turns and blocks as well."""

    def plain() -> Any:
        def branch() -> str:
            try:
                receive("go")
            except BaseException:
                return "wrong"
            return "right"

        return join(a=lambda: attempt(branch).value)

    async def awaiting() -> Any:
        async def branch() -> str:
            try:
                await aio.receive("go")
            except BaseException:
                return "wrong"
            return "right"

        async def a() -> Any:
            return (await aio.attempt(branch)).value

        return await aio.join(a=a)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        assert lab.run_once("r").waiting_for == ["go"]
        lab.send("r", "go")
        assert lab.run_to_end("r") == {"a": "right"}


@native_colours
def test_finally_runs_at_every_park_and_can_do_nothing_there(colour: Colour) -> None:
    """PY3: a primitive or step called while a pass unwinds runs nothing, records nothing and raises again."""
    log: list[str] = []
    note = colour.step(lambda: log.append("step"), name="note")

    def plain() -> str:
        try:
            sleep(60)
        finally:
            log.append("finally")
            note()
            checkpoint("clean")
            log.append("through")
        return "done"

    async def awaiting() -> str:
        try:
            await aio.sleep(60)
        finally:
            log.append("finally")
            await note()
            await aio.checkpoint("clean")
            log.append("through")
        return "done"

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        made = lab.run_once("r")
        first = list(log)
        recorded = [e.location for e in lab.history("r")]

        assert (made.status, first, recorded) == ("sleeping", ["finally"], ["sleep"])
        assert lab.run_to_end("r") == "done"
        assert log == ["finally", "finally", "step", "through"]


def test_native_loops_over_plain_steps_work() -> None:
    """PY4: by numbered names."""

    @workflow
    def flow() -> list[int]:
        found = [one() for _ in range(2)]
        for _ in range(2):
            found += [one()]
        while len(found) < 5:
            found.append(one())
        return found

    told = crash_everywhere(Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))

    assert told.output == [1] * 5
    assert [entry[0] for entry in told.entries] == ["one", "one#2", "one#3", "one#4", "one#5"]


def test_native_loops_over_async_steps_work() -> None:
    """PY4: by numbered names."""

    @workflow
    async def flow() -> list[int]:
        found = [await two() for _ in range(2)]
        while len(found) < 3:
            found.append(await two())
        return found

    told = crash_everywhere(Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))

    assert told.output == [2] * 3


def test_a_history_that_grows_without_bound_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """PY4: at 10,000 entries, once, naming loop()."""
    quick = one.options(ephemeral=True, record_args=False, name=None)

    @workflow
    def flow() -> int:
        return sum(quick() for _ in range(10_010))

    with Lab() as lab, caplog.at_level(logging.WARNING, "flowkit"):
        lab.start("r", flow)

        assert lab.run_to_end("r") == 10_010

    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 1
    assert "10,000" in warnings[0]
    assert "loop()" in warnings[0]
    assert "'r'" in warnings[0]


def wrong(flow: Any) -> str:
    """What a run of this workflow fails with, having recorded nothing."""
    with Lab() as lab:
        lab.start("r", flow)
        made = lab.run_once("r")
        assert isinstance(made.error, WrongColour)
        assert lab.history("r") == []
        return str(made.error)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: aio.sleep(1), "from flowkit import sleep"),
        (lambda: aio.receive("x"), "from flowkit import receive"),
        (lambda: aio.join(), "from flowkit import join"),
        (lambda: one.aio(), "one(…)"),
        (lambda: attempt(two.plain.__self__._plan.function), "def"),  # type: ignore[attr-defined]
    ],
)
def test_an_awaitable_call_in_plain_code_is_refused(call: Any, cure: str) -> None:
    """PY8: before anything is recorded, naming the right import."""

    @workflow
    def flow() -> None:
        call()

    assert cure in wrong(flow) or cure == "def"


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda: sleep(1), "from flowkit.aio import sleep"),
        (lambda: receive("x"), "from flowkit.aio import receive"),
        (lambda: loop(lambda: None), "from flowkit.aio import loop"),
        (lambda: one(), "await one.aio(…)"),
        (lambda: two.plain(), "Await the step itself"),
    ],
)
def test_a_plain_call_in_async_code_is_refused(call: Any, cure: str) -> None:
    """PY8: in plain helper functions too."""

    @workflow
    async def flow() -> None:
        call()

    assert cure in wrong(flow)


def test_a_thread_that_user_code_starts_is_outside_the_run() -> None:
    """PY9: steps there are plain calls, primitives raise NotInRun."""
    seen: list[Any] = []

    def work() -> None:
        seen.append(one())
        with pytest.raises(NotInRun):
            sleep(1)
        with pytest.raises(NotInRun):
            flowkit.run_info()
        seen.append("refused")

    @workflow
    def flow() -> str:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return "done"

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == "done"
        assert (seen, lab.history("r")) == ([1, "refused"], [])


def test_a_pool_that_copies_the_context_is_outside_the_run_too() -> None:
    """PY9: asyncio.to_thread inherits context variables, and that makes no difference."""

    @workflow
    async def flow() -> int:
        return await asyncio.to_thread(one)

    @workflow
    def plain() -> int:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return pool.submit(one).result()

    with Lab() as lab:
        lab.start("r", flow)
        lab.start("s", plain)

        assert (lab.run_to_end("r"), lab.run_to_end("s")) == (1, 1)
        assert lab.history("r") + lab.history("s") == []
