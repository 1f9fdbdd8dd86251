"""Damaged copies of a database, and what may be read from them: what was written, an older state of it, or a typed error.

The base is made once by real runs. Some have ended, some wait for a message, with messages of another name in their inbox. What
an intact reader sees of it is the truth that every damaged copy is compared with.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowkit.client import Flowkit
from flowkit.core.run import STATUSES
from flowkit.drivers.base import RunQuery
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import FlowkitError
from tests.torture import errands
from tests.torture.errands import ErrandDriver
from tests.torture.log import Log

__all__ = ["INDEXES", "TABLES", "Base", "damage", "lies_of_a_worker", "lies_to_a_reader", "make_base"]

TABLES = ("runs", "run_io", "entries", "inbox")
INDEXES = ("entries_seq", "inbox_seq", "runs_status", "sqlite_autoindex_runs_1")
DAMAGED = (*TABLES, *INDEXES)
ENDED, WAITING = 6, 6
HEADER_BYTES = 100
WORK_SECONDS = 1.0


@dataclass
class Truth:
    """What one run holds: its output, and by place what its entries and messages do."""

    output: Any
    entries: dict[str, bytes | None]
    messages: dict[int, bytes]


@dataclass
class Base:
    """`snapshots` are copies of the main file alone, taken while the log was ahead of it; `pages` are numbers by table."""

    path: Path
    truth: dict[str, Truth]
    pages: dict[str, list[int]]
    snapshots: list[Path] = field(default_factory=list)


# --- making it ----------------------------------------------------------------------------------------------------------


def make_base(folder: Path) -> Base:
    """Run errands in this process, and look at what they left."""
    path = folder / "base.db"
    driver = ErrandDriver(path)
    errands.use_log(Log(folder / "log"))
    errands.prepare(driver, Log(folder / "log"), checkpoint=40)
    snapshots = []
    with Flowkit(driver, workflows=[errands.errand, errands.aerrand]) as fk:
        for number in range(ENDED + WAITING):
            name = f"{'ab'[number % 2]}-{number}"
            fk.start(name, errands.aerrand if name.startswith("a") else errands.errand)
            for letter in range(3):
                fk.send(name, "for nobody", f"letter {letter} to {name}")
            if number < ENDED:
                fk.send(name, "note", errands.note_to(name), key=errands.note_to(name))
                fk.get(name).result(timeout=10)
            with driver._connections._mutex:  # between two writes, so that no checkpoint is under way
                snapshots.append(Path(shutil.copy(path, folder / f"snapshot-{number}.db")))
        end = time.monotonic() + 10
        while sum(row.status == "sleeping" for row in driver.runs(RunQuery(limit=99))) < WAITING and time.monotonic() < end:
            time.sleep(0.005)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, pageno FROM dbstat").fetchall()
    pages = {table: [page for name, page in found if name == table] for table in DAMAGED}
    return Base(path, _truth(path), pages, snapshots)


def _truth(path: Path) -> dict[str, Truth]:
    driver = SQLiteDriver(path)
    with Flowkit(driver, worker=False, workflows=[errands.errand, errands.aerrand]) as fk:
        return {row.id: Truth(fk.get(row.id).output(), *_seen(driver, row.seq)) for row in driver.runs(RunQuery(limit=99))}


def _seen(driver: SQLiteDriver, run: int) -> tuple[dict[str, bytes | None], dict[int, bytes]]:
    view = driver.load(run)
    if view is None:
        return {}, {}
    messages = driver.inbox(run, (), 99)
    settled = [entry for entry in view.entries if entry.settled_at is not None]  # an open one was other in an older state
    return {entry.location: entry.output for entry in settled}, {message.seq: message.body for message in messages}


# --- damaging it --------------------------------------------------------------------------------------------------------


def damage(base: Base, target: Path, chance: random.Random, where: Sequence[str]) -> str:
    """Lay a damaged copy at `target`, flipped bits are in pages of these tables or indexes; what was done, in words."""
    kind = chance.choice(("without its log", "cut", "bits", "bits", "bits"))
    if kind == "without its log":
        snapshot = chance.choice(base.snapshots)
        shutil.copy(snapshot, target)
        return f"{snapshot.name} without its log"
    body = bytearray(base.path.read_bytes())
    size = int.from_bytes(body[16:18], "big")
    if kind == "cut":
        page = chance.randrange(1, len(body) // size)
        at = page * size + chance.choice((0, 0, chance.randrange(size)))
        target.write_bytes(body[:at])
        return f"cut after {at} bytes"
    flipped = []
    for _ in range(chance.choice((1, 1, 2, 8))):
        table = chance.choice([table for table in where if base.pages[table]])
        page = chance.choice(base.pages[table])
        at = (page - 1) * size + chance.randrange(HEADER_BYTES if page == 1 else 0, size)
        body[at] ^= 1 << chance.randrange(8)
        flipped.append(f"{table} at {at}")
    target.write_bytes(body)
    return f"bits flipped in {', '.join(flipped)}"


# --- looking at it ------------------------------------------------------------------------------------------------------


def lies_to_a_reader(base: Base, path: Path) -> Iterator[str]:
    """Wrong values that a client is given, and errors that are not ours."""
    found: list[str] = []
    driver = _typed(lambda: SQLiteDriver(path), found, "opening")
    if driver is None:
        yield from found
        return
    fk = Flowkit(driver, worker=False, workflows=[errands.errand, errands.aerrand])
    try:
        _typed(lambda: list(fk.runs(limit=99)), found, "the list")
        for run, truth in base.truth.items():
            found += _lies_about(fk, driver, run, truth)
    finally:
        fk.close()
    yield from found


def _lies_about(fk: Flowkit, driver: SQLiteDriver, run: str, truth: Truth) -> list[str]:
    found: list[str] = []
    handle = _typed(lambda: fk.get(run), found, f"get({run})")
    if handle is None:
        return found
    if handle.id != run:
        found.append(f"get({run}) gave the run {handle.id}")
    status = _typed(handle.status, found, f"the status of {run}")
    if status is not None and status not in STATUSES:
        found.append(f"the status of {run} is {status!r}")
    output = _typed(handle.output, found, f"the output of {run}")
    if output is not None and output != truth.output:
        found.append(f"the output of {run} is {output!r}, and was {truth.output!r}")
    _typed(handle.error, found, f"the error of {run}")
    _typed(handle.state, found, f"the state of {run}")
    _typed(handle.history, found, f"the history of {run}")
    entries, messages = _typed(lambda: _seen(driver, handle.seq), found, f"the view of {run}") or ({}, {})
    for location, value in entries.items():
        if location not in truth.entries or value not in (truth.entries[location], None):
            found.append(f"{run} recorded {value!r} at {location}, and it was {truth.entries.get(location)!r}")
    for number, body in messages.items():
        if truth.messages.get(number, body) != body:
            found.append(f"message {number} of {run} is {body!r}, and was {truth.messages[number]!r}")
    return found


def _typed(look: Callable[[], Any], found: list[str], what: str) -> Any:
    """What `look` gives, or None: it may raise our errors, and nothing else."""
    try:
        return look()
    except FlowkitError:
        return None
    except Exception as error:
        found.append(f"{what}: {type(error).__name__}: {error}")
        return None


def lies_of_a_worker(base: Base, path: Path, log: Path, chance: random.Random) -> Iterator[str]:
    """Let a worker go on with the copy for a moment; wrong values that it then holds."""
    found: list[str] = []
    driver = _typed(lambda: ErrandDriver(path), found, "opening")
    if driver is None:
        yield from found
        return
    driver.log = Log(log)
    errands.use_log(driver.log)
    fk = _typed(
        lambda: Flowkit(driver, workflows=[errands.errand, errands.aerrand], grace=0.2, patience_seconds=0.2), found, "joining"
    )
    if fk is None:
        driver.close()
        yield from found
        return
    try:
        runs = list(base.truth)
        for run in chance.sample(runs, 6):
            _typed(lambda run=run: fk.send(run, "note", errands.note_to(run), key=errands.note_to(run)), found, f"send to {run}")
        _work(driver, found)
        for run, truth in base.truth.items():
            found += _changed(driver, run, truth)
    finally:
        fk.close()
    yield from found


def _work(driver: SQLiteDriver, found: list[str]) -> None:
    """Wait while anything is under way, but not for ever: what is damaged may never end."""
    end = time.monotonic() + WORK_SECONDS
    while time.monotonic() < end:
        rows = _typed(lambda: driver.runs(RunQuery(limit=99)), found, "the list")
        if rows is not None and not any(row.status in ("running", "pending") or row.owner for row in rows):
            return
        time.sleep(0.02)


def _changed(driver: SQLiteDriver, run: str, truth: Truth) -> list[str]:
    """Entries that are not what they were before."""
    found: list[str] = []
    row = _typed(lambda: driver.get(run), found, f"get({run})")
    view = None if row is None else _typed(lambda: driver.load(row.seq), found, f"the view of {run}")
    for entry in [] if view is None else view.entries:
        before = truth.entries.get(entry.location)
        if before is not None and entry.output not in (before, None):
            found.append(f"{run} recorded {before!r} at {entry.location}; a worker made it {entry.output!r}")
    return found
