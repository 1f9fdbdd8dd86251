"""Whether this `dev` is alone with its database: one works on it, a second one, or one beside a live worker, only looks.

The kernel frees the lock the moment its holder is gone, so a `dev` that was killed leaves nothing to clean up.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from flowkit.dev.settings import IN_FORCE
from flowkit.drivers.base import Driver

__all__ = ["Alone", "why_not_alone"]

_PATIENCE_SECONDS = IN_FORCE.dev_beside
_TICK_SECONDS = IN_FORCE.dev_beside_look


class Alone:
    """The lock of the one `dev` that works on a database file."""

    def __init__(self, database: Path) -> None:
        folder = database.with_name(database.name + "-locks")
        folder.mkdir(parents=True, exist_ok=True)
        self._note = folder / "dev-pid"
        self._lock = FileLock(folder / "dev")

    def take(self) -> int | None:
        """Take the lock; else the process id of who has it (0: not known)."""
        try:
            self._lock.acquire(timeout=_PATIENCE_SECONDS, poll_interval=_TICK_SECONDS)
        except Timeout:
            return self._holder()
        self._note.write_text(str(os.getpid()), "utf-8")
        return None

    def release(self) -> None:
        """Let the next one have it."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._note.unlink()
            self._lock.release()

    def _holder(self) -> int:
        try:
            return int(self._note.read_text("utf-8"))
        except (OSError, ValueError):
            return 0


def why_not_alone(alone: Alone, driver: Driver) -> str:
    """Why nothing may be claimed here; empty if it may. A worker that has just been killed is given a moment to be gone."""
    if (holder := alone.take()) is not None:
        other = f"another flowkit dev (pid {holder or 'unknown'}) works on this database"
        return f"{other}: this one only looks. When that one has ended, start this one again"
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (worker := next((row for row in driver.workers() if row.kind == "worker" and row.alive), None)) is not None:
        if time.monotonic() > deadline:
            return f"worker {worker.name} works on this database: this dev only looks. Stop the worker and start dev again"
        time.sleep(_TICK_SECONDS)
    return ""
