"""What the tests of the PostgreSQL driver share: looking behind the port, with a connection of their own."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg

from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Start, Started, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver

__all__ = ["NOW", "ask", "execute", "new_start", "owned", "step"]

NOW = 1_700_000_000.0


def ask(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, or none, on a new connection."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        cursor = connection.execute(sql.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def execute(driver: PostgresDriver, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The same, in the database of `driver`."""
    return ask(driver.url, sql, *values)


def new_start(id: str = "r", **fields: object) -> Start:
    """A start whose token goes with its id."""
    base: dict[str, object] = {"workflow": "w", "input": b"1", "input_hash": "h", "start_at": NOW, "token": f"t-{id}"}
    return Start(id=id, **{**base, **fields})  # type: ignore[arg-type]  # the fields are those of Start


def step(run: int, head: int = 0, seq: int = 1, epoch: int = 1, **fields: object) -> Change:
    """An owner's next Change: one step that succeeded."""
    entry = Entry(seq=seq, location=f"s{seq}", kind="step", status="completed", settled_at=NOW, output=b"1")
    base: dict[str, object] = {"entries": seq, "seen": 0, "owes": 0, "calms": True, "add": [entry]}
    return Change(run=run, epoch=epoch, head=head, **{**base, **fields})  # type: ignore[arg-type]


def owned(driver: PostgresDriver, *ids: str) -> list[int]:
    """New runs in the hands of a new worker."""
    worker = driver.join(WorkerInfo(name="x", host="h", pid=1), NOW)
    results = driver.write([new_start(id, worker=worker) for id in ids], NOW)
    return [result.run for result in results if isinstance(result, Started)]
