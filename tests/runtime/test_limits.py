"""Limits: what a run may not outgrow, the error that says so, and that a person who raises the limit lets it go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import (
    Break,
    EndlessLoop,
    HistoryFull,
    InboxFull,
    LimitReached,
    RunConflict,
    StepTimeout,
    TooManyBranches,
    TooManyTags,
    aio,
    join,
    loop,
    race,
    receive,
    send,
    sleep,
    step,
    workflow,
)
from flowkit.core.location import split
from flowkit.settings import Settings
from flowkit.testing import Lab
from tests.primitives.pairs import both
from tests.runtime.waiting import until


@pytest.fixture
def small() -> Iterator[Lab]:
    """A lab with small limits."""
    with Lab(settings=Settings(history=12, loop_turns=5, branches=3, inbox=2, tags=2)) as made:
        yield made


def raised(lab: Lab, **limits: int) -> Lab:
    """The same store, opened with other limits."""
    return Lab(driver=lab.client.driver.inner, settings=Settings(**limits))  # type: ignore[attr-defined, arg-type]  # of a Lab


@step
def tick(n: int = 0) -> int:
    return n


# --- history --------------------------------------------------------------------------------------------------------


@workflow
def long() -> int:
    return sum(tick(n) for n in range(20))


@aio.workflow
async def along() -> int:
    return sum([await tick.aio(n) for n in range(20)])


@both(long, along)
def test_a_run_with_too_many_live_entries_is_blocked_and_goes_on_once_the_limit_is_raised(small: Lab, flow: Any) -> None:
    run = small.start("r", flow)

    blocked = small.run_once("r")

    assert blocked.status == "blocked"
    assert isinstance(blocked.error, HistoryFull)
    assert (blocked.error.setting, len(run.history())) == ("history", 12)
    assert "raise the setting history and resume()" in str(blocked.error)
    with raised(small, history=100) as lab:
        run = lab.get("r")
        run.resume()
        assert lab.run_once("r", workflow=flow).output == sum(range(20))


@both(long, along)
def test_what_a_person_raised_only_a_little_blocks_again(small: Lab, flow: Any) -> None:
    small.start("r", flow)
    small.run_once("r")

    with raised(small, history=15) as lab:
        lab.get("r").resume()
        assert lab.run_once("r", workflow=flow).status == "blocked"
        assert len(lab.history("r")) == 15


# --- loops ----------------------------------------------------------------------------------------------------------


@workflow
def spins(times: int, naps: bool) -> int:
    turns = []

    def turn() -> Break[int] | None:
        turns.append(1)
        if naps:
            sleep(0)
            receive("go")
        return Break(len(turns)) if len(turns) >= times else None

    found: int = loop(turn, prune_every=2)
    return found


@aio.workflow
async def aspins(times: int, naps: bool) -> int:
    turns = []

    async def turn() -> Break[int] | None:
        turns.append(1)
        if naps:
            await aio.sleep(0)
            await aio.receive("go")
        return Break(len(turns)) if len(turns) >= times else None

    found: int = await aio.loop(turn, prune_every=2)
    return found


@both(spins, aspins)
def test_a_loop_that_never_waits_is_blocked_by_its_name(small: Lab, flow: Any) -> None:
    small.start("r", flow, 1_000_000, False)

    blocked = small.run_once("r")

    assert blocked.status == "blocked"
    assert isinstance(blocked.error, EndlessLoop)
    assert "loop 'turn'" in str(blocked.error)
    assert "made 5 turns and never waited" in str(blocked.error)


@both(spins, aspins)
def test_a_loop_may_make_as_many_turns_as_the_limit_says(small: Lab, flow: Any) -> None:
    small.start("r", flow, 5, False)

    assert small.run_once("r").output == 5


@both(spins, aspins)
def test_a_loop_that_waits_may_go_on_for_ever(small: Lab, flow: Any) -> None:
    small.start("r", flow, 1_000_000, True)

    for _ in range(12):
        small.send("r", "go")
        assert small.run_once("r").status == "sleeping"


# --- branches -------------------------------------------------------------------------------------------------------


@workflow
def forks(count: int, inner: int = 0) -> int:
    def branch(n: int) -> int:
        return len(join("deeper", {f"c{k}": tick for k in range(inner)})) if inner else tick(n)

    return len(join("all", {f"b{n}": lambda n=n: branch(n) for n in range(count)}))


@aio.workflow
async def aforks(count: int, inner: int = 0) -> int:
    async def branch(n: int) -> int:
        if inner:
            return len(await aio.join("deeper", {f"c{k}": tick.aio for k in range(inner)}))
        return await tick.aio(n)

    return len(await aio.join("all", {f"b{n}": lambda n=n: branch(n) for n in range(count)}))


@both(forks, aforks)
@pytest.mark.parametrize(
    ("count", "inner", "ends"), [(3, 0, "completed"), (4, 0, "blocked"), (1, 2, "completed"), (1, 3, "blocked")]
)
def test_a_run_may_not_have_too_many_branches_open_at_once(small: Lab, flow: Any, count: int, inner: int, ends: str) -> None:
    small.start("r", flow, count, inner)

    done = small.run_once("r")

    assert done.status == ends
    assert ends == "completed" or isinstance(done.error, TooManyBranches)


@both(forks, aforks)
def test_branches_that_are_too_many_leave_no_trace_and_begin_nothing(small: Lab, flow: Any) -> None:
    run = small.start("r", flow, 4)

    small.run_once("r")

    assert run.history() == []


@workflow
def one_of(count: int) -> str:
    return race("first", {f"b{n}": lambda: tick(1) for n in range(count)}).name


def test_a_race_counts_like_a_join(small: Lab) -> None:
    small.start("r", one_of, 4)

    assert isinstance(small.run_once("r").error, TooManyBranches)


def test_code_that_catches_everything_cannot_go_on_past_a_limit(small: Lab) -> None:
    @workflow
    def stubborn() -> str:
        try:
            long()
        except Exception:
            return "went on"
        return "done"

    small.start("r", stubborn)

    assert isinstance(small.run_once("r").error, LimitReached)


# --- inbox ----------------------------------------------------------------------------------------------------------


@workflow
def deaf() -> None:
    receive("never")


@workflow
def talks(to: str, times: int) -> str:
    try:
        for n in range(times):
            send(to, "hello", n)
    except InboxFull as error:
        return f"{type(error).__name__}: {error}"
    return "sent"


@aio.workflow
async def atalks(to: str, times: int) -> str:
    try:
        for n in range(times):
            await aio.send(to, "hello", n)
    except InboxFull as error:
        return f"{type(error).__name__}: {error}"
    return "sent"


def test_a_full_inbox_is_told_to_the_sender_outside(small: Lab) -> None:
    run = small.start("r", deaf)
    run.send("a")
    run.send("b")

    with pytest.raises(InboxFull, match="the inbox of run 'r' is full, 2 wait in it"):
        run.send("c")
    assert issubclass(InboxFull, RunConflict)


@both(talks, atalks)
def test_a_full_inbox_is_a_recorded_failure_of_the_sending_run(small: Lab, flow: Any) -> None:
    small.start("to", deaf)
    small.start("r", flow, "to", 3)

    first = small.run_once("r").output
    small.crash()

    assert first == "InboxFull: cannot send 'hello': the inbox of run 'to' is full"
    assert [split(entry.location)[1] + " " + entry.status for entry in small.history("r")] == [
        "hello completed", "hello#2 completed", "hello#3 failed",
    ]  # fmt: skip


def test_a_full_inbox_of_a_file_is_told_too(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "a.db", worker=False, settings={"inbox": 1}) as fk:
        run = fk.start("r", deaf)
        run.send("a")

        with pytest.raises(InboxFull):
            run.send("b")


# --- tags -----------------------------------------------------------------------------------------------------------


def test_a_run_may_not_start_with_too_many_tags(small: Lab) -> None:
    with pytest.raises(TooManyTags, match="a run can have 2 tags, not 3"):
        small.start("r", deaf.options(tags=("a", "b", "c")))


def test_too_many_tags_are_refused_later_too(small: Lab) -> None:
    run = small.start("r", deaf.options(tags=("a", "b")))

    with pytest.raises(TooManyTags):
        small.client.desk.tag("r", ["c"], [])
    assert run.status() == "pending"


def test_the_async_client_is_told_of_tags_and_inboxes_too(tmp_path: Path) -> None:
    import asyncio

    async def told() -> list[str]:
        found = []
        async with aio.open(tmp_path / "a.db", worker=False, settings=Settings(inbox=1, tags=1)) as fk:
            run = await fk.start("r", deaf)
            await run.send("a")
            for wrong in (run.send("b"), fk.start("s", deaf.options(tags=("a", "b")))):
                try:
                    await wrong
                except (InboxFull, TooManyTags) as error:
                    found.append(type(error).__name__)
        return found

    assert asyncio.run(told()) == ["InboxFull", "TooManyTags"]


# --- bodies that go on after their timeout --------------------------------------------------------------------------


def test_a_body_that_goes_on_after_its_timeout_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    freed = threading.Event()

    @step(timeout=0.05)
    def deafens() -> None:
        freed.wait(5)

    @workflow
    def patient() -> str:
        try:
            deafens()
        except StepTimeout:
            return "timed out"
        return "done"

    caplog.set_level(logging.WARNING)
    with flowkit.open(tmp_path / "a.db", settings={"abandoned_after": "100ms"}) as fk:
        assert fk.start("r", patient).result(timeout=5) == "timed out"

        said = until(lambda: [each for each in caplog.records if "still runs" in each.getMessage()])
        freed.set()

    assert len(said) == 1
    assert "step 'deafens' of run 'r'" in said[0].getMessage()
    assert "stopping()" in said[0].getMessage()


def test_a_worker_holds_as_many_runs_as_the_setting_says(tmp_path: Path) -> None:
    freed = threading.Event()

    @step
    def holds() -> None:
        freed.wait(5)

    @workflow
    def held() -> None:
        holds()

    with flowkit.open(tmp_path / "a.db", workflows=[held], settings={"concurrency": 2}) as fk:
        for n in range(5):
            fk.start(f"r{n}", held)
        worker = fk.worker
        assert worker is not None
        until(lambda: worker.held() == 2)
        freed.set()
        until(lambda: {item.status for item in fk.runs()} == {"completed"})
