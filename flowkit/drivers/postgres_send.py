"""Messages from outside: any number of them to different runs in one statement.

Only what simply arrives is written here. A message that is known, has no living receiver or finds an inbox that may be full is
missing from the answer, and `sqlite_write` says why, reading with the rows locked. Two senders that use one key at once cannot
both see the other; the second then breaks the table's key, which undoes its statement, and is looked at in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowkit.drivers.base import Limits, Send, Sent
from flowkit.drivers.postgres_change import UNSPOILT
from flowkit.drivers.postgres_columns import Columns
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.postgres_outgoing import AWAITED
from flowkit.drivers.rules import message_key, stored_key
from flowkit.drivers.sql import Row, message_sum, text_of

__all__ = ["deliver"]

_SENT = Columns("s", {
    "receiver": "text", "id": "text", "name": "text", "sender": "text", "key": "text", "used": "text", "reply": "bool",
    "context": "text", "crc": "int8", "body": "text",
})  # fmt: skip

_STATEMENT = (
    f"WITH s AS (SELECT * FROM {_SENT.source}), "
    "t AS MATERIALIZED (SELECT r.seq, r.id FROM runs r WHERE r.id = ANY(SELECT receiver FROM s) "
    "ORDER BY r.seq FOR NO KEY UPDATE), "
    "u AS (UPDATE runs r SET inbox = r.inbox + 1, updated_at = %(now)s, "
    f"wake_at = CASE WHEN {AWAITED} THEN least(coalesce(r.wake_at, %(now)s), %(now)s) ELSE r.wake_at END "
    "FROM t JOIN s ON s.receiver = t.id WHERE r.seq = t.seq AND r.status NOT IN ('completed', 'failed', 'cancelled') "
    "AND r.inbox < %(most)s AND NOT EXISTS (SELECT 1 FROM keys k WHERE k.run = t.seq AND k.key = s.used) "
    f"AND {UNSPOILT} RETURNING r.seq AS run, r.inbox AS number, s.receiver), "
    "i AS (INSERT INTO inbox (run, seq, id, name, sent_at, sender, key, reply, context, crc, body) "
    "SELECT u.run, u.number, s.id, s.name, %(now)s, s.sender, s.key, s.reply, s.context, s.crc, s.body "
    "FROM u JOIN s USING (receiver)), "
    "y AS (INSERT INTO keys (run, key, message, at) SELECT u.run, s.used, s.id, %(now)s FROM u JOIN s USING (receiver)) "
    "SELECT receiver, number FROM u"
).encode()


def deliver(hand: Hand, ops: Sequence[Send], now: float, limits: Limits) -> dict[str, Sent]:
    """Deliver messages to different runs; the numbers they have got, by the receiver's id."""
    values = {"now": now, "most": limits.inbox, **_SENT.values([_values(op) for op in ops])}
    return {receiver: Sent(number=number) for receiver, number in hand.own(_STATEMENT, values)}


def _values(op: Send) -> Row:
    text = text_of(op.body)
    used = message_key(op.message_id) if op.key is None else stored_key(op.key)
    about = (op.to, op.message_id, op.name, op.sender, op.key, used, op.reply, op.context)
    return (*about, message_sum(op.name, text), text)
