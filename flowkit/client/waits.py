"""Waiting for a run: woken by this process's worker at once, and by other processes' commits within some 20 ms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from flowkit.drivers.base import Driver

__all__ = ["Bulletin", "wait_until"]

T = TypeVar("T")

LOOK_SECONDS = 0.02


class Bulletin:
    """Tells those who wait for a run that this process has changed it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, list[threading.Event]] = {}

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


def wait_until(driver: Driver, bulletin: Bulletin, run: int, look: Callable[[], T | None], timeout: float | None) -> T | None:
    """What `look` finds, asked whenever something may have changed; None when `timeout` seconds are over."""
    end = None if timeout is None else time.monotonic() + timeout
    event = bulletin.listen(run)
    try:
        while True:
            token = driver.token()
            event.clear()
            if (found := look()) is not None:
                return found
            while driver.token() == token and not event.is_set():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return look()
                event.wait(LOOK_SECONDS if left is None else min(LOOK_SECONDS, left))
            if end is not None and time.monotonic() >= end:
                return look()
    finally:
        bulletin.forget(run, event)
