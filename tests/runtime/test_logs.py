"""What runs log is kept beside their history: once, by place and attempt, in bounds, and without harm to anybody."""

import asyncio
import logging
import threading
from contextlib import closing
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import CriticalError, RunFailed, attempt, checkpoint, join, loop, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from tests.runtime.logged import charge, kept, log, order, texts, work
from tests.runtime.waiting import until

pytestmark = pytest.mark.usefixtures("talkative")


# --- what a line says -----------------------------------------------------------------------------------------------


def test_a_line_says_where_it_was_logged_and_how(path: Path) -> None:
    work(path, order)

    code, body = kept(path)
    assert (code.location, code.part, code.attempt, code.level, code.logger, code.text) == (
        "", "code", 0, logging.INFO, "shop", b"an order"
    )  # fmt: skip
    assert (body.location, body.part, body.attempt, body.level, body.logger, body.text) == (
        "charge", "step", 1, logging.WARNING, "shop", b"charging 5"
    )  # fmt: skip
    assert code.at <= body.at


def test_async_code_and_bodies_are_heard_too(path: Path) -> None:
    @step
    async def fetch() -> str:
        log.info("fetching")
        await asyncio.sleep(0)
        return await asyncio.to_thread(ask)

    def ask() -> str:
        log.info("asking, in another thread")
        return "page"

    @workflow
    async def fetches() -> str:
        log.info("before")
        found = await fetch()
        log.info("after")
        return found

    work(path, fetches)

    assert [(line.location, line.text) for line in kept(path)] == [
        ("", b"before"), ("fetch", b"fetching"), ("fetch", b"asking, in another thread"), ("", b"after")
    ]  # fmt: skip


def test_a_thread_that_a_body_starts_in_its_context_logs_for_the_body(path: Path) -> None:
    @step
    def forks() -> None:
        context = copy_context()
        thread = threading.Thread(target=lambda: context.run(log.info, "from the thread"))
        thread.start()
        thread.join()

    @workflow
    def with_thread() -> None:
        forks()

    work(path, with_thread)

    assert [(line.location, line.text) for line in kept(path)] == [("forks", b"from the thread")]


def test_every_attempt_logs_under_its_number(path: Path) -> None:
    tries: list[int] = []

    @step(retries=2, backoff=0.001)
    def flaky() -> None:
        tries.append(1)
        log.info("try %d", len(tries))
        if len(tries) < 3:
            raise OSError("not yet")

    @workflow
    def retries() -> None:
        flaky()

    work(path, retries)

    assert [(line.attempt, line.text) for line in kept(path)] == [(1, b"try 1"), (2, b"try 2"), (3, b"try 3")]


def test_a_rollback_handler_logs_under_its_step(path: Path) -> None:
    def undo() -> None:
        log.info("undone")

    @step(rollback=undo)
    def book() -> None:
        log.info("booked")

    @workflow
    def books() -> None:
        checkpoint("all")
        book()
        raise CriticalError("no")

    with pytest.raises(RunFailed):
        work(path, books)

    assert [(line.location, line.part, line.attempt, line.text) for line in kept(path)] == [
        ("book", "step", 1, b"booked"), ("book", "rollback", 1, b"undone")
    ]  # fmt: skip


def test_a_traceback_is_part_of_its_line(path: Path) -> None:
    @step
    def catches() -> None:
        try:
            raise KeyError("missing")
        except KeyError:
            log.exception("went wrong")

    @workflow
    def caught() -> None:
        catches()

    work(path, caught)

    (line,) = texts(kept(path))
    assert line.startswith("went wrong\nTraceback")
    assert line.endswith("KeyError: 'missing'")


def test_what_no_run_logs_is_not_kept(path: Path) -> None:
    with flowkit.open(path) as fk:
        log.info("before")
        fk.start("r", order).result(timeout=8)
        log.info("after")

    assert len(kept(path)) == 2


# --- once -----------------------------------------------------------------------------------------------------------


@workflow
def waits() -> str:
    log.info("first")
    charge(1)
    log.info("second")
    try:
        said = receive("go").data
    finally:
        log.info("on the way out")
    log.info("third")
    charge(2)
    log.info("last")
    return str(said)


WAITED = ["first", "charging 1", "second", "on the way out", "third", "charging 2", "last"]


def parks(fk: Flowkit, code: Any) -> Any:
    run = fk.start("r", code)
    until(lambda: run.status() == "sleeping")
    return run


def test_workflow_code_that_is_replayed_does_not_say_again_what_it_said(path: Path) -> None:
    with flowkit.open(path) as fk:
        run = parks(fk, waits)
        run.send("go", "x")
        run.result(timeout=8)

    assert texts(kept(path)) == WAITED


