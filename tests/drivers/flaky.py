"""A store that fails as told, and those who wait for it."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flowkit.drivers.base import Op, Result
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreBusy, StoreError
from tests.drivers.ops import NOW, start


class StillClock:
    def now(self) -> float:
        return NOW


class Flaky(MemoryDriver):
    """A memory driver that can be held up, and fails as told: `plan` holds what the next writes do."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Op]] = []
        self.threads: list[str] = []
        self.plan: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.nudges = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.batches.append(list(ops))
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        self.free.wait()
        match self.plan.pop(0) if self.plan else "":
            case "busy":
                raise StoreBusy("busy")
            case "no":
                raise StoreError("disk")
            case "lost before":
                raise StoreError("cut", outcome="unknown")
            case "lost after":
                super().write(ops, now)
                raise StoreError("cut", outcome="unknown")
            case "crash":
                raise KeyboardInterrupt
        return super().write(ops, now)

    def nudge(self) -> None:
        self.nudges += 1
        super().nudge()


class Listener:
    """A sink that keeps what it hears, call by call."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[object, Any]]] = []
        self.heard = threading.Condition()

    def deliver(self, outcomes: list[tuple[object, Any]]) -> None:
        with self.heard:
            self.calls.append(outcomes)
            self.heard.notify_all()

    def wait_for(self, count: int) -> list[tuple[object, Any]]:
        with self.heard:
            assert self.heard.wait_for(lambda: sum(map(len, self.calls)) >= count, timeout=5)
            return [outcome for call in self.calls for outcome in call]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def hold_up(store: Flaky, writer: Writer, crowd: ThreadPoolExecutor) -> Any:
    """Occupy the writer with one start, so that what comes next has to queue."""
    store.free.clear()
    store.entered.clear()
    first = crowd.submit(writer.write, start("first"), patient=True)
    assert store.entered.wait(5)
    return first
