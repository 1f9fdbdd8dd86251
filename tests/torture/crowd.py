"""One of a crowd of processes that all write to one file, as fast as they can, for so many seconds.

    python -m tests.torture.crowd DATABASE SECONDS

says "ready", starts at the first line of its input, and prints the number of its writes, the time that one of a hundred
waited longer than, its errors and the version of SQLite, as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
import uuid

from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import StoreError
from tests.drivers.ops import NOW, change, entry, owned

__all__ = ["main"]


def main(database: str, seconds: float) -> None:
    """Join, wait for the start, write."""
    driver = SQLiteDriver(database)
    (run,) = owned(driver, uuid.uuid4().hex)
    print("ready", flush=True)
    sys.stdin.readline()
    waits: list[float] = []
    errors: list[str] = []
    began = time.monotonic()
    while (before := time.monotonic()) < began + seconds:
        try:
            driver.write([change(run, len(waits), entries=len(waits) + 1, add=[entry(len(waits) + 1)])], NOW)
        except StoreError as error:
            errors.append(str(error))
        else:
            waits.append(time.monotonic() - before)
    driver.close()
    worst = sorted(waits)[len(waits) * 99 // 100]
    print(json.dumps({"writes": len(waits), "p99": worst, "errors": errors[:5], "sqlite": sqlite3.sqlite_version}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
