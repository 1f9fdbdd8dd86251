"""The log of runs in a SQLite file: lines in, windows of them out.

Lines stand by run and number, since they are read as they were logged. A second index finds those of one step, a third
those that warn, which are few: who looks for an error must not read a million lines of progress. How many lines a run has
stands in a line of its own, since counting them anew with every write would cost more than the write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowkit.core.line import BOOK, Book, Line, book_in, line_of
from flowkit.drivers.base import LineQuery, Log, Logged, NoRun
from flowkit.drivers.cursors import Executes
from flowkit.drivers.rules import lines_to_drop
from flowkit.drivers.sql import body_of, text_of

__all__ = ["append", "lines"]

WARNING = 30
"""From this level on a line is in the third index."""

_COLUMNS = "seq, at, location, part, attempt, place, level, logger, text"
_RUN = "SELECT 1 FROM runs WHERE seq = ?"
_APPEND = f"INSERT OR IGNORE INTO logs (run, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REWRITE = "UPDATE logs SET text = ? WHERE run = ? AND seq = ?"
_BOOK = f"SELECT {_COLUMNS} FROM logs WHERE run = ? AND seq = {BOOK}"
_OLDEST = f"SELECT seq FROM logs WHERE run = ? AND seq > {BOOK} ORDER BY seq LIMIT 1 OFFSET ?"
_DROP = f"DELETE FROM logs WHERE run = ? AND seq > {BOOK} AND seq <= ?"


def append(cursor: Executes, op: Log) -> Logged | NoRun:
    """Write the lines of `op`, if its run is still there, and drop its oldest if there are too many now."""
    if cursor.execute(_RUN, (op.run,)).fetchone() is None:
        return NoRun()
    if op.lines:
        new = cursor.executemany(_APPEND, [_row(op.run, line) for line in op.lines]).rowcount
        if new < len(op.lines):
            _rewrite(cursor, op.run, op.lines)
        _keep_book(cursor, op, new)
    return Logged()


def _rewrite(cursor: Executes, run: int, lines: Sequence[Line]) -> None:
    cursor.executemany(_REWRITE, [(text_of(line.text), run, line.seq) for line in lines])


def _keep_book(cursor: Executes, op: Log, new: int) -> None:
    row = cursor.execute(_BOOK, (op.run,)).fetchone()
    book = book_in(None if row is None else _line(row))
    kept, gone = book.kept + new, 0
    if (most := lines_to_drop(kept, new, op.most)) > 0:
        last = cursor.execute(_OLDEST, (op.run, most - 1)).fetchone()
        gone = 0 if last is None else cursor.execute(_DROP, (op.run, last[0])).rowcount
    line = line_of(Book(kept=kept - gone, dropped=book.dropped + gone), op.lines[-1].at)
    cursor.execute(_APPEND, _row(op.run, line))
    _rewrite(cursor, op.run, [line])


def _row(run: int, line: Line) -> tuple[Any, ...]:
    about = (line.location, line.part, line.attempt, line.place, line.level, line.logger)
    return (run, line.seq, line.at, *about, text_of(line.text))


def lines(db: Executes, query: LineQuery) -> list[Line]:
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
