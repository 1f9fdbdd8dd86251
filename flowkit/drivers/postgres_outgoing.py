"""What a Change says besides when it sends: the messages arrive in the same statement, or none of it is written.

As with messages from outside only what simply arrives is delivered here. A receiver that is not there, has ended, may be full or
knows the key, and a run that sends to itself, leave the whole Change unwritten, and `sqlite_write` says what is to become of it.
The rows of the sender and the receivers are locked in the order of `seq`, before anything is decided.
"""

from __future__ import annotations

from flowkit.core.change import Outgoing
from flowkit.drivers.postgres_columns import Columns
from flowkit.drivers.rules import stored_key
from flowkit.drivers.sql import Row, message_sum, text_of

__all__ = ["ARRIVING", "AWAITED", "OUTGOING", "outgoing_values"]

OUTGOING = Columns("o", {
    "receiver": "text", "id": "text", "name": "text", "sender": "text", "key": "text", "used": "text", "context": "text",
    "crc": "int8", "body": "text",
})  # fmt: skip

AWAITED = "r.owner IS NOT NULL OR r.waiting = '*' OR strpos(r.waiting, E'\\n' || s.name || E'\\n') > 0"
"""Whether the message `s` wakes its receiver `r`."""

_BEFORE = (
    f", o AS MATERIALIZED (SELECT * FROM {OUTGOING.source}), "
    "ot AS MATERIALIZED (SELECT r.seq, r.id, r.status, r.inbox FROM runs r "
    "WHERE r.id = ANY(ARRAY(SELECT receiver FROM o)) OR r.seq = (SELECT run FROM b) ORDER BY r.seq FOR NO KEY UPDATE), "
    "oa AS MATERIALIZED (SELECT count(*) = (SELECT count(*) FROM o) AS arrive FROM ot t JOIN o s ON s.receiver = t.id "
    "WHERE t.status NOT IN ('completed', 'failed', 'cancelled') AND t.inbox < %(most)s AND t.seq <> (SELECT run FROM b) "
    "AND NOT EXISTS (SELECT 1 FROM keys WHERE keys.run = t.seq AND keys.key = s.used))"
)
_AFTER = (
    ", ov AS (UPDATE runs r SET inbox = r.inbox + 1, updated_at = %(now)s, "
    f"wake_at = CASE WHEN {AWAITED} THEN least(coalesce(r.wake_at, %(now)s), %(now)s) ELSE r.wake_at END "
    "FROM ot t JOIN o s ON s.receiver = t.id JOIN u ON u.place <> t.seq WHERE r.seq = t.seq "
    "RETURNING r.seq AS run, r.inbox AS number, s.receiver), "
    "oi AS (INSERT INTO inbox (run, seq, id, name, sent_at, sender, key, reply, context, crc, body) "
    "SELECT v.run, v.number, s.id, s.name, %(now)s, s.sender, s.key, false, s.context, s.crc, s.body "
    "FROM ov v JOIN o s USING (receiver)), "
    "oy AS (INSERT INTO keys (run, key, message, at) SELECT v.run, s.used, s.id, %(now)s FROM ov v JOIN o s USING (receiver) "
    "WHERE s.used IS NOT NULL)"
)
ARRIVING = (_BEFORE, " AND (SELECT arrive FROM oa)", _AFTER)
"""What comes before the sender's row is written, what that waits for, and what comes after it."""


def outgoing_values(message: Outgoing) -> Row:
    """A row of `OUTGOING`."""
    text = text_of(message.body)
    used = None if message.key is None else stored_key(message.key)
    about = (message.to, message.message_id, message.name, message.sender, message.key, used, message.context)
    return (*about, message_sum(message.name, text), text)
