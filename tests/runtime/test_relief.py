"""A worker that newer code relieves: what becomes of its runs, of its lease while it drains, and of its open handle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import flowkit
import flowkit.aio
from flowkit import StepInterrupted, StoreError, Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Op, Result
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import InvalidName
from flowkit.runtime.serving import Rollout, read_serving
from flowkit.settings import Settings
from tests.runtime.waiting import until

QUICK = Settings(succession=0.05, reap=0.02, beat=0.05)
Open = Callable[..., Flowkit]


@workflow(name="other")
def other() -> str:
    return "other"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens handles of a version on one database."""
    handles: list[Flowkit] = []

    def open_it(version: str, *workflows: Workflow[..., Any], drain_older: bool = False, **options: Any) -> Flowkit:
        options.setdefault("settings", QUICK)
        handles.append(flowkit.open(path, workflows=workflows, version=version, drain_older=drain_older, **options))
        return handles[-1]

    yield open_it
    for handle in handles:
        handle.close()


class Flaky(SQLiteDriver):
    """Takes no write while `failing` is set."""

    failing: threading.Event

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        if self.failing.is_set():
            raise StoreError("the disk is full")
        return super().write(ops, now)


def flaky(path: Path, settings: Settings, failing: threading.Event) -> Flaky:
    driver = Flaky(path, settings=settings)
    driver.failing = failing
    return driver


def gone(fk: Flowkit, version: str) -> bool:
    """Whether no worker of this version lives."""
    return all(read_serving(row.info).version != version for row in fk.driver.workers() if row.alive)


class Long:
    """A workflow of one step whose first body goes on until `door` opens."""

    def __init__(self, *, at_most_once: bool = False) -> None:
        self.calls: list[int] = []
        self.entered, self.door = threading.Event(), threading.Event()

        @step(name="long", at_most_once=at_most_once)
        def long() -> int:
            self.calls.append(number := len(self.calls))
            if number == 0:
                self.entered.set()
                self.door.wait(20)
            return number

        @workflow(name="order")
        def order() -> int:
            try:
                return long()
            except StepInterrupted:
                return -1

        self.order = order


def test_a_body_that_ends_within_the_grace_is_not_done_again(opened: Open) -> None:
    long = Long()
    old = opened("1", long.order)
    run = old.start("r", long.order)
    long.entered.wait(5)

    new = opened("2", long.order, drain_older=True)
    until(lambda: old.relieved)
    long.door.set()

    assert new.get("r").result(timeout=9) == 0
    assert run.result(timeout=9) == 0
    assert long.calls == [0]


def test_a_body_that_outlasts_the_grace_is_given_up_and_done_by_the_newer_worker(opened: Open) -> None:
    long = Long()
    old = opened("1", long.order, settings=Settings(succession=0.05, reap=0.02, beat=0.05, grace=0.2))
    old.start("r", long.order)
    long.entered.wait(5)

    new = opened("2", long.order, drain_older=True)

    assert new.get("r").result(timeout=9) == 1
    long.door.set()
    assert [entry.output for entry in new.get("r").history()] == [1]


def test_an_at_most_once_body_that_outlasts_the_grace_is_never_begun_again(opened: Open) -> None:
    long = Long(at_most_once=True)
    old = opened("1", long.order, settings=Settings(succession=0.05, reap=0.02, beat=0.05, grace=0.2))
    old.start("r", long.order)
    long.entered.wait(5)

    new = opened("2", long.order, drain_older=True)

    assert new.get("r").result(timeout=9) == -1
    assert long.calls == [0]
    long.door.set()


def test_a_worker_that_serves_more_than_the_newer_one_stays_beside_it(opened: Open) -> None:
    long = Long()
    long.door.set()
    old = opened("1", long.order, other)

    new = opened("2", long.order, drain_older=True)
    threading.Event().wait(0.3)  # several looks

    assert old.relieved == ""
    assert new.start("r", other).result(timeout=9) == "other"


