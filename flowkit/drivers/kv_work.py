"""Workers of a key-value store, which live by leases, and the runs they take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from flowkit.core.health import Report, decode_reports, encode_reports
from flowkit.drivers.base import Claim, Claimed, RunRow, WorkerInfo, WorkerRow
from flowkit.drivers.kv_rows import Rows, clear_error, run_of
from flowkit.drivers.kv_store import KVStore, Record, Transaction, decode, encode, instant_key, key, prefix_end
from flowkit.drivers.rules import FINAL, claimed, orphaned
from flowkit.errors import Fenced
from flowkit.settings import Settings

__all__ = ["Work"]

T = TypeVar("T")

_SLICE = 500


class Transact(Protocol):
    """Does work in one batch, and again from the beginning until nothing has come between."""

    def __call__(self, work: Callable[[Transaction], T]) -> T: ...


class Stored(WorkerRow, frozen=True, kw_only=True, gc=False):
    """A worker as stored: with the end of its lease."""

    expires_at: float


class Told(Struct, frozen=True, gc=False):
    """What one source has reported, and until when it is kept."""

    until: float
    reports: bytes


class Work:
    """The working half of a key-value driver. It never writes but through `transact`."""

    def __init__(self, store: KVStore, transact: Transact, settings: Settings) -> None:
        self._settings = settings
        self._store = store
        self._transact = transact

    # --- joining and leaving

    def join(self, info: WorkerInfo, now: float) -> int:
        """See `Driver.join`."""

        def insert(txn: Transaction) -> int:
            worker = Rows(txn).next_number("workers")
            row = Stored(
                id=worker,
                name=info.name,
                host=info.host,
                pid=info.pid,
                kind=info.kind,
                state="live",
                started_at=now,
                seen_at=now,
                alive=True,
                info=info.info,
                expires_at=now + self._settings.lease,
            )
            txn.put(key(b"w", worker), encode(row))
            return worker

        return self._transact(insert)

    def leave(self, worker: int, now: float) -> None:
        """See `Driver.leave`."""
        self._retire([worker], now)
        self._transact(partial(_drop, worker=worker))

    def beat(self, worker: int, now: float, info: str | None) -> float:
        """See `Driver.beat`."""

        def renew(txn: Transaction) -> float:
            row = _live(txn, worker)
            txn.put(
                key(b"w", worker), encode(replace(row, seen_at=now, expires_at=now + self._settings.lease, info=info or row.info))
            )
            return now

        return self._transact(renew)

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        """See `Driver.publish`."""

        def insert(txn: Transaction) -> None:
            txn.put(key(b"c", code), manifest)

        self._transact(insert)

    def report(self, source: str, reports: Sequence[Report], until: float) -> None:
        """See `Driver.report`."""

        def keep(txn: Transaction) -> None:
            if reports:
                txn.put(key(b"u", source), encode(Told(until, encode_reports(reports))))
            elif txn.get(key(b"u", source)) is not None:
                txn.delete(key(b"u", source))

        self._transact(keep)

    def reports(self, now: float) -> list[Report]:
        """See `Driver.reports`."""
        told = [decode(data, Told) for _, data, _ in self._store.scan(b"u", b"v", 100_000)]
        return [report for each in told if each.until > now for report in decode_reports(each.reports)]

    def workers(self) -> list[WorkerRow]:
        """See `Driver.workers`."""
        rows = [decode(data, Stored) for _, data, _ in self._store.scan(b"w", b"x", 100_000)]
        return [self._worker_row(row) for row in rows]

    def _worker_row(self, row: Stored) -> WorkerRow:
        owned = len(self._store.scan(key(b"o", row.id), key(b"o", row.id + 1), 100_000))
        fields = {name: getattr(row, name) for name in WorkerRow.__struct_fields__}
        return WorkerRow(**{**fields, "owned": owned, "alive": row.state == "live"})

    # --- taking runs

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.claim`."""

        def take(txn: Transaction) -> Claimed:
            _live(txn, worker)
            rows = Rows(txn)
            bells = []
            for place, _ in txn.scan(key(b"b", worker), key(b"b", worker + 1)):
                row = rows.by_seq(run_of(place))
                if row is not None and row.owner == worker and row.wake_at is not None and row.wake_at <= now:
                    rows.update(row, replace(row, wake_at=None))
                    bells.append(row.seq)
            runs = [_take(rows, worker, row, workflows, now) for row in _due(rows, workflows, max(limit, 0), now)]
            return Claimed(runs=runs, bells=bells, next_due=_next_due(txn, workflows))

        return self._transact(take)

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """See `Driver.adopt`."""

        def take(txn: Transaction) -> Claimed:
            _live(txn, worker)
            rows = Rows(txn)
            runs = []
            for row in _adoptable(rows, worker, held, workflows, now, self._settings.adopt_after)[:limit]:
                if row.status == "paused":
                    rows.update(row, replace(row, owner=None, wake_at=None, request=""))
                else:
                    runs.append(_take(rows, worker, row, workflows, now))
            return Claimed(runs=runs, next_due=_next_due(txn, workflows))

        return self._transact(take)

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        """See `Driver.take`."""

        def take(txn: Transaction) -> Claim | None:
            _live(txn, worker)
            rows = Rows(txn)
            row = rows.by_seq(run)
            if row is None or row.owner is not None or row.status in FINAL or row.status == "paused":
                return None
            return _take(rows, worker, row, {row.workflow: code}, now)

        return self._transact(take)

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        """See `Driver.lost`."""
        return [run for run, epoch in held.items() if not self._holds(worker, run, epoch)]

    def _holds(self, worker: int, run: int, epoch: int) -> bool:
        found = self._store.get(key(b"r", run))
        if found is None:
            return False
        row = decode(found[0], RunRow)
        return row.owner == worker and row.epoch == epoch

    # --- taking over

    def reap(self, now: float, dead: Collection[int]) -> int:
        """See `Driver.reap`."""
        rows = [decode(data, Stored) for _, data, _ in self._store.scan(b"w", b"x", 100_000)]
        gone = [row.id for row in rows if row.state == "live" and (row.id in dead or _has_expired(row, now))]
        half_done = [row.id for row in rows if row.state == "dying"]
        return self._retire(gone, now, half_done)

    def _retire(self, gone: Collection[int], now: float, half_done: Collection[int] = ()) -> int:
        """Mark first, then take over in slices: whoever comes by can finish it."""
        for worker in gone:
            self._transact(partial(_mark, worker=worker))
        count = 0
        for worker in (*gone, *half_done):
            while taken := self._transact(partial(_orphan, worker=worker, now=now)):
                count += taken
        return count

    def forget(self, now: float) -> None:
        """Remove dying workers that own nothing, and clients, a day after they were last seen; and reports that have expired."""
        for place, data, _ in self._store.scan(b"u", b"v", 100_000):
            if decode(data, Told).until <= now:
                self._transact(partial(_drop_told, place=place, now=now))
        for _, data, _ in self._store.scan(b"w", b"x", 100_000):
            row = decode(data, Stored)
            idle = (row.state == "dying" or row.kind == "client") and row.seen_at <= now - self._settings.workers_kept
            if idle and not self._store.scan(key(b"o", row.id), key(b"o", row.id + 1), 1):
                self._transact(partial(_drop, worker=row.id))


