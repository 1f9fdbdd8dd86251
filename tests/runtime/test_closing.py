"""Leaving: bodies get their grace, runs go back, and nothing of a handle stays behind."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import flowkit
from flowkit import StoreError, receive, sleep, step, stopping, workflow
from flowkit.client import Flowkit
from tests.house.source import ROOT
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


_USE = """
import gc, os, sys, threading, time
import flowkit
from tests.runtime import flows

def ours():
    names = {thread.name for thread in threading.enumerate()}
    return {name for name in names if name.startswith(("flowkit", "asyncio"))}

def descriptors():
    gc.collect()
    return len(os.listdir("/dev/fd"))

def settled(look):
    end = time.monotonic() + 5
    while not look() and time.monotonic() < end:
        time.sleep(0.01)
    return look()

def use():
    with flowkit.open(sys.argv[1]) as fk:
        fk.run(None, flows.joins)
        fk.run(None, flows.joins_async)
        list(fk.start(None, flows.joins).watch())

use()
assert settled(lambda: not ours()), ours()
before = descriptors()
use()
assert settled(lambda: not ours()), ours()
assert settled(lambda: descriptors() <= before), (before, descriptors())
"""


def test_nothing_of_a_handle_stays_behind(path: Path) -> None:
    """In a process of its own, where no other test has left anything."""
    done = subprocess.run(
        [sys.executable, "-c", _USE, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
