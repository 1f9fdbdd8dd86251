"""What must be true of a database as a fault left it, before anyone goes on with its runs; and going on with them.

`check` of `checker` wants every run to have ended. These look at the rows as they are: what was acknowledged or seen is there,
nothing is there that no body gave, and the file is whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from flowkit.client import Flowkit
from flowkit.drivers.base import RunQuery, RunView
from tests.torture import errands
from tests.torture.log import Log, Logged, logging_driver, read_log
from tests.torture.stores import Database, ask, opened, sound

__all__ = ["kept", "resumed", "views_of", "whole"]

CALM_SECONDS = 20.0


def kept(database: Database, log: Path) -> list[str]:
    """Violations of: what was acknowledged or seen is there, what is there was given by a body, and the file is whole."""
    logged = read_log(log)
    views = views_of(database)
    found = [*_acknowledged(logged, views, database), *_seen(logged, views), *_given(logged, views)]
    return [*found, *whole(database)]


def views_of(database: Database) -> dict[str, RunView]:
    """Every run as a worker would load it; that checks every checksum."""
    driver = opened(database)
    try:
        views = {}
        for row in driver.runs(RunQuery(limit=10_000)):
            view = driver.load(row.seq)
            assert view is not None
            views[row.id] = view
        return views
    finally:
        driver.close()


def _acknowledged(logged: Logged, views: dict[str, RunView], database: Database) -> Iterator[str]:
    for run in logged.started:
        if run not in views:
            yield f"C1: the start of {run} was acknowledged and is gone"
    arrived = _keys(database)
    for run, key in logged.sent:
        if run in views and (views[run].row.seq, key) not in arrived:
            yield f"C1: the message {key} to {run} was acknowledged and is gone"
    for run, output in logged.results.items():
        if run in views and views[run].row.status != "completed":
            yield f"C1: the result {output} of {run} was acknowledged, and the run is {views[run].row.status}"
    heads = {view.row.seq: view.row.head for view in views.values()}
    for seq, commits in logged.commits.items():
        if max(commits)[0] > heads.get(seq, -1):
            yield f"C1: commit {max(commits)[0]} of run number {seq} was acknowledged, and its head is {heads.get(seq)}"


def _keys(database: Database) -> set[tuple[int, str]]:
    """Messages by run and the key that they were sent with, whether taken or not."""
    return {(run, key) for run, key in ask(database, "SELECT run, key FROM keys")}


def _seen(logged: Logged, views: dict[str, RunView]) -> Iterator[str]:
    """C3: what a workflow saw is recorded."""
    for (run, location), tokens in logged.saw.items():
        if location == "receive" or run not in views:
            continue
        recorded = [entry.output for entry in views[run].entries if entry.location == location]
        if recorded != [f'"{tokens[-1]}"'.encode()]:
            yield f"C3: {run} saw {tokens} at {location}, and {recorded} is recorded"


def _given(logged: Logged, views: dict[str, RunView]) -> Iterator[str]:
    """C2: what is recorded was given by a body."""
    for run, view in views.items():
        for entry in view.entries:
            if entry.kind != "step" or entry.output is None:
                continue
            ran = logged.ran.get((run, entry.location), [])
            if entry.output.decode().strip('"') not in ran:
                yield f"C2: {run} recorded {entry.output!r} at {entry.location}, which no body gave: {ran}"


def whole(database: Database) -> Iterator[str]:
    """C9: the store is sound, and its counters fit its rows."""
    for verdict in sound(database):
        yield f"C9: integrity_check says {verdict}"
    for run, entries, last in ask(database, "SELECT id, entries, (SELECT max(seq) FROM entries WHERE run = r.seq) FROM runs r"):
        if last is not None and last > entries:
            yield f"C9: {run} has entry {last} and counts {entries}"
    for run, inbox, last in ask(database, "SELECT id, inbox, (SELECT max(seq) FROM inbox WHERE run = r.seq) FROM runs r"):
        if last is not None and last > inbox:
            yield f"C9: {run} has message {last} and counts {inbox}"
    for table in ("entries", "inbox", "keys", "run_io"):
        if orphans := ask(database, f"SELECT run FROM {table} WHERE run NOT IN (SELECT seq FROM runs)"):
            yield f"C9: {table} of no run: {orphans[:5]}"


def resumed(database: Database, log: Path) -> list[str]:
    """Send every run its message, let a worker of this process end them all; those that did not end."""
    lines = Log(log)
    driver = logging_driver(database, lines)
    errands.use_log(lines)
    fk = Flowkit(driver, workflows=[errands.errand, errands.aerrand])
    try:
        driver.reap(time.time())  # with nothing to do the worker may leave before it looks
        for run in errands.unended(driver):
            fk.send(run, "note", errands.note_to(run), key=errands.note_to(run))
        end = time.monotonic() + CALM_SECONDS
        while (left := errands.unended(driver)) and time.monotonic() < end:
            time.sleep(0.005)
        return [f"C8: {run} is {fk.get(run).status()} {CALM_SECONDS:g} s after the fault" for run in left]
    finally:
        fk.close()
        lines.close()
