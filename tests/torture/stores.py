"""What the faults ask of a store without asking the driver under test, the same for a file and for a server.

A database is a `Path` or the text of a URL. Questions are asked on a connection of their own, which is closed again: some who
ask are about to fork.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver
from flowkit.settings import Settings

__all__ = ["BRISK", "Database", "ask", "is_server", "opened", "sound"]

Database = Path | str

BRISK = Settings(lease=1.5, beat=0.3, poll=0.2)
"""What processes on a server are given: the death of one is noticed within two seconds, not within sixteen."""


def is_server(database: Database) -> bool:
    """Whether it is a PostgreSQL database, and not a file."""
    return str(database).startswith("postgresql://")


def opened(database: Database, **options: Any) -> Driver:
    """A driver; on a server it is brisk."""
    if is_server(database):
        options = {"settings": BRISK} | options
    return open_driver(database, **options)


def ask(database: Database, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """The rows of a query that both kinds of store understand, with `?` for a value."""
    with _asking(database) as execute:
        return execute(sql, values)


def sound(database: Database) -> list[str]:
    """What the store says of its own files, if it is not well."""
    if is_server(database):
        return []
    verdicts = [row[0] for row in ask(database, "PRAGMA integrity_check")]
    return [] if verdicts == ["ok"] else verdicts


@contextmanager
def _asking(database: Database) -> Iterator[Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]]:
    if not is_server(database):
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            yield lambda sql, values: connection.execute(sql, values).fetchall()
        return
    import psycopg

    with closing(psycopg.connect(str(database), autocommit=True)) as server:
        yield lambda sql, values: server.execute(sql.replace("?", "%s"), values or None).fetchall()  # type: ignore[arg-type]
