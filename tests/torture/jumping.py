"""A worker whose clock the test may set, and the workflows that wait for it.

    CLOCK_FILE=… LD_PRELOAD=… python -m tests.torture.jumping DATABASE LOG

says "ready" and works until SIGTERM. What happens when is noted by the monotonic clock, which no jump touches.
"""

from __future__ import annotations

import logging
import mmap
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path

from flowkit import ReceiveTimeout, receive, sleep, step, workflow
from flowkit.client import Flowkit
from flowkit.primitives.info import run_info
from tests.torture.log import Log, LoggingDriver

__all__ = ["BUSY_SECONDS", "Clock", "main", "naps", "sleeps", "waits"]

BUSY_SECONDS = 0.8

_log: Log


class Clock:
    """The file that the preloaded library reads: what another process's clock is off by."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(struct.pack("dd", 0.0, 0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def shift(self, seconds: float) -> None:
        """So many seconds from the truth."""
        self._map[:] = struct.pack("dd", seconds, 0.0)

    def freeze(self) -> None:
        """It stands still from now on."""
        self._map[:] = struct.pack("dd", 0.0, time.time())


@step
def work(location: str, seconds: float = 0.0) -> str:
    """Some time by the true clock, then a line in the log."""
    time.sleep(seconds)
    token = os.urandom(8).hex()
    _log.write("run", run_info().id, location, os.getpid(), token)
    return token


def _worked(location: str, seconds: float = 0.0) -> str:
    token = work(location, seconds)
    _log.write("saw", run_info().id, location, token)
    return token


@workflow(name="sleeps")
def sleeps(seconds: float) -> str:
    """Sleeps long; notes when it was awake again."""
    token = _worked("work")
    sleep(seconds)
    _log.write("note", "woke", run_info().id, f"{time.monotonic():.4f}")
    return token + _worked("work#2")


@workflow(name="waits")
def waits(seconds: float) -> str:
    """Waits long for a message that never comes."""
    try:
        receive("never", timeout=seconds)
    except ReceiveTimeout:
        _log.write("note", "woke", run_info().id, f"{time.monotonic():.4f}")
    return _worked("work")


@workflow(name="naps")
def naps() -> str:
    """Short sleeps, and bodies that are under way when the clock jumps."""
    tokens = []
    for number in range(3):
        sleep(0.1)
        tokens.append(_worked("work" if number == 0 else f"work#{number + 1}", BUSY_SECONDS / 2))
    return "".join(tokens)


def main(database: str, log: str) -> None:
    """Work until told to leave."""
    global _log
    _log = Log(log)
    logging.basicConfig(level=logging.WARNING)
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    driver = LoggingDriver(database)
    driver.log = _log
    with Flowkit(driver, worker=True, workflows=[naps, sleeps, waits]):
        print("ready", flush=True)
        leave.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
