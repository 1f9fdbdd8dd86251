"""The connections of one handle to a PostgreSQL server: one writes, one claims, one keeps the lease, and up to four read.

Few connections serve many threads: each lane is used by one thread at a time, and a thread that has waited too long for its
turn is told that nothing was written. A connection that broke is made anew by whoever needs it next, at growing intervals while
the server does not answer. What is *unknown* is only what was under way when it broke and may have been committed.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg

from flowkit.drivers.connections import Durability
from flowkit.drivers.forks import this_process
from flowkit.drivers.postgres_errors import is_crossing, is_refusal, translated, unconnected
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.postgres_link import Link, Watch
from flowkit.drivers.postgres_place import Place
from flowkit.drivers.postgres_schema import found_version, migrate
from flowkit.drivers.schema import VERSION
from flowkit.errors import StoreBusy, StoreError
from flowkit.settings import Settings

__all__ = ["SNAPSHOT", "Connections", "Lane"]

T = TypeVar("T")

_READERS = 4
_TRIES = 20
_BEGIN = b"BEGIN; SELECT value::int FROM meta WHERE key = 'min_writer'"
_OLDEST = 150_000
"""The oldest server that the tests run on, as the client library numbers them."""

SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Lane:
    """A connection for one purpose, used by one thread at a time, and what is known of how to get one."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.link: Link | None = None