def test_another_process_does_not_say_it_again_either(path: Path) -> None:
    with flowkit.open(path, workflows=[waits]) as fk:
        parks(fk, waits)
    with flowkit.open(path, workflows=[waits]) as fk:
        fk.get("r").send("go", "x")
        fk.get("r").result(timeout=8)

    assert texts(kept(path)) == WAITED


@workflow
def side_by_side() -> None:
    def quick() -> None:
        charge(1)
        log.info("quick is done")

    def slow() -> None:
        receive("a")
        receive("b")

    join(quick=quick, slow=slow)


@pytest.mark.parametrize("handles", [1, 3])
def test_a_branch_that_is_done_is_quiet_while_another_waits(path: Path, handles: int) -> None:
    with flowkit.open(path) as fk:
        parks(fk, side_by_side)
        if handles == 1:
            passes = fk.driver.get("r").passes
            fk.send("r", "a")
            until(lambda: fk.driver.get("r").passes > passes and fk.get("r").status() == "sleeping")
            fk.send("r", "b")
            fk.get("r").result(timeout=8)
    if handles == 3:
        for name in ("a", "b"):
            with flowkit.open(path) as fk:
                head = fk.driver.get("r").head
                fk.send("r", name)
                until(lambda fk=fk, head=head: fk.driver.get("r").head > head and fk.get("r").status() != "running")

    assert texts(kept(path)) == ["charging 1", "quick is done"]


def test_the_code_of_every_turn_and_block_logs_once(path: Path) -> None:
    def turn(n: int) -> Any:
        log.info("turn %d", n)
        charge(n)
        log.info("end of turn %d", n)
        receive("next")
        return flowkit.Continue(n + 1) if n < 2 else flowkit.Break(n)

    def block() -> None:
        log.info("block")
        charge(9)
        log.info("end of block")

    @workflow
    def turns() -> None:
        attempt(block)
        loop(turn, 0)

    with flowkit.open(path) as fk:
        parks(fk, turns)
    for _ in range(3):
        with flowkit.open(path) as fk:
            head = fk.driver.get("r").head
            fk.send("r", "next")
            until(lambda fk=fk, head=head: fk.driver.get("r").head > head and fk.get("r").status() != "running")

    said = ["block", "charging 9", "end of block"]
    for n in range(3):
        said += [f"turn {n}", f"charging {n}", f"end of turn {n}"]
    assert texts(kept(path)) == said


def test_what_history_has_passed_is_not_said_again_in_other_words(path: Path) -> None:
    passes: list[int] = []

    @workflow
    def counts() -> None:
        passes.append(1)
        try:
            log.info("pass %d begins", len(passes))
            charge(1)
            receive("go")
            log.info("pass %d goes on", len(passes))
        finally:
            log.info("pass %d ends", len(passes))

    with flowkit.open(path) as fk:
        run = parks(fk, counts)
        run.send("go")
        run.result(timeout=8)

    assert texts(kept(path)) == ["pass 1 begins", "charging 1", "pass 2 goes on", "pass 2 ends"]


def test_the_pass_that_looks_for_what_to_undo_says_nothing(path: Path) -> None:
    passes: list[int] = []

    @step(rollback=lambda: None)
    def book() -> None:
        return None

    @workflow
    def gives_up() -> None:
        passes.append(1)
        checkpoint("all")
        book()
        log.info("pass %d gives up", len(passes))
        raise CriticalError("no")

    with pytest.raises(RunFailed):
        work(path, gives_up)

    assert len(passes) == 2
    assert texts(kept(path)) == ["pass 1 gives up"]


def test_lines_that_the_code_repeats_on_purpose_are_all_kept(path: Path) -> None:
    @workflow
    def twice() -> None:
        for _ in range(2):
            log.info("again")

    work(path, twice)

    assert texts(kept(path)) == ["again", "again"]


def test_a_body_that_runs_again_logs_again(path: Path) -> None:
    entered = threading.Event()

    @step(timeout=None)
    def long() -> None:
        log.info("at it")
        if not entered.is_set():
            entered.set()
            flowkit.stopping(wait=5)
            raise OSError("stopped")

    @workflow
    def interrupted() -> None:
        long()

    with closing(Flowkit(open_driver(path), grace=0.0)) as fk:
        fk.start("r", interrupted)
        entered.wait(5)
    with flowkit.open(path) as fk:
        fk.get("r").result(timeout=8)

    assert set(texts(kept(path))) == {"at it"}
    assert len(kept(path)) >= 2
