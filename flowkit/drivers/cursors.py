"""What the modules that both SQL databases share ask of a connection: to execute a statement and give its rows.

Statements are written in SQLite's spelling, ``?`` marks and all; whoever hands in another database's connection spells them
anew. `sqlite3`'s own connections and cursors are what is described here, so that the first database costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["Executes", "Reader", "Rows", "Writes"]


class Rows(Protocol):
    """The answer to one statement."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...


class Executes(Protocol):
    """A connection in a transaction, or a cursor of it."""

    def execute(self, sql: str, values: Any = ..., /) -> Rows:
        """Execute one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Any], /) -> Rows:
        """Execute one statement for each of `rows`; `rowcount` is how many rows all of them wrote."""
        ...


class Writes(Executes, Protocol):
    """A cursor in a transaction that writes."""

    @property
    def lastrowid(self) -> int | None:
        """The number that the row inserted last was given."""
        ...


class Reader(Protocol):
    """The read connections of a handle."""

    def reading(self) -> AbstractContextManager[Executes]:
        """A connection in one snapshot. Keep it short."""
        ...

    def one(self, sql: str, values: tuple[int | str, ...], /) -> tuple[Any, ...] | None:
        """The first row of a single SELECT, which is a snapshot by itself."""
        ...
