"""The log of runs in a SQLite file: lines in, windows of them out.

Lines stand by run and number, since they are read as they were logged. A second index finds those of one step, a third
those that warn, which are few: who looks for an error must not read a million lines of progress.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from flowkit.core.line import Line
from flowkit.drivers.base import LineQuery, Log, Logged, NoRun
from flowkit.drivers.sql import body_of, text_of

__all__ = ["append", "lines"]

WARNING = 30
"""From this level on a line is in the third index."""

_COLUMNS = "seq, at, location, part, attempt, place, level, logger, text"
_RUN = "SELECT 1 FROM runs WHERE seq = ?"
_APPEND = (
    f"INSERT INTO logs (run, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (run, seq) DO UPDATE SET text = excluded.text"
)


def append(cursor: sqlite3.Cursor, op: Log) -> Logged | NoRun:
    """Write the lines of `op`, if its run is still there."""
    if cursor.execute(_RUN, (op.run,)).fetchone() is None:
        return NoRun()
    cursor.executemany(_APPEND, [_row(op.run, line) for line in op.lines])
    return Logged()


def _row(run: int, line: Line) -> tuple[Any, ...]:
    about = (line.location, line.part, line.attempt, line.place, line.level, line.logger)
    return (run, line.seq, line.at, *about, text_of(line.text))


def lines(db: sqlite3.Connection, query: LineQuery) -> list[Line]:
    """See `Driver.lines`."""
    sql, values = _statement(query)
    rows = db.execute(sql, values).fetchall()
    found = [_line(row) for row in rows]
    return found if query.before is None else found[::-1]


def _statement(query: LineQuery) -> tuple[str, Sequence[Any]]:
    wanted = {
        "run = ?": query.run, "seq > ?": query.after, "seq < ?": query.before, "location = ?": query.location,
        "part = ?": query.part, "level >= ?": query.level or None,
    }  # fmt: skip
    conditions = {condition: value for condition, value in wanted.items() if value is not None}
    where, source = " AND ".join(conditions), "logs"
    if query.location is not None:
        source = "logs INDEXED BY logs_location"
    elif query.level >= WARNING:
        source, where = "logs INDEXED BY logs_warned", f"{where} AND level >= {WARNING}"  # said as the index says it
    order = "seq" if query.before is None else "seq DESC"
    return f"SELECT {_COLUMNS} FROM {source} WHERE {where} ORDER BY {order} LIMIT ?", [*conditions.values(), query.limit]


def _line(row: tuple[Any, ...]) -> Line:
    seq, at, location, part, attempt, place, level, logger, text = row
    return Line(
        seq=seq, at=at, location=location, part=part, attempt=attempt, place=place, level=level, logger=logger,
        text=body_of(text) or b"",
    )  # fmt: skip
