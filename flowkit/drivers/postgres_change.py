"""The commit of many runs as one statement, which decides and writes at once.

Where SQLite reads a row under its write lock, asks `rules` and writes, a round trip would lie between the two here, with the row
locked. So what `rules.landed` decides of an owner's ordinary Change is said once more in SQL, each decision a comparison on the
one locked row; the tests hold the two to the same answers. A run missing from the answer had another fence. A guard that does
not hold divides by zero, which undoes all of it.

Only the parts that a group has are in its statement: texts are few, and each is prepared once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Done, Limits
from flowkit.drivers.postgres_columns import Columns, types_of
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.postgres_outgoing import ARRIVING, OUTGOING, outgoing_values
from flowkit.drivers.rules import is_step
from flowkit.drivers.schema import VERSION
from flowkit.drivers.sql import (
    ATTEMPT_COLUMNS,
    ENTRY_COLUMNS,
    LOW,
    Row,
    args_sum,
    attempt_values,
    body_sum,
    entry_sum,
    entry_values,
    text_of,
    waiting_text,
)

__all__ = ["UNSPOILT", "commit", "commit_sending", "is_plain", "is_sending"]

UNSPOILT = f"(SELECT value::int FROM meta WHERE key = 'min_writer') <= {VERSION}"
"""Part of each fence: newer code may have migrated the database since it was opened."""


def is_plain(change: Change) -> bool:
    """Whether one statement can write `change`: no other row than its run's is looked at, and no entry is moved or removed."""
    return not change.sends and _stays(change)


def is_sending(change: Change) -> bool:
    """Whether one statement can write `change` and deliver what it sends, if that simply arrives."""
    receivers = [message.to for message in change.sends]
    return bool(receivers) and len(set(receivers)) == len(receivers) and _stays(change)


def _stays(change: Change) -> bool:
    return not (change.bump or change.op or change.archive or change.requeue or change.forget)


# --- the row of a run -------------------------------------------------------------------------------------------------------

_FINAL = "(coalesce(b.status, r.status) IN ('completed', 'failed', 'cancelled'))"
_PAUSED = "r.status = 'paused'"
_STATUS = (
    f"CASE WHEN {_PAUSED} THEN r.status WHEN coalesce(b.status, r.status) <> 'running' THEN coalesce(b.status, r.status) "
    "WHEN b.parks THEN 'sleeping' WHEN b.releases THEN 'pending' ELSE 'running' END"
)
_WAKE_AT = (
    f"CASE WHEN {_PAUSED} OR {_FINAL} THEN NULL "
    "WHEN b.parks THEN CASE WHEN b.waiting IS NOT NULL AND r.inbox > b.seen THEN %(now)s ELSE b.wake_at END "
    "WHEN NOT b.releases THEN b.wake_at "
    "WHEN coalesce(b.status, r.status) IN ('running', 'pending', 'rolling_back') THEN coalesce(b.wake_at, %(now)s) "
    "WHEN coalesce(b.status, r.status) = 'sleeping' THEN b.wake_at END"
)
_ENDED = "coalesce(b.status, r.status)"
_KEPT = "(SELECT value::json FROM meta WHERE key = 'retention') ->> "
_EXPIRES = (
    f"%(now)s + 86400 * coalesce({_KEPT} (r.workflow || '/' || {_ENDED}), {_KEPT} (r.workflow || '/*'), {_KEPT} {_ENDED})::float8"
)
_LETS_GO = f"b.parks OR b.releases OR {_FINAL}"
_SET = {
    "head": "r.head + 1",
    "entries": "b.entries",
    "seen": "b.seen",
    "owes": f"CASE WHEN NOT {_PAUSED} AND coalesce(b.status, r.status) = 'completed' THEN 0 ELSE b.owes END",
    "current": "b.current",
    "attempts": "b.attempts",
    "attempts_max": "b.attempts_max",
    "error_line": "b.error_line",
    "updated_at": "%(now)s",
    "context": "CASE b.context WHEN '' THEN r.context ELSE b.context END",
    "undone": "r.undone + b.undone",
    "status": _STATUS,
    "wake_at": _WAKE_AT,
    "waiting": f"CASE WHEN {_PAUSED} THEN r.waiting WHEN b.parks AND NOT {_FINAL} THEN b.waiting END",
    "owner": f"CASE WHEN {_LETS_GO} THEN NULL ELSE r.owner END",
    "request": f"CASE WHEN {_LETS_GO} THEN '' ELSE r.request END",
    "ending": f"CASE WHEN {_PAUSED} OR b.ending IS NULL THEN r.ending ELSE b.ending END",
    "crashes": "CASE WHEN b.calms THEN 0 ELSE r.crashes END",
    "finished_at": f"CASE WHEN {_PAUSED} THEN r.finished_at WHEN {_FINAL} THEN %(now)s END",
    "expire_at": f"CASE WHEN NOT {_PAUSED} AND {_FINAL} THEN {_EXPIRES} END",
}