class Connections:
    """All connections of one handle. Thread-safe; refuses to work in a forked child."""

    def __init__(
        self,
        place: Place,
        *,
        durability: Durability = "full",
        readonly: bool = False,
        busy_seconds: float,
        silence_seconds: float,
        settings: Settings,
        create: bool = True,
    ) -> None:
        self.settings = settings
        self.place = place
        self.name = place.name
        self.readonly = readonly
        self._durability = durability
        self._busy_seconds = busy_seconds
        self._pid = this_process()
        self._closed = False
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self._statements = 0
        self._create = create
        self._opened = False
        self._unreachable: StoreError | None = None
        self._retry_at = 0.0
        self._pause = 0.0
        self.writer = Lane()
        self.clerk = Lane()
        """For claims and takeovers, so that they never wait behind a group of commits."""
        self.pulse = Lane()
        """For leases, so that they never wait behind a claim that waits for somebody's lock."""
        self._idle: list[Link] = []
        self._reader_room = threading.Semaphore(_READERS)
        self._watch = Watch(self._known_links, silence_seconds, settings.join_threads)
        self.committed: Callable[[], None] = _nobody_listens
        """Told of each transaction that has written something."""
        self._open()
        self._opened = True
        self._watch.start()

    # --- writing

    def transact(self, work: Callable[[Hand], T], lane: Lane | None = None) -> T:
        """Do `work` in one transaction, durable when this returns; again if it crossed another one.

        Raises:
            StoreBusy: nothing was written. StoreError: `outcome` tells. Whatever `work` raises, after a rollback.
        """
        self._refuse_readonly()
        for left in reversed(range(_TRIES)):
            with self._using(lane or self.writer) as link:
                try:
                    result = self._transact(link, work, self._begin)
                    self.committed()
                    return result
                except psycopg.Error as error:
                    if not is_crossing(error) or not left:
                        raise translated(error, self.name) from error
            time.sleep(random.uniform(0.0, 0.01))
        raise AssertionError("the last try has returned or raised")

    def _transact(self, link: Link, work: Callable[[Hand], T], begin: Callable[[Hand], None]) -> T:
        """Raises psycopg.Error: nothing was written."""
        try:
            begin(link.hand)
            result = work(link.hand)
        except BaseException:
            self._roll_back(link)
            raise
        try:
            link.hand.own(b"COMMIT")
        except psycopg.Error as error:
            self._roll_back(link)
            if is_refusal(error):
                raise
            raise translated(error, self.name, "unknown") from error
        return result

    def commit_one(self, work: Callable[[Hand], T], lane: Lane | None = None) -> T:
        """Do `work`, which is one statement and commits by itself; again if it crossed another one.

        Raises:
            As `transact`.
        """
        self._refuse_readonly()
        for left in reversed(range(_TRIES)):
            with self._using(lane or self.writer) as link:
                try:
                    return work(link.hand)
                except psycopg.Error as error:
                    if not is_crossing(error) or not left:
                        raise translated(error, self.name, "unknown") from error
            time.sleep(random.uniform(0.0, 0.01))
        raise AssertionError("the last try has returned or raised")

    def _begin(self, hand: Hand) -> None:
        """Newer code may have migrated the database since it was opened: every write asks, for the next one could spoil it."""
        answers = hand.own(_BEGIN)
        answers.nextset()
        row = answers.fetchone()
        if row is None or row[0] > VERSION:
            found_version(hand, self.name)

    def _refuse_readonly(self) -> None:
        if self.readonly:
            raise StoreError(f"{self.name} was opened read-only. Open it without readonly to write.")

    def _roll_back(self, link: Link) -> None:
        with suppress(psycopg.Error):
            if not link.is_idle and not link.connection.closed:
                link.hand.own(b"ROLLBACK")

    @contextmanager
    def _using(self, lane: Lane) -> Iterator[Link]:
        """The lane's connection, alive as far as this side knows."""
        self.refuse_after_fork()
        if not lane.mutex.acquire(timeout=self._busy_seconds):
            raise StoreBusy(f"{self.name}: this process was busy writing for {self._busy_seconds:g} s; nothing was written.")
        try:
            if lane.link is None or not lane.link.is_alive():
                self._drop(lane.link)
                lane.link = None
                lane.link = self._connected()
            link = lane.link
            try:
                yield link
            finally:
                link.rest()
                if not link.is_idle:
                    self._drop(link)
                    lane.link = None
        finally:
            lane.mutex.release()

    # --- reading

    @contextmanager
    def reading(self) -> Iterator[Hand]:
        """A read connection, in one snapshot. Keep it short.

        Raises:
            StoreError: the database cannot be read.
        """
        with self._reader() as link:
            try:
                link.hand.own(SNAPSHOT)
                yield link.hand
                link.hand.own(b"COMMIT")
            except psycopg.Error as error:
                raise translated(error, self.name) from error
            finally:
                self._roll_back(link)

    def one(self, sql: str, values: tuple[int | str, ...], /) -> tuple[Any, ...] | None:
        """The first row of a single SELECT, which is a snapshot by itself. Raises as `reading`."""
        found: tuple[Any, ...] | None = self.ask(lambda hand: hand.execute(sql, values).fetchone())
        return found

    def ask(self, work: Callable[[Hand], T]) -> T:
        """Do `work`, which is one SELECT; once more if the connection turns out to be dead. Raises as `reading`."""
        for last in (False, True):
            with self._reader() as link:
                try:
                    return work(link.hand)
                except psycopg.errors.UndefinedFunction:
                    raise
                except psycopg.Error as error:
                    if last or not link.connection.closed:
                        raise translated(error, self.name) from error
        raise AssertionError("the second try has returned or raised")

    def first(self, sql: bytes) -> tuple[Any, ...]:
        """The one row of a SELECT of PostgreSQL's own. Raises psycopg.errors.UndefinedFunction, else as `reading`."""
        row = self.ask(lambda hand: hand.own(sql, {}).fetchone())
        assert row is not None
        return row

    @contextmanager
    def _reader(self) -> Iterator[Link]:
        self.refuse_after_fork()
        if not self._reader_room.acquire(timeout=self._busy_seconds):
            raise StoreBusy(f"{self.name}: all connections that read were in use for {self._busy_seconds:g} s. Try again.")
        try:
            link = self._idle_reader() or self._connected()
            try:
                yield link
            finally:
                link.rest()
                if link.is_idle and not self._closed:
                    self._idle.append(link)
                else:
                    self._drop(link)
        finally:
            self._reader_room.release()

    def _idle_reader(self) -> Link | None:
        while self._idle:
            try:
                link = self._idle.pop()
            except IndexError:
                return None
            if link.is_alive():
                return link
            self._drop(link)
        return None

    # --- opening and closing

    def _open(self) -> None:
        """Make the tables if need be; the connection that did so is the one that writes."""
        link = self._connected()
        try:
            self._refuse_old(link.connection.info.server_version)
            version = found_version(link.hand, self.name)
            if version < VERSION:
                self._migrate(link, version)
        except psycopg.Error as error:
            self._drop(link)
            raise translated(error, self.name) from error
        except BaseException:
            self._drop(link)
            raise
        link.rest()
        self.writer.link = link

    def _refuse_old(self, server: int) -> None:
        if server < _OLDEST:
            raise StoreError(f"{self.name} is PostgreSQL {server // 10_000}; flowkit needs {_OLDEST // 10_000} or newer.")

    def _migrate(self, link: Link, version: int) -> None:
        if version == 0 and (self.readonly or not self._create):
            raise StoreError(
                f"{self.name} has no tables of flowkit, or none that this user may see. Start a run or a worker there first."
            )
        if self.readonly:
            raise StoreError(f"{self.name} has schema {version}, this flowkit reads {VERSION}. Open it once for writing.")
        for left in reversed(range(_TRIES)):
            try:
                self._transact(link, lambda hand: migrate(hand, self.name), _begin_migration)
                return
            except psycopg.Error as error:  # two that make the first table at once find each other in the catalog
                if not left or not (is_crossing(error) or isinstance(error, _MADE_TWICE)):
                    raise
            time.sleep(random.uniform(0.0, 0.05))

    def connected(self) -> Link:
        """A connection that is the caller's own to use and to give to `drop`; the watch looks after it."""
        self.refuse_after_fork()
        return self._connected()

    def _connected(self) -> Link:
        if self._closed:
            raise StoreError(f"{self.name} is closed. Open it again.")
        if self._unreachable is not None and time.monotonic() < self._retry_at:
            raise StoreError(str(self._unreachable), passing=self._unreachable.passing)
        try:
            link = Link(self.place, durability=self._durability, readonly=self.readonly, settings=self.settings)
        except psycopg.Error as error:
            self._pause = min(self.settings.pg_pause_most, max(self.settings.pg_pause, self._pause * 2))
            self._retry_at = time.monotonic() + self._pause * random.uniform(0.5, 1.0)
            self._unreachable = unconnected(error, self.name, opened=self._opened)
            raise self._unreachable from error
        self._pause, self._unreachable = 0.0, None
        with self._lock:
            self._links.append(link)
        return link

    def drop(self, link: Link) -> None:
        """Close a connection and forget it."""
        self._drop(link)

    def _drop(self, link: Link | None) -> None:
        if link is None:
            return
        with self._lock:
            if link in self._links:
                self._links.remove(link)
                self._statements += link.statements
            link.close()

    def _known_links(self) -> list[Link]:
        with self._lock:
            return list(self._links)

    @property
    def statements(self) -> int:
        """How many statements have been sent on all connections."""
        with self._lock:
            return self._statements + sum(link.statements for link in self._links)

    def close(self) -> None:
        """Close all connections, each once its user is done with it. Not in a forked child."""
        if self._closed or not self.is_ours():
            return
        self._closed = True
        taken = sum(self._reader_room.acquire(timeout=self.settings.join_threads) for _ in range(_READERS))
        for lane in (self.writer, self.clerk, self.pulse):
            held = lane.mutex.acquire(timeout=self.settings.join_threads)
            lane.link = None
            if held:
                lane.mutex.release()
        self._watch.close()
        for link in self._known_links():
            self._drop(link)
        self._idle.clear()
        for _ in range(taken):
            self._reader_room.release()

    def is_ours(self) -> bool:
        """Whether this process opened the handle."""
        return this_process() == self._pid

    def refuse_after_fork(self) -> None:
        """Before any lock: another thread of the parent may have held it at the fork.

        Raises:
            StoreError: this handle was carried over `fork()`; its connections belong to the parent."""
        if this_process() != self._pid:
            raise StoreError(f"{self.name} was opened before fork(). Open it again in the child process.")


def _begin_migration(hand: Hand) -> None:
    hand.own(b"BEGIN")


def _nobody_listens() -> None:
    """Until somebody does."""


_MADE_TWICE = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject)
