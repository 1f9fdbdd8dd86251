"""Hearing what the code of runs logs.

A record is heard where it is made: flowkit stands behind `logging`'s record factory. A handler on the root logger would have
been the obvious place, but one that is there makes `logging.basicConfig()` do nothing, silences the last resort that prints
warnings, is taken away by the next `dictConfig()`, and misses loggers that do not propagate. The price: what a filter or
handler would change in a record has not been changed yet.

Whose record it is follows from the current scope, which threads and tasks that user code starts inherit as a rule. Outside a
run the cost is one look at a context variable.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

from flowkit.engine.scope import BodyScope, Scope, current

__all__ = ["Listener", "is_repetition", "listen", "listen_no_more"]

_lock = threading.Lock()
_listening = 0
_hearing: Hearing | None = None


class Listener(Protocol):
    """Who is told of what the code of a process's runs logs."""

    def hear(self, scope: Scope | BodyScope, record: logging.LogRecord) -> None:
        """`record` was made in `scope`. Called in the thread that logs; must neither raise nor block."""
        ...


class Hearing:
    """A record factory that tells of each record of a run. Once it is not needed it makes records as the one before did."""

    def __init__(self, before: Any) -> None:
        self.before = before
        self.on = True

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self.before(*args, **kwargs)
        scope = current.get() if self.on else None
        if scope is not None:
            running = scope.scope.running if isinstance(scope, BodyScope) else scope.running
            if (listener := running.host.listener) is not None:
                listener.hear(scope, record)
        return record


def listen() -> None:
    """From now on hosts' listeners are told; to be taken back as often as it was asked for."""
    global _listening, _hearing
    with _lock:
        _listening += 1
        if _hearing is None:
            _hearing = Hearing(logging.getLogRecordFactory())
            logging.setLogRecordFactory(_hearing)


def listen_no_more() -> None:
    """One less listens. A factory that somebody has wrapped since stays where it is, and does nothing of its own any more."""
    global _listening, _hearing
    with _lock:
        _listening -= 1
        if _listening > 0 or _hearing is None:
            return
        _hearing.on = False
        if logging.getLogRecordFactory() is _hearing:
            logging.setLogRecordFactory(_hearing.before)
        _hearing = None


def is_repetition(scope: Scope) -> bool:
    """Whether what workflow code says here was said in an earlier pass, or is said on the way out of one that is over: code
    that history has passed, a frozen pass, `finally` blocks that run while the run parks.
    """
    running = scope.running
    over = scope.over or scope.strand.stop is not None or running.refusing is not None
    return over or running.journal.frozen or running.journal.unvisited(scope.visits)
