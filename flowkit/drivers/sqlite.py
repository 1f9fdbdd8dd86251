"""The SQLite driver: one file, any number of processes, nothing to install.

It puts together what the other modules do: `connections` (one writer behind the gate, four readers), `sqlite_write`
(what a transaction does), `sqlite_work` (workers and claims), `sqlite_read`, `sqlite_purge`. Its own part is noticing
change: `PRAGMA data_version` on the write connection differs exactly when *another* connection has committed, and
costs a few microseconds, so it is simply asked every few milliseconds.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from flowkit.core.bulk import Bulk
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.health import Report
from flowkit.core.line import Line
from flowkit.drivers.base import (
    BodyRef,
    Claim,
    Claimed,
    Limits,
    LineQuery,
    Op,
    Result,
    RunQuery,
    RunRow,
    RunView,
    WorkerInfo,
    WorkerRow,
)
from flowkit.drivers.connections import Connections, Durability, translated
from flowkit.drivers.forks import INSIDE_SQLITE
from flowkit.drivers.gate import LiveLock
from flowkit.drivers.sqlite_across import SQLiteAcross, sqlite_facts
from flowkit.drivers.sqlite_bulk import Bulks
from flowkit.drivers.sqlite_logs import lines
from flowkit.drivers.sqlite_purge import purge, remove
from flowkit.drivers.sqlite_read import Reads
from flowkit.drivers.sqlite_survey import SQLiteSurvey
from flowkit.drivers.sqlite_work import Work
from flowkit.drivers.sqlite_write import Writing
from flowkit.drivers.statements import Statements
from flowkit.errors import StoreError
from flowkit.settings import Settings

__all__ = ["SQLiteDriver"]


class SQLiteDriver:
    """A `Driver` over a SQLite file, created and migrated when it is opened.

    With `durability` ``"full"`` what is acknowledged survives a power cut; with ``"process"`` it survives the death of
    the process, and a power cut may take the newest commits. `busy_seconds` bounds every wait for the file's write
    lock (None: as `settings` say).

    Raises:
        StoreError: the path cannot be opened, or is no database of ours. SchemaTooNew: it is for newer code.
    """

    def __init__(
        self,
        path: str | Path,
        durability: Durability = "full",
        *,
        readonly: bool = False,
        busy_seconds: float | None = None,
        limits: Limits | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings = Settings() if settings is None else settings
        self.limits = limits or Limits(inbox=settings.inbox)
        self._connections = Connections(
            Path(path), durability=durability, readonly=readonly, settings=settings,
            busy_seconds=settings.busy if busy_seconds is None else busy_seconds,
        )  # fmt: skip
        self._work = Work(self._connections, settings)
        self._reads = Reads(self._connections, settings)
        self._bulks = Bulks(self._connections)
        self._changes = _Changes(self._connections, settings)

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        return self._connections.transact(lambda cursor: Writing(cursor, now, self.limits).apply(ops))

    # --- workers

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        return self._work.claim(worker, workflows, limit, now)

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        return self._work.adopt(worker, held, workflows, limit, now)

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        return self._work.take(worker, run, code, now)

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        return self._work.lost(worker, held)

    def join(self, info: WorkerInfo, now: float) -> int:
        return self._work.join(info, now)

    def leave(self, worker: int, now: float) -> None:
        self._work.leave(worker, now)

    def beat(self, worker: int, now: float, info: str | None = None) -> float:
        return self._work.beat(worker, now, info)

    def reap(self, now: float, *, dead: Collection[int] = ()) -> int:
        return self._work.reap(now, dead)

    def workers(self) -> list[WorkerRow]:
        return self._work.workers()

    def report(self, source: str, reports: Sequence[Report], until: float, now: float) -> None:
        self._work.report(source, reports, until)

    def reports(self, now: float) -> list[Report]:
        return self._work.reports(now)

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        self._work.publish(code, manifest, now)

    def manifest(self, code: str) -> bytes | None:
        return self._reads.manifest(code)

    def first_code(self, run: int) -> str:
        return self._reads.first_code(run)

    # --- retention

    def purge(self, now: float, limit: int = 500) -> int:
        count, workers = self._connections.transact(lambda cursor: purge(cursor, now, limit, self._settings))
        for worker in workers:
            LiveLock.forget(self._connections.locks, worker)
        return count

    def retain(self, days: Mapping[str, float]) -> None:
        policy = json.dumps(dict(days))

        def store(cursor: sqlite3.Cursor) -> None:
            cursor.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('retention', ?)", (policy,))

        self._connections.transact(store)

    def remove(self, runs: Mapping[int, int]) -> int:
        return self._connections.transact(lambda cursor: remove(cursor, runs))

    # --- noticing change

    def wait(self, timeout: float) -> bool:
        """Each thread hears of each change once: one that came between two of its waits ends the second at once."""
        return self._changes.wait(timeout)

    def nudge(self) -> None:
        self._changes.nudge()

    def token(self) -> int:
        return self._changes.token()

    # --- reading

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        return self._reads.load(run, after)

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        return self._reads.inbox(run, names, limit)

    def get(self, run: int | str) -> RunRow | None:
        return self._reads.get(run)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        return self._reads.outcome(run)

    def runs(self, query: RunQuery) -> list[RunRow]:
        return self._reads.runs(query)

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        return self._reads.history(run, after, before, limit, archived)

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        return self._reads.attempts(run, entry)

    def lines(self, query: LineQuery) -> list[Line]:
        with self._connections.reading() as db:
            return lines(db, query)

    def body(self, ref: BodyRef) -> bytes | None:
        return self._reads.body(ref)

    def bulk(self, bulk: int | str) -> Bulk | None:
        return self._bulks.one(bulk)

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        return self._bulks.newest(limit, before, unfinished)

    def survey(self) -> SQLiteSurvey:
        """What this driver offers beyond the port to those who look over all runs."""
        return SQLiteSurvey(self._connections)

    def across(self) -> SQLiteAcross:
        """What pages over all runs ask beyond that."""
        return SQLiteAcross(self._connections, lambda: sqlite_facts(self._connections))

    def time_reads(self, now: Callable[[], float]) -> Statements:
        """See `TimesReads`."""
        return self._connections.time_reads(now)

    def close(self) -> None:
        self._changes.close()
        self._connections.close()
        self._work.close()


class _Changes:
    """What has happened since a thread last asked: nudges of this handle, commits of others."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._poll, self._poll_busy = settings.store_poll, settings.store_poll_busy
        self._busy_for = settings.store_busy_for
        self._connections = connections
        self._changed = threading.Condition()
        self._nudges = 0
        self._version = connections.foreign_version() or 0
        self._first = (self._nudges, self._version)
        self._seen = threading.local()
        self._busy_until = 0.0
        self._token_lock = threading.Lock()
        self._token_reader: sqlite3.Connection | None = None
        self._closed = False

    def nudge(self) -> None:
        with self._changed:
            self._nudges += 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        seen: tuple[int, int] = getattr(self._seen, "state", self._first)
        end = time.monotonic() + timeout
        while True:
            version = self._connections.foreign_version()
            if version is not None:
                self._version = version
            state = (self._nudges, self._version)
            now = time.monotonic()
            if state != seen:
                self._seen.state = state
                self._busy_until = now + self._busy_for
                return True
            if now >= end:
                return False
            poll = self._poll_busy if now < self._busy_until else self._poll
            with self._changed:
                if self._nudges == state[0]:
                    self._changed.wait(min(poll, end - now))

    def token(self) -> int:
        """On a connection of its own, to which the commits of this handle's writer are foreign too."""
        self._connections.refuse_after_fork()
        with self._token_lock:
            if self._closed:
                raise StoreError(f"{self._connections.name} is closed. Open it again.")
            if self._token_reader is None:
                self._token_reader = self._connections.open_reader()
            try:
                with INSIDE_SQLITE:
                    return int(self._token_reader.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise translated(error, self._connections.name) from error

    def close(self) -> None:
        """Close the reader, unless it belongs to the parent of this process."""
        self.nudge()
        if not self._connections.is_ours():
            return
        with self._token_lock:
            self._closed = True
            if self._token_reader is not None:
                self._token_reader.close()
                self._token_reader = None
