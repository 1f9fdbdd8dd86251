"""Deadlines: a run that is not over in time fails and is undone, wherever it stands, asleep and after a crash too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import DeadlineExceeded, RunFailed, aio, checkpoint, join, receive, sleep, step, stopping, workflow
from flowkit.settings import Settings
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both

undone: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_undone() -> None:
    undone.clear()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@step(rollback=lambda output: undone.append(output))
def book(what: str) -> str:
    return what


@workflow(deadline="1h")
def waits() -> str:
    checkpoint("booked")
    book("flight")
    return str(receive("go").data)


@aio.workflow(deadline="1h")
async def awaits() -> str:
    await aio.checkpoint("booked")
    await book.aio("flight")
    return str((await aio.receive("go")).data)


@both(waits, awaits)
def test_a_sleeping_run_is_woken_at_its_deadline_and_rolled_back(lab: Lab, flow: Any) -> None:
    run = lab.start("r", flow)
    asleep = lab.run_once("r")

    assert asleep.status == "sleeping"
    assert asleep.wake_at == lab.now + 3_600
    with pytest.raises(DeadlineExceeded, match="not over by its deadline, 1h after its start"):
        lab.run_to_end("r")
    assert (run.status(), undone) == ("failed", ["flight"])
    assert lab.now == asleep.wake_at


@both(waits, awaits)
def test_a_run_that_is_over_in_time_does_not_hear_of_its_deadline(lab: Lab, flow: Any) -> None:
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance("59m")
    lab.send("r", "go", "now")

    assert lab.run_once("r").output == "now"


@both(waits, awaits)
def test_a_message_that_comes_after_the_deadline_comes_too_late(lab: Lab, flow: Any) -> None:
    lab.start("r", flow)
    lab.run_once("r")
    lab.crash()
    lab.advance("61m")
    lab.send("r", "go", "now")

    failed = lab.run_once("r")

    assert (failed.status, undone) == ("failed", ["flight"])
    assert isinstance(failed.error, DeadlineExceeded)
    assert failed.error.deadline == 3_600


@both(waits, awaits)
def test_a_crash_at_any_write_makes_no_difference_to_a_deadline(flow: Any) -> None:
    seen = crash_everywhere(
        Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_once("r"), lambda lab: lab.run_to_end("r")))
    )

    assert (seen.status, seen.error[:16]) == ("failed", "DeadlineExceeded")


@workflow(deadline=10)
def naps() -> None:
    sleep(3)
    sleep(60)


@aio.workflow(deadline=10)
async def anaps() -> None:
    await aio.sleep(3)
    await aio.sleep(60)


@both(naps, anaps)
def test_each_wait_is_for_no_longer_than_the_deadline(lab: Lab, flow: Any) -> None:
    lab.start("r", flow)
    start = lab.now

    first = lab.run_once("r").wake_at
    lab.advance(3)
    second = lab.run_once("r").wake_at

    assert (first, second) == (start + 3, start + 10)


def test_a_deadline_counts_from_the_start_and_not_from_the_delay_before_it(lab: Lab) -> None:
    lab.start("r", naps.options(delay=100))
    lab.advance(100)

    assert lab.run_once("r").status == "sleeping"


def test_a_workflow_without_a_deadline_has_that_of_the_settings() -> None:
    @workflow
    def plain() -> None:
        receive("go")

    @workflow(deadline=0)
    def endless() -> None:
        receive("go")

    with Lab(settings=Settings(deadline=30)) as lab:
        lab.start("r", plain)
        lab.start("s", endless)

        assert lab.run_once("r").wake_at == lab.now + 30
        assert lab.run_once("s").wake_at is None


def test_a_rollback_under_way_has_no_deadline(lab: Lab) -> None:
    fails = [True, False]

    def undo(output: str) -> None:
        if fails.pop(0):
            raise ValueError("not yet")
        undone.append(output)

    careful = step(lambda: "hotel", name="hotel", rollback=undo, backoff=3_600, backoff_max=7_200)

    @workflow(deadline=60)
    def trip() -> None:
        checkpoint("booked")
        careful()
        raise flowkit.CriticalError("no trip")

    lab.start("r", trip)
    with pytest.raises(flowkit.CriticalError):
        lab.run_to_end("r")

    assert (undone, lab.get("r").status()) == (["hotel"], "failed")


def test_a_deadline_that_cannot_be_is_refused_at_decoration() -> None:
    with pytest.raises(ValueError, match="deadline"):
        workflow(deadline="soon")


# --- in a worker, while something runs ------------------------------------------------------------------------------


def test_a_deadline_ends_a_body_under_way(tmp_path: Path) -> None:
    heard = threading.Event()

    @step(timeout=None)
    def endless() -> None:
        while not stopping(wait=0.05):
            pass
        heard.set()

    @workflow(deadline=0.3)
    def stuck() -> None:
        checkpoint("booked")
        book("flight")
        endless()

    with flowkit.open(tmp_path / "a.db") as fk:
        run = fk.start("r", stuck)
        with pytest.raises(RunFailed, match="DeadlineExceeded"):
            run.result(timeout=5)
        assert heard.wait(5)

    assert undone == ["flight"]


def test_a_deadline_ends_an_async_body_under_way(tmp_path: Path) -> None:
    import asyncio

    cancelled = threading.Event()

    @step(timeout=None)
    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    @aio.workflow(deadline=0.3)
    async def stuck() -> None:
        await aio.checkpoint("booked")
        await book.aio("flight")
        await endless()

    with flowkit.open(tmp_path / "a.db") as fk:
        with pytest.raises(RunFailed, match="DeadlineExceeded"):
            fk.start("r", stuck).result(timeout=5)
        assert cancelled.wait(5)

    assert undone == ["flight"]


def test_a_deadline_ends_branches_of_which_one_works_and_one_waits(tmp_path: Path) -> None:
    @step(timeout=None)
    def endless() -> None:
        while not stopping(wait=0.05):
            pass

    @workflow(deadline=0.3)
    def stuck() -> None:
        checkpoint("booked")
        book("flight")
        join(works=endless, waits=lambda: receive("go"))

    with flowkit.open(tmp_path / "a.db") as fk, pytest.raises(RunFailed, match="DeadlineExceeded"):
        fk.start("r", stuck).result(timeout=5)

    assert undone == ["flight"]


def test_a_run_that_lingers_hears_its_deadline(tmp_path: Path) -> None:
    @workflow(deadline=0.2)
    def lingers() -> None:
        sleep(0.9)

    with flowkit.open(tmp_path / "a.db") as fk, pytest.raises(RunFailed, match="DeadlineExceeded"):
        fk.start("r", lingers).result(timeout=5)


def test_a_parked_run_of_a_worker_is_woken_at_its_deadline(tmp_path: Path) -> None:
    @workflow(deadline=0.3)
    def parked() -> None:
        receive("go")

    with flowkit.open(tmp_path / "a.db") as fk, pytest.raises(RunFailed, match="DeadlineExceeded"):
        fk.start("r", parked).result(timeout=5)
