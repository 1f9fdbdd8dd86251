"""Starts: any number of new runs in one statement, which leaves out those whose id is taken."""

from __future__ import annotations

from collections.abc import Sequence

from flowkit.drivers.base import Exists, Start, Started
from flowkit.drivers.postgres_change import UNSPOILT
from flowkit.drivers.postgres_columns import Columns
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.sql import Row, body_sum, tags_text, text_of

__all__ = ["NEW", "TAGGED", "start", "twins"]

NEW = Columns("x", {
    "id": "text", "workflow": "text", "worker": "int8", "tags": "text", "code": "text", "context": "text", "start_at": "float8",
    "token": "text", "input_hash": "text", "input_crc": "int8", "input": "text",
})  # fmt: skip
TAGGED = Columns("t", {"id": "text", "tag": "text"})

_HELD = "w.id IS NOT NULL AND x.start_at <= %(now)s"
_ROWS = (
    f"r AS (INSERT INTO runs (id, workflow, status, wake_at, owner, epoch, passes, tags, code, created_at, start_at, started_at, "
    f"updated_at, context) SELECT x.id, x.workflow, CASE WHEN {_HELD} THEN 'running' ELSE 'pending' END, "
    f"CASE WHEN {_HELD} THEN NULL ELSE x.start_at END, CASE WHEN {_HELD} THEN w.id END, "
    f"({_HELD})::int, ({_HELD})::int, x.tags, CASE WHEN {_HELD} THEN x.code ELSE '' END, %(now)s, x.start_at, "
    f"CASE WHEN {_HELD} THEN %(now)s END, %(now)s, x.context "
    f"FROM x LEFT JOIN w ON w.id = x.worker WHERE {UNSPOILT} ON CONFLICT (id) DO NOTHING RETURNING seq, id, epoch)"
)
"""A worker's row is locked as for a claim: a run must not be born into the hands of one that is just being declared dead."""

_STATEMENT = (
    f"WITH x AS (SELECT * FROM {NEW.source}), "
    "w AS (SELECT id FROM workers WHERE id = ANY(SELECT worker FROM x) AND state = 'live' FOR KEY SHARE), "
    f"{_ROWS}, "
    "io AS (INSERT INTO run_io (run, token, input_hash, input_crc, first_code, input) "
    "SELECT r.seq, x.token, x.input_hash, x.input_crc, x.code, x.input FROM r JOIN x ON x.id = r.id)"
)
_PLAIN = f"{_STATEMENT} SELECT id, seq, epoch FROM r".encode()
_WITH_TAGS = (
    f"{_STATEMENT}, tt AS (INSERT INTO run_tags (tag, run) SELECT t.tag, r.seq FROM {TAGGED.source} JOIN r ON r.id = t.id "
    f"ON CONFLICT DO NOTHING) SELECT id, seq, epoch FROM r"
).encode()
_TWINS = (
    b"SELECT r.id, r.seq, r.workflow, r.epoch, r.owner, i.input_hash, i.token FROM runs r JOIN run_io i ON i.run = r.seq "
    b"WHERE r.id = ANY(%(ids)s)"
)


def start(hand: Hand, ops: Sequence[Start], now: float) -> dict[str, Started]:
    """Insert runs with different ids, none of them a fork, in order; those missing from the answer were there."""
    rows = [_values(op) for op in ops]
    values = {"now": now, **NEW.values(rows)}
    tagged = [(op.id, tag) for op in ops for tag in op.tags]
    if tagged:
        values |= TAGGED.values(tagged)
    found = hand.own(_WITH_TAGS if tagged else _PLAIN, values)
    return {id: Started(run=seq, epoch=epoch) for id, seq, epoch in found}


def _values(op: Start) -> Row:
    about = (op.id, op.workflow, op.worker, tags_text(op.tags), op.code, op.context, op.start_at)
    return (*about, op.token, op.input_hash, body_sum(op.input), text_of(op.input))


def twins(hand: Hand, ops: Sequence[Start]) -> dict[str, Started | Exists]:
    """What the runs are that have the ids of `ops` already."""
    by_id = {op.id: op for op in ops}
    found: dict[str, Started | Exists] = {}
    for id, run, workflow, epoch, owner, input_hash, token in hand.own(_TWINS, {"ids": list(by_id)}):
        op = by_id[id]
        if token == op.token:
            owned = epoch == 1 and owner is not None and owner == op.worker
            found[id] = Started(run=run, epoch=int(owned))
        else:
            same = workflow == op.workflow and input_hash == op.input_hash
            found[id] = Exists(run=run, same=same, workflow=workflow)
    return found
