"""The checker itself: a clean trial has no violation, and each check turns red on a database or a log that was doctored."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowkit import receive, sleep, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.sql import ENTRY_COLUMNS
from flowkit.primitives.info import run_info
from tests.runtime.waiting import until
from tests.torture.checker import Workflows, check, contained
from tests.torture.log import Log, LoggingDriver, read_log

LOGS: list[Log] = []


@step
def work(location: str) -> str:
    token = os.urandom(8).hex()
    LOGS[-1].write("run", run_info().id, location, os.getpid(), token)
    return token


def saw(location: str, token: str) -> str:
    LOGS[-1].write("saw", run_info().id, location, token)
    return token


@workflow(name="small")
def small() -> str:
    first = saw("work", work("work"))
    sleep(0.01)
    words = [receive("note").data, receive("note").data]
    return " ".join([first, *words, saw("work#2", work("work#2"))])


@workflow(name="endless")
def endless() -> None:
    saw("work", work("work"))
    receive("note")


def output_of(entries: Any) -> str:
    """What `small` makes of its tokens and words."""
    words = [json.loads(entry.output or b"null") for entry in entries if entry.kind in ("step", "message")]
    return " ".join(str(word if isinstance(word, str) else word[0]["data"]) for word in words)


KNOWN = Workflows(outputs={"small": output_of}, at_most_once=lambda location: location == "work#2")


@dataclass(frozen=True)
class Done:
    """The files of a trial that is over."""

    database: Path
    log: Path

    def found(self, known: Workflows = KNOWN) -> list[str]:
        return check(self.database, self.log, known)

    def do(self, sql: str, *values: object) -> None:
        """Doctor the database."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            assert connection.execute(sql, values).rowcount > 0, "nothing was doctored"

    def forget_indexes(self) -> None:
        """So that rows can be doubled."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
            for (name,) in names:
                connection.execute(f"DROP INDEX {name}")

    def say(self, line: str) -> None:
        """Doctor the log."""
        with self.log.open("a") as file:
            file.write(line + "\n")

    def unsay(self, beginning: str) -> None:
        lines = self.log.read_text().splitlines()
        kept = [line for line in lines if not line.startswith(beginning)]
        assert len(kept) < len(lines), "nothing was doctored"
        self.log.write_text("\n".join(kept) + "\n")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`s` has completed (number 1), `c` was cancelled (2), `w` waits for a message and has another one unread (3)."""
    folder = tmp_path_factory.mktemp("trial")
    log = Log(folder / "log")
    LOGS.append(log)
    driver = LoggingDriver(folder / "t.db")
    driver.log = log
    with Flowkit(driver, worker=True, workflows=[small, endless]) as fk:
        runs = [fk.start(id, flow) for id, flow in (("s", small), ("c", endless), ("w", endless))]
        for run in runs:
            log.write("ack", "start", run.id)
        for to, name, word in (("s", "note", "one"), ("s", "note", "two"), ("w", "unread", "three")):
            fk.send(to, name, word, key=word)
            log.write("ack", "send", to, word)
        log.write("ack", "result", "s", str(runs[0].result(timeout=5)).replace(" ", "_"))
        until(lambda: runs[1].status() == "sleeping" == runs[2].status())
        runs[1].cancel()
        row = driver.get("c")
        assert row is not None
        log.write("ack", "cancel", "c", row.epoch, row.head)
    log.close()
    yield folder
    LOGS.clear()


@pytest.fixture
def done(original: Path, tmp_path: Path) -> Done:
    """A copy to be doctored."""
    copy = shutil.copytree(original, tmp_path / "copy")
    made = Done(copy / "t.db", copy / "log")
    made.unsay("ack result")  # a log's words hold no spaces
    return made


def test_a_clean_trial_has_no_violation(done: Done) -> None:
    assert done.found() == []
    logged = read_log(done.log)
    assert (len(logged.started), len(logged.sent), len(logged.cancelled)) == (3, 3, 1)
    assert logged.acks > 10


SAID = [
    ("C1: the start of ghost", "ack start ghost"),
    ("C1: message k to ghost", "ack send ghost k"),
    ("C1: the result of ghost", "ack result ghost 1"),
    ("C1: s was said to have ended with other", "ack result s other"),
    ("C2: work of s ran again", "run s work 1 another"),
    ("C2: work#2 of s runs at most once", "run s work#2 1 another"),
    ("C3: s saw", "saw s work another"),
    ("C4: run number 1 acknowledged one head twice", "commit 1 1 1"),
    ("C4: run number 1 went on under an old epoch", "commit 1 0 99"),
    ("C4: s acknowledged head 99", "commit 1 5 99"),
    ("C4: run number 1 was claimed twice", "claim 1 7 0.1\nclaim 1 7 0.2"),
    ("C5: message lost to s was acknowledged and is there 0 times", "ack send s lost"),
    ("C7: c was cancelled at", "commit 2 1 99"),
    ("C7: w was cancelled and is sleeping", "ack cancel w 1 1"),
    ("C7: ghost was cancelled and is gone", "ack cancel ghost 1 1"),
    ("C9: process 7 left with 5000 open files", "note left 7 5000 1"),
    ("C9: process 7 left with 5 open files and 9000000 kB", "note left 7 5 9000000"),
]


