"""How SQLite is to write: set on each connection that does, since most of it is not kept in the file."""

from __future__ import annotations

import sqlite3
import sys

__all__ = ["set_pragmas"]


def set_pragmas(connection: sqlite3.Connection, durability: str) -> None:
    """Prepare a connection for writing; `durability` "process" may lose the newest commits on power loss."""
    pragmas = {
        "journal_mode": "WAL",
        "synchronous": "FULL" if durability == "full" else "NORMAL",
        "busy_timeout": "5000",
        "wal_autocheckpoint": "1000",
        "journal_size_limit": "67108864",
        "mmap_size": "0",
        "foreign_keys": "OFF",
    }
    if sys.platform == "darwin":
        pragmas |= {"fullfsync": "1", "checkpoint_fullfsync": "1"}
    for pragma, value in pragmas.items():
        connection.execute(f"PRAGMA {pragma} = {value}")
