"""The PostgreSQL driver: any number of processes on any number of machines.

It puts together what the other modules do: `postgres_connections` (few connections, ended when silent, made anew when broken),
`postgres_write` (what a transaction does), `postgres_work` (leases and claims), `postgres_read`, `postgres_news` (noticing
change) and `postgres_bell` (telling of it). Whatever both databases say alike is said by the modules named after SQLite.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from flowkit.core.bulk import Bulk
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.health import Report
from flowkit.core.line import Line
from flowkit.drivers.base import (
    BodyRef,
    Claim,
    Claimed,
    Limits,
    LineQuery,
    Op,
    Result,
    RunQuery,
    RunRow,
    RunView,
    WorkerInfo,
    WorkerRow,
)
from flowkit.drivers.connections import Durability
from flowkit.drivers.postgres_connections import Connections
from flowkit.drivers.postgres_news import News
from flowkit.drivers.postgres_place import place_of
from flowkit.drivers.postgres_read import ENTRIES, INBOX, beginning, facts, holding, load, within
from flowkit.drivers.postgres_work import Work
from flowkit.drivers.postgres_write import write
from flowkit.drivers.sqlite_across import SQLiteAcross
from flowkit.drivers.sqlite_bulk import Bulks
from flowkit.drivers.sqlite_logs import lines
from flowkit.drivers.sqlite_purge import purge, remove
from flowkit.drivers.sqlite_read import Reads
from flowkit.drivers.sqlite_survey import SQLiteSurvey
from flowkit.settings import Settings

__all__ = ["PostgresDriver"]


class PostgresDriver:
    """A `Driver` over a PostgreSQL database, whose tables are migrated when it is opened, and created unless `create` is False.

    With `durability` ``"full"`` what is acknowledged survives a power cut of the server; with ``"process"`` it may lose
    the newest commits when it crashes. `busy_seconds` bounds every wait for a connection of this handle (None: as `settings`
    say), `silence_seconds` every wait for an answer of the server (None: likewise).

    Raises:
        StoreError: it cannot be opened, or holds tables of something else. SchemaTooNew: it is for newer code.
    """

    def __init__(
        self,
        url: str,
        durability: Durability = "full",
        *,
        readonly: bool = False,
        busy_seconds: float | None = None,
        silence_seconds: float | None = None,
        limits: Limits | None = None,
        settings: Settings | None = None,
        create: bool = True,
    ) -> None:
        self._settings = settings = Settings() if settings is None else settings
        self.limits = limits or Limits(inbox=settings.inbox, lease=settings.lease)
        self.url = url
        place = place_of(url, settings.pg_connect)
        self.connections = Connections(
            place, durability=durability, readonly=readonly, settings=settings, create=create,
            silence_seconds=settings.pg_silence if silence_seconds is None else silence_seconds,
            busy_seconds=settings.busy if busy_seconds is None else busy_seconds,
        )  # fmt: skip
        self._work = Work(self.connections, settings)
        self._reads = Reads(self.connections, settings, entries=ENTRIES, inbox=INBOX, within=within)
        self._bulks = Bulks(self.connections)
        self._news = News(self.connections)

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        return write(self.connections, ops, now, self.limits)

    # --- workers

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        return self._work.claim(worker, workflows, limit, now)

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        return self._work.adopt(worker, held, workflows, limit, now)

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        return self._work.take(worker, run, code, now)

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        return self._work.lost(worker, held)

    def join(self, info: WorkerInfo, now: float) -> int:
        return self._work.join(info, now)

    def leave(self, worker: int, now: float) -> None:
        self._work.leave(worker, now)

    def beat(self, worker: int, now: float, info: str | None = None) -> float:
        return self._work.beat(worker, now, info)

    def reap(self, now: float, *, dead: Collection[int] = ()) -> int:
        return self._work.reap(now, dead)

    def workers(self) -> list[WorkerRow]:
        return self._work.workers()

    def report(self, source: str, reports: Sequence[Report], until: float, now: float) -> None:
        self._work.report(source, reports, until)

    def reports(self, now: float) -> list[Report]:
        return self._work.reports(now)

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        self._work.publish(code, manifest, now)

    def manifest(self, code: str) -> bytes | None:
        return self._reads.manifest(code)

    def first_code(self, run: int) -> str:
        return self._reads.first_code(run)

    # --- retention

    def purge(self, now: float, limit: int = 500) -> int:
        connections = self.connections
        return connections.transact(lambda hand: purge(hand, now, limit, self._settings), connections.clerk)[0]

    def retain(self, days: Mapping[str, float]) -> None:
        policy = json.dumps(dict(days))
        sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('retention', ?)"
        self.connections.transact(lambda hand: hand.execute(sql, (policy,)))

    def remove(self, runs: Mapping[int, int]) -> int:
        return self.connections.transact(lambda hand: remove(hand, runs))

    # --- noticing change

    def wait(self, timeout: float) -> bool:
        """Each thread hears of each change once: one that came between two of its waits ends the second at once."""
        return self._news.wait(timeout)

    def nudge(self) -> None:
        self._news.nudge()

    def token(self) -> int:
        return self._news.token()

    # --- reading

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        return load(self.connections, run, after)

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        return self._reads.inbox(run, names, limit)

    def get(self, run: int | str) -> RunRow | None:
        return self._reads.get(run)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        return self._reads.outcome(run)

    def runs(self, query: RunQuery) -> list[RunRow]:
        return self._reads.runs(query)

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        return self._reads.history(run, after, before, limit, archived)

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        return self._reads.attempts(run, entry)

    def lines(self, query: LineQuery) -> list[Line]:
        with self.connections.reading() as db:
            return lines(db, query)

    def body(self, ref: BodyRef) -> bytes | None:
        return self._reads.body(ref)

    def bulk(self, bulk: int | str) -> Bulk | None:
        return self._bulks.one(bulk)

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        return self._bulks.newest(limit, before, unfinished)

    def survey(self) -> SQLiteSurvey:
        """What this driver offers beyond the port to those who look over all runs."""
        return SQLiteSurvey(self.connections, holding=holding, beginning=beginning)

    def across(self) -> SQLiteAcross:
        """What pages over all runs ask beyond that."""
        return SQLiteAcross(self.connections, lambda: facts(self.connections))

    @property
    def statements(self) -> int:
        """How many statements this handle has sent, for those who count what it costs."""
        return self.connections.statements

    def close(self) -> None:
        self._news.close()
        self.connections.close()
