"""The connections to one SQLite file: one that writes, behind a mutex and the gate, and up to four that read.

Everything that can go wrong with a file is turned into one of our errors here. The hardest case is a COMMIT that
fails: SQLite says "failed" and shows the old state, yet the frames may be in the log and come back after a kill. The
outcome is therefore *unknown*; the connection stays open, since a later success on it overwrites those frames and
settles the matter.

Longer than 400 lines because whatever can happen to a file is met, and told, in this one place.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from flowkit.drivers.base import GuardFailed
from flowkit.drivers.forks import INSIDE_SQLITE, this_process
from flowkit.drivers.gate import Gate, lock_folder
from flowkit.drivers.pragmas import set_pragmas
from flowkit.drivers.schema import VERSION, found_version, migrate, needs_migration
from flowkit.drivers.statements import Statements, timed
from flowkit.errors import PayloadError, StoreBusy, StoreError
from flowkit.settings import Settings

__all__ = ["Connections", "Durability", "translated"]

Durability = Literal["full", "process"]
T = TypeVar("T")

_MAGIC = b"SQLite format 3\0"
_RESERVE_BYTES = 1 << 20
_BAD_VALUE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError)


def translated(error: sqlite3.Error, name: str, outcome: Literal["no", "unknown"] = "no") -> StoreError | PayloadError:
    """`error` as one of ours, in one line that says what to do."""
    code = getattr(error, "sqlite_errorcode", 0) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED if outcome == "no":
            return StoreBusy(f"{name} is locked by another program; nothing was written. Try again when it is done.")
        case sqlite3.SQLITE_READONLY:
            text = f"{name} cannot be written: the file or its folder is read-only. Change its permissions."
        case sqlite3.SQLITE_NOTADB:
            text = f"{name} is not a SQLite database. Choose another file."
        case sqlite3.SQLITE_FULL:
            text = f"the disk that holds {name} is full. Make room; work goes on by itself."
        case sqlite3.SQLITE_CORRUPT:
            text = f"{name} is damaged ({error}). Restore a backup, or see `flowkit doctor`."
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            text = f"{name} cannot be opened ({error}). Check the path and its permissions."
        case sqlite3.SQLITE_IOERR:
            text = f"reading or writing {name} failed ({error}). Check the disk."
        case _:
            if "Could not decode" in str(error):
                return PayloadError(f"{name} holds text that is not UTF-8: the file was damaged or edited.")
            text = f"{name}: the database refused ({error})."
    return StoreError(text, outcome=outcome)


class Connections:
    """All connections of one handle. Thread-safe; refuses to work in a forked child."""

    def __init__(self, path: Path, *, durability: Durability, readonly: bool, busy_seconds: float, settings: Settings) -> None:
        self.path = path
        self._readers_most, self._reserve_every = settings.readers, settings.reserve
        self._close_seconds = settings.join_threads
        INSIDE_SQLITE.patience = settings.fork_wait
        self.name = str(path)
        self.readonly = readonly
        self._refuse_bad_path()
        self.locks = lock_folder(path)
        self._busy_seconds = busy_seconds
        self._durability = durability
        self._pid = this_process()
        self._closed = False
        self._mutex = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._idle: list[sqlite3.Connection] = []
        self._reader_room = threading.Semaphore(self._readers_most)
        self._reserve = self.locks / "reserve"
        self._reserve_freed = False
        self._reserve_at = 0.0
        self._gate: Gate | None = None
        self._schema: tuple[int] | None = None
        self._statements: Statements | None = None
        self._writer = self._open_writer()
        self._cursor = self._writer.cursor()
        _handles.add(self)

    # --- writing

    def transact(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Do `work` in one transaction, durable when this returns.

        Raises:
            StoreBusy: nothing was written. StoreError: `outcome` tells. Whatever `work` raises, after a rollback.
        """
        if self.readonly:
            raise StoreError(f"{self.name} was opened read-only. Open it without readonly to write.")
        gate = self._enter()
        try:
            with INSIDE_SQLITE:
                return self._transact(work)
        finally:
            gate.leave()
            self._mutex.release()

    def _transact(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        cursor = self._cursor
        try:
            cursor.execute("BEGIN IMMEDIATE")
            if cursor.execute("PRAGMA schema_version").fetchone() != self._schema:
                self._meet_schema()
            result = work(cursor)
        except BaseException as error:
            self._roll_back()
            if isinstance(error, _BAD_VALUE):
                raise GuardFailed(f"{self.name} refused a value or a row: {error}") from error
            if isinstance(error, sqlite3.Error):
                self._make_room(error)
                raise translated(error, self.name) from error
            raise
        try:
            cursor.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                self._make_room(error)
                raise translated(error, self.name, "unknown") from error
            raise
        if self._reserve_freed and time.monotonic() > self._reserve_at:
            self._keep_reserve()
        return result

    def _meet_schema(self) -> None:
        """Newer code may have migrated the file since it was opened: every write asks, for the next one could spoil it."""
        found_version(self._writer, self.name)
        self._schema = self._writer.execute("PRAGMA schema_version").fetchone()

    def _enter(self) -> Gate:
        """Have the mutex and the gate; whoever gives them back must give both."""
        if this_process() != self._pid:
            self.refuse_after_fork()
        if not self._mutex.acquire(timeout=self._busy_seconds):
            raise StoreBusy(f"{self.name}: this process was busy writing for {self._busy_seconds:g} s; nothing was written.")
        try:
            if self._closed or self._gate is None:
                raise StoreError(f"{self.name} is closed. Open it again.")
            self._gate.enter(self._busy_seconds)
            return self._gate
        except BaseException:
            self._mutex.release()
            raise

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")

    def foreign_version(self) -> int | None:
        """A number that differs once *another* connection has committed; None if our own writer is busy just now."""
        self.refuse_after_fork()
        if not self._mutex.acquire(timeout=0.001):
            return None
        try:
            if self._closed:
                raise StoreError(f"{self.name} is closed. Open it again.")
            with INSIDE_SQLITE:
                return int(self._writer.execute("PRAGMA data_version").fetchone()[0])
        except sqlite3.Error:
            return None
        finally:
            self._mutex.release()

    # --- reading

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read connection, in one snapshot. Keep it short: a held snapshot makes the log grow.

        Raises:
            StoreError: the file cannot be read. PayloadError: it holds text that is none.
        """
        self.refuse_after_fork()
        with self._reader_room, INSIDE_SQLITE:
            connection = self._take_reader()
            try:
                connection.execute("BEGIN")
                yield connection
            except sqlite3.Error as error:
                raise translated(error, self.name) from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._idle.append(connection)

    def one(self, sql: str, values: tuple[int | str, ...]) -> tuple[Any, ...] | None:
        """The first row of a single SELECT, which is a snapshot by itself. Raises as `reading`."""
        self.refuse_after_fork()
        with self._reader_room, INSIDE_SQLITE:
            connection = self._take_reader()
            try:
                row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
                return row
            except sqlite3.Error as error:
                raise translated(error, self.name) from error
            finally:
                self._idle.append(connection)

    def time_reads(self, now: Callable[[], float]) -> Statements:
        """Measure what is read from here on; connections that have been opened before are not used again."""
        if self._statements is None:
            self._statements = Statements(now)
            self._idle.clear()  # they stay among the readers, which are closed at the end
        return self._statements

    def _take_reader(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self.name} is closed. Open it again.")
        try:
            return self._idle.pop()
        except IndexError:
            reader = self.open_reader()
            self._readers.append(reader)
            return reader

    def open_reader(self) -> sqlite3.Connection:
        """A read connection of its own, for `token`."""
        try:
            with INSIDE_SQLITE:
                reader = self._connect("ro")
                reader.execute("PRAGMA query_only = 1")
                reader.execute("PRAGMA mmap_size = 0")
            return reader
        except sqlite3.Error as error:
            raise translated(error, self.name) from error

    # --- opening and closing

    def _refuse_bad_path(self) -> None:
        try:
            is_folder = self.path.is_dir()
        except OSError as error:
            raise StoreError(f"{str(self.path)[:80]!r} cannot be the name of a file: {error.strerror}.") from error
        if is_folder:
            raise StoreError(f"{self.name} is a folder. Name a file in it.")
        if not self.path.parent.is_dir():
            raise StoreError(f"the folder {self.path.parent} does not exist. Create it first.")
        if self.readonly and not self.path.exists():
            raise StoreError(f"{self.name} does not exist.")
        if self._is_something_else():
            raise StoreError(f"{self.name} is not a SQLite database. Choose another file.")

    def _is_something_else(self) -> bool:
        """Seen before any lock file is laid beside what may be anybody's file. What cannot be read SQLite will say.

        Where the lock files are, the file is ours and may be open in this process: then it is not touched, since closing
        any descriptor of it would drop SQLite's locks.
        """
        if lock_folder(self.path).exists():
            return False
        try:
            with self.path.open("rb") as file:
                head = file.read(len(_MAGIC))
        except OSError:
            return False
        return bool(head) and head != _MAGIC

    def _connect(self, mode: str) -> sqlite3.Connection:
        place = "file:" + quote(str(self.path.absolute())) + f"?mode={mode}"
        connection = sqlite3.connect(
            place, uri=True, isolation_level=None, check_same_thread=False, timeout=self._busy_seconds, cached_statements=256,
            factory=timed(self._statements) if self._statements is not None and mode == "ro" else sqlite3.Connection,
        )  # fmt: skip
        connection.execute("PRAGMA trusted_schema = OFF")
        return connection

    def _open_writer(self) -> sqlite3.Connection:
        if self.readonly:
            return self._open_readonly()
        try:
            self.locks.mkdir(exist_ok=True)
            self._gate = Gate(self.locks)
            self._gate.enter(self._busy_seconds)
        except OSError as error:
            raise StoreError(f"{self.locks} cannot be written ({error.strerror}). Check the folder's permissions.") from error
        try:
            with INSIDE_SQLITE:
                return self._open_and_migrate()
        finally:
            self._gate.leave()

    def _open_and_migrate(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = None
        try:
            connection = self._connect("rwc")
            version = found_version(connection, self.name)
            set_pragmas(connection, self._durability)
            if needs_migration(version):
                connection.execute("BEGIN IMMEDIATE")
                migrate(connection)
                connection.execute("COMMIT")
            self._keep_reserve()
            return connection
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise translated(error, self.name) from error
            raise

    def _open_readonly(self) -> sqlite3.Connection:
        connection = self.open_reader()
        try:
            version = found_version(connection, self.name)
        except sqlite3.Error as error:
            connection.close()
            raise translated(error, self.name) from error
        if version == 0:
            connection.close()
            raise StoreError(f"{self.name} has no tables of flowkit yet. Start a run or a worker there first.")
        if needs_migration(version):
            connection.close()
            raise StoreError(f"{self.name} has schema {version}, this flowkit reads {VERSION}. Open it once for writing.")
        return connection

    def close(self) -> None:
        """Close all connections; the last one of all processes empties the log. Not in a forked child."""
        if self._closed or not self.is_ours():
            return
        for _ in range(self._readers_most):
            self._reader_room.acquire(timeout=self._close_seconds)
        with self._mutex:
            self._closed = True
            for reader in self._readers:
                reader.close()
            self._close_writer()
        for _ in range(self._readers_most):
            self._reader_room.release()

    def _close_writer(self) -> None:
        gate, self._gate = self._gate, None
        if gate is None:
            self._writer.close()
            return
        held = False
        with suppress(StoreBusy):
            gate.enter(self._busy_seconds)
            held = True
        self._writer.close()
        if held:
            gate.leave()
        gate.close()

    def is_ours(self) -> bool:
        """Whether this process opened the handle."""
        return this_process() == self._pid

    def refuse_after_fork(self) -> None:
        """Raises:
        StoreError: this handle was carried over `fork()`; SQLite's locks were not."""
        if this_process() != self._pid:
            raise StoreError(f"{self.name} was opened before fork(). Open it again in the child process.")

    def let_go(self) -> None:
        """In a child after `fork()`: close what was inherited, so that SQLite's tables of this process know the file no more.

        They say that the process has the file locked; but locks are not inherited. A connection that the child then opens would
        ask for none, another process would take itself for the last one, and remove the log that the child writes to. The
        parent's locks are its own, and stay. Where a thread of the parent was inside SQLite, nothing can be closed any more.
        """
        import ctypes

        for connection in (self._writer, *self._readers):
            if INSIDE_SQLITE.was_left:
                with suppress(sqlite3.Error):  # the file is the parent's to look after
                    connection.close()
            else:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))

    # --- the reserve: a full disk refuses DELETE too

    def _make_room(self, error: sqlite3.Error) -> None:
        if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF == sqlite3.SQLITE_FULL and not self._reserve_freed:
            self._reserve_freed = True
            self._reserve_at = time.monotonic() + self._reserve_every
            self._reserve.unlink(missing_ok=True)

    def _keep_reserve(self) -> None:
        self._reserve_at = time.monotonic() + self._reserve_every
        try:
            if not self._reserve.exists() or self._reserve.stat().st_size < _RESERVE_BYTES:  # a crash may have left a part
                self._reserve.write_bytes(b"\0" * _RESERVE_BYTES)
            self._reserve_freed = False
        except OSError:
            self._reserve.unlink(missing_ok=True)
            self._reserve_freed = True


_handles: weakref.WeakSet[Connections] = weakref.WeakSet()


def _let_go_of_inherited() -> None:
    for handle in list(_handles):
        handle.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_inherited)
