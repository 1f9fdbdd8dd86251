"""Exact counts of all runs, made beside whoever asks, and kept.

Counting a million runs takes longer than a page may take, so nobody waits for it: who asks gets the last count there is, and
by asking has a new one begun if that is old and the database has changed. A count stands for some seconds, and for at least
a hundred times as long as it took.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from flowkit.errors import FlowkitError

__all__ = ["Tally"]

_SHARE = 100


class Tally:
    """`count` makes a count that stands for `kept` seconds, `token` differs when anything may have changed since. Thread-safe."""

    def __init__(self, count: Callable[[], Mapping[str, int]], token: Callable[[], int], kept: float) -> None:
        self._kept = kept
        self._count = count
        self._token = token
        self._lock = threading.Lock()
        self._last: Mapping[str, int] = {}
        self._counted_at: int | None = None
        self._again_at = 0.0
        self._counting = False

    def last(self) -> Mapping[str, int]:
        """The newest count by status, empty at first; a new one is begun where that is due."""
        with self._lock:
            due = not self._counting and time.monotonic() >= self._again_at and self._token() != self._counted_at
            self._counting = self._counting or due
            known = self._last
        if due:
            threading.Thread(target=self._count_anew, name="flowkit-tally", daemon=True).start()
        return known

    def _count_anew(self) -> None:
        began = time.monotonic()
        try:
            token = self._token()
            self._last, self._counted_at = self._count(), token
        except FlowkitError:
            pass  # the file is locked or closed: the last count stands, and it is tried again when that is due
        ended = time.monotonic()
        with self._lock:
            self._again_at = ended + max(self._kept, _SHARE * (ended - began))
            self._counting = False