_RUNS = Columns("b", {
    "run": "int8", "epoch": "int8", "head": "int8", "entries": "int8", "seen": "int8", "owes": "int8", "current": "text",
    "attempts": "int8", "attempts_max": "int8", "error_line": "text", "undone": "int8", "status": "text", "ending": "text",
    "context": "text", "calms": "bool", "parks": "bool", "releases": "bool", "wake_at": "float8", "waiting": "text",
})  # fmt: skip


def _run_values(change: Change) -> Row:
    park = change.park
    return (
        change.run, change.epoch, change.head, change.entries, change.seen, change.owes, change.current, change.attempts,
        change.attempts_max, change.error_line, len(change.rolled_back), change.status, change.ending, change.context,
        change.calms, park is not None, change.release, change.wake_at if park is None else park.wake_at,
        None if park is None else waiting_text(park.waiting),
    )  # fmt: skip


# --- what else a Change brings ----------------------------------------------------------------------------------------------


def _some(table: str, names: str) -> dict[str, str]:
    types = types_of(table)
    return {name: types[name] for name in names.split(", ")}


_ADDED = Columns("a", _some("entries", ENTRY_COLUMNS))
_SETTLED = (
    "status",
    "attempts",
    "round",
    "started_at",
    "settled_at",
    "due_at",
    "rollback",
    "output",
    "error",
    "patch",
    "by_hand",
)
_OPENED = Columns(
    "s",
    _some("entries", "run, seq, " + ", ".join(_SETTLED) + ", crc, size, args_crc, args") | {"has_args": "bool"},
)
_TAKEN = Columns("m", {"run": "int8", "seq": "int8"})
_UNDONE = Columns("k", {"run": "int8", "seq": "int8"})
_FAILED = Columns("f", _some("attempts", ATTEMPT_COLUMNS))
_REPLIED = Columns("p", {"message": "text", "run": "int8", "body": "text"})
_BODIES = Columns("i", {
    "run": "int8", "folds": "bool", "state": "text", "state_crc": "int8", "ends": "bool", "output": "text", "output_crc": "int8",
    "error": "text", "error_crc": "int8", "failed_entry": "int8",
})  # fmt: skip

_KINDS = {columns.alias: columns for columns in (_ADDED, _OPENED, _TAKEN, _UNDONE, _FAILED, _REPLIED, _BODIES)}


def _parts(change: Change, parts: dict[str, list[Row]]) -> None:
    """Add the rows that `change` brings to the lists in `parts`, by alias."""
    run = change.run
    if change.add:
        parts.setdefault("a", []).extend(entry_values(run, entry) for entry in change.add)
    if change.set:
        parts.setdefault("s", []).extend(_set_values(run, entry) for entry in change.set)
    if change.consume:
        parts.setdefault("m", []).extend((run, number) for number in change.consume)
    if change.rolled_back:
        parts.setdefault("k", []).extend((run, seq) for seq in change.rolled_back)
    if change.failures:
        parts.setdefault("f", []).extend(attempt_values(run, failure) for failure in change.failures)
    if change.replies:
        parts.setdefault("p", []).extend((reply.message_id, run, text_of(reply.body)) for reply in change.replies)
    if change.state is not None or change.finish is not None:
        parts.setdefault("i", []).append(_body_values(change))


