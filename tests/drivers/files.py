"""Files as other tools see them."""

import sqlite3
from pathlib import Path

from flowkit.drivers.sqlite import SQLiteDriver
from tests.drivers.ops import NOW, change, entry, owned, send


def execute(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Do `sql` with a connection of our own, as a person's tool would."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def closed(path: Path) -> Path:
    """A file with a run that has an entry and a message, closed."""
    driver = SQLiteDriver(path, "process")
    (run,) = owned(driver, "r")
    driver.write([change(run, add=[entry(1, args=b"[7]")], state=b"{}")], NOW)
    driver.write([send()], NOW)
    driver.close()
    return path
