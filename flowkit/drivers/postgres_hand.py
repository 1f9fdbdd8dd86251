"""A PostgreSQL connection that takes the statements both databases share, which are written in SQLite's spelling.

The two dialects differ, in what flowkit says, by the handful of words that `spelled` changes; a statement that differs by
more has a text of its own in one of the `postgres_*` modules. Each text is spelled once and prepared on the server when it
has been used a few times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import psycopg

from flowkit.drivers.cursors import Rows
from flowkit.drivers.sql import AT_ID

__all__ = ["Hand", "spelled"]

_FOUND = "(SELECT seq AS place FROM runs WHERE id = ?) AS found JOIN runs ON runs.seq = place"
_ORDERS = {"archive": "at_head", "entries": "seq"}
"""What stands for SQLite's rowid where it only breaks a tie; elsewhere the table has a column for it, `place`."""

_CHANGES: tuple[tuple[str, str], ...] = (
    (r" INDEXED BY \w+", ""),
    (r"\bCROSS JOIN runs ON\b", "JOIN runs ON"),
    (r"(?<=[ (])\+(?=[a-z])", ""),
    (r"\bifnull\(", "coalesce("),
    (r"\binstr\(", "strpos("),
    (r"\blength\(CAST\((\w+) AS BLOB\)\)", r"octet_length(\1)"),
    (r"\bmax\(\?, ", "greatest(?, "),
    (r"\bLIKE \?", "ILIKE ?"),
)


@cache
def spelled(sql: str) -> bytes:
    """`sql` as PostgreSQL wants it."""
    sql = sql.replace(AT_ID, _FOUND)
    for pattern, replacement in _CHANGES:
        sql = re.sub(pattern, replacement, sql)
    if "INSERT OR" in sql:
        sql = _conflicting(sql)
    if "rowid" in sql:
        table = re.search(r"FROM (\w+)", sql)
        sql = re.sub(r"\browid\b", _ORDERS.get(table[1] if table else "", "place"), sql)
    return sql.replace("%", "%%").replace("?", "%s").encode()


def _conflicting(sql: str) -> str:
    """What becomes of a row whose key is there already; the key of what is replaced is the first column."""
    if "INSERT OR IGNORE" in sql:
        return sql.replace("INSERT OR IGNORE", "INSERT") + " ON CONFLICT DO NOTHING"
    key, *others = re.split(", ", re.findall(r"INSERT OR REPLACE INTO \w+ \((.*?)\)", sql)[0])
    renewed = ", ".join(f"{column} = excluded.{column}" for column in others)
    return f"{sql.replace('INSERT OR REPLACE', 'INSERT')} ON CONFLICT ({key}) DO UPDATE SET {renewed}"


@cache
def _numbered(sql: bytes) -> tuple[bytes, tuple[str, ...]]:
    """A text with named values as the server itself wants it, and their names in order.

    The client library does this, too, but anew for each use of a text as long as that of a group.
    """
    names = tuple(dict.fromkeys(name.decode() for name in _NAMED.findall(sql)))
    return _NAMED.sub(lambda found: b"$%d" % (names.index(found[1].decode()) + 1), sql), names


_NAMED = re.compile(rb"%\((\w+)\)s")


class Hand:
    """One connection while it is used. `begins` is told how many statements are about to begin."""

    __slots__ = ("_begins", "connection")

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], begins: Callable[[int], None]) -> None:
        self.connection = connection
        self._begins = begins

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        """Execute a statement in the shared spelling."""
        self._begins(1)
        return self.connection.execute(spelled(sql), values)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Rows:
        """Execute it for each of `rows`, in one trip."""
        each = list(rows)
        self._begins(len(each))
        cursor = self.connection.cursor()
        cursor.executemany(spelled(sql), each)
        return cursor

    @property
    def lastrowid(self) -> int:
        """The number that the last inserted row was given."""
        row = self.own(b"SELECT lastval()").fetchone()
        assert row is not None
        return int(row[0])

    def own(self, sql: bytes, values: Sequence[Any] | dict[str, Any] | None = None) -> psycopg.Cursor[tuple[Any, ...]]:
        """Execute a statement in PostgreSQL's own words, prepared from its first use on."""
        self._begins(1)
        if not isinstance(values, dict):
            return self.connection.execute(sql, values, prepare=values is not None)
        text, names = _numbered(sql)
        return psycopg.RawCursor(self.connection).execute(text, [values[name] for name in names], prepare=True)
