"""What PostgreSQL reads in its own words; all else it reads as SQLite does, in `sqlite_read`."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import psycopg

from flowkit.drivers.across import StoreFacts
from flowkit.drivers.base import BodyRef, RunView
from flowkit.drivers.postgres_connections import SNAPSHOT, Connections
from flowkit.drivers.postgres_hand import Hand, spelled
from flowkit.drivers.sql import MESSAGE_COLUMNS, Row
from flowkit.drivers.sqlite_read import BODIES, FIRST_MESSAGES, HANDLERS, IO, ROW, whole_view

__all__ = ["ENTRIES", "INBOX", "beginning", "facts", "holding", "load", "within"]

ENTRIES = f"SELECT {BODIES}, run, seq, seq FROM entries WHERE run = ? AND seq > ? ORDER BY seq"
INBOX = f"SELECT {MESSAGE_COLUMNS}, run, seq, seq FROM (SELECT * FROM inbox WHERE run = ?) AS inbox ORDER BY seq LIMIT ?"

_LIMIT = b"SELECT set_config('statement_timeout', %(left)s, true)"
_HOLDING = b"SELECT run FROM run_io WHERE run = ANY(%(runs)s::int8[]) AND strpos(lower(input), %(text)s) > 0"
_BEGINNING = "SELECT left({0}, {1}), octet_length({0}) FROM {2}"
_ROOM = 200
_FACTS = (
    b"SELECT pg_database_size(current_database()), current_setting('server_version'), current_setting('wal_level'), "
    b"(SELECT value FROM meta WHERE key = 'schema_version'), (SELECT max(seq) FROM runs)"
)


_LOADED = (ROW, IO, ENTRIES, INBOX, HANDLERS)


def load(connections: Connections, run: int, after: int) -> RunView | None:
    """See `Driver.load`. All of it is asked in one trip."""

    def ask(hand: Hand) -> list[list[Row]]:
        parameters = [(run,), (run,), (run, after), (run, FIRST_MESSAGES), (run,)]
        with hand.connection.pipeline():
            hand.own(SNAPSHOT)
            asked = [hand.execute(sql, values) for sql, values in zip(_LOADED, parameters, strict=True)]
            hand.own(b"COMMIT")
        return [rows.fetchall() for rows in asked]

    rows, io, entries, messages, failures = connections.ask(ask)
    return whole_view(run, rows[0], io[0] if io else None, entries, messages, failures) if rows else None


def within(hand: Hand, sql: str, parameters: list[Any], seconds: float) -> list[Row]:
    """The rows found in so many seconds: they are fetched one by one, so that those before the end are kept."""
    end = time.monotonic() + seconds
    hand.own(_LIMIT, {"left": _left(end)})
    hand.own(b"DECLARE found NO SCROLL CURSOR FOR " + spelled(sql), parameters)
    rows: list[Row] = []
    try:
        while time.monotonic() < end:
            hand.own(_LIMIT, {"left": _left(end)})
            row = hand.own(b"FETCH 1 FROM found").fetchone()
            if row is None:
                break
            rows.append(row)
    except psycopg.errors.QueryCanceled:
        hand.own(b"ROLLBACK")
    return rows


def holding(hand: Hand, runs: Sequence[int], text: str, seconds: float) -> Collection[int] | None:
    """Those of `runs` whose input, as stored, holds `text`; None if that took longer than there was time."""
    wanted = text.encode("utf-8", "replace").lower().decode()
    if "\0" in wanted:
        return set()
    try:
        hand.own(_LIMIT, {"left": _left(time.monotonic() + seconds)})
        return {row[0] for row in hand.own(_HOLDING, {"runs": list(runs), "text": wanted})}
    except psycopg.errors.QueryCanceled:
        hand.own(b"ROLLBACK")
        return None


def _left(end: float) -> str:
    return str(max(1, int((end - time.monotonic()) * 1000)))


def beginning(hand: Hand, ref: BodyRef, most: int, length: int) -> tuple[bytes, int] | None:
    """The first bytes of a body. The server reads all of it to give them, but only they travel."""
    column = {"input": "input", "output": "output", "error": "error", "state": "state", "args": "args"}[ref.field]
    table = "run_io WHERE run = %(run)s" if ref.entry is None else "entries WHERE run = %(run)s AND seq = %(entry)s"
    sql = _BEGINNING.format(column, int(length), table).encode()
    row = hand.own(sql, {"run": ref.run} | ({} if ref.entry is None else {"entry": ref.entry})).fetchone()
    if row is None or row[0] is None or row[1] <= most or row[0].startswith("base64:"):
        return None
    return row[0].encode()[:length], int(row[1])


def facts(connections: Connections) -> StoreFacts:
    """What the server says of the database."""
    row = connections.ask(lambda hand: hand.own(_FACTS, {}).fetchone())
    assert row is not None
    size, version, _, schema, newest = row
    return StoreFacts(path=connections.name, size=size, schema=int(schema or 0), engine=f"PostgreSQL {version}", runs=newest or 0)
