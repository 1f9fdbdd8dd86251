"""The `Survey` of a SQLite file: every statement walks an index and stops at its limit.

The workflows are found by hopping through their index from name to name, because DISTINCT would read every row of it.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from flowkit.core.entry import Entry
from flowkit.core.run import STATUSES
from flowkit.drivers.base import BodyRef, RunQuery, RunRow
from flowkit.drivers.cursors import Reader
from flowkit.drivers.lists import cut_query
from flowkit.drivers.sql import HISTORY_COLUMNS, ROW_COLUMNS, checked_body, entry_of, padded, row_of
from flowkit.drivers.sqlite_read import BODIES, HISTORY, bounds_of, picked_body
from flowkit.drivers.sqlite_search import holding
from flowkit.drivers.survey import Deed, Ending, Rewound, Stop
from flowkit.errors import PayloadError

__all__ = ["SQLiteSurvey"]

COUNT = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE status = ? LIMIT ?) AS found"
NEXT_WORKFLOW = "SELECT workflow FROM runs WHERE workflow > ? ORDER BY workflow LIMIT 1"
TIMERS = (
    f"SELECT {ROW_COLUMNS} FROM runs INDEXED BY runs_due "
    "WHERE workflow = ? AND wake_at > ? AND owner IS NULL ORDER BY wake_at LIMIT ?"
)
TALLY = "SELECT count(*) FROM runs WHERE status = ?"
DEED = "SELECT op, at, run, verb, who, result FROM steering WHERE op = ?"
_CHUNKS = (1, 10, 50, 200)
_STOPPED_AT = ", ".join(f"e.{column}" for column in HISTORY_COLUMNS.split(", "))
ENDINGS = {
    n: f"SELECT i.run, i.error, i.error_crc, {_STOPPED_AT}, NULL, NULL, NULL, e.by_hand FROM run_io i "
    f"LEFT JOIN entries e ON e.run = i.run AND e.seq = i.failed_entry WHERE i.run IN ({', '.join('?' * n)})"
    for n in _CHUNKS
}
"""Runs' errors, and the entries they came from without their bodies; by how many runs are asked for."""

STOP = "SELECT who, at FROM steering WHERE run = ? AND verb IN ('pause', 'cancel', 'cancel_rollback') ORDER BY rowid DESC LIMIT 1"
DUE = "SELECT min(due_at) FROM entries WHERE run = ? AND settled_at IS NULL"
LARGE_OF_RUN = "SELECT run FROM run_io WHERE run = ? AND typeof({}) = 'text'"
LARGE = "SELECT rowid FROM entries WHERE run = ? AND seq = ? AND size > ? AND typeof({}) = 'text'"
REWINDS = (
    "SELECT at_head, max(archived_at), max(why), count(*) FROM archive WHERE run = ? "
    "GROUP BY at_head ORDER BY at_head DESC LIMIT ?"
)
SET_ASIDE = f"SELECT {HISTORY} FROM archive WHERE run = ? AND seq > ? AND at_head = ? ORDER BY seq LIMIT ?"
SET_ASIDE_BEFORE = f"SELECT {HISTORY} FROM archive WHERE run = ? AND seq < ? AND at_head = ? ORDER BY seq DESC LIMIT ?"
BODY_ASIDE = f"SELECT {BODIES}, args FROM archive WHERE run = ? AND seq = ? AND at_head = ?"
_MOST_WORKFLOWS = 200


