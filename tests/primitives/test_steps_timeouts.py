"""Timeouts of bodies, which run on real time, and what becomes of what comes too late."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import StepExhausted, StepTimeout, join, race, step, stopping, workflow
from flowkit.testing import Lab
from tests.primitives.colours import ALL, BOTH, Colour, every_colour, native_colours

LIMIT = 0.1
OVER = 0.5


@every_colour
def test_running_over_is_terminal(colour: Colour) -> None:
    """ST11: StepTimeout, entry failed, kind timeout."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.napping([OVER, 0], log, timeout=LIMIT)))

        with pytest.raises(StepTimeout) as caught:
            lab.run_to_end("r")

        assert (caught.value.name, caught.value.attempts, caught.value.timeout) == ("nap", 1, LIMIT)
        assert [(e.status, e.attempts) for e in lab.history("r")] == [("failed", 1)]
        assert log == ["start"]


@every_colour
def test_a_handled_timeout_is_recalled_alike(colour: Colour) -> None:
    """ST11: a terminal failure like any other."""
    log: list[str] = []
    seen: list[Any] = []
    with Lab() as lab:
        lab.start("r", colour.caught(colour.napping([OVER], log, timeout=LIMIT), seen))

        assert lab.run_to_end("r") == "handled"

        # A plain workflow's own thread is lost at the timeout: the pass begins anew in another, and the first one sees nothing.
        assert [(type(e), str(e), e.timeout) for e in seen] == [(StepTimeout, str(seen[0]), LIMIT)] * 2


@native_colours
@pytest.mark.parametrize("limit", [0, None])
def test_a_timeout_of_nothing_is_none(colour: Colour, limit: Any) -> None:
    """ST11: 0 or None."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.napping([0.2], [], timeout=limit)))

        assert lab.run_to_end("r") == "rested"


@every_colour
def test_a_timeout_can_be_retried(colour: Colour) -> None:
    """ST12: an ordinary failed attempt."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.napping([OVER, 0], log, timeout=LIMIT, retry_on_timeout=True)))

        first = lab.run_once("r")

        assert (first.status, [e.status for e in lab.history("r")]) == ("sleeping", ["retrying"])
        assert lab.run_to_end("r") == "rested"
        assert lab.history("r")[0].attempts == 2


@every_colour
def test_exhausted_by_a_timeout_stays_of_kind_timeout(colour: Colour) -> None:
    """ST12: on recall too."""
    seen: list[Any] = []
    nap = colour.napping([OVER, OVER], [], timeout=LIMIT, retry_on_timeout=True, retries=1)
    with Lab() as lab:
        lab.start("r", colour.caught(nap, seen))

        lab.run_to_end("r")

        told = [(type(e), e.kind, e.attempts, e.error.type) for e in seen]
        assert told == [(StepExhausted, "timeout", 2, "flowkit.errors.StepTimeout")] * 2


@pytest.mark.parametrize("flow_awaits", [True, False])
def test_an_async_body_really_receives_the_cancellation(flow_awaits: bool) -> None:
    """ST13: at its timeout; it can clean up, and what it then returns is dropped."""
    log: list[str] = []
    cleaned = threading.Event()

    async def nap() -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            log.append("cancelled")
            await asyncio.sleep(0.02)
            log.append("cleaned")
            cleaned.set()
        return "too late"

    flow = Colour(flow_awaits, True).one(step(nap, timeout=LIMIT))
    with Lab() as lab:
        lab.start("r", flow)

        with pytest.raises(StepTimeout):
            lab.run_to_end("r")

        assert cleaned.wait(2)
        assert log == ["cancelled", "cleaned"]


def test_a_timeout_leaves_the_async_workflow_uncancelled() -> None:
    """ST13: the cancel was the engine's own, so nothing of it is left."""
    counts: list[Any] = []

    async def nap() -> None:
        await asyncio.sleep(5)

    slow = step(nap, timeout=LIMIT)

    @workflow
    async def flow() -> str:
        try:
            await slow()
        except StepTimeout:
            task = asyncio.current_task()
            counts.append(task and task.cancelling())
        await asyncio.sleep(0)
        return "went on"

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == "went on"
        assert counts == [0]


def test_an_async_loser_receives_the_cancellation_once() -> None:
    """ST13: at a lost race; its clean-up is left in peace."""
    log: list[str] = []
    cleaned = threading.Event()

    async def nap() -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            log.append("cancelled")
            await asyncio.sleep(0.02)
            log.append("cleaned")
            cleaned.set()
            raise

    async def quick() -> int:
        await asyncio.sleep(0.02)
        return 1

    @workflow
    async def flow() -> str:
        winner = await aio.race(slow=step(nap), fast=step(quick))
        return winner.name

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == "fast"
        assert cleaned.wait(2)
        assert log == ["cancelled", "cleaned"]


@pytest.mark.parametrize("flow_awaits", [True, False])
def test_stopping_is_true_in_an_abandoned_plain_body(flow_awaits: bool) -> None:
    """ST14: its thread is abandoned, and stopping() tells it so."""
    told: list[bool] = []
    over = threading.Event()

    def nap() -> None:
        told.append(stopping())
        told.append(stopping(wait=2))
        over.set()

    colour = Colour(flow_awaits, False)
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(nap, timeout=LIMIT)))

        with pytest.raises(StepTimeout):
            lab.run_to_end("r")

        assert over.wait(2)
        assert told == [False, True]


