"""A database full of sleepers, and a process that opens it and says what that cost.

    python -m tests.torture.sleepers DATABASE

prints seconds to open, kilobytes of memory before and after, and the seconds until one of the sleepers was woken, as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from pathlib import Path

from flowkit import receive, step, workflow

__all__ = ["main", "multiply", "sleeps"]


@step
def doze() -> str:
    """Something to recall."""
    return "drowsy"


@workflow
def sleeps() -> str:
    """Waits for a message for a year."""
    return doze() + str(receive("wake up", timeout="365d").data)


def multiply(database: Path, run_id: str, count: int) -> None:
    """Make `count` runs of one that sleeps, by copying its rows."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("PRAGMA synchronous = OFF")
        (run,) = connection.execute("SELECT seq FROM runs WHERE id = ?", (run_id,)).fetchone()
        for table, key, change in (("runs", "seq", {"id": "id || '-' || n"}), ("run_io", "run", {}), ("entries", "run", {})):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            taken = [f"{run} + n" if name == key else change.get(name, name) for name in names]
            connection.execute(
                f"WITH RECURSIVE numbers(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(taken)} FROM numbers, {table} WHERE {key} = {run}"
            )
    connection.close()


def _resident_kilobytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not say how much memory this process has")


def main(database: str) -> None:
    """Open, look at a page, wait for two claims to come by, wake one sleeper."""
    import flowkit.drivers.sqlite
    import flowkit.runtime.worker

    before = _resident_kilobytes()
    began = time.monotonic()
    with flowkit.open(database) as fk:
        opened = time.monotonic() - began
        page = fk.runs(status="sleeping", limit=50)
        passed = time.monotonic()
        fk.send(page.items[0].id, "wake up", "!")
        output = fk.get(page.items[0].id).result(timeout=5)
        woken = time.monotonic() - passed
        while time.monotonic() < began + 1.5:
            time.sleep(0.05)
        after = _resident_kilobytes()
    print(json.dumps({"opened": opened, "before": before, "after": after, "woken": woken, "output": output}))


if __name__ == "__main__":
    main(sys.argv[1])