@pytest.mark.parametrize(("violation", "line"), SAID)
def test_a_log_that_says_otherwise_is_a_violation(done: Done, violation: str, line: str) -> None:
    done.say(line)

    assert [text for text in done.found() if text.startswith(violation)]


@pytest.mark.parametrize(
    ("violation", "beginning"),
    [("C2: s recorded", "run s work "), ("C3: s completed without having seen work", "saw s work ")],
)
def test_a_line_that_is_missing_is_a_violation(done: Done, violation: str, beginning: str) -> None:
    done.unsay(beginning)

    assert [text for text in done.found() if text.startswith(violation)]


TWIN = ENTRY_COLUMNS.replace("seq", "seq + 50", 1)
WORKER = "name, host, pid, boot_id, kind, state, started_at, seen_at, info"
DOCTORED = [
    ("C2: s has two entries at one location", f"INSERT INTO entries SELECT {TWIN} FROM entries WHERE run = 1 AND seq = 1"),
    ("C2: work of s is completed and settled at None", "UPDATE entries SET settled_at = NULL WHERE run = 1"),
    ("C5: s took messages out of order", "UPDATE entries SET seq = 100 - seq WHERE run = 1"),
    ("C5: w has message 1 and counted 0", "UPDATE runs SET inbox = 0 WHERE id = 'w'"),
    ("C5: message three to w was acknowledged and is there 0 times", "DELETE FROM inbox"),
    ("C6: sleep of s ended", "UPDATE entries SET due_at = settled_at + 5 WHERE kind = 'sleep'"),
    ("C6: w has been due", "UPDATE runs SET wake_at = 1.0 WHERE id = 'w'"),
    ("C6: w sleeps until None", "UPDATE runs SET seen = 0, waiting = char(10) || 'unread' || char(10) WHERE id = 'w'"),
    ("C7: c was cancelled and is running", "UPDATE runs SET status = 'running' WHERE id = 'c'"),
    ("C7: c was cancelled at", "UPDATE runs SET head = head + 1 WHERE id = 'c'"),
    ("C7: c is cancelled and", "UPDATE entries SET settled_at = NULL, status = 'pending' WHERE run = 2 AND kind = 'message'"),
    ("C8: s is pending", "UPDATE runs SET status = 'pending' WHERE id = 's'"),
    ("C8: w is sleeping and owned by worker 99", "UPDATE runs SET owner = 99 WHERE id = 'w'"),
    ("C8: worker", f"INSERT INTO workers ({WORKER}) VALUES ('x', 'x', 1, '', 'worker', 'live', 0, 0, '{{}}')"),
    ("C9: s cannot be read", "UPDATE entries SET output = '\"forged\"' WHERE run = 1 AND location = 'work'"),
    ("C9: s cannot be read", "UPDATE run_io SET output = '\"forged\"' WHERE run = 1"),
    ("C9: w cannot be read", "UPDATE inbox SET body = '\"forged\"'"),
    ("C9: an entry beyond the counter", "UPDATE runs SET entries = 1 WHERE id = 's'"),
    ("C9: a message beyond the counter", "UPDATE runs SET inbox = 0 WHERE id = 'w'"),
    ("C9: a run that has seen more messages than came", "UPDATE runs SET seen = 9 WHERE id = 'w'"),
    ("C9: a wrong count of what is owed", "UPDATE runs SET owes = 1 WHERE id = 'c'"),
    ("C9: a run without its input", "DELETE FROM run_io WHERE run = 3"),
    ("C9: entries that no commit wrote", "UPDATE runs SET head = 0 WHERE id = 's'"),
    ("C9: two messages of one number", "INSERT INTO inbox SELECT * FROM inbox"),
    ("C9: two entries of one number", "INSERT INTO entries SELECT * FROM entries WHERE run = 1 AND seq = 1"),
    ("C9: open entries of a completed run", "UPDATE entries SET settled_at = NULL WHERE run = 1 AND location = 'work'"),
    ("C9: keys of no run", "INSERT INTO keys (run, key, message, at) VALUES (99, 'k', 'm', 0)"),
    ("C9: entries of no run", "UPDATE entries SET run = 99 WHERE run = 2"),
    ("C10: s failed", "UPDATE runs SET status = 'failed' WHERE id = 's'"),
]  # fmt: skip


@pytest.mark.parametrize(("violation", "sql"), DOCTORED)
def test_a_row_that_says_otherwise_is_a_violation(done: Done, violation: str, sql: str) -> None:
    done.forget_indexes()
    done.do(sql)

    assert [text for text in done.found() if text.startswith(violation)]


def test_an_output_that_does_not_follow_from_the_tokens_is_a_violation(done: Done) -> None:
    found = done.found(Workflows(outputs={"small": lambda entries: "other"}))

    assert [text for text in found if text.startswith("C3: s ended with")]


def test_a_file_that_was_cut_is_a_violation(done: Done) -> None:
    done.database.write_bytes(done.database.read_bytes()[:-8192])

    assert [text for text in done.found() if text.startswith("C9:")]


def test_a_traceback_is_a_violation() -> None:
    assert contained("Traceback (most recent call last):\n  boom") != []
    assert contained("flowkit: the store was busy") == []
