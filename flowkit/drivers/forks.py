"""Which process this is, and letting it fork only between uses of SQLite.

SQLite guards its allocator and its table of open files with locks of the process. If another thread holds one of them at the
moment of `fork()`, the child inherits it locked, with nobody to unlock it, and hangs in the first `sqlite3.connect`. So a fork
waits, for a few seconds at most, until no thread of flowkit is inside SQLite, and keeps the others out meanwhile.
"""

from __future__ import annotations

import os
import threading

from flowkit.settings import Settings

__all__ = ["INSIDE_SQLITE", "this_process"]


_process = os.getpid()


def this_process() -> int:
    """The process id, known without a system call, since every write asks for it."""
    return _process


def _note_process() -> None:
    global _process
    _process = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_process)


class _Inside:
    """A context that a fork waits for, up to `patience` seconds. Threads may nest it."""

    def __init__(self) -> None:
        self.patience = Settings().fork_wait
        self._was_left = True
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads = 0
        self._forking = False
        self._mine = threading.local()

    @property
    def was_left(self) -> bool:
        """In a child: whether no thread of the parent was inside SQLite when this process was forked."""
        return self._was_left

    def __enter__(self) -> None:
        mine = self._mine
        depth: int = getattr(mine, "depth", 0)
        if depth == 0:
            with self._lock:
                while self._forking:
                    self._changed.wait()
                self._threads += 1
        mine.depth = depth + 1

    def __exit__(self, *_: object) -> None:
        self._mine.depth -= 1
        if self._mine.depth == 0:
            with self._lock:
                self._threads -= 1
                if self._forking:
                    self._changed.notify_all()

    def _hold(self) -> None:
        with self._changed:
            self._forking = True
            own = 1 if getattr(self._mine, "depth", 0) else 0
            self._was_left = self._changed.wait_for(lambda: self._threads <= own, self.patience) and own == 0

    def _release(self) -> None:
        with self._changed:
            self._forking = False
            self._changed.notify_all()


INSIDE_SQLITE = _Inside()
