"""The `Survey` of a SQLite file: every statement walks an index and stops at its limit.

The workflows are found by hopping through their index from name to name, because DISTINCT would read every row of it.
"""

from __future__ import annotations

import heapq

from flowkit.drivers.base import RunRow
from flowkit.drivers.connections import Connections
from flowkit.drivers.sql import ROW_COLUMNS, row_of
from flowkit.drivers.survey import Deed

__all__ = ["SQLiteSurvey"]

COUNT = "SELECT count(*) FROM (SELECT 1 FROM runs WHERE status = ? LIMIT ?)"
NEXT_WORKFLOW = "SELECT workflow FROM runs WHERE workflow > ? ORDER BY workflow LIMIT 1"
TIMERS = (
    f"SELECT {ROW_COLUMNS} FROM runs INDEXED BY runs_due "
    "WHERE workflow = ? AND wake_at IS NOT NULL AND owner IS NULL ORDER BY wake_at LIMIT ?"
)
DEED = "SELECT op, at, run, verb, who, result FROM steering WHERE op = ?"
FIRST_CODE = "SELECT first_code FROM run_io WHERE run = ?"
_MOST_WORKFLOWS = 200


class SQLiteSurvey:
    """See `Survey`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def count(self, status: str, limit: int) -> int:
        """See `Survey.count`."""
        with self._connections.reading() as db:
            return int(db.execute(COUNT, (status, limit)).fetchone()[0])

    def timers(self, limit: int) -> list[RunRow]:
        """See `Survey.timers`: a short list per workflow, merged."""
        names = self.workflows(_MOST_WORKFLOWS)
        with self._connections.reading() as db:
            found = [row_of(row) for name in names for row in db.execute(TIMERS, (name, limit))]
        return heapq.nsmallest(limit, found, key=lambda row: row.wake_at or 0.0)

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

    def first_code(self, run: int) -> str:
        """See `Survey.first_code`."""
        with self._connections.reading() as db:
            row = db.execute(FIRST_CODE, (run,)).fetchone()
        return "" if row is None else str(row[0])
