"""Threads: guests that run plain workflow code, the loop that runs async code, and the bounded pool of branch bodies.

A guest may wait for hours of other people's work, so guests never come from a bounded pool: a waiting guest must not keep
another run from going on. Ended guests are kept and used again. Bodies are bounded, since they do the real work; a body
that was abandoned at its timeout no longer counts.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowkit.settings import Settings

__all__ = ["BodyPool", "Guests", "LoopThread"]

Job = Callable[[], None]


class Guests:
    """Daemon threads without an upper bound, kept for reuse. `name` prefixes theirs."""

    def __init__(self, name: str = "flowkit-guest", keep: int = 128) -> None:
        self._name = name
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: list[SimpleQueue[Job | None]] = []
        self._count = 0
        self._closed = False

    def run(self, job: Job) -> None:
        """Run `job` in a thread of its own, at once. It must not raise."""
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
            self._count += inbox is None
            number = self._count
        if inbox is not None:
            inbox.put(job)
            return
        inbox = SimpleQueue()
        inbox.put(job)
        threading.Thread(target=self._serve, args=(inbox,), name=f"{self._name}-{number}", daemon=True).start()

    def relay(self, jobs: Sequence[Job]) -> None:
        """Run each of `jobs` in a thread of its own, at once. Every thread starts the next before it does its own job: many
        that are woken together only fight for the interpreter's lock.
        """
        left = iter(jobs)

        def begin() -> None:
            job = next(left, None)  # one thread at a time is here: the next one is started from within
            if job is not None:
                self.run(lambda: _both(begin, job))

        begin()

    def close(self) -> None:
        """Let idle threads end; busy ones end with their job."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _serve(self, inbox: SimpleQueue[Job | None]) -> None:
        while (job := inbox.get()) is not None:
            job()
            del job
            with self._lock:
                if self._closed or len(self._idle) >= self._keep:
                    return
                self._idle.append(inbox)


class BodyPool:
    """At most `size` bodies at a time, each on a guest thread; the others queue."""

    def __init__(self, guests: Guests, size: int) -> None:
        self._guests = guests
        self._free = size
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()

    def run(self, job: Job) -> None:
        """Run `job` as soon as there is room. Whoever submits it calls `release` once, when it ended or was abandoned."""
        with self._lock:
            if self._free <= 0:
                self._waiting.append(job)
                return
            self._free -= 1
        self._guests.run(job)

    def release(self) -> None:
        """One body less counts."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            job = self._waiting.popleft()
        self._guests.run(job)


class LoopThread:
    """The engine's own event loop in its own thread, started when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. Raises RuntimeError once it is closed."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine's event loop is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._serve, name="flowkit-loop", daemon=True)
                self._thread.start()
            return self._loop

    @property
    def thread(self) -> threading.Thread | None:
        """The thread in which it runs; None as long as nobody has needed it."""
        return self._thread

    def call(self, job: Job) -> None:
        """Run `job` on the loop, soon. Once the loop is closed nobody is there to hear, and `job` is dropped."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(job)

    def at_once(self, job: Job) -> None:
        """Run `job` now if this is the loop's own thread, else soon on the loop: nothing else there goes on in between."""
        if self._thread is not None and self._thread is threading.current_thread():
            job()
        else:
            self.call(job)

    def close(self) -> None:
        """Cancel what still runs there and stop the loop."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._closed = True
        if loop is not None and thread is not None:
            with suppress(RuntimeError):  # closed before
                loop.call_soon_threadsafe(loop.stop)
            thread.join(self._settings.join_threads)

    def _serve(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=self._settings.loop_close))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _both(first: Job, second: Job) -> None:
    """One after the other."""
    first()
    second()