def _set_values(run: int, entry: Entry) -> Row:
    output, error, patch, by_hand = (text_of(body) for body in (entry.output, entry.error, entry.patch, entry.by_hand))
    crc = entry_sum(entry.location, entry.kind, output, error, patch, by_hand)
    size = sum(len(body) for body in (entry.output, entry.error, entry.args) if body is not None)
    return (
        run, entry.seq, entry.status, entry.attempts, entry.round, entry.started_at, entry.settled_at, entry.due_at,
        entry.rollback, output, error, patch, by_hand, crc | args_sum(entry.args), size,
        entry.args_crc or body_sum(entry.args), text_of(entry.args), entry.args is not None,
    )  # fmt: skip


def _body_values(change: Change) -> Row:
    state, finish = change.state, change.finish
    folded = (state is not None, text_of(state), body_sum(state))
    if finish is None:
        return (change.run, *folded, False, None, 0, None, 0, None)
    ended = (text_of(finish.output), body_sum(finish.output), text_of(finish.error), body_sum(finish.error))
    return (change.run, *folded, True, *ended, finish.failed_entry)


_WRITES = {
    "a": f"ia AS (INSERT INTO entries ({ENTRY_COLUMNS}) SELECT {ENTRY_COLUMNS} FROM a)",
    "s": (
        f"us AS (UPDATE entries e SET {', '.join(f'{name} = s.{name}' for name in _SETTLED)}, "
        f"crc = CASE WHEN s.has_args THEN s.crc ELSE e.crc - (e.crc & {LOW}) + s.crc END, "
        "size = s.size + CASE WHEN s.has_args THEN 0 ELSE coalesce(octet_length(e.args), 0) END, "
        "args_crc = CASE WHEN s.has_args THEN s.args_crc ELSE e.args_crc END, "
        "args = CASE WHEN s.has_args THEN s.args ELSE e.args END "
        "FROM s WHERE e.run = s.run AND e.seq = s.seq AND e.settled_at IS NULL RETURNING 1)"
    ),
    "m": "um AS (DELETE FROM inbox d USING m WHERE d.run = m.run AND d.seq = m.seq RETURNING 1)",
    "k": (
        "uk AS (UPDATE entries e SET status = 'rolled_back', rollback = 'done' FROM k "
        "WHERE e.run = k.run AND e.seq = k.seq AND e.settled_at IS NOT NULL RETURNING 1)"
    ),
    "f": f"uf AS (INSERT INTO attempts ({ATTEMPT_COLUMNS}) SELECT {ATTEMPT_COLUMNS} FROM f)",
    "p": (
        "up AS (INSERT INTO replies (message, run, at, body) SELECT message, run, %(now)s, body FROM p "
        "ON CONFLICT (message) DO NOTHING)"
    ),
    "i": (
        "ui AS (UPDATE run_io o SET state = CASE WHEN i.folds THEN i.state ELSE o.state END, "
        "state_crc = CASE WHEN i.folds THEN i.state_crc ELSE o.state_crc END, "
        "output = CASE WHEN i.ends THEN i.output ELSE o.output END, "
        "output_crc = CASE WHEN i.ends THEN i.output_crc ELSE o.output_crc END, "
        "error = CASE WHEN i.ends THEN i.error ELSE o.error END, "
        "error_crc = CASE WHEN i.ends THEN i.error_crc ELSE o.error_crc END, "
        "failed_entry = CASE WHEN i.ends THEN i.failed_entry ELSE o.failed_entry END FROM i WHERE o.run = i.run)"
    ),
}
_COUNTED = ("s", "m", "k")


_FENCE = f"WHERE r.seq = b.run AND r.epoch = b.epoch AND r.head = b.head AND {UNSPOILT}"


