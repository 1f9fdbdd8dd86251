"""Everything that reads a SQLite file. Each call is one short snapshot; payloads are read only by those that name
them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection

from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.drivers.base import BodyRef, RunQuery, RunRow, RunView
from flowkit.drivers.connections import Connections
from flowkit.drivers.lists import page_query
from flowkit.drivers.sql import (
    ATTEMPT_COLUMNS,
    HISTORY_COLUMNS,
    LOW,
    MESSAGE_COLUMNS,
    ROW_COLUMNS,
    Row,
    args_sum,
    attempt_of,
    body_of,
    check_entry,
    checked_body,
    entry_of,
    message_of,
    names_of,
    refuse_damaged,
    row_of,
)

__all__ = ["Reads"]

_FIRST_MESSAGES = 256
_SMALL = 4_096
_SEARCH_SECONDS = 0.15
_CLOCK_SLACK = 1_000

_HISTORY = f"{HISTORY_COLUMNS}, CASE WHEN size <= {_SMALL} THEN output END, error, NULL"
_BODIES = f"{HISTORY_COLUMNS}, output, error, patch, crc"

_IO_COLUMNS = "input, input_crc, state, state_crc, error, error_crc, failed_entry, tried"
_ROW_WIDTH = ROW_COLUMNS.count(",") + 1
_FRESH = (
    f"SELECT {ROW_COLUMNS}, {_IO_COLUMNS} FROM runs JOIN run_io ON run = seq "
    "WHERE seq = ? AND entries = 0 AND inbox = 0 AND ending = ''"
)
"""A run that has no entry, no message and no handler yet."""

_ATTEMPTS = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE run = ?"
_IN_ORDER = "ORDER BY entry, part, round, n"
_HANDLERS = f"{_ATTEMPTS} AND part = 'rollback' {_IN_ORDER}"


class Reads:
    """The reading half of the SQLite driver."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def load(self, run: int, after: int) -> RunView | None:
        """See `Driver.load`. Most runs that are loaded have just been started, and one statement brings all of them."""
        found = self._connections.one(_FRESH, (run,))
        if found is not None:
            return self._view(run, found[:_ROW_WIDTH], found[_ROW_WIDTH:], [], [], [])
        with self._connections.reading() as db:
            row = db.execute(f"SELECT {ROW_COLUMNS} FROM runs WHERE seq = ?", (run,)).fetchone()
            if row is None:
                return None
            io = db.execute(f"SELECT {_IO_COLUMNS} FROM run_io WHERE run = ?", (run,)).fetchone()
            entries = db.execute(f"SELECT {_BODIES} FROM entries WHERE run = ? AND seq > ? ORDER BY seq", (run, after)).fetchall()
            messages = db.execute(
                f"SELECT {MESSAGE_COLUMNS} FROM inbox WHERE run = ? ORDER BY seq LIMIT {_FIRST_MESSAGES}", (run,)
            ).fetchall()
            failures = db.execute(_HANDLERS, (run,)).fetchall() if row[14] else []
        return self._view(run, row, io, entries, messages, failures)

    def _view(self, run: int, row: Row, io: Row | None, entries: list[Row], messages: list[Row], failures: list[Row]) -> RunView:
        if io is None:
            refuse_damaged(f"the input of run {run}")
        input, input_crc, state, state_crc, error, error_crc, failed_entry, tried = io
        for entry in entries:
            check_entry(run, entry, entry[18])
        return RunView(
            row=row_of(row),
            input=checked_body(input, input_crc, f"the input of run {run}") or b"",
            state=checked_body(state, state_crc, f"the state of run {run}"),
            error=checked_body(error, error_crc, f"the error of run {run}"),
            failed_entry=failed_entry,
            tried=names_of(tried),
            entries=[entry_of(entry) for entry in entries],
            messages=[message_of(run, message) for message in messages],
            handler_failures=[attempt_of(failure) for failure in failures],
        )

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """See `Driver.inbox`."""
        marks = ", ".join("?" * len(names))
        test = f" AND name IN ({marks})" if names else ""
        sql = f"SELECT {MESSAGE_COLUMNS} FROM inbox WHERE run = ?{test} ORDER BY seq LIMIT ?"
        with self._connections.reading() as db:
            return [message_of(run, row) for row in db.execute(sql, (run, *names, limit))]

    def get(self, run: int | str) -> RunRow | None:
        """See `Driver.get`."""
        column = "seq" if isinstance(run, int) else "id"
        row = self._connections.one(f"SELECT {ROW_COLUMNS} FROM runs WHERE {column} = ?", (run,))
        return None if row is None else row_of(row)

    def runs(self, query: RunQuery) -> list[RunRow]:
        """See `Driver.runs`. A search for error text gives what it found in 150 ms."""
        with self._connections.reading() as db:
            first = None if query.since is None else max(0, _first_since(db, query.since) - _CLOCK_SLACK)
            end = None if query.until is None else _first_since(db, query.until) + _CLOCK_SLACK
            sql, parameters = page_query(query, first, end)
            if query.error is None:
                return [row_of(row) for row in db.execute(sql, parameters)]
            return [row_of(row) for row in _within(db, sql, parameters, _SEARCH_SECONDS)]

    def history(self, run: int, after: int, before: int | None, limit: int, archived: bool) -> list[Entry]:
        """See `Driver.history`."""
        table = "archive" if archived else "entries"
        sql = f"SELECT {_HISTORY} FROM {table} WHERE run = ? AND seq > ?"
        values = [run, after]
        if before is None:
            sql = f"{sql} ORDER BY seq, rowid LIMIT ?"
        else:
            sql = f"{sql} AND seq < ? ORDER BY seq DESC, rowid DESC LIMIT ?"
            values.append(before)
        values.append(limit)
        with self._connections.reading() as db:
            entries = [entry_of(row) for row in db.execute(sql, values)]
        return entries if before is None else entries[::-1]

    def attempts(self, run: int, entry: int | None) -> list[FailedAttempt]:
        """See `Driver.attempts`."""
        test = "" if entry is None else " AND entry = ?"
        values = (run,) if entry is None else (run, entry)
        with self._connections.reading() as db:
            rows = db.execute(f"{_ATTEMPTS}{test} {_IN_ORDER}", values).fetchall()
        return [attempt_of(row) for row in rows]

    def body(self, ref: BodyRef) -> bytes | None:
        """See `Driver.body`. Raises PayloadError."""
        if ref.entry is not None:
            with self._connections.reading() as db:
                return _entry_body(db, ref)
        if ref.field != "reply":
            return self._run_body(ref)
        row = self._connections.one("SELECT body FROM replies WHERE message = ?", (ref.message_id,))
        return None if row is None else body_of(row[0])

    def _run_body(self, ref: BodyRef) -> bytes | None:
        column = {"input": "input", "state": "state", "error": "error", "output": "output"}[ref.field]
        row = self._connections.one(f"SELECT {column}, {column}_crc FROM run_io WHERE run = ?", (ref.run,))
        return None if row is None else checked_body(row[0], row[1], f"the {column} of run {ref.run}")


