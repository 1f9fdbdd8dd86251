"""What must be true after every trial, whatever was done to the processes: faults off, everything reopened.

Each check gives the violations that it finds, as sentences. C1 to C10 are those that a kill storm can violate.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from flowkit.core.run import TERMINAL
from flowkit.drivers.base import RunQuery, RunView
from flowkit.drivers.sqlite import SQLiteDriver
from tests.torture.log import Logged, read_log

__all__ = ["check", "digest"]


def digest(tokens: list[str]) -> str:
    """The output of a storm's workflow: a function of all the tokens that it saw, in order."""
    return hashlib.sha256(" ".join(tokens).encode()).hexdigest()[:16]


def check(database: Path, log: Path) -> list[str]:
    """All violations."""
    logged = read_log(log)
    driver = SQLiteDriver(database)
    try:
        views = _views(driver)
        found = [*_acked(logged, views), *_recorded(logged, views), *_same_answer(logged, views), *_fenced(logged)]
        found += [*_alive(driver, views), *_whole(database)]
    finally:
        driver.close()
    return found


def _views(driver: SQLiteDriver) -> dict[str, RunView]:
    views: dict[str, RunView] = {}
    after: int | None = None
    while rows := driver.runs(RunQuery(after=after, limit=200)):
        after = rows[-1].seq
        for row in rows:
            view = driver.load(row.seq)  # checks every checksum
            assert view is not None
            views[row.id] = view
    return views


def _acked(logged: Logged, views: dict[str, RunView]) -> Iterator[str]:
    """C1: what was acknowledged is there."""
    for run in logged.started:
        if run not in views:
            yield f"C1: the start of {run} was acknowledged and is gone"


def _recorded(logged: Logged, views: dict[str, RunView]) -> Iterator[str]:
    """C2: a recorded output is a token of the log; once it was recorded, the body never ran again."""
    for run, view in views.items():
        locations = [entry.location for entry in view.entries]
        if len(set(locations)) != len(locations):
            yield f"C2: {run} has two entries at one location"
        for entry in view.entries:
            if entry.kind != "step" or entry.output is None:
                continue
            token = entry.output.decode().strip('"')
            ran = logged.ran.get((run, entry.location), [])
            if token not in ran:
                yield f"C2: {run} recorded {token} at {entry.location}, which no body gave: {ran}"
            elif ran[-1] != token:
                yield f"C2: {entry.location} of {run} ran again after {token} was recorded: {ran}"


def _same_answer(logged: Logged, views: dict[str, RunView]) -> Iterator[str]:
    """C3: over all passes and processes, a workflow sees one token per location, and one that completed saw all recorded ones."""
    seen: dict[str, list[str]] = {}
    for (run, location), tokens in logged.saw.items():
        if len(set(tokens)) != 1:
            yield f"C3: {run} saw {set(tokens)} at {location}"
        seen.setdefault(run, []).append(tokens[0])
    for run, view in views.items():
        recorded = {entry.location for entry in view.entries if entry.kind == "step"}
        unseen = recorded - {location for of, location in logged.saw if of == run}
        if view.row.status == "completed" and unseen:
            yield f"C3: {run} completed without having seen {sorted(unseen)}"


def _fenced(logged: Logged) -> Iterator[str]:
    """C4: each head of a run was acknowledged once, and with rising heads the epoch never falls."""
    for run, commits in logged.commits.items():
        ordered = sorted(commits)
        heads = [head for head, _ in ordered]
        epochs = [epoch for _, epoch in ordered]
        if len(set(heads)) != len(heads):
            yield f"C4: run number {run} acknowledged one head twice: {ordered}"
        if epochs != sorted(epochs):
            yield f"C4: run number {run} went on under an old epoch: {ordered}"


def _alive(driver: SQLiteDriver, views: dict[str, RunView]) -> Iterator[str]:
    """C8: every run has ended, and nobody who is gone owns any."""
    for run, view in views.items():
        if view.row.status not in TERMINAL:
            yield f"C8: {run} is {view.row.status}"
        if view.row.owner is not None:
            yield f"C8: {run} has ended and is owned by worker {view.row.owner}"
    for worker in driver.workers():
        if worker.kind == "worker" and worker.state == "live" and not worker.alive:
            yield f"C8: worker {worker.id} is dead and nobody has noticed"


def _whole(database: Path) -> Iterator[str]:
    """C9: the file is sound, and its counters fit its rows."""
    connection = sqlite3.connect(database)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            yield f"C9: integrity_check says {verdict}"
        for sql, fault in _COUNTS.items():
            if rows := connection.execute(sql).fetchall():
                yield f"C9: {fault}: {rows[:5]}"
    finally:
        connection.close()


_COUNTS = {
    "SELECT r.id FROM runs r WHERE r.entries < (SELECT max(seq) FROM entries WHERE run = r.seq)": "an entry beyond the counter",
    "SELECT run FROM entries WHERE run NOT IN (SELECT seq FROM runs)": "entries of no run",
    "SELECT run FROM run_io WHERE run NOT IN (SELECT seq FROM runs)": "bodies of no run",
    "SELECT run FROM inbox WHERE run NOT IN (SELECT seq FROM runs)": "messages of no run",
    "SELECT run FROM entries WHERE settled_at IS NULL AND run IN (SELECT seq FROM runs WHERE status = 'completed')":
        "open entries of a completed run",
}  # fmt: skip
