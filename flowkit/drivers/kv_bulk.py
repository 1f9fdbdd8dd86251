"""Bulks in a key-value store: a key each by number, and one that leads there from the id."""

from __future__ import annotations

from msgspec.structs import replace

from flowkit.core.bulk import Bulk
from flowkit.drivers.base import Duplicate, Kept, Moved, Result, SaveBulk
from flowkit.drivers.kv_rows import Rows
from flowkit.drivers.kv_store import KVStore, Transaction, decode, encode, key, number_key, prefix_end

__all__ = ["newest_bulks", "one_bulk", "save_bulk"]

_PAGE = 200


def save_bulk(txn: Transaction, rows: Rows, op: SaveBulk, now: float, kept_seconds: float) -> Result:
    """Write a new bulk, or how far one has come; one that is finished is kept for `kept_seconds`."""
    bulk = op.bulk
    known = txn.get(key(b"h", bulk.id))
    stored = None if known is None else txn.get(b"j" + known)
    found = None if stored is None else decode(stored, Bulk)
    if not bulk.version:
        if found is not None:
            return Duplicate(first=str(found.seq))
        seq = rows.next_number("bulks")
        txn.put(key(b"h", bulk.id), number_key(seq))
        txn.put(key(b"j", seq), encode(replace(bulk, seq=seq, version=1, created_at=now, updated_at=now)))
        return Kept(seq=seq, version=1)
    if found is None or found.version != bulk.version:
        return Moved(head=0 if found is None else found.version)
    place = key(b"j", found.seq)
    txn.put(place, encode(replace(bulk, seq=found.seq, version=bulk.version + 1, created_at=found.created_at, updated_at=now)))
    if bulk.finished_at is not None:
        for each in (place, key(b"h", bulk.id)):
            rows.removed_at(bulk.finished_at + kept_seconds, each)
    return Kept(seq=found.seq, version=bulk.version + 1)


def one_bulk(store: KVStore, bulk: int | str) -> Bulk | None:
    """See `Driver.bulk`."""
    if isinstance(bulk, str):
        known = store.get(key(b"h", bulk))
        if known is None:
            return None
        bulk = int.from_bytes(known[0], "big")
    found = store.get(key(b"j", bulk))
    return None if found is None else decode(found[0], Bulk)


def newest_bulks(store: KVStore, limit: int, before: int | None, unfinished: bool) -> list[Bulk]:
    """See `Driver.bulks`."""
    found: list[Bulk] = []
    end = prefix_end(b"j") if before is None else key(b"j", before)
    while len(found) < limit and (page := store.scan(b"j", end, _PAGE, reverse=True)):
        bulks = [decode(data, Bulk) for _, data, _ in page]
        found += [bulk for bulk in bulks if bulk.finished_at is None or not unfinished]
        end = page[-1][0]
    return found[:limit]
