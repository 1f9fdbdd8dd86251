"""What `write` does in a SQLite transaction: operations in, statements out, one result each.

A group of Changes reads all its rows at once, decides each in Python (`rules`), and writes what came out with one
`executemany` per kind of statement, checked by its row count. Nothing can come between the reading and the writing: the
transaction holds the write lock. Statement texts are constants, so that sqlite3's statement cache always hits.

A Change that sends, or that bumps the epoch, stands alone in its group, since it may touch a row that another Change
of the group has read already.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice

from flowkit.core.change import REWINDS, Change, Outgoing
from flowkit.drivers.base import (
    Done,
    Duplicate,
    Ended,
    Exists,
    Full,
    Limits,
    Log,
    Lost,
    Moved,
    NoRun,
    Op,
    Result,
    SaveBulk,
    Send,
    Sent,
    Start,
    Started,
    Steer,
    Steered,
    Tag,
    Undeliverable,
)
from flowkit.drivers.cursors import Writes
from flowkit.drivers.rules import (
    FINAL,
    awaits,
    earliest,
    expiry,
    fork_op,
    is_quiet,
    landed,
    message_key,
    retagged,
    steered,
    stored_key,
    tag_verb,
)
from flowkit.drivers.sql import (
    AT_ID,
    body_sum,
    message_sum,
    names_of,
    padded,
    tags_text,
    text_of,
)
from flowkit.drivers.sqlite_bulk import save_bulk
from flowkit.drivers.sqlite_change import ARRIVE, STANDING_COLUMNS, Batch, Standing, clear_error, copy_history, set_fate
from flowkit.drivers.sqlite_logs import append
from flowkit.errors import PayloadError

__all__ = ["Writing"]

_ONE = f"SELECT {STANDING_COLUMNS} FROM runs WHERE seq = ?"
_BY_ID = f"SELECT {STANDING_COLUMNS} FROM {AT_ID} WHERE id = ?"
_SIZES = (8, 32, 128, 512)
_MANY = {n: f"SELECT {STANDING_COLUMNS} FROM runs WHERE seq IN ({', '.join('?' * n)})" for n in _SIZES}

_CANCEL_OPEN = "UPDATE entries SET status = 'cancelled', settled_at = ? WHERE run = ? AND settled_at IS NULL"
_START = (
    "INSERT OR IGNORE INTO runs (id, workflow, status, wake_at, owner, epoch, passes, tags, code, created_at, "
    "start_at, started_at, updated_at, context) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_START_IO = "INSERT INTO run_io (run, token, input_hash, input_crc, first_code, input) VALUES (?, ?, ?, ?, ?, ?)"
_TAG = "INSERT OR IGNORE INTO run_tags (tag, run) VALUES (?, ?)"
_TAGS = f"SELECT seq, status, tags FROM {AT_ID} WHERE id = ?"
_RETAG = "UPDATE runs SET tags = ? WHERE seq = ?"
_UNTAG = "DELETE FROM run_tags WHERE tag = ? AND run = ?"
_TWIN = f"SELECT seq, workflow, epoch, owner, input_hash, token FROM {AT_ID} JOIN run_io ON run = seq WHERE id = ?"

_TARGET = f"SELECT seq, status, owner, waiting, wake_at, inbox FROM {AT_ID} WHERE id = ?"
_RECEIVE = "UPDATE runs SET inbox = inbox + 1, wake_at = ?, updated_at = ? WHERE seq = ?"
_COUNT = "UPDATE runs SET inbox = inbox + 1, updated_at = ? WHERE seq = ?"
_KEY = "SELECT message FROM keys WHERE run = ? AND key = ?"
_USE_KEY = "INSERT INTO keys (run, key, message, at) VALUES (?, ?, ?, ?)"
_STEERED = "SELECT result FROM steering WHERE op = ?"
_STEER = "INSERT INTO steering (op, at, run, verb, who, result) VALUES (?, ?, ?, ?, ?, ?)"


class Writing:
    """One transaction's worth of operations."""

    def __init__(self, cursor: Writes, now: float, limits: Limits) -> None:
        self._cursor = cursor
        self._now = now
        self._limits = limits
        self._days: dict[str, float] | None = None
        self._live: dict[int, bool] = {}

    def apply(self, ops: Sequence[Op]) -> list[Result]:
        """Write `ops` in order. Raises GuardFailed."""
        results: list[Result] = []
        at = 0
        while at < len(ops):
            op = ops[at]
            if type(op) is Change:
                group = _group(ops, at)
                results += self._changes(group)
                at += len(group)
                continue
            at += 1
            match op:
                case Start():
                    results.append(self._start(op))
                case Send():
                    results.append(self._send(op))
                case Steer():
                    results.append(self._steer(op))
                case Tag():
                    results.append(self._retag(op))
                case SaveBulk():
                    results.append(save_bulk(self._cursor, op, self._now))
                case Log():
                    results.append(append(self._cursor, op))
                case _:
                    raise TypeError(f"{op!r} is no operation of a driver")
        return results

    # --- changes

    def _changes(self, group: Sequence[Change]) -> list[Result]:
        rows = self._standing(group)
        batch = Batch(self._now)
        results = [self._change(change, rows.get(change.run), batch) for change in group]
        batch.execute(self._cursor)
        first, result = group[0], results[0]
        if (first.op or first.sends) and isinstance(result, Done):
            self._after_alone(first, result)
        return results

    def _standing(self, group: Sequence[Change]) -> dict[int, Standing]:
        if len(group) == 1:
            row = self._cursor.execute(_ONE, (group[0].run,)).fetchone()
            return {} if row is None else {group[0].run: Standing(*row)}
        found: dict[int, Standing] = {}
        for chunk in padded([change.run for change in group], _SIZES):
            for row in self._cursor.execute(_MANY[len(chunk)], chunk):
                found[row[0]] = Standing(*row)
        return found

    def _change(self, change: Change, row: Standing | None, batch: Batch) -> Result:
        if change.op and (first := self._first_answer(change.op)) is not None:
            return Duplicate(first=first)
        if row is None:
            return Lost(epoch=0, head=0)
        if row.epoch != change.epoch or row.head != change.head:
            return Lost(epoch=row.epoch, head=row.head)
        if change.sends and (refusal := self._undeliverable(change)) is not None:
            return refusal
        if is_quiet(change, row):
            batch.step(change)
            return Done(inbox=row.inbox, status=row.status, request=row.request)
        fate = landed(change, row, self._now)
        batch.turn(change, fate, self._expiry(change.run, fate.status))
        if change.finish is not None and (row.status != "paused" or change.bump in REWINDS):
            batch.finish(change)
        if change.bump == "block" and (code := change.code or row.code):
            batch.blocked(change.run, code)
        return Done(inbox=row.inbox, status=fate.status, request=fate.request)

    def _after_alone(self, change: Change, done: Done) -> None:
        if change.op:
            values = (change.op, self._now, change.run, change.bump, change.who, done.status)
            self._cursor.execute(_STEER, values)
        for message in change.sends:
            self._deliver(message)

    def _undeliverable(self, change: Change) -> Undeliverable | None:
        for message in change.sends:
            target = self._cursor.execute(_TARGET, (message.to, message.to)).fetchone()
            if target is None:
                return Undeliverable(to=message.to, why="missing")
            if message.key is not None and self._used(target[0], stored_key(message.key)) is not None:
                continue
            if target[1] in FINAL or (target[0] == change.run and change.status in FINAL):
                return Undeliverable(to=message.to, why="ended")
            if self._is_full(target[0], target[5]):
                return Undeliverable(to=message.to, why="full")
        return None

    def _expiry(self, run: int, status: str) -> float | None:
        if status not in FINAL:
            return None
        days = self._days
        if days is None:
            row = self._cursor.execute("SELECT value FROM meta WHERE key = 'retention'").fetchone()
            self._days = days = json.loads(row[0]) if row else {}
        workflow = ""
        if days and any("/" in name for name in days):  # asked only where it matters: every run that ends comes by here
            workflow = self._cursor.execute("SELECT workflow FROM runs WHERE seq = ?", (run,)).fetchone()[0]
        return expiry(days, status, workflow, self._now)

    # --- starts

    def _start(self, op: Start) -> Started | Exists:
        now = self._now
        held = op.worker is not None and op.copied is None and op.start_at <= now and self._is_live(op.worker)
        values = (
            op.id,
            op.workflow,
            "running" if held else "pending",
            None if held else op.start_at,
            op.worker if held else None,
            int(held),
            int(held),
            tags_text(op.tags),
            op.code if held else "",
            now,
            op.start_at,
            now if held else None,
            now,
            op.context,
        )
        if self._cursor.execute(_START, values).rowcount == 0:
            return self._twin(op)
        run = self._cursor.lastrowid
        assert run is not None
        body = (op.input_hash, body_sum(op.input), op.code, text_of(op.input))
        self._cursor.execute(_START_IO, (run, op.token, *body))
        if op.tags:
            self._cursor.executemany(_TAG, [(tag, run) for tag in op.tags])
        if op.copied is not None:
            copy_history(self._cursor, run, op.copied)
            if self._first_answer(fork_op(op.token)) is None:  # an equal one, of which the run has been deleted since, stands
                self._cursor.execute(_STEER, (fork_op(op.token), now, run, "fork", op.copied.who, "pending"))
        return Started(run=run, epoch=int(held))

    def _twin(self, op: Start) -> Started | Exists:
        twin = self._cursor.execute(_TWIN, (op.id, op.id)).fetchone()
        if twin is None:
            raise PayloadError(f"the index of ids does not lead to run {op.id!r}: the file was damaged. See `flowkit doctor`.")
        run, workflow, epoch, owner, input_hash, token = twin
        if token == op.token:
            return Started(run=run, epoch=1 if epoch == 1 and owner is not None and owner == op.worker else 0)
        return Exists(run=run, same=workflow == op.workflow and input_hash == op.input_hash, workflow=workflow)

    def _is_live(self, worker: int | None) -> bool:
        """A run must not be born into the hands of a worker that was declared dead: nobody would take it over."""
        if worker is None:
            return False
        if worker not in self._live:
            row = self._cursor.execute("SELECT state FROM workers WHERE id = ?", (worker,)).fetchone()
            self._live[worker] = row is not None and row[0] == "live"
        return self._live[worker]

    # --- messages

    def _send(self, op: Send) -> Result:
        key = message_key(op.message_id) if op.key is None else stored_key(op.key)
        return self._deliver(op, key=key, reply=op.reply)

    def _deliver(self, message: Send | Outgoing, *, key: str | None = None, reply: bool = False) -> Result:
        now, cursor = self._now, self._cursor
        target = cursor.execute(_TARGET, (message.to, message.to)).fetchone()
        if target is None:
            return NoRun()
        run, status, owner, waiting, wake_at, inbox = target
        if key is None and message.key is not None:
            key = stored_key(message.key)
        if key is not None and (first := self._used(run, key)) is not None:
            return Duplicate(first=first)
        if status in FINAL:
            return Ended(status=status)
        if self._is_full(run, inbox):
            return Full(size=self._limits.inbox)
        if owner is not None or (waiting is not None and awaits(_awaited(waiting), message.name)):
            cursor.execute(_RECEIVE, (earliest(wake_at, now), now, run))
        else:
            cursor.execute(_COUNT, (now, run))
        text = text_of(message.body)
        crc = message_sum(message.name, text)
        place = (run, inbox + 1, message.message_id, message.name, now)
        cursor.execute(ARRIVE, (*place, message.sender, message.key, reply, message.context, crc, text))
        if key is not None:
            cursor.execute(_USE_KEY, (run, key, message.message_id, now))
        return Sent(number=inbox + 1)

    def _used(self, run: int, key: str) -> str | None:
        row = self._cursor.execute(_KEY, (run, key)).fetchone()
        return None if row is None else str(row[0])

    def _is_full(self, run: int, inbox: int) -> bool:
        """Counted only once so many messages have come that it may be."""
        limit = self._limits.inbox
        if inbox < limit:
            return False
        first = self._cursor.execute("SELECT min(seq) FROM inbox WHERE run = ?", (run,)).fetchone()[0]
        if first is None or inbox - first + 1 < limit:
            return False
        count = self._cursor.execute("SELECT count(*) FROM inbox WHERE run = ?", (run,)).fetchone()[0]
        return bool(count >= limit)

    # --- verbs

    def _steer(self, op: Steer) -> Result:
        if (first := self._first_answer(op.op)) is not None:
            return Duplicate(first=first)
        found = self._cursor.execute(_BY_ID, (op.run, op.run)).fetchone()
        if found is None:
            return NoRun()
        row = Standing(*found)
        if op.head is not None and op.head != row.head:
            return Moved(head=row.head)
        fate = None if row.status in FINAL else steered(op.verb, row, self._now)
        status = row.status if fate is None else fate.status
        self._cursor.execute(_STEER, (op.op, self._now, row.seq, op.verb, op.who, status))
        if fate is None:
            return Ended(status=status)
        set_fate(self._cursor, row.seq, fate, self._expiry(row.seq, status), self._now)
        if status == "cancelled":
            self._cursor.execute(_CANCEL_OPEN, (self._now, row.seq))
        if op.verb == "resume" and row.status in ("paused", "blocked"):
            clear_error(self._cursor, row.seq)
        return Steered(status=status)

    def _retag(self, op: Tag) -> Result:
        if (first := self._first_answer(op.op)) is not None:
            return Duplicate(first=first)
        found = self._cursor.execute(_TAGS, (op.run, op.run)).fetchone()
        if found is None:
            return NoRun()
        run, status, before = found[0], found[1], json.loads(found[2])
        after = retagged(before, op)
        self._cursor.execute(_RETAG, (tags_text(after), run))
        self._cursor.executemany(_UNTAG, [(tag, run) for tag in before if tag not in after])
        self._cursor.executemany(_TAG, [(tag, run) for tag in after if tag not in before])
        self._cursor.execute(_STEER, (op.op, self._now, run, tag_verb(op), op.who, status))
        return Steered(status=status)

    def _first_answer(self, op: str) -> str | None:
        row = self._cursor.execute(_STEERED, (op,)).fetchone()
        return None if row is None else str(row[0])


def _awaited(waiting: str) -> Sequence[str]:
    return (waiting,) if waiting == "*" else names_of(waiting)


def _group(ops: Sequence[Op], at: int) -> list[Change]:
    """The Change at `at`, and if it is a plain one the plain ones of other runs that follow it at once."""
    group: list[Change] = []
    runs: set[int] = set()
    for op in islice(ops, at, None):
        if type(op) is not Change or op.run in runs:
            break
        if op.sends or op.bump or op.op:  # what follows may depend on what it does
            if not group:
                group.append(op)
            break
        runs.add(op.run)
        group.append(op)
    return group
