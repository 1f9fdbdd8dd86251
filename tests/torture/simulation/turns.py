"""Threads that take turns: many of them, one of which goes on at a time, and a seeded choice of which.

The engine's plain colour runs branches and their bodies in threads of their own. Here each of them hands on the turn where it
would block, and wherever the simulation pauses it, so that a seed gives the same interleaving every time. What the engine
blocks on is replaced for that: the conditions, events and futures of `engine.plain` and `engine.commits`.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from flowkit.engine import awaiting, commits, plain
from flowkit.engine.threads import Guests

__all__ = ["Hang", "Inline", "InlineExecutor", "Turns", "taking_turns", "without_time"]

_IDLE_LIMIT = 300

_pool = Guests("simulated")


class Hang(Exception):
    """Nobody can go on any more."""


class _Task:
    __slots__ = ("gate", "ready", "timed")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.ready: Callable[[], bool] | None = None
        self.timed = False


class Turns:
    """The threads of one simulated world, this one among them. Has the shape of the engine's `Guests`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._main = self._current = _Task()
        self._tasks = [self._main]
        self._idle = 0

    def relay(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Run each of them."""
        for job in jobs:
            self.run(job)

    def run(self, job: Callable[[], None]) -> None:
        """Have `job` run in a thread that takes turns with the others."""
        task = _Task()
        self._tasks.append(task)

        def turn() -> None:
            task.gate.acquire()
            try:
                job()
            finally:
                self._tasks.remove(task)
                self._hand_on()

        _pool.run(turn)

    def close(self) -> None:
        """Nothing is kept."""

    def pause(self) -> None:
        """Let others go first, perhaps."""
        if len(self._tasks) > 1:
            self.wait(_always)

    def wait(self, ready: Callable[[], bool], timed: bool = False) -> bool:
        """Go on when `ready`, or if `timed` at the latest when nobody else can go on.

        Raises:
            Hang: in the first thread, if nobody at all can.
        """
        me = self._current
        me.ready, me.timed = ready, timed
        self._hand_on(me)
        me.ready = None
        if me is self._main and not ready() and not timed:
            raise Hang("every thread of the run waits for another")
        return ready()

    def finish(self) -> None:
        """Let every other thread come to its end."""
        self.wait(lambda: len(self._tasks) == 1)

    def _hand_on(self, me: _Task | None = None) -> None:
        task = self._pick()
        if task is me:
            return
        self._current = task
        task.gate.release()
        if me is not None:
            me.gate.acquire()

    def _pick(self) -> _Task:
        ready = [task for task in self._tasks if task.ready is None or task.ready()]
        if ready:
            self._idle = 0
            return ready[0] if len(ready) == 1 else self._rng.choice(ready)
        self._idle += 1
        timed = [task for task in self._tasks if task.timed]
        if not timed or self._idle > _IDLE_LIMIT:
            return self._main
        return timed[self._idle % len(timed)]


def _always() -> bool:
    return True


_active: list[Turns] = []


class _Condition:
    def __init__(self) -> None:
        self._turns = _active[-1]
        self._notified = 0

    def __enter__(self) -> _Condition:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def notify(self) -> None:
        self._notified += 1

    def wait(self, timeout: float | None = None) -> bool:
        before = self._notified
        return self._turns.wait(lambda: self._notified != before, timed=timeout is not None)


class _Event:
    def __init__(self) -> None:
        self._turns = _active[-1]
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout: float | None = None) -> bool:
        return self._turns.wait(self.is_set, timed=timeout is not None)


class _Future(Future[Any]):
    def __init__(self) -> None:
        super().__init__()
        self._turns = _active[-1] if _active else None

    def result(self, timeout: float | None = None) -> Any:
        if self._turns is not None and not self.done():
            self._turns.wait(self.done)
        return super().result(timeout)


class _Threading:
    Condition = _Condition
    Event = _Event
    get_ident = staticmethod(threading.get_ident)


class _Asyncio:
    """`asyncio` for the async colour: a wait for some time is over at once, since no time passes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def timeout(self, seconds: float) -> asyncio.Timeout:
        return asyncio.timeout(0)


@contextmanager
def without_time() -> Iterator[None]:
    """What the async colour waits for in seconds is over at once."""
    engine: Any = awaiting
    kept, engine.asyncio = engine.asyncio, _Asyncio()
    try:
        yield
    finally:
        engine.asyncio = kept


@contextmanager
def taking_turns(turns: Turns) -> Iterator[None]:
    """What the plain colour blocks on hands on the turn."""
    engine: Any = plain
    committing: Any = commits
    kept = engine.threading, engine.Future, committing.Future
    _active.append(turns)
    engine.threading, engine.Future, committing.Future = _Threading, _Future, _Future
    try:
        yield
    finally:
        engine.threading, engine.Future, committing.Future = kept
        _active.pop()


class Inline:
    """Guests of an async run: nothing there waits, so a job runs where it is asked for."""

    def run(self, job: Callable[[], None]) -> None:
        """Run it."""
        job()

    def relay(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Run each of them."""
        for job in jobs:
            self.run(job)

    def close(self) -> None:
        """Nothing is kept."""


class InlineExecutor(ThreadPoolExecutor):
    """The loop's executor: short reads of the store, done on the spot."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # it belongs to whoever awaits it
            done.set_exception(error)
        return done
