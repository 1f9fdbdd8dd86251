"""The log of runs has bounds, can be switched off, and does no harm to those who log or to their runs."""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import aio, step, workflow
from flowkit.client import Flowkit
from flowkit.client.reader import Reader
from flowkit.core.line import Line
from flowkit.drivers.base import Log, Op, Result, Started
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import StoreError
from flowkit.settings import Settings
from tests.drivers import ops
from tests.runtime.logged import charge, kept, log, order, texts, work
from tests.runtime.waiting import until

pytestmark = pytest.mark.usefixtures("talkative")

MOST_LINES = Settings().log_lines
MOST_CHARACTERS = Settings().log_characters


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_of_a_step_a_thousand_lines_are_kept_and_one_counts_the_others(path: Path) -> None:
    @step
    def chatty() -> None:
        for n in range(MOST_LINES + 234):
            log.info("line %d", n)

    @workflow
    def chatters() -> None:
        chatty()
        charge(1)

    work(path, chatters)

    found = kept(path, location="chatty")
    assert texts(found[:MOST_LINES]) == [f"line {n}" for n in range(MOST_LINES)]
    assert texts(found[MOST_LINES:]) == [f"234 lines were dropped: of one place in a run {MOST_LINES:,} are kept."]
    assert texts(kept(path, location="charge")) == ["charging 1"]


def test_the_attempts_of_a_step_share_its_thousand_lines(path: Path) -> None:
    tries: list[int] = []

    @step(retries=2, backoff=1.5)
    def chatty() -> None:
        tries.append(1)
        for n in range(600):
            log.info("try %d, line %d", len(tries), n)
        if len(tries) < 3:
            raise flowkit.RetryAfter(0.001)

    @workflow
    def chatters() -> None:
        chatty()

    work(path, chatters)

    found = kept(path)
    assert len(found) == MOST_LINES + 1
    assert "800 lines were dropped" in texts(found)[-1]


def test_of_a_run_no_more_lines_are_kept_than_the_setting_says(path: Path) -> None:
    @step
    def chatty(turn: int) -> None:
        for n in range(100):
            log.info("turn %d, line %d", turn, n)

    @workflow
    def talks_on(turns: int) -> None:
        for turn in range(turns):
            chatty(turn)

    work(path, talks_on, 10, settings=Settings(log_run_lines=150))

    found = texts(kept(path))
    assert len(found) == 150
    assert found[0] == "turn 8, line 50"
    assert found[-1] == "turn 9, line 99"
    with flowkit.open(path, worker=False) as fk:
        row = fk.driver.get("r")
        assert row is not None
        assert Reader(fk).dropped_lines(row.seq) == 850


def test_a_run_that_logs_for_ever_does_not_make_the_file_larger(path: Path) -> None:
    """What ten million lines would do, at a bound so low that thirty thousand show it."""
    with closing(SQLiteDriver(path, "process")) as driver:
        (started,) = driver.write([ops.start("r")], 0.0)
        assert isinstance(started, Started)
        sizes = []
        for turn in range(150):
            lines = [Line(seq=turn * 200 + n, at=0.0, location=f"chatty#{turn}", text=b"x" * 100) for n in range(1, 201)]
            driver.write([Log(run=started.run, lines=lines, most=1_000)], 0.0)
            sizes.append(pages(path))

    assert max(sizes[30:]) <= max(sizes[:30]) + 4
    assert texts(kept(path))[-1] == "x" * 100


