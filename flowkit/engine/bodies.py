"""Bodies under way, and the watchdog over all of them.

One thread looks at the table of live bodies, some 20 times a second while there are any: it ends those whose time is up and
has those that take long written down. No step makes a timer of its own. A body ends exactly once, by itself or by being
ended; whoever comes second finds that out from `end`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from flowkit.settings import Settings

__all__ = ["LiveBody", "Verdict", "Watchdog"]

Verdict = Literal["ended", "timeout", "stopped"]
"""How a body ended: by itself, at its timeout, or because its scope did."""


class LiveBody(msgspec.Struct, eq=False, kw_only=True):
    """A body that runs now. `interrupt` is called once, from the watchdog's or another thread, if it must end."""

    deadline: float | None
    record_at: float | None
    record: Callable[[], None] | None
    interrupt: Callable[[Verdict], None]
    location: str = ""
    at_most_once: bool = False
    run: str = ""
    verdict: Verdict | None = None
    stopping: threading.Event | None = None
    _lock: threading.Lock = msgspec.field(default_factory=threading.Lock)

    def end(self, verdict: Verdict) -> bool:
        """Whether this call ended the body; False if it had ended before."""
        with self._lock:
            if self.verdict is not None:
                return False
            self.verdict = verdict
        if verdict != "ended" and self.stopping is not None:
            self.stopping.set()
        return True

    def stop(self, verdict: Verdict) -> bool:
        """End the body from outside; whether it had not ended yet."""
        if not self.end(verdict):
            return False
        self.interrupt(verdict)
        return True

    def asked_to_stop(self, wait: float) -> bool:
        """What `stopping()` answers inside the body."""
        with self._lock:
            if self.verdict is not None:
                return True
            if self.stopping is None:
                self.stopping = threading.Event()
        return self.stopping.wait(wait) if wait > 0 else self.stopping.is_set()

    def warn(self) -> None:
        """Make `stopping()` true without ending the body: it has a grace."""
        with self._lock:
            if self.stopping is None:
                self.stopping = threading.Event()
        self.stopping.set()


class Watchdog:
    """The table of live bodies and the thread that looks at it. `on_error` gets what a record or interrupt raised; `on_idle` is
    told once of a body that still runs some seconds after its timeout, and for how many.
    """

    def __init__(
        self, on_error: Callable[[BaseException], None], settings: Settings, on_idle: Callable[[LiveBody, float], None]
    ) -> None:
        self._on_idle = on_idle
        self._idle_after = settings.abandoned_after
        self._told: set[int] = set()
        self._tick = settings.watchdog_tick
        self._idle_ticks = settings.watchdog_idle
        self._on_error = on_error
        self._live: dict[int, LiveBody] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._looks = False
        """As the event says, without asking it: every body comes by here."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def enter(self, body: LiveBody) -> int:
        """Watch `body` until `leave` with the number returned."""
        number = next(self._numbers)
        self._live[number] = body  # one dictionary store: atomic, so the hot path takes no lock
        if not self._looks:
            self._wake()
        return number

    def leave(self, number: int) -> None:
        """The body is over."""
        self._live.pop(number, None)
        self._told.discard(number)

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._work.set()

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="flowkit-watchdog", daemon=True)
                self._thread.start()
        self._looks = True
        self._work.set()

    def _watch(self) -> None:
        idle = 0
        while not self._closed:
            self._work.wait()
            time.sleep(self._tick)
            bodies = list(self._live.items())
            idle = 0 if bodies else idle + 1
            if idle > self._idle_ticks:
                self._work.clear()
                self._looks = False  # after the event: a body that enters in between must find the thread asleep, or wake it
                if self._live:  # entered between the look and the clear
                    self._looks = True
                    self._work.set()
            self._look(bodies, time.monotonic())

    def _look(self, bodies: list[tuple[int, LiveBody]], now: float) -> None:
        for number, body in bodies:
            try:
                if body.deadline is not None and now >= body.deadline:
                    if not body.stop("timeout") and body.verdict == "timeout" and number not in self._told:
                        self._look_after(number, body, now - body.deadline)
                elif body.record_at is not None and now >= body.record_at:
                    body.record_at = None
                    if body.record is not None and body.verdict is None:
                        body.record()
            except BaseException as error:  # the watchdog outlives whatever one body does to it
                self._on_error(error)

    def _look_after(self, number: int, body: LiveBody, late: float) -> None:
        """A body whose time was up still holds its thread."""
        if late >= self._idle_after and number in self._live:
            self._told.add(number)
            self._on_idle(body, late)
