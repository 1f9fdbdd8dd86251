"""Runs in a key-value store: the row, its index keys, and the bodies beside it.

Keys, by their first byte: ``r`` row, ``i`` id, ``x`` what belongs to a run, ``y`` its bodies, ``e`` entries, ``g``
archive, ``a`` attempts, ``q`` inbox, ``k`` used send keys, ``l`` log lines, ``p`` replies, ``v`` steering, ``w`` workers,
``c`` manifests, ``j`` bulks, ``h`` their ids, ``m`` counters and settings, ``n`` pulses; and the indexes ``d`` due, ``o`` owned,
``b`` bells, ``s`` by status, ``f`` by workflow, ``t`` by tag, ``z`` by the instant of removal.
"""

from __future__ import annotations

from msgspec.structs import replace

from flowkit.drivers.base import RunRow, Start
from flowkit.drivers.kv_store import Record, Transaction, decode, encode, instant_key, key, number_key
from flowkit.drivers.rules import FINAL, Fate, expiry

__all__ = ["Rows", "clear_error", "first_record", "run_of"]

_RUN = b"\0"
_KEY = b"\1"


class Rows:
    """The rows of runs within one transaction."""

    def __init__(self, txn: Transaction) -> None:
        self.txn = txn
        self._days: dict[str, float] | None = None

    def by_seq(self, run: int) -> RunRow | None:
        data = self.txn.get(key(b"r", run))
        return None if data is None else decode(data, RunRow)

    def by_id(self, id: str) -> RunRow | None:
        seq = self.txn.get(key(b"i", id))
        return None if seq is None else self.by_seq(int.from_bytes(seq, "big"))

    def next_number(self, name: str) -> int:
        """The next of a row of numbers that are never given twice."""
        place = key(b"m", name)
        number = int.from_bytes(self.txn.get(place) or b"", "big") + 1
        self.txn.put(place, number_key(number))
        return number

    def add(self, row: RunRow) -> None:
        """A new run, found by its id, workflow and tags from now on."""
        self.txn.put(key(b"i", row.id), number_key(row.seq))
        self.txn.put(key(b"f", row.workflow, row.seq), b"")
        for tag in row.tags:
            self.txn.put(key(b"t", tag, row.seq), b"")
        for place in _index(row):
            self.txn.put(place, _RUN)
        self.txn.put(key(b"r", row.seq), encode(row))

    def update(self, old: RunRow, new: RunRow) -> None:
        """Write a row and whatever of its index keys differs."""
        if (old.status, old.wake_at, old.owner, old.expire_at) != (new.status, new.wake_at, new.owner, new.expire_at):
            before, after = _index(old), _index(new)
            for place in before - after:
                self.txn.delete(place)
            for place in after - before:
                self.txn.put(place, _RUN)
        self.txn.put(key(b"r", new.seq), encode(new))

    def retag(self, row: RunRow, tags: tuple[str, ...]) -> None:
        """Give a run other tags, by which it is found from now on."""
        for tag in set(row.tags) - set(tags):
            self.txn.delete(key(b"t", tag, row.seq))
        for tag in set(tags) - set(row.tags):
            self.txn.put(key(b"t", tag, row.seq), b"")
        self.txn.put(key(b"r", row.seq), encode(replace(row, tags=tags)))

    def remove(self, row: RunRow) -> None:
        """A run with all that belongs to it."""
        for kind in (b"x", b"y", b"e", b"g", b"a", b"q", b"k", b"l"):
            self.txn.delete_range(key(kind, row.seq), key(kind, row.seq + 1))
        for tag in row.tags:
            self.txn.delete(key(b"t", tag, row.seq))
        for place in (*_index(row), key(b"f", row.workflow, row.seq), key(b"i", row.id), key(b"r", row.seq)):
            self.txn.delete(place)

    def settle_fate(self, row: RunRow, fate: Fate, now: float) -> RunRow:
        """`row` with the columns of `fate`; not yet written."""
        return replace(
            row,
            status=fate.status,
            wake_at=fate.wake_at,
            waiting=row.waiting if fate.keeps_waiting else None if fate.waiting is None else tuple(fate.waiting),
            owner=fate.owner,
            epoch=fate.epoch,
            request=fate.request,
            ending=fate.ending,
            crashes=fate.crashes,
            replays=fate.replays,
            finished_at=fate.finished_at,
            expire_at=self.expiry(row.workflow, fate.status, now),
            updated_at=now,
        )

    def expiry(self, workflow: str, status: str, now: float) -> float | None:
        """When a run of `workflow` that is now in `status` is to be removed."""
        if status not in FINAL:
            return None
        if self._days is None:
            data = self.txn.get(key(b"m", "retention"))
            self._days = {} if data is None else decode(data, dict[str, float])
        return expiry(self._days, status, workflow, now)

    def set_body(self, run: int, field: str, body: bytes | None) -> None:
        """A body of the run; None removes it."""
        place = key(b"y", run, field)
        if body is None:
            self.txn.delete(place)
        else:
            self.txn.put(place, body)

    def removed_at(self, instant: float, place: bytes) -> None:
        """Have `place` deleted by a purge from `instant` on."""
        self.txn.put(key(b"z", instant_key(instant), place), _KEY)


def run_of(place: bytes) -> int:
    """The run at the end of an index key."""
    return int.from_bytes(place[-8:], "big")


def _index(row: RunRow) -> set[bytes]:
    places = {key(b"s", row.status, row.seq)}
    if row.owner is not None:
        places.add(key(b"o", row.owner, row.seq))
        if row.wake_at is not None:
            places.add(key(b"b", row.owner, row.seq))
    elif row.wake_at is not None:
        places.add(key(b"d", row.workflow, instant_key(row.wake_at), row.seq))
    if row.expire_at is not None:
        places.add(key(b"z", instant_key(row.expire_at), row.seq))
    return places


def first_record(op: Start) -> Record:
    """What stands beside the row of a new run."""
    return Record(token=op.token, input_hash=op.input_hash, first_code=op.code, context=op.context)


def clear_error(rows: Rows, run: int) -> None:
    """Take the reason of a blocked run away."""
    place = key(b"x", run)
    record = decode(rows.txn.get(place) or b"", Record)
    record.failed_entry = None
    rows.txn.put(place, encode(record))
    rows.set_body(run, "output", None)
    rows.set_body(run, "error", None)
