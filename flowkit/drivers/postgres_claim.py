"""A claim as one statement: it locks what is due and nobody else is just taking, makes it the worker's, and brings it along.

What `rules.claimed` decides is said once more in SQL, as in `postgres_change`; the tests hold the two to the same answers. A run
that has written nothing yet comes with all that its first pass needs. The worker's row is locked first, which is how a worker
that is just being declared dead gets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowkit.drivers.base import Claim, Claimed
from flowkit.drivers.postgres_change import UNSPOILT
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.sql import ROW_COLUMNS, Row
from flowkit.drivers.sqlite_read import IO_COLUMNS, fresh_view

__all__ = ["LIVE", "claim_due", "claim_one"]

LIVE = f"SELECT id FROM workers WHERE id = %(worker)s AND state = 'live' AND {UNSPOILT} FOR KEY SHARE"

_ROW = [name.strip() for name in ROW_COLUMNS.split(",")]
_OF_RUN = ", ".join(f"r.{name}" for name in _ROW)
_TAKEN = ", ".join(f"u.{name}" for name in _ROW)
_BODIES = ", ".join(f"o.{name.strip()}" for name in IO_COLUMNS.split(","))
_DUE = (
    "SELECT d.*, n.code FROM unnest(%(names)s::text[], %(codes)s::text[]) AS n(name, code) CROSS JOIN LATERAL ("
    "SELECT seq, wake_at AS due_at, request AS asked, code AS before FROM runs "
    "WHERE workflow = n.name AND owner IS NULL AND wake_at <= %(now)s AND status <> 'blocked' AND EXISTS (SELECT 1 FROM w) "
    "ORDER BY wake_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED) AS d ORDER BY d.due_at, d.seq LIMIT %(limit)s"
)
_RUNG = (
    "SELECT seq FROM runs WHERE owner = %(worker)s AND wake_at <= %(now)s AND EXISTS (SELECT 1 FROM w) "
    "FOR NO KEY UPDATE SKIP LOCKED"
)
_TAKE = (
    "UPDATE runs r SET owner = %(worker)s, epoch = r.epoch + 1, passes = r.passes + 1, code = g.code, wake_at = NULL, "
    "waiting = NULL, request = '', expire_at = NULL, updated_at = %(now)s, started_at = coalesce(r.started_at, %(now)s), "
    "status = CASE r.status WHEN 'rolling_back' THEN r.status ELSE 'running' END "
    f"FROM g WHERE r.seq = g.seq RETURNING {_OF_RUN}, r.context, g.due_at, g.asked, g.before"
)
_FIRST_CODE = (
    "UPDATE run_io i SET first_code = g.before FROM g WHERE i.run = g.seq AND g.before NOT IN ('', g.code) AND i.first_code = ''"
)
_NEXT = (
    "SELECT min(d.wake_at) FROM unnest(%(names)s::text[]) AS n(name) CROSS JOIN LATERAL (SELECT wake_at FROM runs "
    "WHERE workflow = n.name AND owner IS NULL AND wake_at IS NOT NULL AND seq NOT IN (SELECT seq FROM g) "
    "ORDER BY wake_at LIMIT 1) AS d"
)
_IF_FRESH = "LEFT JOIN run_io o ON o.run = u.seq AND u.head = 0 AND u.entries = 0 AND u.inbox = 0 AND u.ending = ''"
_CLAIM = (
    f"WITH w AS MATERIALIZED ({LIVE}), g AS MATERIALIZED ({_DUE}), h AS MATERIALIZED ({_RUNG}), "
    f"u AS ({_TAKE}), f AS ({_FIRST_CODE}), "
    "b AS (UPDATE runs r SET wake_at = NULL FROM h WHERE r.seq = h.seq RETURNING r.seq) "
    f"SELECT {_TAKEN}, {_BODIES}, u.context, u.asked, u.before, o.run IS NOT NULL, EXISTS (SELECT 1 FROM w), "
    f"ARRAY(SELECT seq FROM b), ({_NEXT}) FROM (VALUES (1)) AS always LEFT JOIN u ON true "
    f"{_IF_FRESH} ORDER BY u.due_at, u.seq"
).encode()
_THIS = (
    "SELECT seq, wake_at AS due_at, request AS asked, code AS before, %(code)s::text AS code FROM runs WHERE seq = %(run)s "
    "AND owner IS NULL AND status IN ('pending', 'sleeping', 'running', 'rolling_back') AND EXISTS (SELECT 1 FROM w) FOR UPDATE"
)
_CLAIM_ONE = (
    f"WITH w AS MATERIALIZED ({LIVE}), g AS MATERIALIZED ({_THIS}), u AS ({_TAKE}), f AS ({_FIRST_CODE}) "
    f"SELECT {_TAKEN}, {_BODIES}, u.context, u.asked, u.before, o.run IS NOT NULL FROM u {_IF_FRESH}"
).encode()
_FRESH = len(_ROW) + len(IO_COLUMNS.split(","))
_ID, _WORKFLOW, _STATUS, _EPOCH, _HEAD, _CRASHES = (
    _ROW.index(name) for name in ("id", "workflow", "status", "epoch", "head", "crashes")
)


def claim_due(hand: Hand, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed | None:
    """Up to `limit` runs of `workflows`, name → code, and what rang; None if the worker does not live any more."""
    values = {"worker": worker, "names": list(workflows), "codes": list(workflows.values()), "now": now, "limit": limit}
    rows = hand.own(_CLAIM, values).fetchall()
    lives, bells, next_due = rows[0][-3:]
    if not lives:
        return None
    return Claimed(runs=[_claim(row) for row in rows if row[0] is not None], bells=bells, next_due=next_due)


def claim_one(hand: Hand, worker: int, run: int, code: str, now: float) -> Claim | None:
    """The run, due or not; None if it is blocked or not to be had, or if the worker does not live any more."""
    row = hand.own(_CLAIM_ONE, {"worker": worker, "run": run, "code": code, "now": now}).fetchone()
    return None if row is None else _claim(row)


def _claim(row: Row) -> Claim:
    context, asked, before, is_fresh = row[_FRESH : _FRESH + 4]
    return Claim(
        run=row[0], id=row[_ID], workflow=row[_WORKFLOW], epoch=row[_EPOCH], head=row[_HEAD], crashes=row[_CRASHES],
        status=row[_STATUS], request=asked, code=before, context=context, view=fresh_view(row[:_FRESH]) if is_fresh else None,
    )  # fmt: skip