class SQLiteSurvey:
    """See `Survey`."""

    def __init__(
        self, connections: Reader, *, holding: Callable[[Any, Sequence[int], str, float], Collection[int] | None] = holding,
        beginning: Callable[[Any, BodyRef, int, int], tuple[bytes, int] | None] | None = None,
    ) -> None:  # fmt: skip
        self._connections = connections
        self._holding = holding
        self._beginning: Callable[[Any, BodyRef, int, int], tuple[bytes, int] | None] = beginning or _beginning

    def count(self, status: str, limit: int) -> int:
        """See `Survey.count`."""
        with self._connections.reading() as db:
            return int(db.execute(COUNT, (status, limit)).fetchone()[0])

    def tally(self) -> dict[str, int]:
        """See `Survey.tally`: one statement a status, so that no snapshot is held for long."""
        found = {}
        for status in STATUSES:
            with self._connections.reading() as db:
                found[status] = int(db.execute(TALLY, (status,)).fetchone()[0])
        return found

    def timers(self, limit: int, after: float, workflows: Collection[str] | None) -> list[RunRow]:
        """See `Survey.timers`: the workflows' own lists, merged while they are read, so few more than `limit` rows are."""
        names = self.workflows(_MOST_WORKFLOWS) if workflows is None else workflows
        with self._connections.reading() as db:
            lists = [map(row_of, db.execute(TIMERS, (name, after, limit))) for name in names]
            return list(islice(heapq.merge(*lists, key=lambda row: row.wake_at or 0.0), limit))

    def endings(self, runs: Sequence[int]) -> list[Ending]:
        """See `Survey.endings`."""
        with self._connections.reading() as db:
            rows = [row for chunk in padded(runs, _CHUNKS) for row in db.execute(ENDINGS[len(chunk)], chunk)]
        found = []
        for run, error, crc, *at in rows:
            with suppress(PayloadError):  # who looks at the run itself is told of the damage
                body = checked_body(error, crc, f"the error of run {run}")
                found.append(Ending(run=run, error=body, entry=None if at[0] is None else entry_of(tuple(at))))
        return sorted(found, key=lambda ending: runs.index(ending.run))

    def cut(self, query: RunQuery) -> int:
        """See `Survey.cut`."""
        with self._connections.reading() as db:
            asked = cut_query(query, *bounds_of(db, query))
            return 0 if asked is None or db.execute(*asked[:2]).fetchone() is None else asked[2]

    def holding(self, runs: Sequence[int], text: str, seconds: float) -> Collection[int] | None:
        """See `Survey.holding`."""
        with self._connections.reading() as db:
            return self._holding(db, runs, text, seconds)

    def workflows(self, limit: int) -> list[str]:
        """See `Survey.workflows`."""
        names: list[str] = []
        with self._connections.reading() as db:
            while len(names) < limit:
                row = db.execute(NEXT_WORKFLOW, (names[-1] if names else "",)).fetchone()
                if row is None:
                    break
                names.append(str(row[0]))
        return names

    def deed(self, op: str) -> Deed | None:
        """See `Survey.deed`."""
        with self._connections.reading() as db:
            row = db.execute(DEED, (op,)).fetchone()
        return None if row is None else Deed(op=row[0], at=row[1], run=row[2], verb=row[3], who=row[4], result=row[5])

    def stop(self, run: int) -> Stop:
        """See `Survey.stop`."""
        with self._connections.reading() as db:
            who, at = db.execute(STOP, (run,)).fetchone() or ("", None)
            (due,) = db.execute(DUE, (run,)).fetchone()
        return Stop(who=who, at=at, due=due)

    def rewinds(self, run: int, limit: int) -> list[Rewound]:
        """See `Survey.rewinds`. This groups all that was set aside of one run; of most that is nothing."""
        with self._connections.reading() as db:
            rows = db.execute(REWINDS, (run, limit)).fetchall()
        return [Rewound(head=head, at=at, why=why, entries=entries) for head, at, why, entries in rows]

    def set_aside(self, run: int, head: int, after: int, before: int | None, limit: int) -> list[Entry]:
        """See `Survey.set_aside`."""
        with self._connections.reading() as db:
            if before is None:
                return [entry_of(row) for row in db.execute(SET_ASIDE, (run, after, head, limit))]
            return [entry_of(row) for row in db.execute(SET_ASIDE_BEFORE, (run, before, head, limit))][::-1]

    def beginning(self, ref: BodyRef, most: int, length: int) -> tuple[bytes, int] | None:
        """See `Survey.beginning`."""
        with self._connections.reading() as db:
            return self._beginning(db, ref, most, length)

    def body_aside(self, ref: BodyRef, head: int) -> bytes | None:
        """See `Survey.body_aside`."""
        with self._connections.reading() as db:
            row = db.execute(BODY_ASIDE, (ref.run, ref.entry, head)).fetchone()
        return None if row is None else picked_body(row, ref)


def _beginning(db: sqlite3.Connection, ref: BodyRef, most: int, length: int) -> tuple[bytes, int] | None:
    """A SELECT would read all of a value to give a part of it; a blob handle reads that part."""
    column = {"input": "input", "output": "output", "error": "error", "state": "state", "args": "args"}[ref.field]
    if ref.entry is None:
        table, row = "run_io", db.execute(LARGE_OF_RUN.format(column), (ref.run,)).fetchone()
    else:
        table, row = "entries", db.execute(LARGE.format(column), (ref.run, ref.entry, most)).fetchone()
    if row is None:
        return None
    with db.blobopen(table, column, row[0], readonly=True) as blob:
        if len(blob) <= most:
            return None
        begun = bytes(blob.read(length))
        return None if begun.startswith(b"base64:") else (begun, len(blob))
