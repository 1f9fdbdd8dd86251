"""Zombies: a worker that stops in the middle of something, is declared dead, and comes back.

    python -m tests.torture.zombies

reads a line `FOLDER SEED [URL]` for each trial and answers it with a line of JSON: what happened, and what went wrong. This
process has imported everything and opened nothing, so that its children are at work within milliseconds.

The victim stops itself, so that the place is exact: in a body, before a write, in the transaction with the gate held, or
after the COMMIT and before anyone is told. The other process takes its runs over, or, since nobody passes the gate then,
is told that the store is busy. On a server, with its rows instead of a gate, nobody is kept waiting.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowkit.client import Flowkit
from flowkit.clock import SystemClock
from flowkit.core.change import Change
from flowkit.drivers.base import Driver, Lost, Op, Result, Start
from flowkit.errors import StoreBusy
from flowkit.settings import Settings
from tests.torture import errands
from tests.torture.log import Log, Logging
from tests.torture.logging_server import LoggingServer
from tests.torture.servers import ErrandServer
from tests.torture.stores import Database, is_server

__all__ = ["PLACES", "main"]

PLACES = ("body", "before", "inside", "after")
RUNS = 4
BUSY_SECONDS = 0.3
SETTINGS = Settings(lease=1.5, beat=0.5, adopt_after=0.5, grace=1.0)
LONGEST_SECONDS = 20.0
PASSED_THE_GATE, NOT_BUSY = 4, 5


class _Stop:
    """Stops this process at the `number`-th time that it comes to `place`."""

    def __init__(self, place: str, number: int) -> None:
        self.place = place
        self._left = number

    def at(self, place: str) -> None:
        if place != self.place:
            return
        self._left -= 1
        if self._left == 0:
            # To this thread: of a signal to the process another one may hear first, and this one would go on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


class _Zombie(Logging):
    """Before a driver class: comes by the places; notes the writes that were lost."""

    stop: _Stop

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.stop.at("before")
        results = super().write(ops, now)
        self.stop.at("after")
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, Change) and isinstance(result, Lost):
                self.log.write("note", "lost", op.run, op.epoch, time.monotonic())
        return results


class ZombieDriver(_Zombie, errands.ErrandDriver):
    """Over a file."""

    def watch(self) -> None:
        """Come by `inside` whenever a transaction is about to be committed."""
        place = self.stop.at
        self._connections._writer.set_trace_callback(lambda sql: place("inside") if sql == "COMMIT" else None)


class ZombieServer(_Zombie, errands.Noting, LoggingServer):
    """Over a server."""

    def watch(self) -> None:
        """Come by `inside` whenever a transaction is about to be committed, its rows locked."""
        connections, place = self.connections, self.stop.at
        transact = connections.transact

        def stopping(work: Callable[[Any], Any], lane: Any = None) -> Any:
            def inside(hand: Any) -> Any:
                result = work(hand)
                place("inside")
                return result

            return transact(inside, lane)

        connections.transact = stopping  # type: ignore[method-assign]


# --- the two processes --------------------------------------------------------------------------------------------------


def _victim(database: Database, log: Log, place: str, number: int) -> int:
    stop = _Stop(place, number)
    errands.after_body = lambda: stop.at("body")
    driver: ZombieServer | ZombieDriver
    if is_server(database):
        driver = ZombieServer(str(database), busy_seconds=5.0, settings=SETTINGS)
        driver.log = log
    else:
        driver = ZombieDriver(database, busy_seconds=5.0, settings=SETTINGS)
        errands.prepare(driver, log, checkpoint=40)
    driver.stop = stop
    driver.watch()
    fk = Flowkit(driver, workflows=[errands.errand, errands.aerrand], settings=SETTINGS)
    done = errands.serve(fk, RUNS, LONGEST_SECONDS)
    fk.close()
    return 0 if done else errands.UNENDED


def _other(database: Database, log: Log, place: str, orders: int, news: int) -> int:
    kind = ErrandServer if is_server(database) else errands.ErrandDriver
    driver = kind(str(database), busy_seconds=BUSY_SECONDS, settings=SETTINGS)
    driver.log = log
    os.write(news, b"ready")
    victim = int(os.read(orders, 100) or b"0")
    if victim == 0:  # it never came to the place
        driver.close()
        return 0
    try:
        # Whoever takes over writes; but there is nothing to take over as long as the victim joins.
        if place == "inside" and not is_server(database):
            driver.purge(SystemClock().now())
            os.write(news, b"passed")
            return PASSED_THE_GATE
        driver.reap(SystemClock().now(), dead=[worker.id for worker in driver.workers() if worker.pid == victim])
        os.write(news, b"taken over")
    except StoreBusy:  # another thread of the victim may have been writing wherever it stopped
        told = _told_busy(driver)
        os.write(news, b"busy")
        if not told:
            return NOT_BUSY
        os.read(orders, 1)
    fk = Flowkit(driver, workflows=[errands.errand, errands.aerrand], settings=SETTINGS)
    os.read(orders, 1)
    fk.close()
    return 0


def _told_busy(driver: Driver) -> bool:
    op = Start(id="never", workflow="errand", input=b"[]", input_hash="h", start_at=0.0, token="t")
    began = time.monotonic()
    try:
        driver.write([op], 0.0)
    except StoreBusy:
        return BUSY_SECONDS * 0.5 < time.monotonic() - began < BUSY_SECONDS + 5.0 and driver.get("never") is None
    return False


def _forked(work: Callable[[], int], stderr: Path) -> int:
    if child := os.fork():
        return child
    code = 9
    try:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        code = work()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


# --- one trial ----------------------------------------------------------------------------------------------------------


class _Trial:
    def __init__(self, folder: Path, seed: int, url: str = "") -> None:
        self.chance = random.Random(seed)
        self.database: Database = url or folder / "errands.db"
        self.folder = folder
        self.place = self.chance.choice(PLACES)
        self.number = self.chance.randrange(1, 25)
        self.found: list[str] = []
        self.log = Log(folder / "log")
        errands.use_log(self.log)
        self.orders = os.pipe()
        self.news = os.pipe()

    def play(self) -> dict[str, Any]:
        database, stderr = self.database, self.folder / "stderr"
        other = _forked(lambda: self._other(database), stderr)
        self._heard()
        victim = _forked(lambda: _victim(database, self.log, self.place, self.number), stderr)
        _, status = os.waitpid(victim, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        if stopped:
            self._resurrect(victim)
            status = self._waited(victim)
        elif status != 0:
            self.found.append(f"the victim never stopped and ended with {os.waitstatus_to_exitcode(status)}")
        os.close(self.orders[1])  # which lets the other one leave
        if code := os.waitstatus_to_exitcode(self._waited(other)):
            self.found.append(f"C8: the other process ended with {code} [{self.place} {self.number}]")
        if stopped and (code := os.waitstatus_to_exitcode(status)):
            self.found.append(f"C8: the one that came back ended with {code} [{self.place} {self.number}]")
        for end in (self.orders[0], *self.news):
            os.close(end)
        self.log.close()
        return {"place": self.place, "stopped": stopped, "victim": victim, "found": self.found}

    def _other(self, database: Database) -> int:
        os.close(self.orders[1])
        return _other(database, self.log, self.place, self.orders[0], self.news[1])

    def _heard(self) -> bytes:
        """What the other one has to say."""
        if not select.select([self.news[0]], [], [], LONGEST_SECONDS)[0]:
            self.found.append(f"C8: the other process said nothing for {LONGEST_SECONDS:g} s [{self.place} {self.number}]")
            return b""
        return os.read(self.news[0], 100)

    def _resurrect(self, victim: int) -> None:
        os.write(self.orders[1], str(victim).encode())
        if self._heard() == b"busy":
            os.kill(victim, signal.SIGCONT)
            os.write(self.orders[1], b"!")
        else:
            time.sleep(self.chance.choice((0.0, 0.01, 0.1, 0.3)))
            os.kill(victim, signal.SIGCONT)

    def _waited(self, child: int) -> int:
        """The child's status; it is killed if it does not come to an end."""
        end = time.monotonic() + LONGEST_SECONDS + 5
        while time.monotonic() < end:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        self.found.append(f"C8: process {child} had to be killed [{self.place} {self.number}]")
        return os.waitpid(child, 0)[1]


def main() -> None:
    """Play what is asked for, until nothing is."""
    for line in sys.stdin:
        print(json.dumps(_Trial(*_said(line)).play()), flush=True)


def _said(line: str) -> tuple[Path, int, str]:
    words = line.split()
    return Path(words[0]), int(words[1]), "".join(words[2:])


if __name__ == "__main__":
    main()
