"""What a SQLite file gives up when its time is over: ended runs with all their rows, replies, audit, gone workers."""

from __future__ import annotations

import json
from collections.abc import Mapping

from flowkit.drivers.cursors import Executes
from flowkit.settings import Settings

__all__ = ["purge", "remove"]

_KEYS_KEPT_SECONDS = 86_400.0
"""How long a message without a key is known by its id: a write whose outcome is unknown is repeated for less."""

_BY_RUN = ("entries", "archive", "attempts", "inbox", "keys", "replies", "logs", "run_io")


def purge(cursor: Executes, now: float, limit: int, settings: Settings) -> tuple[int, list[int]]:
    """Delete up to `limit` runs; returns how many, and the ids of the workers that were forgotten."""
    runs = cursor.execute(
        "SELECT seq, tags FROM runs WHERE expire_at <= ? AND expire_at IS NOT NULL ORDER BY expire_at LIMIT ?",
        (now, limit),
    ).fetchall()
    _delete_runs(cursor, [(run,) for run, _ in runs], [(tag, run) for run, tags in runs for tag in json.loads(tags)])
    cursor.execute("DELETE FROM replies WHERE at <= ?", (now - settings.replies_kept,))
    cursor.execute("DELETE FROM health WHERE until <= ?", (now,))
    cursor.execute("DELETE FROM steering WHERE at <= ?", (now - settings.audit_kept,))
    cursor.execute("DELETE FROM bulks WHERE finished_at <= ?", (now - settings.audit_kept,))
    cursor.execute("DELETE FROM keys WHERE key >= '~id:' AND key < '~id;' AND at <= ?", (now - _KEYS_KEPT_SECONDS,))
    return len(runs), _forget_workers(cursor, now - settings.workers_kept)


def remove(cursor: Executes, runs: Mapping[int, int]) -> int:
    """Delete those of `runs`, seq → head, that have ended and have that head still."""
    sql = "SELECT seq, tags FROM runs WHERE seq = ? AND head = ? AND status IN ('completed', 'failed', 'cancelled')"
    found = [row for run in runs.items() for row in cursor.execute(sql, run).fetchall()]
    _delete_runs(cursor, [(run,) for run, _ in found], [(tag, run) for run, tags in found for tag in json.loads(tags)])
    return len(found)


def _delete_runs(cursor: Executes, runs: list[tuple[int]], tags: list[tuple[str, int]]) -> None:
    for table in _BY_RUN:
        cursor.executemany(f"DELETE FROM {table} WHERE run = ?", runs)
    cursor.executemany("DELETE FROM run_tags WHERE tag = ? AND run = ?", tags)
    cursor.executemany("DELETE FROM runs WHERE seq = ?", runs)


def _forget_workers(cursor: Executes, before: float) -> list[int]:
    """Dying workers that own nothing, and clients, not seen since `before`."""
    rows = cursor.execute(
        "SELECT id FROM workers w WHERE (state = 'dying' OR kind = 'client') AND seen_at <= ? "
        "AND NOT EXISTS (SELECT 1 FROM runs WHERE owner = w.id)",
        (before,),
    ).fetchall()
    cursor.executemany("DELETE FROM workers WHERE id = ?", rows)
    return [row[0] for row in rows]
