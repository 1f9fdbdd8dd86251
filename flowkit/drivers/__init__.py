"""Databases behind one blocking port. `open_driver` picks the one a URL asks for."""

from __future__ import annotations

from pathlib import Path

from flowkit.drivers.base import Driver
from flowkit.drivers.connections import Durability
from flowkit.errors import StoreError

__all__ = ["open_driver"]

_POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def open_driver(
    url: str | Path, *, durability: Durability = "full", readonly: bool = False, busy_seconds: float = 30.0
) -> Driver:
    """Open the database at `url`, and create or migrate it if need be.

    A path, ``sqlite:///path`` or ``:memory:``. `busy_seconds` bounds every wait for the write lock of a file.

    Raises:
        StoreError: it cannot be opened. SchemaTooNew: it was written by newer code. TypeError: `url` is no text and no path.
    """
    from flowkit.drivers.memory import MemoryDriver
    from flowkit.drivers.sqlite import SQLiteDriver

    if not isinstance(url, (str, Path)):  # str() of anything else would be the name of a new file
        raise TypeError(f"a database is named by text or a Path, not by {url!r}")
    text = str(url)
    if text.startswith(_POSTGRES):
        raise StoreError("the PostgreSQL driver is not in this version of flowkit. Use a SQLite file: orders.db")
    if text in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return MemoryDriver()
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        scheme = text.partition("://")[0]
        raise StoreError(f"flowkit knows no database {scheme}://. Use a path (orders.db), sqlite:///orders.db or :memory:.")
    if not text:
        raise StoreError("the database has no name. Use a path such as orders.db.")
    return SQLiteDriver(text, durability, readonly=readonly, busy_seconds=busy_seconds)
