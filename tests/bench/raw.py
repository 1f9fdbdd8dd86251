"""R, the raw limit: one UPDATE and one INSERT per COMMIT, on flowkit's own schema, by sqlite3 and nothing else.

Machines drift, so R is never measured once: slices of it alternate with the work it is compared with.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from flowkit.drivers.base import Start
from flowkit.drivers.sqlite import SQLiteDriver

__all__ = ["Raw", "RawServer"]

WARM_COMMITS = 2_500
"""So many that the log has been checkpointed and is written from its beginning again."""

_UPDATE = (
    "UPDATE runs SET head = head + 1, entries = ?, seen = 0, owes = 0, current = ?, attempts = 1, error_line = NULL, "
    "updated_at = ? WHERE seq = ? AND epoch = 0 AND head = ?"
)
_INSERT = (
    "INSERT INTO entries (run, seq, parent, location, kind, status, attempts, round, created_at, started_at, settled_at, "
    "rollback, source, size, crc, args_crc, output) VALUES (?, ?, 0, ?, 'step', 'completed', 1, 0, ?, ?, ?, '', ?, 1, 0, 0, ?)"
)


class Raw:
    """A database of its own, with one connection at full durability."""

    def __init__(self, path: Path) -> None:
        driver = SQLiteDriver(path)
        driver.write([Start(id="raw", workflow="raw", input=b"{}", input_hash="", start_at=0.0, token="raw")], 0.0)
        driver.close()
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 1000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._run = self._connection.execute("SELECT seq FROM runs").fetchone()[0]
        self._head = 0
        self.commits(WARM_COMMITS)

    def commits(self, count: int) -> float:
        """Make `count` commits; per second."""
        cursor, run, head = self._connection.cursor(), self._run, self._head
        began = time.perf_counter()
        for number in range(head, head + count):
            now = time.time()
            place = f"step#{number}"
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(_UPDATE, (number, place, now, run, number))
            cursor.execute(_INSERT, (run, number, place, now, now, now, "tests/bench/raw.py:1", "1"))
            cursor.execute("COMMIT")
        self._head += count
        return count / (time.perf_counter() - began)

    def slice(self, seconds: float = 0.03) -> float:
        """Commits per second, over some `seconds`."""
        end = time.perf_counter() + seconds
        rates = []
        while time.perf_counter() < end:
            rates.append(self.commits(20))
        return len(rates) / sum(1 / rate for rate in rates)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


class RawServer(Raw):
    """The same for a server: one-row INSERTs, each committed by itself, on one connection. Its database is not flowkit's."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._link = psycopg.connect(url, autocommit=True)
        self._link.execute("CREATE TABLE IF NOT EXISTS raw_limit (n bigint PRIMARY KEY, at double precision, body text)")
        ((self._number,),) = self._link.execute("SELECT coalesce(max(n), 0) FROM raw_limit").fetchall()
        self.commits(200)

    def commits(self, count: int) -> float:
        """Make `count` commits; per second."""
        began = time.perf_counter()
        for _ in range(count):
            self._number += 1
            self._link.execute("INSERT INTO raw_limit VALUES (%s, %s, %s)", (self._number, began, "x" * 100), prepare=True)
        return count / (time.perf_counter() - began)

    def close(self) -> None:
        """Close the connection."""
        self._link.close()