def test_an_abandoned_body_no_longer_counts_against_the_pool() -> None:
    """ST14: seventy abandoned bodies leave room for the next."""
    gate = threading.Event()
    stuck = step(lambda: gate.wait(5), name="stuck", timeout=LIMIT).aio
    last = step(lambda: "done", name="last").aio

    @workflow
    async def flow() -> str:
        await aio.attempt(lambda: aio.join({f"b{n}": stuck for n in range(70)}))
        return await last()

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == "done"
        gate.set()


@every_colour
def test_a_late_result_is_dropped(colour: Colour) -> None:
    """ST15: not recorded, not counted, not shown to the workflow."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.napping([OVER, 0], log, timeout=LIMIT, retry_on_timeout=True)))

        output = lab.run_to_end("r")
        time.sleep(OVER)

        assert output == "rested"
        assert [(e.location, e.status, e.attempts) for e in lab.history("r")] == [("nap", "completed", 2)]


def test_a_plain_run_goes_on_in_a_new_thread_and_runs_nothing_twice() -> None:
    """ST15: by replay, ephemeral results included; the old thread finds its scope closed."""
    log: list[str] = []
    threads: list[int] = []
    left = threading.Semaphore(0)

    def note(name: str) -> str:
        log.append(name)
        return name

    kept = step(note, name="kept")
    fleeting = step(note, name="fleeting", ephemeral=True)
    after = step(note, name="after")

    @step(timeout=LIMIT)
    def stuck() -> None:
        log.append("stuck")
        time.sleep(OVER)

    @workflow
    def flow() -> str:
        threads.append(threading.get_ident())
        try:
            kept("kept")
            fleeting("fleeting")
            try:
                stuck()
            except StepTimeout:
                log.append("timed out")
            return after("after")
        finally:
            log.append("left")
            left.release()

    with Lab() as lab:
        lab.start("r", flow)

        output = lab.run_to_end("r")

        assert output == "after"
        assert left.acquire(timeout=2)
        assert left.acquire(timeout=2)
        assert len(set(threads)) == 2
        assert log == ["kept", "fleeting", "stuck", "timed out", "after", "left", "left"]
        assert [(e.location, e.status) for e in lab.history("r")] == [
            ("kept", "completed"),
            ("fleeting", "completed"),
            ("stuck", "failed"),
            ("after", "completed"),
        ]


def test_the_old_thread_can_do_nothing_more() -> None:
    """ST15: even code that swallows everything and calls on."""
    log: list[str] = []
    over = threading.Event()

    @step(timeout=LIMIT)
    def stuck() -> None:
        time.sleep(OVER)

    @step
    def more() -> None:
        log.append("more")

    @workflow
    def flow() -> str:
        try:
            stuck()
        except StepTimeout:
            return "timed out"
        except BaseException as first:
            try:
                more()
            except BaseException as second:
                log.append(f"{type(first).__name__} {type(second).__name__}")
            over.set()
        return "wrong"

    with Lab() as lab:
        lab.start("r", flow)

        output = lab.run_to_end("r")

        assert output == "timed out"
        assert over.wait(2)
        assert log == ["ScopeClosed ScopeClosed"]
        assert [e.location for e in lab.history("r")] == ["stuck"]


def test_two_timeouts_in_one_pass_of_a_plain_run() -> None:
    """ST15: the run goes on in a third thread."""

    @step(timeout=LIMIT)
    def stuck(n: int) -> None:
        time.sleep(OVER)

    @workflow
    def flow() -> list[str]:
        found = []
        for n in range(2):
            try:
                stuck(n)
            except StepTimeout as error:
                found.append(error.name)
        return found

    with Lab() as lab:
        lab.start("r", flow)

        assert lab.run_to_end("r") == ["stuck", "stuck"]
        assert [(e.location, e.status, e.attempts) for e in lab.history("r")] == [
            ("stuck", "failed", 1),
            ("stuck#2", "failed", 1),
        ]


@pytest.mark.parametrize("colour", ALL, ids=str)
def test_a_timeout_in_a_branch_leaves_its_sibling_alone(colour: Colour) -> None:
    """ST15: the sibling is not restarted and nothing runs twice."""
    log: list[str] = []
    sibling: list[str] = []
    late = colour.napping([OVER], log, timeout=LIMIT)
    steady = colour.napping([0.2], sibling, name="steady")

    def plain() -> Any:
        def first() -> str:
            outcome = late.attempt()
            return str(outcome.failure.kind)

        return join(first=first, second=steady)

    async def awaiting() -> Any:
        async def first() -> str:
            outcome = await late.attempt()
            return str(outcome.failure.kind)

        return await aio.join(first=first, second=steady)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        output = lab.run_to_end("r")

        assert output == {"first": "timeout", "second": "rested"}
        assert (log[:1], sibling) == (["start"], ["start", "end"])


@pytest.mark.parametrize("colour", BOTH, ids=str)
def test_a_body_lost_in_a_race_is_dropped(colour: Colour) -> None:
    """ST15: its scope closed before it ended."""
    log: list[str] = []
    late = colour.napping([0.15], log)
    quick = colour.step(lambda: 1, name="quick")

    def plain() -> Any:
        return race(late=late, quick=quick).name

    async def awaiting() -> Any:
        return (await aio.race(late=late, quick=quick)).name

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))

        output = lab.run_to_end("r")
        time.sleep(OVER)

        assert output == "quick"
        assert [e.location for e in lab.history("r")] == ["race", "race/quick/quick"]
