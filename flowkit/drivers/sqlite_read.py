"""Everything that reads a SQLite file. Each call is one short snapshot; payloads are read only by those that name
them.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.drivers.base import BodyRef, RunQuery, RunRow, RunView
from flowkit.drivers.cursors import Executes, Reader
from flowkit.drivers.lists import page_query
from flowkit.drivers.sql import (
    AT_ID,
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
    check_owner,
    checked_body,
    entry_of,
    message_of,
    names_of,
    padded,
    refuse_damaged,
    row_of,
)
from flowkit.errors import PayloadError
from flowkit.settings import Settings

__all__ = [
    "BODIES", "ENTRIES", "FIRST_CODE", "FIRST_MESSAGES", "HANDLERS", "HISTORY", "INBOX", "IO", "IO_COLUMNS", "MANIFEST", "ROW",
    "Reads", "bounds_of", "fresh_view", "fresh_views", "picked_body", "whole_view",
]  # fmt: skip

FIRST_MESSAGES = 256
_SMALL = 4_096
_CLOCK_SLACK = 1_000

HISTORY = f"{HISTORY_COLUMNS}, CASE WHEN size <= {_SMALL} THEN output END, error, NULL, by_hand"
"""The columns of a list of entries: large outputs are left out."""

BODIES = f"{HISTORY_COLUMNS}, output, error, patch, by_hand, crc"
"""The columns of entries with their bodies but for the arguments."""

_ARGS = f"{HISTORY_COLUMNS}, NULL, NULL, NULL, NULL, crc, args"

FIRST_CODE = "SELECT i.first_code, r.code FROM runs r JOIN run_io i ON i.run = r.seq WHERE r.seq = ?"
MANIFEST = "SELECT manifest FROM codes WHERE code = ?"
IO_COLUMNS = "input, input_crc, state, state_crc, error, error_crc, failed_entry, tried, fork, fork_crc"
_ROW_WIDTH = ROW_COLUMNS.count(",") + 1
ROW = f"SELECT {ROW_COLUMNS} FROM runs WHERE seq = ?"
IO = f"SELECT {IO_COLUMNS} FROM run_io WHERE run = ?"
_OUTCOME = (
    f"SELECT {ROW_COLUMNS}, CASE WHEN status = 'completed' THEN output END, "
    "CASE WHEN status = 'completed' THEN output_crc ELSE 0 END FROM runs LEFT JOIN run_io ON run = seq WHERE seq = ?"
)
_FRESH = (
    f"SELECT {ROW_COLUMNS}, {IO_COLUMNS} FROM runs JOIN run_io ON run = seq "
    "WHERE seq = ? AND entries = 0 AND inbox = 0 AND ending = ''"
)
"""A run that has no entry, no message and no handler yet."""

ENTRIES = (
    f"SELECT {BODIES}, run, seq, number FROM (SELECT rowid AS place, seq AS number FROM entries WHERE run = ? AND seq > ?) "
    "LEFT JOIN entries ON entries.rowid = place ORDER BY number"
)
INBOX = (
    f"SELECT {MESSAGE_COLUMNS}, run, seq, number FROM (SELECT rowid AS place, seq AS number FROM inbox WHERE run = ?) "
    "LEFT JOIN inbox ON inbox.rowid = place ORDER BY number LIMIT ?"
)
"""What the index leads to, with run and number as the rows themselves have them; one SELECT would take these from the index."""

_CHUNKS = (1, 8, 32, 128)
_FRESH_ONES = {n: _FRESH.replace("seq = ?", f"seq IN ({', '.join('?' * n)})") for n in _CHUNKS}

_ATTEMPTS = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE run = ?"
_IN_ORDER = "ORDER BY entry, part, round, n"
HANDLERS = f"{_ATTEMPTS} AND part = 'rollback' {_IN_ORDER}"


class Reads:
    """The reading half of a SQL driver. What one database does in its own way is handed in."""

    def __init__(
        self, connections: Reader, settings: Settings, *, entries: str = ENTRIES, inbox: str = INBOX,
        within: Callable[[Any, str, list[Any], float], list[Row]] | None = None,
    ) -> None:  # fmt: skip
        self._entries, self._inbox = entries, inbox
        self._within: Callable[[Any, str, list[Any], float], list[Row]] = within or _within
        self._search = settings.search
        self._connections = connections

    def load(self, run: int, after: int) -> RunView | None:
        """See `Driver.load`. Most runs that are loaded have just been started, and one statement brings all of them."""
        found = self._connections.one(_FRESH, (run,))
        if found is not None:
            return _view(run, found[:_ROW_WIDTH], found[_ROW_WIDTH:], [], [], [])
        with self._connections.reading() as db:
            row = db.execute(ROW, (run,)).fetchone()
            if row is None:
                return None
            io = db.execute(IO, (run,)).fetchone()
            entries = db.execute(self._entries, (run, after)).fetchall()
            messages = db.execute(self._inbox, (run, FIRST_MESSAGES)).fetchall()
            failures = db.execute(HANDLERS, (run,)).fetchall() if row[14] else []
        return whole_view(run, row, io, entries, messages, failures)

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """See `Driver.inbox`."""
        marks = ", ".join("?" * len(names))
        sql = self._inbox.replace("ORDER", f"WHERE name IN ({marks}) ORDER") if names else self._inbox
        with self._connections.reading() as db:
            rows = db.execute(sql, (run, *names, limit)).fetchall()
        check_owner(run, rows, "the messages")
        return [message_of(run, row[:-3]) for row in rows]

    def get(self, run: int | str) -> RunRow | None:
        """See `Driver.get`."""
        if isinstance(run, int):
            row = self._connections.one(ROW, (run,))
        else:
            row = self._connections.one(f"SELECT {ROW_COLUMNS} FROM {AT_ID} WHERE id = ?", (run, run))
        return None if row is None else row_of(row)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        """See `Driver.outcome`. Raises PayloadError."""
        found = self._connections.one(_OUTCOME, (run,))
        if found is None:
            return None
        output, crc = found[_ROW_WIDTH:]
        return row_of(found[:_ROW_WIDTH]), checked_body(output, crc, f"the output of run {run}")

    def runs(self, query: RunQuery) -> list[RunRow]:
        """See `Driver.runs`. A search for error text gives what it found in the time of the setting."""
        with self._connections.reading() as db:
            sql, parameters = page_query(query, *bounds_of(db, query))
            if query.error is None:
                return [row_of(row) for row in db.execute(sql, parameters)]
            return [row_of(row) for row in self._within(db, sql, parameters, self._search)]

    def history(self, run: int, after: int, before: int | None, limit: int, archived: bool) -> list[Entry]:
        """See `Driver.history`."""
        table = "archive" if archived else "entries"
        sql = f"SELECT {HISTORY} FROM {table} WHERE run = ? AND seq > ?"
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

    def first_code(self, run: int) -> str:
        """See `Driver.first_code`."""
        with self._connections.reading() as db:
            row = db.execute(FIRST_CODE, (run,)).fetchone()
        return "" if row is None else str(row[0] or row[1])

    def manifest(self, code: str) -> bytes | None:
        """See `Driver.manifest`."""
        with self._connections.reading() as db:
            row = db.execute(MANIFEST, (code,)).fetchone()
        return None if row is None else body_of(row[0])

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
        column = {"input": "input", "state": "state", "error": "error", "output": "output", "fork": "fork"}[ref.field]
        row = self._connections.one(f"SELECT {column}, {column}_crc FROM run_io WHERE run = ?", (ref.run,))
        return None if row is None else checked_body(row[0], row[1], f"the {column} of run {ref.run}")


def fresh_views(cursor: Executes, runs: Iterable[int]) -> dict[int, RunView]:
    """What `load` gives for those of `runs` that have written nothing yet, all at once. A damaged one is left to `load`."""
    views: dict[int, RunView] = {}
    for chunk in padded(runs, _CHUNKS):
        for row in cursor.execute(_FRESH_ONES[len(chunk)], chunk).fetchall():
            if (view := fresh_view(row)) is not None:
                views[row[0]] = view
    return views


def fresh_view(row: Row) -> RunView | None:
    """The view of a run that has written nothing yet, out of its row and `IO_COLUMNS`; None if it is damaged."""
    with suppress(PayloadError):
        return _view(row[0], row[:_ROW_WIDTH], row[_ROW_WIDTH:], [], [], [])
    return None


def whole_view(run: int, row: Row, io: Row | None, entries: list[Row], messages: list[Row], failures: list[Row]) -> RunView:
    """The view of a run, out of what `ROW`, `IO`, the entries, the inbox and `HANDLERS` gave.

    Raises:
        PayloadError: it is damaged.
    """
    check_owner(run, entries, "the entries")
    check_owner(run, messages, "the messages")
    return _view(run, row, io, entries, [message[:-3] for message in messages], failures)


def _view(run: int, row: Row, io: Row | None, entries: list[Row], messages: list[Row], failures: list[Row]) -> RunView:
    if io is None:
        refuse_damaged(f"the input of run {run}")
    input, input_crc, state, state_crc, error, error_crc, failed_entry, tried, fork, fork_crc = io
    for entry in entries:
        check_entry(run, entry, entry[19])
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
        fork=checked_body(fork, fork_crc, f"the fork of run {run}"),
    )


def _entry_body(db: Executes, ref: BodyRef) -> bytes | None:
    """From the live entries, else from the newest archived one of that number."""
    columns = _ARGS if ref.field == "args" else f"{BODIES}, NULL"
    for table in ("entries", "archive"):
        row = db.execute(
            f"SELECT {columns} FROM {table} WHERE run = ? AND seq = ? ORDER BY rowid DESC LIMIT 1",
            (ref.run, ref.entry),
        ).fetchone()
        if row is not None:
            break
    else:
        return None
    return picked_body(row, ref)


def picked_body(row: Row, ref: BodyRef) -> bytes | None:
    """The body that `ref` names, out of a row of `BODIES` and the arguments. Raises PayloadError."""
    if ref.field == "args":
        args = body_of(row[20])
        if args_sum(args) != row[19] - (row[19] & LOW):
            refuse_damaged(f"the arguments of entry {ref.entry} of run {ref.run}")
        return args
    check_entry(ref.run, row, row[19])
    return body_of(row[{"output": 15, "error": 16, "patch": 17}[ref.field]])


def bounds_of(db: Executes, query: RunQuery) -> tuple[int | None, int | None]:
    """Between which seqs (half-open) lie the runs that a query means by their time or by another run; None: no bound."""
    first = None if query.since is None else max(0, _first_since(db, query.since) - _CLOCK_SLACK)
    end = None if query.until is None else _first_since(db, query.until) + _CLOCK_SLACK
    if query.newer_than is not None:
        first = max(first or 0, query.newer_than + 1)
    return first, end


def _first_since(db: Executes, instant: float) -> int:
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
