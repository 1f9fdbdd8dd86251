"""What a SQLite file gives up when its time is over: ended runs with all their rows, replies, audit, gone workers."""

from __future__ import annotations

import json
import sqlite3

__all__ = ["purge"]

_DAY = 86_400.0
_REPLY_DAYS = 1
_STEERING_DAYS = 90
_WORKER_DAYS = 1

_BY_RUN = ("entries", "archive", "attempts", "inbox", "keys", "replies", "logs", "run_io")


def purge(cursor: sqlite3.Cursor, now: float, limit: int) -> tuple[int, list[int]]:
    """Delete up to `limit` runs; returns how many, and the ids of the workers that were forgotten."""
    runs = cursor.execute(
        "SELECT seq, tags FROM runs WHERE expire_at <= ? AND expire_at IS NOT NULL ORDER BY expire_at LIMIT ?",
        (now, limit),
    ).fetchall()
    for run, tags in runs:
        _delete_run(cursor, run, json.loads(tags))
    cursor.execute("DELETE FROM replies WHERE at <= ?", (now - _REPLY_DAYS * _DAY,))
    cursor.execute("DELETE FROM steering WHERE at <= ?", (now - _STEERING_DAYS * _DAY,))
    cursor.execute("DELETE FROM bulks WHERE finished_at <= ?", (now - _STEERING_DAYS * _DAY,))
    cursor.execute("DELETE FROM keys WHERE key >= '~id:' AND key < '~id;' AND at <= ?", (now - _DAY,))
    return len(runs), _forget_workers(cursor, now)


def _delete_run(cursor: sqlite3.Cursor, run: int, tags: list[str]) -> None:
    for table in _BY_RUN:
        cursor.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
    cursor.executemany("DELETE FROM run_tags WHERE tag = ? AND run = ?", [(tag, run) for tag in tags])
    cursor.execute("DELETE FROM runs WHERE seq = ?", (run,))


def _forget_workers(cursor: sqlite3.Cursor, now: float) -> list[int]:
    """Dying workers that own nothing, and clients, a day after they were last seen."""
    rows = cursor.execute(
        "SELECT id FROM workers w WHERE (state = 'dying' OR kind = 'client') AND seen_at <= ? "
        "AND NOT EXISTS (SELECT 1 FROM runs WHERE owner = w.id)",
        (now - _WORKER_DAYS * _DAY,),
    ).fetchall()
    cursor.executemany("DELETE FROM workers WHERE id = ?", rows)
    return [row[0] for row in rows]
