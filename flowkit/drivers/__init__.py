"""Databases behind one blocking port. `open_driver` picks the one a URL asks for."""

from __future__ import annotations

from pathlib import Path

from flowkit.drivers.base import Driver
from flowkit.drivers.connections import Durability
from flowkit.errors import StoreError
from flowkit.settings import Settings

__all__ = ["open_driver"]

_POSTGRES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def open_driver(
    url: str | Path, *, durability: Durability = "full", readonly: bool = False, busy_seconds: float | None = None,
    settings: Settings | None = None, create: bool = True,
) -> Driver:  # fmt: skip
    """Open the database at `url`, and create or migrate it if need be; with `create` False a server's without tables is refused.

    A path, ``sqlite:///path`` or ``:memory:``; other schemes are left to installed packages (`plugged`).
    `busy_seconds` bounds every wait for the write lock of a file (None: as `settings` say, which are the defaults if None).

    Raises:
        StoreError: it cannot be opened. SchemaTooNew: it was written by newer code. TypeError: `url` is no text and no path.
    """
    from flowkit.drivers.memory import MemoryDriver
    from flowkit.drivers.plugged import plugged
    from flowkit.drivers.sqlite import SQLiteDriver

    if not isinstance(url, (str, Path)):  # str() of anything else would be the name of a new file
        raise TypeError(f"a database is named by text or a Path, not by {url!r}")
    text = str(url)
    if text.startswith(_POSTGRES):
        return _postgres(text, durability, readonly, busy_seconds, settings, create)
    if text in (":memory:", "sqlite://", "sqlite:///:memory:"):
        return MemoryDriver(settings=settings)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        scheme = text.partition("://")[0]
        if (opener := plugged(scheme)) is not None:
            return opener(text, durability=durability, readonly=readonly, settings=settings or Settings())
        raise StoreError(
            f"flowkit knows no database {scheme}://, and no installed package opens it. "
            f"Use a path (orders.db), sqlite:///orders.db, postgresql://user@host/orders or :memory:."
        )
    if not text:
        raise StoreError("the database has no name. Use a path such as orders.db.")
    if text.startswith(("postgresql:", "postgres:")):  # a slash is missing; nobody means a folder of this name
        raise StoreError("this is no URL of a PostgreSQL database. Write postgresql://user@host/name.")
    return SQLiteDriver(text, durability, readonly=readonly, busy_seconds=busy_seconds, settings=settings)


def _postgres(
    url: str, durability: Durability, readonly: bool, busy_seconds: float | None, settings: Settings | None, create: bool
) -> Driver:
    try:
        from flowkit.drivers.postgres import PostgresDriver
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "psycopg" and "libpq" not in str(error):
            raise
        raise StoreError(
            f"for PostgreSQL flowkit needs psycopg ({error}). Run pip install 'flowkit-engine[postgres]'."
        ) from error
    return PostgresDriver(url, durability, readonly=readonly, busy_seconds=busy_seconds, settings=settings, create=create)
