"""Waiting for a run: woken by this process's worker at once, and by other processes' commits within some 20 ms.

A wait ends early in two ways: the handle is closed, or whoever asked for it has gone (an awaiting task was cancelled). The
second travels in a context variable, `gone`, so that no signature of a client has to speak of it. While the store is away a wait
goes on: whoever set it a limit gets to know then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

from flowkit.client.attending import Vigil
from flowkit.drivers.base import Driver
from flowkit.errors import StoreError

__all__ = ["Bulletin", "end_of", "gone", "steadily", "wait_until"]

T = TypeVar("T")

gone: ContextVar[threading.Event | None] = ContextVar("flowkit_gone", default=None)
"""Set once nobody wants the answer any more."""


class Bulletin:
    """Tells those who wait for a run that this process has changed it; every `look` seconds they look what others have done."""

    def __init__(self, look: float) -> None:
        self.look = look
        self._lock = threading.Lock()
        self._waiting: dict[int, list[threading.Event]] = {}
        self.closed = False

    def close(self) -> None:
        """Nothing more will be told: every wait ends."""
        with self._lock:
            self.closed = True
            events = [event for each in self._waiting.values() for event in each]
        for event in events:
            event.set()

    def post(self, run: int) -> None:
        """The run has changed."""
        with self._lock:
            events = list(self._waiting.get(run, ()))
        for event in events:
            event.set()

    def listen(self, run: int) -> threading.Event:
        """An event that `post` sets."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(run, []).append(event)
        return event

    def forget(self, run: int, event: threading.Event) -> None:
        """Nobody waits for the event any more."""
        with self._lock:
            events = self._waiting.get(run, [])
            if event in events:
                events.remove(event)
            if not events:
                self._waiting.pop(run, None)


def end_of(timeout: float | None) -> float | None:
    """When so many seconds are over, by the monotonic clock."""
    return None if timeout is None else time.monotonic() + timeout


def steadily(bulletin: Bulletin, work: Callable[[], T], end: float | None) -> T:
    """What `work`, which only reads, returns: asked again while the store is away.

    Raises:
        StoreError: nobody waits any more, `end` has come, or waiting mends nothing. Whatever else `work` raises.
    """
    unwanted = gone.get()
    while True:
        try:
            return work()
        except StoreError as error:
            if not error.passing or (unwanted is not None and unwanted.is_set()):
                raise
            if bulletin.closed or (end is not None and time.monotonic() >= end):
                raise
        time.sleep(bulletin.look if end is None else max(0.0, min(bulletin.look, end - time.monotonic())))


def wait_until(
    driver: Driver, bulletin: Bulletin, run: int, look: Callable[[], T | None], end: float | None, vigil: Vigil | None = None
) -> T | None:
    """What `look` finds, asked whenever something may have changed; None when `end` has come, by the monotonic clock.

    Raises:
        StoreError: the handle was closed meanwhile, or waiting does not mend what is wrong with the store. Unattended: the
        `vigil` says that nobody works on the run.
    """
    try:
        return steadily(bulletin, lambda: _waited(driver, bulletin, run, look, end, vigil), end)
    except StoreError as error:
        if not error.passing or bulletin.closed:
            raise
        return None


def _waited(
    driver: Driver, bulletin: Bulletin, run: int, look: Callable[[], T | None], end: float | None, vigil: Vigil | None
) -> T | None:
    """The same of a store that answers."""
    if (found := look()) is not None:  # most often, where many are waited for one after the other
        return found
    event = bulletin.listen(run)
    unwanted = gone.get()
    try:
        while True:
            if bulletin.closed:
                raise StoreError("the handle was closed while this waited. Open the database again.")
            if unwanted is not None and unwanted.is_set():
                return None
            told = event.is_set()
            token = 0 if told else driver.token()
            event.clear()
            if (found := look()) is not None:
                return found
            if told:
                continue
            if vigil is not None:
                vigil.look()
            while not event.is_set() and driver.token() == token and not (vigil is not None and vigil.is_due()):
                if unwanted is not None and unwanted.is_set():
                    return None
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return look()
                event.wait(bulletin.look if left is None else min(bulletin.look, left))
            if end is not None and time.monotonic() >= end:
                return look()
    finally:
        bulletin.forget(run, event)
