"""Verbs on runs that are under way in a real worker."""

import asyncio
import threading

import pytest

from flowkit import RunCancelled, checkpoint, receive, sleep, step, stopping, workflow
from flowkit.client import Flowkit
from tests.runtime.waiting import until


def test_cancelling_really_cancels_an_async_body(fk: Flowkit) -> None:
    entered, cancelled = threading.Event(), threading.Event()

    @step
    async def endless() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @workflow
    async def hangs() -> None:
        await endless()

    run = fk.start("r", hangs)
    assert entered.wait(5)

    run.cancel()

    head = fk.driver.get("r").head
    assert run.status() == "cancelled"
    assert cancelled.wait(2)
    until(lambda: fk.worker.held() == 0)
    assert fk.driver.get("r").head == head


def test_cancelling_tells_a_plain_body(fk: Flowkit) -> None:
    entered, told = threading.Event(), threading.Event()

    @step
    def patient() -> str:
        entered.set()
        if stopping(wait=5):
            told.set()
        return "too late"

    @workflow
    def hangs() -> str:
        return patient()

    run = fk.start("r", hangs)
    assert entered.wait(5)

    run.cancel()

    assert told.wait(2)
    until(lambda: fk.worker.held() == 0)
    with pytest.raises(RunCancelled):
        run.result()
    assert [(entry.status, entry.output) for entry in run.history()] in ([], [("cancelled", None)])


def test_cancelling_a_sleeping_run_needs_no_worker(fk: Flowkit) -> None:
    @workflow
    def naps() -> None:
        sleep("1h")

    run = fk.start("r", naps)
    until(lambda: run.status() == "sleeping")

    run.cancel()

    assert [(entry.kind, entry.status) for entry in run.history()] == [("sleep", "cancelled")]


def test_cancelling_with_rollback_runs_the_handlers_first(fk: Flowkit) -> None:
    undone: list[str] = []

    @step(rollback=undone.append)
    def reserve() -> str:
        return "seat 4"

    @workflow
    def books() -> None:
        checkpoint("start")
        reserve()
        receive("paid")

    run = fk.start("r", books)
    until(lambda: run.status() == "sleeping")

    run.cancel(rollback=True)

    with pytest.raises(RunCancelled):
        run.result(timeout=5)
    assert undone == ["seat 4"]


def test_a_paused_run_begins_nothing_new_and_keeps_what_was_under_way(fk: Flowkit) -> None:
    entered, door = threading.Event(), threading.Event()
    begun: list[str] = []

    @step
    def first() -> str:
        begun.append("first")
        entered.set()
        door.wait(5)
        return "one"

    @step
    def second() -> str:
        begun.append("second")
        return "two"

    @workflow
    def works() -> str:
        return first() + second()

    run = fk.start("r", works)
    entered.wait(5)

    run.pause()
    door.set()

    until(lambda: fk.driver.get("r").owner is None)
    assert run.status() == "paused"
    assert [(entry.location, entry.output) for entry in run.history()] == [("first", "one")]
    assert begun == ["first"]
    run.resume()
    assert run.result(timeout=5) == "onetwo"
    assert begun == ["first", "second"]


def test_a_paused_run_hears_no_message_until_it_is_resumed(fk: Flowkit) -> None:
    @workflow
    def waits() -> str:
        return str(receive("go").data)

    run = fk.start("r", waits)
    until(lambda: run.status() == "sleeping")
    run.pause()

    run.send("go", "on")

    with pytest.raises(TimeoutError):
        run.result(timeout=0.1)
    run.resume()
    assert run.result(timeout=5) == "on"


def test_a_woken_run_that_is_not_due_goes_back_to_waiting(fk: Flowkit) -> None:
    @workflow
    def naps() -> None:
        sleep("1h")

    run = fk.start("r", naps)
    until(lambda: run.status() == "sleeping")
    due = fk.driver.get("r").wake_at

    run.wake()

    until(lambda: fk.driver.get("r").passes == 2)
    until(lambda: run.status() == "sleeping")
    assert fk.driver.get("r").wake_at == due


def test_an_evicted_run_is_told_and_goes_on(fk: Flowkit) -> None:
    told: list[bool] = []
    entered = threading.Event()

    @step
    def patient() -> str:
        entered.set()
        told.append(stopping(wait=5) if not told else False)
        return f"body {len(told)}"

    @step
    def after() -> str:
        return "after"

    @workflow
    def works() -> list[str]:
        return [patient(), after()]

    run = fk.start("r", works)
    entered.wait(5)

    run.evict()

    assert run.result(timeout=5) == ["body 1", "after"]
    assert told == [True]
    assert fk.driver.get("r").passes == 2


def test_verbs_on_an_ended_run_do_nothing(fk: Flowkit) -> None:
    @workflow
    def quick() -> str:
        return "done"

    run = fk.start("r", quick)
    run.result(timeout=5)

    for verb in (run.cancel, run.pause, run.resume, run.wake, run.evict):
        verb()

    assert (run.status(), run.result()) == ("completed", "done")
