"""One connection to a PostgreSQL server, and the watch that ends those that have fallen silent.

A network can swallow an answer without a word, and a thread that waits for it would wait for ever. So each connection notes
when its last statement began, and a thread of the handle looks once in a while: a connection silent for too long is shut down
through a copy of its descriptor, which ends the wait in the other thread with an error. What the server made of the statement
is unknown then.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from flowkit.drivers.forks import this_process
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.postgres_place import Place
from flowkit.settings import Settings

__all__ = ["Link", "Watch"]

_KEPT_STATEMENTS = 300


class _Text(StrDumperUnknown):
    """Text that is no body, such as a message of somebody's error: NUL, which the server cannot store, becomes its picture."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\u2400") if "\0" in obj else obj)


class Link:
    """A connection that is set up for flowkit. One thread uses it at a time."""

    def __init__(self, place: Place, *, durability: str, readonly: bool, settings: Settings) -> None:
        self._stale_after = settings.pg_stale
        self.statements = 0
        self.connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(place.conninfo, autocommit=True)
        self._busy_since: float | None = None
        self._used_at = time.monotonic()
        self._socket: socket.socket | None = None
        self._pid = this_process()
        try:
            self._socket = socket.socket(fileno=os.dup(self.connection.fileno()))
            self.connection.prepared_max = _KEPT_STATEMENTS
            self.connection.adapters.register_dumper(int, Int8Dumper)
            self.connection.adapters.register_dumper(str, _Text)
            self.connection.execute(_settings(durability, readonly, settings.pg_lock))
        except BaseException:
            self.close()
            raise
        self.hand = Hand(self.connection, self._begin)

    def _begin(self, count: int) -> None:
        self.statements += count
        self._busy_since = time.monotonic()

    def rest(self) -> None:
        """Nobody uses it from here on."""
        self._busy_since = None
        self._used_at = time.monotonic()

    def is_alive(self) -> bool:
        """Whether it can be used, as far as this side knows: what the server says to an idle connection is that it ends."""
        if self.connection.closed:
            return False
        if time.monotonic() - self._used_at < self._stale_after:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        try:
            while poll.poll(0):  # what it said first, and then the end
                self.connection.pgconn.consume_input()
        except (psycopg.Error, OSError):
            return False
        return self.connection.pgconn.status == pq.ConnStatus.OK

    @property
    def is_idle(self) -> bool:
        """Whether it is between two transactions."""
        return not self.connection.closed and self.connection.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def cut_if_silent(self, now: float, seconds: float) -> None:
        """End the wait of whoever waits for an answer that has not come for so long."""
        since, end = self._busy_since, self._socket
        if since is not None and end is not None and now - since > seconds:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, unless it belongs to the parent of this process."""
        if self._pid != this_process():
            return
        with suppress(psycopg.Error):
            self.connection.close()
        end, self._socket = self._socket, None
        if end is not None:
            end.close()


class Watch:
    """The thread that looks after the connections of a handle; it is made with the first of them."""

    def __init__(self, links: Callable[[], list[Link]], seconds: float, close_seconds: float) -> None:
        self._close_seconds = close_seconds
        self._links = links
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowkit-postgres-watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(self._close_seconds)

    def _run(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            now = time.monotonic()
            for link in self._links():
                link.cut_if_silent(now, self._seconds)


def _settings(durability: str, readonly: bool, lock_seconds: float) -> bytes:
    """One statement, since each is a trip. A server that waits for its standbys at each commit goes on doing so."""
    sync = (
        "'off'"
        if durability == "process"
        else "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END"
    )
    values = {
        "synchronous_commit": sync,
        "default_transaction_isolation": "'read committed'",
        "default_transaction_read_only": "'on'" if readonly else "'off'",
        "lock_timeout": f"'{lock_seconds * 1_000:.0f}ms'",
        "idle_in_transaction_session_timeout": "'60s'",
        "jit": "'off'",
        "plan_cache_mode": "'force_generic_plan'",
        "enable_seqscan": "'off'",
    }
    each = ", ".join(f"set_config('{name}', {value}, false)" for name, value in values.items())
    return f"SELECT {each}".encode()
