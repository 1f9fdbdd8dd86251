"""F21: processes that leave in peace lose and repeat nothing; those that fork or spawn start with handles of their own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.torture.checker import check
from tests.torture.forking import CHILDREN
from tests.torture.log import Log, read_log
from tests.torture.storm import WORKFLOWS
from tests.torture.test_storm import blown, resumed_late
from tests.torture.trials import BRIEF, LONG, Torture, Trial

FAREWELLS = 10
PEACE_SECONDS = 6.0 if BRIEF else 30.0


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_a_worker_that_is_told_to_leave_loses_nothing_and_leaves_nothing_to_be_repeated(torture: Torture) -> None:
    with torture("F21", ci=3, long=100, seconds=8.0) as fault:
        for trial in fault.trials():
            database, log = trial.folder / "leaving.db", trial.folder / "log"

            code, stderr = blown(database, log, trial.seed, FAREWELLS, "--gently")

            logged = read_log(log)
            trial.injected += logged.kills
            trial.acked += logged.acks
            trial.checked += len(logged.started)
            trial.found(check(database, log, WORKFLOWS, stderr=stderr))
            trial.found(f"RN7: {place} ran {len(ran)} times" for place, ran in logged.ran.items() if len(ran) > 1)
            trial.found([f"C8: not every run has ended, or a process did not leave in peace: {stderr}"] if code else [])


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_a_server_that_forks_after_opening_is_survived_by_its_children(torture: Torture) -> None:
    with torture("F21", ci=3, long=100, seconds=8.0) as fault:
        for trial in fault.trials():
            survive(trial)


def survive(trial: Trial) -> None:
    """Kill the parent as soon as it has children; they end its runs."""
    database, log, errors = trial.folder / "forking.db", trial.folder / "log", trial.folder / "stderr"
    command = [sys.executable, "-m", "tests.torture.forking", str(database), str(log), "--seed", str(trial.seed)]
    with errors.open("w") as stderr:
        parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    try:
        until(lambda: sum(note[0] == "born" for note in read_log(log).notes) == CHILDREN + 1)
        kill(parent, database, log)
        trial.found([] if until(lambda: not unended(database)) else ["C8: the children did not end the runs of their parent"])
    finally:
        for child in children:
            os.kill(child, signal.SIGTERM)
        parent.kill()
        parent.communicate()
    trial.found([] if until(lambda: not any(map(is_there, children))) else ["a child did not leave"])
    logged = read_log(log)
    trial.injected += len(children) + 1
    trial.acked += logged.acks
    trial.checked += len(logged.started)
    trial.found(check(database, log, WORKFLOWS, stderr=errors.read_text()))
    trial.found(resumed_late(logged, set()))
    trial.found(badly_born(logged.notes))


def kill(parent: subprocess.Popen[str], database: Path, log: Path) -> None:
    """Note what it held."""
    lines = Log(log)
    parent.kill()
    parent.wait()
    killed = f"{time.monotonic():.4f}"
    held = ask(database, f"SELECT r.seq, r.epoch FROM runs r JOIN workers w ON w.id = r.owner WHERE w.pid = {parent.pid}")
    assert held, "the parent held no run when it was killed"
    lines.write("note", "killed", parent.pid, killed, *(f"{run}:{epoch}" for run, epoch in held))
    lines.close()


def badly_born(notes: list[list[str]]) -> Iterator[str]:
    """I24: each forked child was refused by the inherited handle; all that came to be left in peace."""
    refused = [note for note in notes if note[0] == "refused" and note[2] == "True"]
    if len(refused) != CHILDREN:
        yield f"I24: {len(refused)} of {CHILDREN} children were refused by the handle of their parent"
    left = [note for note in notes if note[0] == "left"]
    if len(left) != CHILDREN + 1:
        yield f"{len(left)} of {CHILDREN + 1} children said that they left"


def unended(database: Path) -> bool:
    """Whether any run has not completed."""
    return bool(ask(database, "SELECT seq, epoch FROM runs WHERE status <> 'completed' LIMIT 1"))


def ask(database: Path, sql: str) -> list[tuple[int, int]]:
    """On a connection of our own."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def is_there(pid: int) -> bool:
    """Whether the process runs: one that nobody has waited for is gone all the same."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: object) -> bool:
    """Whether it came true in time."""
    assert callable(condition)
    end = time.monotonic() + PEACE_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