def test_a_handle_whose_worker_was_relieved_goes_on_as_a_client(opened: Open) -> None:
    long = Long()
    long.door.set()
    old = opened("1", long.order)

    opened("2", long.order, drain_older=True)
    until(lambda: gone(old, "1"))

    assert old.start("r", long.order).result(timeout=9) == 0
    assert old.start("s", long.order).result(timeout=9) == 1


def test_a_relieved_handle_still_has_patience_with_a_store_that_fails_for_a_moment(path: Path, opened: Open) -> None:
    failing = threading.Event()

    settings = Settings(succession=0.05, reap=0.02, beat=0.05, grace=0.05, write_retry=0.1)
    old = Flowkit(flaky(path, settings, failing), workflows=[other], settings=settings, rollout=Rollout("1"))
    opened("2", other, drain_older=True)
    until(lambda: gone(old, "1"))

    failing.set()
    threading.Timer(0.6, failing.clear).start()
    first = threading.Thread(target=lambda: old.start("a", other))
    first.start()
    until(lambda: not old.house.writer.healthy)
    run = old.start("b", other)
    first.join(9)

    assert run.result(timeout=9) == "other"
    old.close()


def test_a_store_that_fails_while_a_worker_drains_keeps_it_no_longer_than_its_grace(path: Path, opened: Open) -> None:
    failing, long = threading.Event(), Long()

    settings = Settings(succession=0.05, reap=0.02, beat=0.05, grace=0.5, write_retry=0.1)
    old = Flowkit(flaky(path, settings, failing), workflows=[long.order], settings=settings, rollout=Rollout("1"))
    old.start("r", long.order)
    long.entered.wait(5)
    failing.set()
    new = opened("2", long.order, drain_older=True)

    until(lambda: old.relieved)
    long.door.set()

    until(lambda: gone(new, "1"), 9)
    assert new.get("r").result(timeout=9) == 1  # done again: what the first body came to was never written
    failing.clear()
    old.close()


def test_a_worker_that_is_asked_to_stop_says_so_and_relieves_nobody(opened: Open) -> None:
    long = Long()
    new = opened("2", long.order, drain_older=True)
    new.start("r", long.order)
    long.entered.wait(5)

    closing = threading.Thread(target=new.close)
    closing.start()
    old = opened("1", long.order)
    (row,) = until(lambda: [each for each in old.driver.workers() if read_serving(each.info).leaving])
    long.door.set()
    closing.join(9)

    assert read_serving(row.info).version == "2"
    assert old.relieved == ""


def test_the_async_colour_gives_a_version_and_is_relieved_too(path: Path, opened: Open) -> None:
    async def roll_out() -> str:
        async with flowkit.aio.open(path, workflows=[other], version="1", settings=QUICK) as fk:
            assert fk.relieved == ""
            opened("2", other, drain_older=True)
            await asyncio.to_thread(until, lambda: fk.relieved)
            return fk.relieved

    assert asyncio.run(roll_out()).endswith("version 2")


def test_the_version_of_the_environment_is_that_of_a_handle_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_VERSION", "2.4")

    with flowkit.open(path, workflows=[other]) as fk:
        assert [read_serving(row.info).version for row in fk.driver.workers()] == ["2.4"]


@pytest.mark.parametrize("worker", [True, False])
def test_a_version_of_the_environment_that_cannot_be_is_refused_by_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch, worker: bool
) -> None:
    monkeypatch.setenv("FLOWKIT_VERSION", "")

    with pytest.raises(InvalidName, match=r"cannot be empty \(environment FLOWKIT_VERSION\); it is text of 1 to 200"):
        flowkit.open(path, worker=worker)

    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"version": ""}, InvalidName), ({"version": "2\n4"}, InvalidName), ({"drain_older": True}, ValueError)],
)
def test_a_version_that_cannot_be_is_refused_before_anything_is_opened(
    path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="version"):
        flowkit.open(path, **options)

    assert not path.exists()
