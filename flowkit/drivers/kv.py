"""A driver over any ordered key-value store that can apply a batch atomically under version checks.

For third parties' stores, for tests and for simulation. Each write is one batch that checks every key it decided by;
on a conflict everything is decided anew. A store without atomic batches is refused: taking a message and recording
that it was taken would be two writes, and a crash between them would lose it or take it twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

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
from flowkit.drivers.forks import this_process
from flowkit.drivers.kv_bulk import newest_bulks, one_bulk
from flowkit.drivers.kv_read import Reads
from flowkit.drivers.kv_rows import Rows, run_of
from flowkit.drivers.kv_store import KVStore, Transaction, encode, instant_key, key, number_key
from flowkit.drivers.kv_work import Work
from flowkit.drivers.kv_write import Writing
from flowkit.drivers.rules import FINAL
from flowkit.drivers.survey import Deed
from flowkit.errors import StoreBusy, StoreError
from flowkit.settings import Settings

__all__ = ["KVDriver", "KVStore"]

T = TypeVar("T")

_TRIES = 1_000
_PULSES = 100_000


class KVDriver:
    """A `Driver` over `store`.

    Raises:
        StoreError: the store cannot apply a batch atomically.
    """

    def __init__(self, store: KVStore, *, limits: Limits | None = None, settings: Settings | None = None) -> None:
        self._settings = settings = Settings() if settings is None else settings
        if not store.atomic:
            raise StoreError(
                "this store cannot apply a batch atomically, so taking a message and recording it would be two "
                "writes, and a crash between them would lose it. Use a store with atomic batches."
            )
        self.limits = limits or Limits(inbox=settings.inbox)
        self._store = store
        self._pid = this_process()
        self._closed = False
        self._lock = threading.Lock()
        self._handle = 0
        self._handle = self._transact(lambda txn: Rows(txn).next_number("handles"))
        self._work = Work(store, self._transact, settings)
        self._reads = Reads(store)
        self._pulse = _Pulse(store, self._handle, settings.store_poll)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in one batch; from the beginning again if another handle came between."""
        self._refuse()
        with self._lock:
            for _ in range(_TRIES):
                txn = Transaction(self._store)
                result = work(txn)
                if not txn.changed:
                    return result
                txn.put(key(b"n", self._handle), b"")
                if txn.commit():
                    return result
        raise StoreBusy(f"the store changed under {_TRIES} tries of one write; nothing was written. Try again.")

    def _refuse(self) -> None:
        if self._closed:
            raise StoreError("this handle is closed. Open the database again.")
        if self._pid != this_process():
            raise StoreError("this handle was opened before fork(). Open it again in the child process.")

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        return self._transact(lambda txn: Writing(txn, now, self.limits, self._settings).apply(ops))

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
        self._refuse()
        return self._work.reports(now)

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        self._work.publish(code, manifest, now)

    def manifest(self, code: str) -> bytes | None:
        self._refuse()
        return self._reads.manifest(code)

    def first_code(self, run: int) -> str:
        self._refuse()
        return self._reads.first_code(run)

    def deed(self, op: str) -> Deed | None:
        """See `Recorded.deed`."""
        self._refuse()
        return self._reads.deed(op)

    # --- retention

    def purge(self, now: float, limit: int = 500) -> int:
        self._work.forget(now)
        return self._transact(lambda txn: _purge(txn, now, limit))

    def retain(self, days: Mapping[str, float]) -> None:
        self._transact(lambda txn: txn.put(key(b"m", "retention"), encode(dict(days))))

    def remove(self, runs: Mapping[int, int]) -> int:
        return self._transact(lambda txn: _remove(txn, runs))

    # --- noticing change

    def wait(self, timeout: float) -> bool:
        self._refuse()
        return self._pulse.wait(timeout)

    def nudge(self) -> None:
        self._pulse.nudge()

    def token(self) -> int:
        self._refuse()
        return self._pulse.token()

    # --- reading

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        self._refuse()
        return self._reads.load(run, after)

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        self._refuse()
        return self._reads.inbox(run, names, limit)

    def get(self, run: int | str) -> RunRow | None:
        self._refuse()
        return self._reads.get(run)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        self._refuse()
        return self._reads.outcome(run)

    def runs(self, query: RunQuery) -> list[RunRow]:
        self._refuse()
        return self._reads.runs(query)

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        self._refuse()
        return self._reads.history(run, after, before, limit, archived)

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        self._refuse()
        return self._reads.attempts(run, entry)

    def lines(self, query: LineQuery) -> list[Line]:
        self._refuse()
        return self._reads.lines(query)

    def body(self, ref: BodyRef) -> bytes | None:
        self._refuse()
        return self._reads.body(ref)

    def bulk(self, bulk: int | str) -> Bulk | None:
        self._refuse()
        return one_bulk(self._store, bulk)

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        self._refuse()
        return newest_bulks(self._store, limit, before, unfinished)

    def close(self) -> None:
        self._closed = True
        self._pulse.nudge()


def _purge(txn: Transaction, now: float, limit: int) -> int:
    rows = Rows(txn)
    count = 0
    for place, kind in txn.scan(b"z", b"z" + instant_key(now) + b"\xff", limit):
        if kind == b"\1":
            txn.delete(place[9:])
            txn.delete(place)
            continue
        row = rows.by_seq(run_of(place))
        if row is not None:
            rows.remove(row)
            count += 1
    return count


def _remove(txn: Transaction, runs: Mapping[int, int]) -> int:
    rows = Rows(txn)
    found = [row for run, head in runs.items() if (row := rows.by_seq(run)) is not None and row.head == head]
    ended = [row for row in found if row.status in FINAL]
    for row in ended:
        rows.remove(row)
    return len(ended)


class _Pulse:
    """Each handle writes a key of its own with every batch; the others see its version grow."""

    def __init__(self, store: KVStore, handle: int, poll: float) -> None:
        self._poll = poll
        self._store = store
        self._mine = b"n" + number_key(handle)
        self._changed = threading.Condition()
        self._nudges = 0
        self._first = (0, self._others())
        self._seen = threading.local()

    def _others(self) -> int:
        return sum(version for place, _, version in self._store.scan(b"n", b"o", _PULSES) if place != self._mine)

    def token(self) -> int:
        return sum(version for _, _, version in self._store.scan(b"n", b"o", _PULSES))

    def nudge(self) -> None:
        with self._changed:
            self._nudges += 1
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        """Each thread hears of each change once: one between two of its waits ends the second at once."""
        seen: tuple[int, int] = getattr(self._seen, "state", self._first)
        end = time.monotonic() + timeout
        while True:
            state = (self._nudges, self._others())
            if state != seen:
                self._seen.state = state
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                if self._nudges == state[0]:
                    self._changed.wait(min(self._poll, left))