@cache
def _statement(aliases: tuple[str, ...], before: str = "", fence: str = "", after: str = "") -> bytes:
    """The statement for Changes that bring these parts; `before`, `fence` and `after` are what else it says, and where."""
    sets = ", ".join(f"{column} = {value}" for column, value in _SET.items())
    clauses = [
        f"b AS (SELECT * FROM {_RUNS.source}){before}",
        f"u AS (UPDATE runs r SET {sets} FROM b {_FENCE}{fence} RETURNING r.seq AS place, r.inbox, r.status, r.request){after}",
    ]
    for alias in aliases:
        columns = ", ".join(f"{alias}.{name}" for name in _KINDS[alias].names)
        if alias == "i":  # a paused run takes no result from its owner
            columns = columns.replace("i.ends", "i.ends AND u.status <> 'paused' AS ends")
        clauses.append(f"{alias} AS (SELECT {columns} FROM {_KINDS[alias].source} JOIN u ON u.place = {alias}.run)")
        clauses.append(_WRITES[alias])
    counts = [f"(SELECT count(*) FROM u{alias}) = (SELECT count(*) FROM {alias})" for alias in aliases if alias in _COUNTED]
    guard = f", 1 / ({' AND '.join(counts)})::int" if counts else ""
    return f"WITH {', '.join(clauses)} SELECT place, inbox, status, request{guard} FROM u".encode()


def commit(hand: Hand, changes: Sequence[Change], now: float) -> dict[int, Done]:
    """Write `changes`, which are plain and of different runs, in one statement; those that are missing were lost."""
    if len(changes) == 1 and _is_short(changes[0]):
        return _answers(hand.own(_SHORT, _short_values(changes[0], now)))
    aliases, values = _values(sorted(changes, key=lambda change: change.run), now)
    return _answers(hand.own(_statement(aliases), values))


def commit_sending(hand: Hand, change: Change, now: float, limits: Limits) -> Done | None:
    """Write `change`, which `is_sending`, and what it sends; None if it was lost, or if a message does not simply arrive.

    Raises:
        psycopg.Error: a guard did not hold, or somebody used the key of a message at the same time. Nothing was written.
    """
    aliases, values = _values([change], now)
    values |= {"most": limits.inbox, **OUTGOING.values([outgoing_values(message) for message in change.sends])}
    return _answers(hand.own(_statement(aliases, *ARRIVING), values)).get(change.run)


def _values(changes: Sequence[Change], now: float) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The kinds of parts that `changes` bring, and the values of their statement."""
    parts: dict[str, list[Row]] = {}
    for change in changes:
        _parts(change, parts)
    values: dict[str, Any] = {"now": now, **_RUNS.values([_run_values(change) for change in changes])}
    for alias, rows in parts.items():
        values |= _KINDS[alias].values(rows)
    return tuple(sorted(parts)), values


def _answers(rows: Iterable[Row]) -> dict[int, Done]:
    return {row[0]: Done(inbox=row[1], status=row[2], request=row[3]) for row in rows}


# --- the short form: a step that succeeded at once, alone -------------------------------------------------------------------


def _is_short(change: Change) -> bool:
    rest = (change.set, change.consume, change.rolled_back, change.failures, change.replies)
    return len(change.add) == 1 and not any(rest) and change.state is None and not change.context and is_step(change)


_COUNTERS = ("entries", "seen", "owes", "current", "attempts", "attempts_max", "error_line")
_SHORT = (
    f"WITH u AS (UPDATE runs SET head = head + 1, {', '.join(f'{name} = %({name})s' for name in _COUNTERS)}, "
    "updated_at = %(now)s, wake_at = NULL, crashes = CASE WHEN %(calms)s THEN 0 ELSE crashes END "
    f"WHERE seq = %(run)s AND epoch = %(epoch)s AND head = %(head)s AND {UNSPOILT} "
    "RETURNING seq AS place, inbox, status, request), "
    f"ia AS (INSERT INTO entries ({ENTRY_COLUMNS}) "
    f"SELECT {', '.join(f'%(a_{name})s::{type}' for name, type in _some('entries', ENTRY_COLUMNS).items())} FROM u) "
    "SELECT place, inbox, status, request FROM u"
).encode()


def _short_values(change: Change, now: float) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(change, name) for name in (*_COUNTERS, "calms", "run", "epoch", "head")}
    entry = entry_values(change.run, change.add[0])
    return values | {"now": now} | {f"a_{name}": value for name, value in zip(_ADDED.names, entry, strict=True)}
