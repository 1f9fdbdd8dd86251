"""`Across` for a SQLite file: every statement walks an index or the order of a table, and stops at its limit.

Messages have no index over all runs. They need none: rows of a table stand in the order in which they were written, and that
is the order in which they were sent.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from flowkit.core.entry import Entry
from flowkit.drivers.across import Kept, StoreFacts
from flowkit.drivers.base import RunRow
from flowkit.drivers.connections import Connections
from flowkit.drivers.cursors import Executes, Reader
from flowkit.drivers.sql import ROW_COLUMNS, entry_of, padded, row_of
from flowkit.drivers.sqlite_read import HISTORY
from flowkit.drivers.sqlite_survey import NEXT_WORKFLOW
from flowkit.drivers.survey import Deed

__all__ = ["SQLiteAcross", "sqlite_facts"]

DUE_NEXT = (
    f"SELECT {ROW_COLUMNS} FROM runs INDEXED BY runs_due WHERE workflow = ? AND wake_at >= ? AND (wake_at > ? OR seq > ?) "
    "AND owner IS NULL ORDER BY wake_at, seq LIMIT ?"
)
_OPEN = (
    f"SELECT * FROM (SELECT run, {HISTORY} FROM entries INDEXED BY entries_open "
    "WHERE run = ? AND settled_at IS NULL AND due_at IS NOT NULL ORDER BY due_at LIMIT ?)"
)
_CHUNKS = (1, 10, 50)
OPEN = {n: " UNION ALL ".join([_OPEN] * n) for n in _CHUNKS}
"""The first of each of so many runs: each has its limit, and asked one by one they would be most of what a page costs."""
KEPT = "SELECT rowid, run, id, name, sent_at, sender, key, reply FROM inbox WHERE rowid > ? ORDER BY rowid LIMIT ?"
_DEED = "SELECT op, at, run, verb, who, result FROM steering"
DEEDS = (
    f"{_DEED} WHERE at <= ? AND (at < ? OR rowid < (SELECT rowid FROM steering WHERE op = ?)) "
    "ORDER BY at DESC, rowid DESC LIMIT ?"
)
NEWEST = "SELECT max(seq) FROM runs"
SCHEMA = "SELECT value FROM meta WHERE key = 'schema_version'"
_MOST_WORKFLOWS = 200
_LAST_INSTANT = 1e300


class SQLiteAcross:
    """See `Across`."""

    def __init__(self, connections: Reader, facts: Callable[[], StoreFacts]) -> None:
        self._connections = connections
        self._facts = facts

    def due(self, after: tuple[float, int], limit: int, workflows: Collection[str] | None) -> list[RunRow]:
        """See `Across.due`: the workflows' own lists, merged while they are read, so few more than `limit` rows are."""
        at, seq = after
        with self._connections.reading() as db:
            names = _workflows(db) if workflows is None else workflows
            lists = [map(row_of, db.execute(DUE_NEXT, (name, at, at, seq, limit))) for name in names]
            return list(islice(heapq.merge(*lists, key=lambda row: (row.wake_at or 0.0, row.seq)), limit))

    def waits(self, runs: Sequence[int], most: int) -> list[tuple[int, Entry]]:
        """See `Across.waits`."""
        with self._connections.reading() as db:
            rows = [
                row
                for chunk in padded(runs, _CHUNKS)
                for row in db.execute(OPEN[len(chunk)], [value for run in chunk for value in (run, most)])
            ]
        return [(row[0], entry_of(row[1:])) for row in rows]

    def kept(self, after: int, limit: int) -> list[Kept]:
        """See `Across.kept`."""
        with self._connections.reading() as db:
            rows = db.execute(KEPT, (after, limit)).fetchall()
        return [
            Kept(place=place, run=run, id=id, name=name, sent_at=sent_at, sender=sender, key=key, reply=bool(reply))
            for place, run, id, name, sent_at, sender, key, reply in rows
        ]

    def deeds(self, before: tuple[float, str] | None, limit: int) -> list[Deed]:
        """See `Across.deeds`."""
        at, op = before if before is not None else (_LAST_INSTANT, "")
        with self._connections.reading() as db:
            rows = db.execute(DEEDS, (at, at, op, limit)).fetchall()
        return [Deed(op=op, at=at, run=run, verb=verb, who=who, result=result) for op, at, run, verb, who, result in rows]

    def facts(self) -> StoreFacts:
        """See `Across.facts`."""
        return self._facts()


def sqlite_facts(connections: Connections) -> StoreFacts:
    """What SQLite says of its file."""
    path = connections.path
    log = path.with_name(f"{path.name}-wal")
    with connections.reading() as db:
        page, free = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_size", "freelist_count"))
        journal = str(db.execute("PRAGMA journal_mode").fetchone()[0])
        schema, newest = db.execute(SCHEMA).fetchone(), db.execute(NEWEST).fetchone()
    found = log.stat() if log.exists() else None
    return StoreFacts(
        path=str(path), size=path.stat().st_size, free=page * free, journal=journal,
        engine=f"SQLite {sqlite3.sqlite_version}",
        log_size=0 if found is None else found.st_size, log_at=None if found is None else found.st_mtime,
        schema=int(schema[0]) if schema is not None else 0, runs=newest[0] or 0,
    )  # fmt: skip


def _workflows(db: Executes) -> list[str]:
    """By hopping through their index from name to name."""
    names: list[str] = []
    while len(names) < _MOST_WORKFLOWS:
        row = db.execute(NEXT_WORKFLOW, (names[-1] if names else "",)).fetchone()
        if row is None:
            break
        names.append(str(row[0]))
    return names