def _has_expired(row: Stored, now: float) -> bool:
    return row.kind == "worker" and row.expires_at < now


def _live(txn: Transaction, worker: int) -> Stored:
    data = txn.get(key(b"w", worker))
    row = None if data is None else decode(data, Stored)
    if row is None or row.state != "live":
        raise Fenced(f"worker {worker} was declared dead and its runs were taken over. Join anew.")
    return row


def _drop(txn: Transaction, worker: int) -> None:
    txn.delete(key(b"w", worker))


def _drop_told(txn: Transaction, place: bytes, now: float) -> None:
    data = txn.get(place)
    if data is not None and decode(data, Told).until <= now:
        txn.delete(place)


def _mark(txn: Transaction, worker: int) -> None:
    data = txn.get(key(b"w", worker))
    if data is not None:
        txn.put(key(b"w", worker), encode(replace(decode(data, Stored), state="dying")))


def _orphan(txn: Transaction, worker: int, now: float) -> int:
    rows = Rows(txn)
    held = txn.scan(key(b"o", worker), key(b"o", worker + 1), _SLICE)
    for place, _ in held:
        row = rows.by_seq(run_of(place))
        if row is not None and row.owner == worker:
            rows.update(row, rows.settle_fate(row, orphaned(row, now), now))
    return len(held)


