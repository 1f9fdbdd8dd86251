"""How long a store's reads take: what was asked, how often, and how slowly, since this process began to look.

Nothing is measured unless somebody asks for it, since the time of a short read is not much more than that of two looks at the
clock. What is kept is bounded: of each statement the last hundred times and its slowest ever, and of statements the slowest.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol, runtime_checkable

__all__ = ["Statement", "Statements", "TimesReads", "timed"]

_LAST = 100
_MOST = 200
_READS = ("SELECT", "WITH", "EXPLAIN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A statement and its times in seconds: `p50` of the last hundred, `slowest` of all `count`; `last_at` in epoch seconds."""

    text: str
    count: int
    p50: float
    slowest: float
    last_at: float


class _Times:
    def __init__(self) -> None:
        self.last: deque[float] = deque(maxlen=_LAST)
        self.count = 0
        self.slowest = 0.0
        self.last_at = 0.0


class Statements:
    """What was read through one handle. Thread-safe. `now` is the wall clock, which dates what was measured."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._times: dict[str, _Times] = {}

    def took(self, text: str, seconds: float) -> None:
        """A statement has been answered in full, or as far as anybody wanted."""
        with self._lock:
            times = self._times.get(text)
            if times is None:
                times = self._times[text] = _Times()
            times.last.append(seconds)
            times.count += 1
            times.slowest = max(times.slowest, seconds)
            times.last_at = self._now()
            if len(self._times) > _MOST:
                del self._times[min(self._times, key=lambda each: (each == text, self._times[each].slowest))]

    def slowest(self, limit: int) -> tuple[Statement, ...]:
        """The statements with the slowest time ever, slowest first."""
        with self._lock:
            found = [
                Statement(text=text, count=each.count, p50=median(each.last), slowest=each.slowest, last_at=each.last_at)
                for text, each in self._times.items()
            ]
        return tuple(sorted(found, key=lambda each: -each.slowest)[:limit])


@runtime_checkable
class TimesReads(Protocol):
    """A driver that can measure its reads."""

    def time_reads(self, now: Callable[[], float]) -> Statements:
        """Measure from here on; asked again, the same measure."""
        ...


def timed(statements: Statements) -> type[sqlite3.Connection]:
    """A kind of connection whose reads are measured."""

    class Cursor(sqlite3.Cursor):
        """Adds up what execution and fetching take, until the first row was asked for alone, or the last one has come."""

        text = ""
        spent = 0.0

        def execute(self, sql: str, *values: Any) -> Cursor:
            self.text, self.spent = sql, 0.0
            begun = time.perf_counter()
            super().execute(sql, *values)
            self.spent = time.perf_counter() - begun
            return self

        def fetchone(self) -> Any:
            begun = time.perf_counter()
            row = super().fetchone()
            self._over(begun)
            return row

        def fetchall(self) -> list[Any]:
            begun = time.perf_counter()
            rows = super().fetchall()
            self._over(begun)
            return rows

        def __next__(self) -> Any:
            begun = time.perf_counter()
            try:
                row = super().__next__()
            except StopIteration:
                self._over(begun)
                raise
            self.spent += time.perf_counter() - begun
            return row

        def _over(self, begun: float) -> None:
            text, self.text = self.text, ""
            if text.lstrip().startswith(_READS):
                statements.took(text, self.spent + time.perf_counter() - begun)

    class Connection(sqlite3.Connection):
        """Its `execute` gives such a cursor."""

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            return self.cursor(Cursor).execute(sql, *values)

    return Connection
