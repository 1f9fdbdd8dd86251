"""A store in memory: for tests, for the Lab and for `:memory:`. Nothing survives the process; otherwise it is a store
like any.

It is deterministic: no randomness, no clock, no background work.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections.abc import Sequence

from flowkit.drivers.base import Limits
from flowkit.drivers.kv import KVDriver
from flowkit.settings import Settings

__all__ = ["MemoryDriver", "MemoryKV"]


class MemoryKV:
    """A `KVStore` of dictionaries. Keys are kept sorted by their first byte, so that each kind of key is a list of
    its own.
    """

    atomic = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[bytes, tuple[bytes, int]] = {}
        self._sorted: dict[int, list[bytes]] = {}
        self._version = 0

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        return self._values.get(key)

    def scan(self, start: bytes, end: bytes, limit: int, reverse: bool = False) -> list[tuple[bytes, bytes, int]]:
        with self._lock:
            keys = self._between(start, end)
            picked = keys[: -limit - 1 : -1] if reverse else keys[:limit]
            return [(key, *self._values[key]) for key in picked]

    def batch(
        self,
        checks: Sequence[tuple[bytes, int]],
        puts: Sequence[tuple[bytes, bytes]],
        deletes: Sequence[bytes],
        ranges: Sequence[tuple[bytes, bytes]],
    ) -> bool:
        with self._lock:
            for key, version in checks:
                found = self._values.get(key)
                if (0 if found is None else found[1]) != version:
                    return False
            for start, end in ranges:
                for key in self._between(start, end):
                    self._remove(key)
            for key in deletes:
                self._remove(key)
            for key, value in puts:
                self._put(key, value)
        return True

    def alarm(self, at: float | None) -> None:
        """Nothing here needs to be told."""

    def _between(self, start: bytes, end: bytes) -> list[bytes]:
        found: list[bytes] = []
        for kind in sorted(self._sorted) if start[:1] != end[:1] else start[:1]:
            keys = self._sorted.get(kind, [])
            found += keys[bisect_left(keys, start) : bisect_left(keys, end)]
        return found

    def _put(self, key: bytes, value: bytes) -> None:
        if key not in self._values:
            keys = self._sorted.setdefault(key[0], [])
            if not keys or keys[-1] < key:
                keys.append(key)
            else:
                insort(keys, key)
        self._version += 1
        self._values[key] = (value, self._version)

    def _remove(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            keys = self._sorted[key[0]]
            del keys[bisect_left(keys, key)]


class MemoryDriver(KVDriver):
    """A `Driver` that keeps everything in memory. Handles share a store by sharing its `kv`."""

    def __init__(self, kv: MemoryKV | None = None, *, limits: Limits | None = None, settings: Settings | None = None) -> None:
        self.kv = MemoryKV() if kv is None else kv
        super().__init__(self.kv, limits=limits, settings=settings)
