"""A kill storm: two workers on one file, killed with SIGKILL at random moments while runs are under way.

    python -m tests.torture.storm DATABASE LOG --seed 7 --kills 100

The workers are forked from this process, which has imported everything and opened nothing, so that a new one is at work
within milliseconds. All randomness comes from the seed. When the storm is over the last workers end every run in peace.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from flowkit import Break, Continue, aio, join, loop, step, workflow
from flowkit.client import Flowkit
from flowkit.core.run import TERMINAL
from flowkit.primitives.info import run_info
from tests.torture.checker import digest
from tests.torture.log import Log, LoggingDriver

__all__ = ["RUNS", "STEPS", "main"]

RUNS = 20
STEPS = 50
WORKERS = 2
SECONDS_ALIVE = (0.03, 0.25)
SECONDS_OF_A_BODY = 0.12
SECONDS_OF_PEACE = 60.0

_log: Log


# --- the workflows ------------------------------------------------------------------------------------------------------


def _effect(location: str) -> tuple[str, float]:
    """A token, and how long the body takes: the same for a location in every process."""
    place = f"{run_info().id} {location}"
    return os.urandom(8).hex(), SECONDS_OF_A_BODY * (zlib.crc32(place.encode()) % 1000) / 1000


@step
def work(location: str) -> str:
    """Some time, then one line in the log."""
    token, seconds = _effect(location)
    time.sleep(seconds)
    _log.write("run", run_info().id, location, os.getpid(), token)
    return token


@step
async def awork(location: str) -> str:
    """As `work`, on the loop."""
    import asyncio

    token, seconds = _effect(location)
    await asyncio.sleep(seconds)
    _log.write("run", run_info().id, location, os.getpid(), token)
    return token


def _saw(location: str, token: str) -> str:
    _log.write("saw", run_info().id, location, token)
    return token


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name}#{number + 1}"


@workflow(name="storm", max_crashes=1_000)
def storm() -> str:
    """Thirty steps one by one, ten in two branches, ten in a loop."""
    tokens = [_saw(place, work(place)) for place in (_numbered("work", number) for number in range(30))]

    def branch(name: str) -> Callable[[], list[str]]:
        return lambda: [_saw(place, work(place)) for place in (f"join/{name}/{_numbered('work', number)}" for number in range(5))]

    branches = join(a=branch("a"), b=branch("b"))

    def turn(turns: list[str]) -> Continue[list[str]] | Break[list[str]]:
        place = f"turn/~{len(turns)}/work"
        turns = [*turns, _saw(place, work(place))]
        return Continue(turns) if len(turns) < 10 else Break(turns)

    turns = loop(turn, list[str](), name="turn", prune_every=1_000)
    return digest([*tokens, *branches["a"], *branches["b"], *turns])


@workflow(name="astorm", max_crashes=1_000)
async def astorm() -> str:
    """As `storm`, awaited."""
    tokens = []
    for number in range(40):
        place = _numbered("awork", number)
        tokens.append(_saw(place, await awork(place)))

    def branch(name: str) -> Callable[[], object]:
        async def run() -> list[str]:
            places = (f"join/{name}/{_numbered('awork', number)}" for number in range(5))
            return [_saw(place, await awork(place)) for place in places]

        return run

    branches = await aio.join(a=branch("a"), b=branch("b"))  # type: ignore[arg-type]
    return digest([*tokens, *branches["a"], *branches["b"]])


# --- the processes ------------------------------------------------------------------------------------------------------


def _open(database: str, *, worker: bool) -> Flowkit:
    driver = LoggingDriver(database)
    driver.log = _log
    return Flowkit(driver, worker=worker)


def _forked(work: Callable[[], None]) -> int:
    """Do `work` in a child; its pid."""
    if child := os.fork():
        return child
    try:
        work()
        os._exit(0)
    finally:
        os._exit(1)


def _start(database: str, wave: int) -> None:
    with _open(database, worker=False) as fk:
        made = [storm, astorm]
        for run in fk.start_many((f"{wave}-{number}", made[number % 2], ()) for number in range(RUNS)):
            _log.write("ack", "start", run.id)


def _work(database: str) -> None:
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    with _open(database, worker=True):
        leave.wait()


def _unended(database: str) -> int:
    """How many runs have not ended; asked on a connection that is closed again before the next fork."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        marks = ", ".join("?" * len(TERMINAL))
        row = connection.execute(f"SELECT count(*) FROM runs WHERE status NOT IN ({marks})", tuple(TERMINAL)).fetchone()
        return int(row[0])
    finally:
        connection.close()


class Storm:
    """Keeps two workers alive, by killing them and forking new ones."""

    def __init__(self, database: str, seed: int) -> None:
        self.database = database
        self.chance = random.Random(seed)
        self.workers: list[int] = []
        self.wave = 0

    def blow(self, kills: int) -> None:
        """Kill `kills` times. When all runs have ended, more are started."""
        for _ in range(kills):
            self._fill()
            time.sleep(self.chance.uniform(*SECONDS_ALIVE))
            if _unended(self.database) == 0:
                self.begin()
            victim = self.workers.pop(self.chance.randrange(len(self.workers)))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            _log.write("kill", victim)

    def begin(self) -> None:
        """Start a wave of runs."""
        child = _forked(lambda: _start(self.database, self.wave))
        self.wave += 1
        _, status = os.waitpid(child, 0)
        assert status == 0, "the runs could not be started"

    def calm(self) -> bool:
        """Let the last workers end every run, then leave; False if they do not."""
        self._fill()
        end = time.monotonic() + SECONDS_OF_PEACE
        while _unended(self.database) and time.monotonic() < end:
            time.sleep(0.02)
        for worker in self.workers:
            os.kill(worker, signal.SIGTERM)
        codes = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in self.workers]
        return _unended(self.database) == 0 and not any(codes)

    def _fill(self) -> None:
        while len(self.workers) < WORKERS:
            self.workers.append(_forked(lambda: _work(self.database)))


def main(arguments: list[str] | None = None) -> int:
    """The storm; 0 if every run ended."""
    global _log
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kills", type=int, default=100)
    options = parser.parse_args(arguments)
    _log = Log(options.log)
    weather = Storm(str(options.database), options.seed)
    weather.begin()
    weather.blow(options.kills)
    return 0 if weather.calm() else 1


if __name__ == "__main__":
    sys.exit(main())
