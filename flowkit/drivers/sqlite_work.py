"""Workers of a SQLite file: joining, proving to be alive, taking due runs, and taking over those of the dead.

A live worker holds a lock on a file of its own; the kernel frees it the moment the process is gone, so death is seen
in milliseconds and a stopped process is not mistaken for a dead one. Polling must not cost a transaction: everything
here looks on a read connection first and writes only if there is something to write.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from flowkit.core.health import Report, decode_reports, encode_reports
from flowkit.drivers.base import Claim, Claimed, WorkerInfo, WorkerRow
from flowkit.drivers.connections import Connections
from flowkit.drivers.gate import LiveLock, refuse_network_folder
from flowkit.drivers.rules import FINAL, orphaned
from flowkit.drivers.sql import Row, body_of, joined, text_of
from flowkit.drivers.sqlite_change import STANDING_COLUMNS, Standing, set_fate
from flowkit.drivers.sqlite_take import CLAIM_COLUMNS, take_runs
from flowkit.errors import Fenced
from flowkit.settings import Settings

__all__ = ["Work"]

_SLICE = 5_000
_STATE = "SELECT state FROM workers WHERE id = ?"
_IS_DUE = "SELECT 1 FROM runs WHERE workflow = ? AND owner IS NULL AND wake_at <= ? LIMIT 1"
_DUE = f"SELECT {CLAIM_COLUMNS} FROM runs WHERE workflow = ? AND owner IS NULL AND wake_at <= ? ORDER BY wake_at LIMIT ?"
_NEXT = "SELECT min(wake_at) FROM runs WHERE workflow = ? AND owner IS NULL AND wake_at IS NOT NULL"
_BELLS = "SELECT seq FROM runs WHERE owner = ? AND wake_at <= ?"
_SILENCE = "UPDATE runs SET wake_at = NULL WHERE owner = ? AND wake_at <= ?"
_OWNED = f"SELECT {CLAIM_COLUMNS} FROM runs WHERE owner = ? AND updated_at <= ?"
_BLOCKED = (
    f"SELECT {', '.join('r.' + name.strip() for name in CLAIM_COLUMNS.split(','))} "
    "FROM runs r JOIN run_io i ON i.run = r.seq "
    "WHERE r.workflow = ? AND r.status = 'blocked' AND r.owner IS NULL AND r.start_at <= ? AND instr(i.tried, ?) = 0 "
    "ORDER BY r.seq LIMIT ?"
)
_HELD_BY = f"SELECT {STANDING_COLUMNS} FROM runs WHERE owner = ? LIMIT {_SLICE}"
_WORKERS = (
    "SELECT id, name, host, pid, kind, state, started_at, seen_at, info, "
    "(SELECT count(*) FROM runs WHERE owner = w.id) FROM workers w ORDER BY id"
)


class Work:
    """The working half of the SQLite driver."""

    def __init__(self, connections: Connections, settings: Settings) -> None:
        self._lease, self._adopt_after = settings.lease, settings.adopt_after
        self._connections = connections
        self._live: dict[int, LiveLock] = {}
        self._lock = threading.Lock()

    # --- joining and leaving

    def join(self, info: WorkerInfo, now: float) -> int:
        """See `Driver.join`. The lock is had before the row is there to be seen: a row without a lock is dead."""
        if info.kind == "worker":
            refuse_network_folder(self._connections.path)
        lock: LiveLock | None = None

        def insert(cursor: sqlite3.Cursor) -> int:
            nonlocal lock
            cursor.execute(
                "INSERT INTO workers (name, host, pid, boot_id, kind, state, started_at, seen_at, expires_at, info) "
                "VALUES (?, ?, ?, ?, ?, 'live', ?, ?, ?, ?)",
                (info.name, info.host, info.pid, info.boot_id, info.kind, now, now, now + self._lease, info.info),
            )
            assert cursor.lastrowid is not None
            if info.kind == "worker":
                lock = LiveLock(self._connections.locks, cursor.lastrowid)
            return cursor.lastrowid

        try:
            worker = self._connections.transact(insert)
        except BaseException:
            if lock is not None:
                lock.release(forget=True)
            raise
        if lock is not None:
            self._live[worker] = lock
        return worker

    def leave(self, worker: int, now: float) -> None:
        """See `Driver.leave`."""
        self._retire([worker], now)

        def delete(cursor: sqlite3.Cursor) -> None:
            cursor.execute("DELETE FROM workers WHERE id = ?", (worker,))

        self._connections.transact(delete)
        self._release(worker)

    def _release(self, worker: int) -> None:
        if lock := self._live.pop(worker, None):
            lock.release(forget=True)

    def close(self) -> None:
        """Let go of the locks of this handle's workers, which are dead from now on."""
        for lock in self._live.values():
            lock.release()
        self._live.clear()

    def beat(self, worker: int, now: float, info: str | None) -> float:
        """See `Driver.beat`."""

        def renew(cursor: sqlite3.Cursor) -> bool:
            cursor.execute(
                "UPDATE workers SET seen_at = ?, expires_at = ?, info = ifnull(?, info) WHERE id = ? AND state = 'live'",
                (now, now + self._lease, info, worker),
            )
            return cursor.rowcount == 1

        if not self._connections.transact(renew):
            raise _fenced(worker)
        return now

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        """See `Driver.publish`."""

        def insert(cursor: sqlite3.Cursor) -> None:
            values = (code, now, text_of(manifest))
            cursor.execute("INSERT OR REPLACE INTO codes (code, at, manifest) VALUES (?, ?, ?)", values)

        self._connections.transact(insert)

    def report(self, source: str, reports: Sequence[Report], until: float) -> None:
        """See `Driver.report`."""

        def keep(cursor: sqlite3.Cursor) -> None:
            if reports:
                values = (source, until, text_of(encode_reports(reports)))
                cursor.execute("INSERT OR REPLACE INTO health (source, until, reports) VALUES (?, ?, ?)", values)
            else:
                cursor.execute("DELETE FROM health WHERE source = ?", (source,))

        self._connections.transact(keep)

    def reports(self, now: float) -> list[Report]:
        """See `Driver.reports`."""
        with self._connections.reading() as db:
            rows = db.execute("SELECT reports FROM health WHERE until > ? ORDER BY source", (now,)).fetchall()
        return [report for row in rows for report in decode_reports(body_of(row[0]) or b"[]")]

    def workers(self) -> list[WorkerRow]:
        """See `Driver.workers`."""
        with self._connections.reading() as db:
            rows = db.execute(_WORKERS).fetchall()
        return [self._worker_row(row) for row in rows]

    def _worker_row(self, row: Row) -> WorkerRow:
        id, name, host, pid, kind, state, started_at, seen_at, info, owned = row
        alive = state == "live" and (kind == "client" or self._is_alive(id))
        return WorkerRow(
            id=id,
            name=name,
            host=host,
            pid=pid,
            kind=kind,
            state=state,
            started_at=started_at,
            seen_at=seen_at,
            alive=alive,
            owned=owned,
            info=info,
        )

    def _is_alive(self, worker: int) -> bool:
        return worker in self._live or LiveLock.is_held(self._connections.locks, worker)

    # --- taking runs

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.claim`."""
        with self._connections.reading() as db:
            _refuse_the_dead(db.cursor(), worker)
            rings = db.execute(_BELLS, (worker, now)).fetchone() is not None
            due = limit > 0 and any(db.execute(_IS_DUE, (name, now)).fetchone() for name in workflows)
            if not rings and not due:
                return Claimed(next_due=_next_due(db.cursor(), workflows))

        def take(cursor: sqlite3.Cursor) -> Claimed:
            _refuse_the_dead(cursor, worker)
            bells = [row[0] for row in cursor.execute(_BELLS, (worker, now))]
            if bells:
                cursor.execute(_SILENCE, (worker, now))
            rows: list[Row] = []
            for name in workflows:
                rows += cursor.execute(_DUE, (name, now, max(limit, 0))).fetchall()
            rows.sort(key=lambda row: (row[4], row[0]))
            runs = take_runs(cursor, worker, rows[: max(limit, 0)], workflows, now)
            return Claimed(runs=runs, bells=bells, next_due=_next_due(cursor, workflows))

        return self._connections.transact(take)

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.adopt`."""
        before = now - self._adopt_after  # its start or claim may just be on its way to the worker

        def find(cursor: sqlite3.Cursor) -> list[Row]:
            _refuse_the_dead(cursor, worker)
            rows = [row for row in cursor.execute(_OWNED, (worker, before)) if row[0] not in held and row[16] in workflows]
            for name, code in workflows.items():
                rows += cursor.execute(_BLOCKED, (name, now, joined((code,)), limit)).fetchall()
            return rows[:limit]

        def take(cursor: sqlite3.Cursor) -> Claimed:
            rows = find(cursor)
            paused = [(row[0],) for row in rows if row[3] == "paused"]
            cursor.executemany("UPDATE runs SET owner = NULL, wake_at = NULL, request = '' WHERE seq = ?", paused)
            runs = take_runs(cursor, worker, [row for row in rows if row[3] != "paused"], workflows, now)
            return Claimed(runs=runs, next_due=_next_due(cursor, workflows))

        with self._connections.reading() as db:
            if not find(db.cursor()):
                return Claimed(next_due=_next_due(db.cursor(), workflows))
        return self._connections.transact(take)

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        """See `Driver.take`."""

        def take(cursor: sqlite3.Cursor) -> Claim | None:
            _refuse_the_dead(cursor, worker)
            row = cursor.execute(f"SELECT {CLAIM_COLUMNS} FROM runs WHERE seq = ? AND owner IS NULL", (run,)).fetchone()
            if row is None or row[3] in FINAL or row[3] == "paused":
                return None
            return take_runs(cursor, worker, [row], {row[16]: code}, now)[0]

        return self._connections.transact(take)

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        """See `Driver.lost`."""
        if not held:
            return []
        with self._connections.reading() as db:
            owned = dict(db.execute("SELECT seq, epoch FROM runs WHERE owner = ?", (worker,)).fetchall())
        return [run for run, epoch in held.items() if owned.get(run) != epoch]

    # --- taking over

    def reap(self, now: float, dead: Collection[int]) -> int:
        """See `Driver.reap`."""
        with self._connections.reading() as db:
            rows = db.execute("SELECT id, kind, state FROM workers").fetchall()
            held = {row[0] for row in rows if row[2] == "dying" and db.execute(_HELD_BY, (row[0],)).fetchone()}
        gone = [id for id, kind, state in rows if state == "live" and kind == "worker" and not self._is_alive(id)]
        gone += [id for id, _, state in rows if state == "live" and id in dead and id not in gone]
        return self._retire(gone, now, half_done=held) if gone or held else 0

    def _retire(self, gone: Collection[int], now: float, half_done: Collection[int] = ()) -> int:
        """Mark first, then take over in slices: whoever comes by can finish it."""

        def mark(cursor: sqlite3.Cursor) -> None:
            cursor.executemany("UPDATE workers SET state = 'dying' WHERE id = ?", [(worker,) for worker in gone])

        if gone:
            self._connections.transact(mark)
        count = 0
        for worker in (*gone, *half_done):
            while taken := self._connections.transact(partial(_orphan, worker=worker, now=now)):
                count += taken
        return count


def _fenced(worker: int) -> Fenced:
    return Fenced(f"worker {worker} was declared dead and its runs were taken over. Join anew.")


def _refuse_the_dead(cursor: sqlite3.Cursor, worker: int) -> None:
    row = cursor.execute(_STATE, (worker,)).fetchone()
    if row is None or row[0] != "live":
        raise _fenced(worker)


def _next_due(cursor: sqlite3.Cursor, workflows: Collection[str]) -> float | None:
    instants = [cursor.execute(_NEXT, (name,)).fetchone()[0] for name in workflows]
    return min((instant for instant in instants if instant is not None), default=None)


def _orphan(cursor: sqlite3.Cursor, worker: int, now: float) -> int:
    rows = cursor.execute(_HELD_BY, (worker,)).fetchall()
    for row in rows:
        standing = Standing(*row)
        set_fate(cursor, standing.seq, orphaned(standing, now), None, now)
    return len(rows)