def _due(rows: Rows, workflows: Mapping[str, str], limit: int, now: float) -> list[RunRow]:
    places: list[tuple[bytes, int]] = []
    for name in workflows if limit else ():
        prefix = key(b"d", name)
        for place, _ in rows.txn.scan(prefix, prefix + instant_key(now) + b"\xff" * 9, limit):
            places.append((place[-16:], run_of(place)))
    found = [rows.by_seq(run) for _, run in sorted(places)[:limit]]
    return [row for row in found if row is not None and row.owner is None and row.wake_at is not None]


def _adoptable(
    rows: Rows, worker: int, held: Collection[int], workflows: Mapping[str, str], now: float, after: float
) -> list[RunRow]:
    found: list[RunRow] = []
    for place, _ in rows.txn.scan(key(b"o", worker), key(b"o", worker + 1)):
        row = None if run_of(place) in held else rows.by_seq(run_of(place))
        if row is not None and row.workflow in workflows and row.updated_at <= now - after:
            found.append(row)
    prefix = key(b"s", "blocked")
    for place, _ in rows.txn.scan(prefix, prefix_end(prefix)):
        row = rows.by_seq(run_of(place))
        if row is None or row.workflow not in workflows or row.owner is not None or row.start_at > now:
            continue
        record = decode(rows.txn.get(key(b"x", row.seq)) or b"", Record)
        if workflows[row.workflow] not in record.tried:
            found.append(row)
    return found


def _take(rows: Rows, worker: int, row: RunRow, workflows: Mapping[str, str], now: float) -> Claim:
    new = replace(
        rows.settle_fate(row, claimed(row, worker), now),
        passes=row.passes + 1,
        code=workflows[row.workflow],
        started_at=now if row.started_at is None else row.started_at,
    )
    if row.status == "blocked":
        new = replace(new, error_line=None)
        clear_error(rows, row.seq)
    if row.code not in ("", new.code):
        _keep_first_code(rows, row)
    rows.update(row, new)
    return Claim(
        run=row.seq,
        id=row.id,
        workflow=row.workflow,
        epoch=new.epoch,
        head=row.head,
        crashes=new.crashes,
        status=new.status,
        request=row.request,
        code=row.code,
        context=decode(rows.txn.get(key(b"x", row.seq)) or b"", Record).context,
    )


def _keep_first_code(rows: Rows, row: RunRow) -> None:
    place = key(b"x", row.seq)
    record = decode(rows.txn.get(place) or b"", Record)
    if not record.first_code:
        record.first_code = row.code
        rows.txn.put(place, encode(record))


def _next_due(txn: Transaction, workflows: Collection[str]) -> float | None:
    instants = []
    for name in workflows:
        prefix = key(b"d", name)
        for place, _ in txn.scan(prefix, prefix_end(prefix), 1):
            row = Rows(txn).by_seq(run_of(place))
            if row is not None and row.wake_at is not None:
                instants.append(row.wake_at)
    return min(instants, default=None)