def _entry_body(db: sqlite3.Connection, ref: BodyRef) -> bytes | None:
    """From the live entries, else from the newest archived one of that number."""
    for table in ("entries", "archive"):
        row = db.execute(
            f"SELECT {_BODIES}, args FROM {table} WHERE run = ? AND seq = ? ORDER BY rowid DESC LIMIT 1",
            (ref.run, ref.entry),
        ).fetchone()
        if row is not None:
            break
    else:
        return None
    if ref.field == "args":
        args = body_of(row[19])
        if args_sum(args) != row[18] - (row[18] & LOW):
            refuse_damaged(f"the arguments of entry {ref.entry} of run {ref.run}")
        return args
    check_entry(ref.run, row, row[18])
    return body_of(row[{"output": 15, "error": 16, "patch": 17}[ref.field]])


def _first_since(db: sqlite3.Connection, instant: float) -> int:
    """The lowest seq created at `instant` or later, by bisection: runs are created in order of time, but for clock
    jumps.
    """
    low = 0
    high = (db.execute("SELECT max(seq) FROM runs").fetchone()[0] or 0) + 1
    while low < high:
        middle = (low + high) // 2
        row = db.execute("SELECT seq, created_at FROM runs WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)).fetchone()
        if row is None or row[1] >= instant:
            high = middle
        else:
            low = int(row[0]) + 1
    return low


def _within(db: sqlite3.Connection, sql: str, parameters: list[object], seconds: float) -> list[Row]:
    """The rows found in so many seconds."""
    end = time.monotonic() + seconds
    rows: list[Row] = []
    db.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        rows.extend(db.execute(sql, parameters))  # an interrupted search keeps what it has so far
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        db.set_progress_handler(None, 0)
    return rows
