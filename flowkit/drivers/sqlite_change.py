"""The statements of Changes: one `executemany` for each kind, checked by its row count.

Every text is a constant, so that sqlite3's statement cache always hits. The row of a run is written by one of two
statements: the short one of an ordinary step touches no index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Copied, GuardFailed
from flowkit.drivers.cursors import Executes
from flowkit.drivers.rules import Fate, goes_forward, owed
from flowkit.drivers.sql import (
    ATTEMPT_COLUMNS,
    ENTRY_COLUMNS,
    LOW,
    MESSAGE_COLUMNS,
    Row,
    args_sum,
    attempt_values,
    body_sum,
    entry_sum,
    entry_values,
    joined,
    message_sum,
    text_of,
    waiting_text,
)

__all__ = [
    "ARRIVE", "FATE", "STANDING_COLUMNS", "Batch", "Standing", "clear_error", "copy_history", "fate_values", "set_fate",
]  # fmt: skip

STANDING_COLUMNS = (
    "seq, epoch, head, status, wake_at, owner, inbox, owes, request, ending, crashes, replays, start_at, finished_at, code"
)


class Standing(msgspec.Struct, gc=False):
    """`STANDING_COLUMNS` of a row."""

    seq: int
    epoch: int
    head: int
    status: str
    wake_at: float | None
    owner: int | None
    inbox: int
    owes: int
    request: str
    ending: str
    crashes: int
    replays: int
    start_at: float
    finished_at: float | None
    code: str


def _marks(columns: str) -> str:
    return ", ".join("?" * (columns.count(",") + 1))


_COUNTERS = "entries = ?, seen = ?, owes = ?, current = ?, attempts = ?, attempts_max = ?, error_line = ?, updated_at = ?"
_FENCE = "WHERE seq = ? AND epoch = ? AND head = ?"
_STEP = f"UPDATE runs SET head = head + 1, {_COUNTERS} {_FENCE}"
FATE = (
    "status = ?, wake_at = ?, owner = ?, epoch = ?, request = ?, ending = ?, crashes = ?, replays = ?, "
    "finished_at = ?, expire_at = ?, waiting = CASE WHEN ? THEN waiting ELSE ? END"
)
_TURN = f"UPDATE runs SET head = head + 1, {_COUNTERS}, {FATE} {_FENCE}"
_SET_FATE = f"UPDATE runs SET updated_at = ?, {FATE} WHERE seq = ?"

_ADD = f"INSERT INTO entries ({ENTRY_COLUMNS}) VALUES ({_marks(ENTRY_COLUMNS)})"
_SET_COLUMNS = (
    "status = ?, attempts = ?, round = ?, started_at = ?, settled_at = ?, due_at = ?, rollback = ?, output = ?, "
    "error = ?, patch = ?, by_hand = ?"
)
_SET = (
    f"UPDATE entries SET {_SET_COLUMNS}, crc = crc - (crc & {LOW}) + ?, "
    "size = ? + CASE WHEN args IS NULL THEN 0 ELSE length(CAST(args AS BLOB)) END "
    "WHERE run = ? AND seq = ? AND settled_at IS NULL"
)
_SET_ARGS = (
    f"UPDATE entries SET {_SET_COLUMNS}, crc = ?, size = ?, args_crc = ?, args = ? "
    "WHERE run = ? AND seq = ? AND settled_at IS NULL"
)
_ROLLED_BACK = "UPDATE entries SET status = 'rolled_back', rollback = 'done' WHERE run = ? AND seq = ? AND settled_at IS NOT NULL"
_FAILURE = f"INSERT INTO attempts ({ATTEMPT_COLUMNS}) VALUES ({_marks(ATTEMPT_COLUMNS)})"
_UNDONE = "UPDATE runs SET undone = undone + ? WHERE seq = ?"
_FORWARD = "UPDATE runs SET undone = 0 WHERE seq = ?"
_FORGET = "DELETE FROM entries WHERE run = ? AND seq >= ? AND seq < ?"
_FORGET_ATTEMPTS = "DELETE FROM attempts WHERE run = ? AND entry >= ? AND entry < ?"
_ARCHIVE = (
    f"INSERT INTO archive ({ENTRY_COLUMNS}, archived_at, why, at_head) "
    f"SELECT {ENTRY_COLUMNS}, ?, ?, ? FROM entries WHERE run = ? AND seq = ?"
)
_UNLIST = "DELETE FROM entries WHERE run = ? AND seq = ?"
_CONSUME = "DELETE FROM inbox WHERE run = ? AND seq = ?"
ARRIVE = f"INSERT INTO inbox (run, {MESSAGE_COLUMNS}) VALUES (?, {_marks(MESSAGE_COLUMNS)})"
_REPLY = "INSERT OR IGNORE INTO replies (message, run, at, body) VALUES (?, ?, ?, ?)"
_STATE = "UPDATE run_io SET state = ?, state_crc = ? WHERE run = ?"
_FINISH = "UPDATE run_io SET output = ?, output_crc = ?, error = ?, error_crc = ?, failed_entry = ? WHERE run = ?"
_TRIED = "UPDATE run_io SET tried = tried || ? WHERE run = ? AND instr(tried, ?) = 0"
_FORK = "UPDATE run_io SET fork = ?, fork_crc = ?, state = ?, state_crc = ? WHERE run = ?"
_BEGUN = "UPDATE runs SET head = 1, entries = ?, inbox = ?, owes = ? WHERE seq = ?"
_CONTEXT = "UPDATE runs SET context = ? WHERE seq = ?"
_CLEAR_LINE = "UPDATE runs SET error_line = NULL WHERE seq = ?"


def fate_values(fate: Fate, expire_at: float | None) -> Row:
    """`fate` as the statement that sets it wants it."""
    return (
        fate.status,
        fate.wake_at,
        fate.owner,
        fate.epoch,
        fate.request,
        fate.ending,
        fate.crashes,
        fate.replays,
        fate.finished_at,
        expire_at,
        fate.keeps_waiting,
        waiting_text(fate.waiting),
    )


def set_fate(cursor: Executes, run: int, fate: Fate, expire_at: float | None, now: float) -> None:
    """Give the row of `run` the columns of `fate`."""
    cursor.execute(_SET_FATE, (now, *fate_values(fate, expire_at), run))


def clear_error(cursor: Executes, run: int) -> None:
    """Take the reason of a blocked run away."""
    cursor.execute(_CLEAR_LINE, (run,))
    cursor.execute(_FINISH, (None, 0, None, 0, None, run))


def copy_history(cursor: Executes, run: int, copied: Copied) -> None:
    """Give a new run what a fork begins with."""
    cursor.execute(_BEGUN, (copied.last, copied.inbox, copied.owes, run))
    state = (text_of(copied.state), body_sum(copied.state))
    cursor.execute(_FORK, (text_of(copied.fork), body_sum(copied.fork), *state, run))
    cursor.executemany(_ADD, [entry_values(run, entry) for entry in copied.entries])


class Batch:
    """The statements of a group of Changes, a list of rows each."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._steps: list[Row] = []
        self._turns: list[Row] = []
        self._tried: list[Row] = []
        self._adds: list[Row] = []
        self._rest: dict[str, list[Row]] = {}

    def step(self, change: Change) -> None:
        """A Change that leaves the run's fate as it is."""
        self._steps.append((*self._counters(change, change.owes), change.run, change.epoch, change.head))
        self._content(change)

    def turn(self, change: Change, fate: Fate, expire_at: float | None) -> None:
        """A Change after which the run has this `fate`."""
        fence = (change.run, change.epoch, change.head)
        self._turns.append((*self._counters(change, owed(change, fate)), *fate_values(fate, expire_at), *fence))
        self._content(change)

    def blocked(self, run: int, code: str) -> None:
        """The run was blocked under this code."""
        mark = joined((code,))
        self._tried.append((mark, run, mark))

    def _counters(self, change: Change, owes: int) -> Row:
        return (
            change.entries,
            change.seen,
            owes,
            change.current,
            change.attempts,
            change.attempts_max,
            change.error_line,
            self._now,
        )

    def _content(self, change: Change) -> None:
        run = change.run
        for entry in change.add:
            self._adds.append(entry_values(run, entry))
        if change.set:
            self._set(run, change.set)
        if change.consume:
            self._more(_CONSUME, [(run, number) for number in change.consume])
        if change.failures:
            self._more(_FAILURE, [attempt_values(run, failure) for failure in change.failures])
        if change.state is not None:
            self._more(_STATE, [(text_of(change.state), body_sum(change.state), run)])
        if change.replies:
            self._more(_REPLY, [(reply.message_id, run, self._now, text_of(reply.body)) for reply in change.replies])
        if change.forget or change.archive or change.rolled_back or change.requeue:
            self._rewrite(change)
        if change.bump and goes_forward(change):
            self._more(_FORWARD, [(run,)])
        if change.context:
            self._more(_CONTEXT, [(change.context, run)])

    def _set(self, run: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            output, error, patch = text_of(entry.output), text_of(entry.error), text_of(entry.patch)
            by_hand = text_of(entry.by_hand)
            crc = entry_sum(entry.location, entry.kind, output, error, patch, by_hand)
            size = len(entry.output or b"") + len(entry.error or b"")
            values = (entry.status, entry.attempts, entry.round, entry.started_at, entry.settled_at, entry.due_at)
            bodies = (entry.rollback, output, error, patch, by_hand, crc | args_sum(entry.args))
            if entry.args is None:
                self._more(_SET, [(*values, *bodies, size, run, entry.seq)])
            else:
                args = (size + len(entry.args), entry.args_crc or body_sum(entry.args), text_of(entry.args))
                self._more(_SET_ARGS, [(*values, *bodies, *args, run, entry.seq)])

    def _rewrite(self, change: Change) -> None:
        run = change.run
        ranges = [(run, first, end) for first, end in change.forget]
        self._more(_FORGET, ranges)
        self._more(_FORGET_ATTEMPTS, ranges)
        if change.rolled_back:
            self._more(_ROLLED_BACK, [(run, seq) for seq in change.rolled_back])
            self._more(_UNDONE, [(len(change.rolled_back), run)])
        why = change.bump or "step"
        self._more(_ARCHIVE, [(self._now, why, change.head, run, seq) for seq in change.archive])
        self._more(_UNLIST, [(run, seq) for seq in change.archive])
        for message in change.requeue:
            text = text_of(message.body)
            place = (run, message.seq, message.id, message.name, message.sent_at, message.sender, message.key)
            self._more(ARRIVE, [(*place, message.reply, message.context, message_sum(message.name, text), text)])

    def finish(self, change: Change) -> None:
        """The run's result."""
        assert change.finish is not None
        output, error = change.finish.output, change.finish.error
        result = (text_of(output), body_sum(output), text_of(error), body_sum(error))
        self._more(_FINISH, [(*result, change.finish.failed_entry, change.run)])

    def _more(self, sql: str, rows: list[Row]) -> None:
        if rows:
            self._rest.setdefault(sql, []).extend(rows)

    def execute(self, cursor: Executes) -> None:
        """Write everything, archived entries before new ones. Raises GuardFailed."""
        if self._steps:
            _counted(cursor, _STEP, self._steps)
        if self._turns:
            _counted(cursor, _TURN, self._turns)
        if self._rest:
            self._execute_rest(cursor)
        if self._adds:
            _counted(cursor, _ADD, self._adds)
        if self._tried:
            cursor.executemany(_TRIED, self._tried)

    def _execute_rest(self, cursor: Executes) -> None:
        for sql in _IN_ORDER:
            if rows := self._rest.get(sql):
                _CHECKED.get(sql, _uncounted)(cursor, sql, rows)


def _counted(cursor: Executes, sql: str, rows: list[Row]) -> None:
    done = cursor.execute(sql, rows[0]) if len(rows) == 1 else cursor.executemany(sql, rows)
    if done.rowcount != len(rows):
        raise GuardFailed(f"{_GUARDS.get(sql, 'a row')} is not there any more ({done.rowcount} of {len(rows)} written)")


def _uncounted(cursor: Executes, sql: str, rows: list[Row]) -> None:
    cursor.executemany(sql, rows)


_IN_ORDER = (
    _SET,
    _SET_ARGS,
    _ROLLED_BACK,
    _UNDONE,
    _FORWARD,
    _ARCHIVE,
    _UNLIST,
    _FORGET,
    _FORGET_ATTEMPTS,
    _CONSUME,
    ARRIVE,
    _FAILURE,
    _REPLY,
    _STATE,
    _FINISH,
    _CONTEXT,
)
_GUARDS = {
    _SET: "an open entry to settle",
    _SET_ARGS: "an open entry to settle",
    _ROLLED_BACK: "a settled entry to roll back",
    _ARCHIVE: "an entry to archive",
    _CONSUME: "a message to take",
}
_CHECKED: dict[str, Callable[[Executes, str, list[Row]], Any]] = dict.fromkeys(_GUARDS, _counted)
