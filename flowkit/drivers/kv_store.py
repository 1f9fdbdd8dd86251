"""Ordered key-value stores: what they must do, the keys we keep in them, and a transaction made of one checked batch.

A transaction reads as it goes, remembers the version of every key it read, and ends as one batch that applies only if
all of those still have that version; otherwise everything is decided anew. Scans are not checked. What they find is
guarded by the row of the run or worker it belongs to, which every writer of such keys reads and writes too.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from flowkit.errors import PayloadError

__all__ = ["KVStore", "Record", "Transaction", "decode", "encode", "instant_key", "key", "number_key", "prefix_end"]

T = TypeVar("T")

END = b"\xff"


class KVStore(Protocol):
    """An ordered store of bytes. `atomic` says that `batch` applies all or nothing; others are refused."""

    atomic: bool

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """Value and version; a version is above 0 and grows with each write of the key."""
        ...

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes, int]]:
        """Up to `limit` keys from `start` (included) to `end` (excluded) in order, or backwards from the end."""
        ...

    def batch(
        self,
        checks: Sequence[tuple[bytes, int]],
        puts: Sequence[tuple[bytes, bytes]],
        deletes: Sequence[bytes],
        ranges: Sequence[tuple[bytes, bytes]],
    ) -> bool:
        """If every checked key has that version (0: absent), delete keys and half-open ranges, then put; else False.

        Raises:
            StoreError: `outcome` says whether it may have been applied.
        """
        ...

    def alarm(self, at: float | None) -> None:
        """A hint that nothing will be due before `at`; may do nothing."""
        ...


class Record(msgspec.Struct, kw_only=True, gc=False):
    """What belongs to a run beside its row, bodies apart."""

    token: str
    input_hash: str
    tried: tuple[str, ...] = ()
    first_code: str = ""
    failed_entry: int | None = None
    context: str = ""


# --- keys -----------------------------------------------------------------------------------------------------------


def number_key(number: int) -> bytes:
    """A number that sorts as bytes."""
    return number.to_bytes(8, "big")


def instant_key(instant: float) -> bytes:
    """An instant that sorts as bytes: the sign bit turned, all bits turned below zero."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", instant))
    return int(bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63)).to_bytes(8, "big")


def key(kind: bytes, *parts: int | str | bytes) -> bytes:
    """A key: numbers take eight bytes, text ends with NUL so that no name is the beginning of another."""
    return kind + b"".join([_part(part) for part in parts])


def _part(part: int | str | bytes) -> bytes:
    if isinstance(part, int):
        return part.to_bytes(8, "big")
    return part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") + b"\0"


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with `prefix`."""
    stripped = prefix.rstrip(END)
    return stripped[:-1] + bytes((stripped[-1] + 1,))


# --- values ---------------------------------------------------------------------------------------------------------

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[object, msgspec.msgpack.Decoder[object]] = {}


def encode(value: object) -> bytes:
    """`value` as stored."""
    return _encoder.encode(value)


def decode(data: bytes, type: type[T]) -> T:
    """The value behind `data`. Raises PayloadError if it is none of `type`."""
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.msgpack.Decoder(type)
    try:
        return decoder.decode(data)  # type: ignore[return-value]  # the decoder kept under a type gives that type
    except (msgspec.MsgspecError, ValueError) as error:
        raise PayloadError(f"a stored {type.__name__} cannot be read: the store was damaged or edited ({error}).") from error


# --- transactions ---------------------------------------------------------------------------------------------------


class Transaction:
    """Reads and buffered writes that become one batch."""

    def __init__(self, store: KVStore) -> None:
        self._store = store
        self._versions: dict[bytes, int] = {}
        self._values: dict[bytes, bytes | None] = {}
        self._changed: dict[bytes, bytes | None] = {}
        self._ranges: list[tuple[bytes, bytes]] = []

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._changed or self._ranges)

    def get(self, key: bytes) -> bytes | None:
        """The value as this transaction sees it; the key's version is checked at the end."""
        if key in self._changed:
            return self._changed[key]
        if key in self._values:
            return self._values[key]
        found = self._store.get(key)
        self._values[key], self._versions[key] = (None, 0) if found is None else found
        if any(start <= key < end for start, end in self._ranges):
            return None
        return self._values[key]

    def scan(self, start: bytes, end: bytes, limit: int = 1_000_000) -> list[tuple[bytes, bytes]]:
        """Keys and values in order, what this transaction has written included."""
        mine = {key: value for key, value in self._changed.items() if start <= key < end}
        found = {key: value for key, value, _ in self._store.scan(start, end, limit + len(mine))}
        for first, last in self._ranges:
            found = {key: value for key, value in found.items() if not first <= key < last}
        for key, value in mine.items():
            found.pop(key, None)
            if value is not None:
                found[key] = value
        return sorted(found.items())[:limit]

    def put(self, key: bytes, value: bytes) -> None:
        self._changed[key] = value

    def delete(self, key: bytes) -> None:
        self._changed[key] = None

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Delete what is there now; a later `put` into the range stays."""
        for key in [key for key in self._changed if start <= key < end]:
            del self._changed[key]
        self._ranges.append((start, end))

    def commit(self) -> bool:
        """Apply; False if something read has changed meanwhile."""
        puts = [(key, value) for key, value in self._changed.items() if value is not None]
        deletes = [key for key, value in self._changed.items() if value is None]
        return self._store.batch(list(self._versions.items()), puts, deletes, self._ranges)
