"""Bulks in a SQLite file: a row each, written only over the version that was read."""

from __future__ import annotations

import msgspec

from flowkit.core.bulk import Bulk, Picks
from flowkit.drivers.base import Duplicate, Kept, Moved, Result, SaveBulk
from flowkit.drivers.cursors import Executes, Reader
from flowkit.drivers.sql import Row, body_sum, checked_body, text_of
from flowkit.errors import PayloadError

__all__ = ["BULK", "BULKS", "OPEN_BULKS", "Bulks", "save_bulk"]

_FIXED = "id, created_at, verb, who, picks, top, expected, more, step, name, key, crc, body"
_MOVING = (
    "version", "state", "position", "plan", "done", "failed", "skipped", "reasons", "holder", "held_until", "updated_at",
    "finished_at",
)  # fmt: skip
_COLUMNS = f"seq, {_FIXED}, {', '.join(_MOVING)}"

BULK = f"SELECT {_COLUMNS} FROM bulks WHERE seq = ?"
BULKS = f"SELECT {_COLUMNS} FROM bulks WHERE seq < ? ORDER BY seq DESC LIMIT ?"
OPEN_BULKS = f"SELECT {_COLUMNS} FROM bulks WHERE finished_at IS NULL AND seq < ? ORDER BY seq DESC LIMIT ?"
_BY_ID = f"SELECT {_COLUMNS} FROM bulks WHERE id = ?"
_ADD = f"INSERT OR IGNORE INTO bulks ({_FIXED}, {', '.join(_MOVING)}) VALUES ({', '.join('?' * 25)})"
_SEQ = "SELECT seq FROM bulks WHERE id = ?"
_MOVE = f"UPDATE bulks SET {', '.join(f'{column} = ?' for column in _MOVING)} WHERE id = ? AND version = ?"
_VERSION = "SELECT version FROM bulks WHERE id = ?"
_LAST = 1 << 62


def save_bulk(cursor: Executes, op: SaveBulk, now: float) -> Result:
    """Write a new bulk, or how far one has come."""
    bulk = op.bulk
    if not bulk.version:
        body = None if bulk.body is None else text_of(bulk.body)
        fixed = (
            bulk.id, now, bulk.verb, bulk.who, _json(bulk.picks), bulk.top, bulk.expected, bulk.more, bulk.step, bulk.name,
            bulk.key, body_sum(bulk.body), body,
        )  # fmt: skip
        added = cursor.execute(_ADD, (*fixed, *_moving(bulk, now))).rowcount
        seq = int(cursor.execute(_SEQ, (bulk.id,)).fetchone()[0])
        return Kept(seq=seq, version=1) if added else Duplicate(first=str(seq))
    if cursor.execute(_MOVE, (*_moving(bulk, now), bulk.id, bulk.version)).rowcount:
        return Kept(seq=bulk.seq, version=bulk.version + 1)
    row = cursor.execute(_VERSION, (bulk.id,)).fetchone()
    return Moved(head=0 if row is None else row[0])


def _moving(bulk: Bulk, now: float) -> tuple[object, ...]:
    return (
        bulk.version + 1, bulk.state, bulk.position, _json(bulk.plan), bulk.done, bulk.failed, bulk.skipped, _json(bulk.reasons),
        bulk.holder, bulk.held_until, now, bulk.finished_at,
    )  # fmt: skip


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class Bulks:
    """Reads bulks."""

    def __init__(self, connections: Reader) -> None:
        self._connections = connections

    def one(self, bulk: int | str) -> Bulk | None:
        """See `Driver.bulk`."""
        row = self._connections.one(_BY_ID if isinstance(bulk, str) else BULK, (bulk,))
        return None if row is None else _bulk_of(row)

    def newest(self, limit: int, before: int | None, unfinished: bool) -> list[Bulk]:
        """See `Driver.bulks`."""
        with self._connections.reading() as db:
            rows = db.execute(OPEN_BULKS if unfinished else BULKS, (_LAST if before is None else before, limit)).fetchall()
        return [_bulk_of(row) for row in rows]


def _bulk_of(row: Row) -> Bulk:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    try:
        values["picks"] = msgspec.json.decode(values["picks"], type=Picks)
        values["plan"] = msgspec.json.decode(values["plan"], type=tuple[int, ...])
        values["reasons"] = msgspec.json.decode(values["reasons"], type=tuple[tuple[str, str], ...])
        values["more"] = bool(values["more"])
        values["body"] = checked_body(values["body"], values.pop("crc"), f"the message of bulk {row[0]}")
        return msgspec.convert(values, Bulk)
    except msgspec.MsgspecError as error:
        raise PayloadError(f"bulk {row[0]} cannot be read: the file was damaged or edited ({error}).") from error
