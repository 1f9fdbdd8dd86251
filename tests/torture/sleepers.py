"""A database full of sleepers, and processes that open it, let all of them fire, and say what that cost.

    python -m tests.torture.sleepers open DATABASE

prints as JSON the seconds to open, kilobytes of memory before and after, and the seconds until one of them was woken.

    python -m tests.torture.sleepers fire DATABASE

is a worker for which all are due at once: seconds until none sleeps, those of the processor, how many ended, and the
kilobytes that it grew by between the first tenth of them and the last. A wake is the whole of it: claimed, loaded,
replayed, committed and ended.

    python -m tests.torture.sleepers wake DATABASE

makes some of them due one after the other while the rest sleeps on: how late each of these was, in seconds.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from flowkit import receive, sleep, step, workflow

__all__ = ["main", "multiply", "naps", "sleeps"]

ALL_SECONDS = 3_000.0
SOME = 200
SOME_SECONDS = 3.0


@step
def doze() -> str:
    """Something to recall."""
    return "drowsy"


@workflow
def sleeps() -> str:
    """Waits for a message for a year."""
    return doze() + str(receive("wake up", timeout="365d").data)


@workflow
def naps() -> str:
    """Sleeps for a year."""
    sleep("365d")
    return "rested"


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


def _due(connection: sqlite3.Connection, instants: str, where: str) -> None:
    """Change the instant that sleepers wait for, in an expression over their `seq`."""
    with connection:
        connection.execute(f"UPDATE runs SET wake_at = {instants} WHERE {where}")
        connection.execute(f"UPDATE entries SET due_at = {instants.replace('seq', 'run')} WHERE {where.replace('seq', 'run')}")


def _resident_kilobytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("the kernel does not say how much memory this process has")


def open_them(database: str) -> dict[str, object]:
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
    return {"opened": opened, "before": before, "after": after, "woken": woken, "output": output}


def fire_them(database: str) -> dict[str, object]:
    """Work until nobody sleeps any more."""
    import flowkit

    with closing(sqlite3.connect(database)) as reader:

        def left() -> int:
            found: int = reader.execute("SELECT count(*) FROM runs WHERE status NOT IN ('completed', 'failed')").fetchone()[0]
            return found

        every = left()
        _due(reader, "0.0", "seq > 0")
        began, busy = time.monotonic(), time.process_time()
        with flowkit.open(database):
            while left() > every * 0.9:
                time.sleep(0.02)
            early = _resident_kilobytes()
            while left() and time.monotonic() < began + ALL_SECONDS:
                time.sleep(0.02)
            seconds, busy = time.monotonic() - began, time.process_time() - busy
            grown = _resident_kilobytes() - early
        (done,) = reader.execute("SELECT count(*) FROM runs WHERE status = 'completed'").fetchone()
    return {"seconds": seconds, "busy": busy, "done": done, "every": every, "grown": grown}


def wake_some(database: str) -> dict[str, object]:
    """Work while a few of them become due."""
    import flowkit

    with closing(sqlite3.connect(database)) as reader:
        first = time.time() + 1.0
        _due(reader, f"{first} + (seq - 1) * {SOME_SECONDS / SOME}", f"seq <= {SOME}")
        with flowkit.open(database):
            while reader.execute(f"SELECT count(*) FROM runs WHERE seq <= {SOME} AND status <> 'completed'").fetchone() != (0,):
                time.sleep(0.02)
        rows = reader.execute("SELECT settled_at - due_at FROM entries WHERE settled_at IS NOT NULL").fetchall()
    return {"late": sorted(late for (late,) in rows)}


def main(task: str, database: str) -> None:
    """See the module's head."""
    work = {"open": open_them, "fire": fire_them, "wake": wake_some}[task]
    print(json.dumps(work(database)))


if __name__ == "__main__":
    main(*sys.argv[1:])
