"""Locks between processes: the gate before every write of a file, and the locks that prove a worker alive.

SQLite's own busy timeout is no queue: of eight writers one may make a thousand times the progress of another. The gate
is a turnstile of two `flock`s: who waits holds `next` and waits for `gate`, so the kernel's queue on `next` is the
order. The descriptors are opened once; the threads of one handle need a mutex of their own before it.

`flock` has no time limit, and a stopped process may hold the gate for ever. So a wait that is not over at once is left
to a thread of the gate's own, which hands the lock over, or lets go of it again if nobody wants it any more.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from pathlib import Path
from queue import SimpleQueue

from flowkit.errors import StoreBusy, StoreError

if sys.platform == "win32":  # the same locks, polled
    from filelock import lock_descriptor, unlock_descriptor

    LOCK_EX, LOCK_NB, LOCK_UN = 2, 4, 8

    def flock(fd: int, operation: int, /) -> None:
        if operation & LOCK_UN:
            unlock_descriptor(fd)
        elif not lock_descriptor(fd, blocking=not operation & LOCK_NB, poll_interval=0.001):
            raise BlockingIOError
else:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock


__all__ = ["Gate", "LiveLock", "lock_folder", "refuse_network_folder"]

_AT_ONCE = LOCK_EX | LOCK_NB
_NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "afs"))


def lock_folder(database: Path) -> Path:
    """Where the lock files of `database` are."""
    return database.with_name(database.name + "-locks")


class _Descriptors:
    """Open lock files. A forked child closes its copies, never unlocks: an inherited copy would keep a dead parent
    alive.
    """

    def __init__(self, *paths: Path) -> None:
        self.fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o666) for path in paths]
        _everywhere.add(self)

    def close(self) -> None:
        fds, self.fds = self.fds, []
        for fd in fds:
            os.close(fd)


_everywhere: weakref.WeakSet[_Descriptors] = weakref.WeakSet()


def _close_inherited() -> None:
    for descriptors in list(_everywhere):
        descriptors.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


class Gate:
    """The turnstile before a database file. One thread at a time may use it."""

    def __init__(self, folder: Path) -> None:
        self._files = _Descriptors(folder / "next", folder / "gate")
        self._next, self._gate = self._files.fds
        self._guard = threading.Lock()
        self._asked = False
        self._wanted = False
        self._granted = threading.Lock()
        self._granted.acquire()
        self._requests: SimpleQueue[bool] = SimpleQueue()
        self._helper: threading.Thread | None = None

    def enter(self, timeout_seconds: float) -> None:
        """Have the gate, in turn with other processes.

        Raises:
            StoreBusy: another process held it all the time.
        """
        if not self._asked:
            try:
                flock(self._next, _AT_ONCE)
                try:
                    flock(self._gate, _AT_ONCE)
                    return
                finally:
                    flock(self._next, LOCK_UN)
            except BlockingIOError:
                pass  # another process has it, or is before us
        self._enter_in_turn(timeout_seconds)

    def leave(self) -> None:
        """Let the next one in."""
        flock(self._gate, LOCK_UN)

    def close(self) -> None:
        """Close the lock files. The gate must not be held."""
        self._requests.put(False)
        if not self._asked:
            self._files.close()

    def _enter_in_turn(self, timeout_seconds: float) -> None:
        with self._guard:
            self._wanted = True
            if not self._asked:
                self._ask()
        if self._granted.acquire(timeout=timeout_seconds):
            return
        with self._guard:
            if self._granted.acquire(blocking=False):
                return
            self._wanted = False
        raise StoreBusy(
            f"another process has held the database's write lock for {timeout_seconds:g} s; nothing was written. "
            "Is one of its processes stopped?"
        )

    def _ask(self) -> None:
        self._asked = True
        if self._helper is None:
            self._helper = threading.Thread(target=self._help, name="flowkit-gate", daemon=True)
            self._helper.start()
        self._requests.put(True)

    def _help(self) -> None:
        while self._requests.get():
            flock(self._next, LOCK_EX)
            flock(self._gate, LOCK_EX)
            flock(self._next, LOCK_UN)
            with self._guard:
                self._asked = False
                if self._wanted:
                    self._wanted = False
                    self._granted.release()
                else:
                    flock(self._gate, LOCK_UN)


class LiveLock:
    """The lock that a live worker holds on its own file. The kernel frees it the moment the process is gone."""

    def __init__(self, folder: Path, worker: int) -> None:
        self._path = _live_path(folder, worker)
        self._file = _Descriptors(self._path)
        flock(self._file.fds[0], _AT_ONCE)

    def release(self, *, forget: bool = False) -> None:
        """Give it up; with `forget` its file goes too, which is safe as worker ids are never used again."""
        if forget:
            self._path.unlink(missing_ok=True)
        self._file.close()

    @staticmethod
    def is_held(folder: Path, worker: int) -> bool:
        """Whether anyone, in this process or another, holds the lock of `worker`."""
        try:
            fd = os.open(_live_path(folder, worker), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            flock(fd, _AT_ONCE)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    @staticmethod
    def forget(folder: Path, worker: int) -> None:
        """Remove the file of a worker that is gone."""
        _live_path(folder, worker).unlink(missing_ok=True)


def _live_path(folder: Path, worker: int) -> Path:
    return folder / f"live-{worker}"


def refuse_network_folder(database: Path) -> None:
    """Locks and shared memory of a network folder cannot be trusted.

    Raises:
        StoreError: `database` is on NFS, SMB or the like.
    """
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split()[1:3] for line in file]
    except OSError:
        return
    place = str(database.resolve())
    inside = [(point, kind) for point, kind in mounts if place.startswith(point.rstrip("/") + "/")]
    point, kind = max(inside, key=lambda mount: len(mount[0]), default=("", ""))
    if kind in _NETWORK:
        raise StoreError(
            f"{database} is on a network file system ({kind} at {point}), whose locks cannot be trusted. "
            "Workers need the file on a local disk."
        )