def pages(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA page_count").fetchone()[0])


def test_a_long_text_is_cut_in_the_middle(path: Path) -> None:
    @step
    def long() -> None:
        log.info("begin%send", "x" * 1_000_000)

    @workflow
    def says() -> None:
        long()

    work(path, says)

    (text,) = texts(kept(path))
    assert text.startswith("beginxxx")
    assert text.endswith("xxxend")
    assert f"… {1_000_008 - MOST_CHARACTERS:,} characters left out …" in text
    assert len(text) < MOST_CHARACTERS + 100


@pytest.mark.parametrize(
    "text",
    ["a\0b", "lone \ud800 half", "\u202eright to left", "</script>", "%s %d"],
    ids=["NUL", "half", "direction", "markup", "percent"],
)
def test_any_text_can_be_kept(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "propagate", False)  # pytest's own report cannot hold every text

    @step
    def says() -> None:
        log.info(text)

    @workflow
    def hostile() -> None:
        says()

    work(path, hostile)

    assert texts(kept(path)) == [text.replace("\ud800", "\\ud800")]


# --- what is kept ---------------------------------------------------------------------------------------------------


@step
def all_levels() -> None:
    for level in (10, 20, 25, 30, 40):
        log.log(level, "level %d", level)


@workflow
def levels() -> None:
    all_levels()


@pytest.mark.parametrize(
    ("wish", "least"), [("INFO", 20), ("debug", 10), (25, 25), (logging.ERROR, 40)], ids=["INFO", "debug", "25", "ERROR"]
)
def test_lines_are_kept_from_a_level_on(path: Path, wish: Any, least: int) -> None:
    work(path, levels, capture_logs=wish)

    assert [line.level for line in kept(path)] == [level for level in (10, 20, 25, 30, 40) if level >= least]


def test_it_can_be_switched_off(path: Path) -> None:
    work(path, levels, capture_logs=None)

    assert kept(path) == []


@pytest.mark.parametrize("wish", ["LOUD", -1, True, 1.5, ""])
def test_a_level_that_is_none_is_refused(path: Path, wish: Any) -> None:
    with pytest.raises(ValueError, match="capture_logs is a level"):
        flowkit.open(path, capture_logs=wish)


def test_what_a_logger_does_not_let_through_is_not_kept(path: Path) -> None:
    log.setLevel(logging.ERROR)

    work(path, levels)

    assert [line.level for line in kept(path)] == [40]


def test_a_logger_that_does_not_propagate_is_heard(path: Path) -> None:
    log.propagate = False
    try:
        work(path, order)
    finally:
        log.propagate = True

    assert texts(kept(path)) == ["an order", "charging 5"]


# --- harm -----------------------------------------------------------------------------------------------------------


def test_logging_is_left_as_it_was_found(path: Path) -> None:
    before = (logging.getLogRecordFactory(), list(logging.getLogger().handlers), logging.getLogger().level)

    with flowkit.open(path), flowkit.open(path):
        during = list(logging.getLogger().handlers), logging.getLogger().level

    assert during == before[1:]
    assert (logging.getLogRecordFactory(), *during) == before


def test_a_factory_that_was_put_around_ours_goes_on(path: Path) -> None:
    first = logging.getLogRecordFactory()
    made: list[str] = []

    with flowkit.open(path, workflows=[]):
        ours = logging.getLogRecordFactory()

        def mine(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = ours(*args, **kwargs)
            made.append(record.getMessage())
            return record

        logging.setLogRecordFactory(mine)
    try:
        log.info("hello")
        assert logging.getLogRecordFactory() is mine
    finally:
        logging.setLogRecordFactory(first)

    assert made == ["hello"]


class Tells:
    """Whoever prints it makes a record."""

    def __str__(self) -> str:
        log.info("told by %s", self)
        return "itself"


class Refuses:
    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("made", [Tells, Refuses])
def test_a_record_that_cannot_be_made_text_of_harms_nobody(
    path: Path, made: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.propagate = False
    quiet = logging.NullHandler()
    log.addHandler(quiet)

    @step
    def says() -> str:
        log.info("it is %s", made())
        log.info("more")
        return "done"

    @workflow
    def hostile() -> str:
        return says()

    try:
        assert work(path, hostile) == "done"
    finally:
        log.propagate = True
        log.removeHandler(quiet)

    assert len(kept(path)) == 2
    assert texts(kept(path))[-1] == "more"


class RefusesLines(MemoryDriver):
    """A store that fails whenever lines are written, as often as it is told."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.lines: list[Line] = []
        self.writes = 0

    def write(self, ops: Any, now: float) -> list[Result]:
        logs = [op for op in ops if isinstance(op, Log)]
        if logs and self.failures > 0:
            self.failures -= 1
            raise StoreError("no room")
        self.writes += bool(logs)
        self.lines += [line for op in logs for line in op.lines]
        return super().write(ops, now)


def test_a_store_that_fails_gets_the_lines_later() -> None:
    driver = RefusesLines(failures=1)

    with closing(Flowkit(driver)) as fk:
        assert fk.start("r", order).result(timeout=8) == 5
        until(lambda: driver.lines)

    assert texts(driver.lines) == ["an order", "charging 5"]


def test_a_thousand_lines_are_few_writes() -> None:
    driver = RefusesLines(failures=0)

    @step
    def chatty() -> None:
        for n in range(900):
            log.info("line %d", n)

    @workflow
    def chatters() -> None:
        chatty()

    with closing(Flowkit(driver)) as fk:
        fk.start("r", chatters).result(timeout=8)

    assert len(driver.lines) == 900
    assert driver.writes <= 10


def test_a_commit_carries_no_lines() -> None:
    batches: list[list[Op]] = []

    class Mixed(MemoryDriver):
        def write(self, ops: Any, now: float) -> list[Result]:
            batches.append(list(ops))
            return super().write(ops, now)

    with closing(Flowkit(Mixed())) as fk:
        fk.start("r", order).result(timeout=8)

    assert [len(batch) for batch in batches if any(isinstance(op, Log) for op in batch)] == [1]


def test_runs_that_log_nothing_have_no_thread_for_it(path: Path) -> None:
    @workflow
    def quiet() -> int:
        return 1

    with flowkit.open(path) as fk:
        fk.start("r", quiet).result(timeout=8)
        names = {thread.name for thread in threading.enumerate()}

    assert "flowkit-worker" in names
    assert "flowkit-logs" not in names


def test_warnings_are_printed_as_if_nobody_listened(path: Path) -> None:
    code = (
        "import logging, flowkit\n"
        "@flowkit.workflow\n"
        "def warns(n: int):\n"
        "    logging.getLogger('shop').warning('printed %d', n)\n"
        f"with flowkit.open({str(path)!r}) as fk:\n"
        "    fk.run('one', warns, 1)\n"
        "    logging.basicConfig(format='configured: %(message)s')\n"
        "    fk.run('two', warns, 2)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=9, check=True)

    assert done.stderr.splitlines() == ["printed 1", "configured: printed 2"]
    assert texts(kept(path, "two")) == ["printed 2"]


def test_the_awaitable_twin_keeps_lines_too(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path, capture_logs="WARNING") as fk:
            await (await fk.start("r", order)).result(timeout=8)

    asyncio.run(main())

    assert texts(kept(path)) == ["charging 5"]
