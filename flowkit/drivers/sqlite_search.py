"""Looking for a text in the inputs of a few runs, for as long as there is time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence

from flowkit.drivers.sql import padded

__all__ = ["HOLDING", "holding"]

_CHUNKS = (1, 10, 50, 200)
_STEPS = 2_000
HOLDING = {n: f"SELECT run FROM run_io WHERE run IN ({', '.join('?' * n)}) AND instr(lower(input), ?) > 0" for n in _CHUNKS}
"""By how many runs are looked at: each is found by its key."""


def holding(db: sqlite3.Connection, runs: Sequence[int], text: str, seconds: float) -> Collection[int] | None:
    """Those of `runs` whose input, as stored, holds `text`; None if that took longer than there was time."""
    wanted = text.encode("utf-8", "replace").lower().decode()
    end = time.monotonic() + seconds
    found: set[int] = set()
    db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        for chunk in padded(runs, _CHUNKS):
            if time.monotonic() > end:
                return None
            found.update(row[0] for row in db.execute(HOLDING[len(chunk)], (*chunk, wanted)))
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None
    finally:
        db.set_progress_handler(None, 0)
    return found
