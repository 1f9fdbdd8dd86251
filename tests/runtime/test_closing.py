"""Leaving: bodies get their grace, runs go back, and nothing of a handle stays behind."""

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import flowkit
from flowkit import StoreError, receive, sleep, step, stopping, workflow
from flowkit.client import Flowkit
from tests.runtime.waiting import until


def test_a_body_may_end_while_the_handle_closes(path: Path) -> None:
    entered = threading.Event()
    begun: list[str] = []

    @step
    def first() -> str:
        begun.append("first")
        entered.set()
        stopping(wait=5)
        return "one"

    @step
    def second() -> str:
        begun.append("second")
        return "two"

    @workflow
    def works() -> str:
        return first() + second()

    with flowkit.open(path) as fk:
        fk.start("r", works)
        entered.wait(5)

    assert begun == ["first"]
    with flowkit.open(path) as fk:
        assert fk.get("r").result(timeout=5) == "onetwo"
        assert fk.driver.get("r").crashes == 0
    assert begun == ["first", "second"]


def test_a_plain_body_that_outlives_the_grace_is_given_up_and_runs_elsewhere(hasty: Callable[[], Flowkit]) -> None:
    entered, door = threading.Event(), threading.Event()
    calls: list[int] = []

    @step
    def stubborn() -> int:
        calls.append(number := len(calls))
        if number == 0:
            entered.set()
            door.wait(8)
        return number

    @workflow
    def works() -> int:
        return stubborn()

    first = hasty()
    first.start("r", works)
    entered.wait(5)

    first.close()

    second = hasty()
    assert second.get("r").result(timeout=5) == 1
    door.set()
    assert [entry.output for entry in second.get("r").history()] == [1]


def test_an_async_body_that_outlives_the_grace_is_cancelled(hasty: Callable[[], Flowkit]) -> None:
    entered, cancelled = threading.Event(), threading.Event()

    @step
    async def stubborn() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    @workflow
    async def works() -> None:
        await stubborn()

    first = hasty()
    first.start("r", works)
    entered.wait(5)

    first.close()

    assert cancelled.wait(2)
    assert hasty().get("r").status() in ("pending", "running")


def test_a_lingering_wait_is_given_back_as_sleeping(path: Path) -> None:
    @workflow
    def naps() -> str:
        sleep(0.9)
        return "rested"

    with flowkit.open(path) as fk:
        run = fk.start("r", naps)
        until(lambda: [entry.status for entry in run.history()])

    with flowkit.open(path, worker=False) as fk:
        assert fk.get("r").status() == "sleeping"


def test_whoever_waits_for_a_result_learns_that_the_handle_was_closed(path: Path) -> None:
    @workflow
    def waits() -> None:
        receive("go")

    caught: list[BaseException] = []
    fk = flowkit.open(path)
    run = fk.start("r", waits)

    def wait() -> None:
        try:
            run.result()
        except StoreError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    fk.close()
    thread.join(5)

    assert "closed" in str(caught[0])


def test_a_closed_handle_refuses_and_may_be_closed_again(path: Path) -> None:
    @workflow
    def quick() -> None:
        return None

    fk = flowkit.open(path)
    fk.close()

    with pytest.raises(StoreError, match="closed"):
        fk.start("r", quick)
    with pytest.raises(StoreError, match="closed"):
        fk.runs()
    fk.close()


def ours() -> set[str]:
    """The names of flowkit's threads, but for those that every `flowkit.aio` handle shares."""
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("flowkit", "asyncio")) and not name.startswith("flowkit-aio")}


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/dev/fd"))


def test_nothing_of_a_handle_stays_behind(path: Path) -> None:
    @step
    def plain() -> int:
        return 1

    @step
    async def looped() -> int:
        await asyncio.sleep(0)
        return 2

    @workflow
    def works() -> dict[str, int]:
        return flowkit.join(a=plain, b=plain)

    @workflow
    async def works_async() -> int:
        return await looped() + await plain.aio()

    def use() -> None:
        with flowkit.open(path) as fk:
            fk.run(None, works)
            fk.run(None, works_async)
            list(fk.start(None, works).watch())

    use()
    until(lambda: not ours())
    before = descriptors()

    use()

    until(lambda: not ours())
    until(lambda: descriptors() <= before)
