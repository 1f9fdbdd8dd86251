"""Noticing on PostgreSQL that something has changed, for the price of one short statement.

Whoever has committed moves a sequence soon after, so a look at it tells all. Should a process have died in between, or somebody
have changed a row by hand, the server's snapshot tells: it differs once anybody's transaction has ended, in whatever database, so
it is heeded only every few seconds.

One answer serves all threads of the handle as long as it is fresh. While there is work the server is asked every few
milliseconds, and ever more seldom when there is none; the intervals are uneven, lest all workers of a fleet ask at once.
"""

from __future__ import annotations

import random
import threading
import time
from zlib import crc32

import psycopg

from flowkit.drivers.postgres_bell import Bell
from flowkit.drivers.postgres_connections import Connections

__all__ = ["News"]

_LOOK = b"SELECT last_value + is_called::int, pg_current_snapshot()::text FROM changes"
_LOOK_BY_SECOND = b"SELECT last_value + is_called::int, extract(epoch FROM clock_timestamp())::int8::text FROM changes"
"""For servers without snapshots to show: something may have changed each second."""

_GROWTH = 1.5


class News:
    """What has happened since a thread last asked."""

    def __init__(self, connections: Connections) -> None:
        self._settings = connections.settings
        self._connections = connections
        self._changed = threading.Condition()
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._nudges = 0
        self._statement = _LOOK
        self._shown, self._heeded_at = "", 0.0
        self._pause = self._settings.pg_poll_busy
        self._busy_until = 0.0
        self._closed = False
        self._seen = threading.local()
        self._bell = Bell(connections, self.nudge)
        connections.committed = self._bell.ring
        try:
            self._version = self._look()
        except BaseException:
            self._bell.close()
            raise
        self._asked_at = time.monotonic()
        self._first = (self._nudges, self._version)

    def nudge(self) -> None:
        """End every wait now."""
        with self._changed:
            self._nudges += 1
            self._changed.notify_all()

    def token(self) -> int:
        """A number that differs once anything may have changed."""
        own = self._bell.commits
        moves, shown = self._look()
        return crc32(shown.encode()) << 31 ^ moves + (own << 24)

    def _look(self) -> tuple[int, str]:
        """How often others have moved the sequence, and the snapshot of a moment ago."""
        with self._bell.still:
            try:
                last, shown = self._connections.first(self._statement)
            except psycopg.errors.UndefinedFunction:
                self._statement = _LOOK_BY_SECOND
                last, shown = self._connections.first(self._statement)
            own = self._bell.moves
        now = time.monotonic()
        with self._lock:
            if now >= self._heeded_at + self._settings.pg_heeded:
                self._shown, self._heeded_at = shown, now
            return int(last) - own, self._shown

    def wait(self, timeout: float) -> bool:
        """Each thread hears of each change once: one that came between two of its waits ends the second at once."""
        seen = getattr(self._seen, "state", self._first)
        end = time.monotonic() + timeout
        while True:
            self._ask(end)
            state = (self._nudges, self._version)
            if state != seen:
                self._seen.state = state
                return True
            now = time.monotonic()
            if now >= end or self._closed:
                return False
            with self._changed:
                if self._nudges == state[0]:
                    self._changed.wait(max(0.0, min(self._asked_at + self._pause, end) - now))

    def _ask(self, end: float) -> None:
        """Ask the server if that is due, unless another thread is just doing so."""
        now = time.monotonic()
        if now < min(self._asked_at + self._pause, end) or not self._asking.acquire(blocking=False):
            return
        try:
            version = self._look()
            now = self._asked_at = time.monotonic()
            if version[0] != self._version[0]:
                self._busy_until = now + self._settings.pg_busy_for
            idle = min(self._settings.pg_poll, self._pause * _GROWTH)
            pause = self._settings.pg_poll_busy if now < self._busy_until else idle
            self._pause = pause * random.uniform(0.85, 1.15)
            self._version = version
        finally:
            self._asking.release()

    def close(self) -> None:
        """End every wait for good."""
        self._closed = True
        self.nudge()
        self._bell.close()
