"""A kill storm: workers on one database, killed with SIGKILL at random moments while runs are under way.

    python -m tests.torture.storm DATABASE LOG --seed 7 --kills 100

DATABASE is a file or a URL; on a server death shows only when a lease runs out, so there workers live longer. They are forked
from this process, which has imported everything and opened nothing, so that a new one is at work within milliseconds.
Clients, which nobody kills, start runs, send them messages and cancel some. All randomness comes from the seed. When the
storm is over the last workers end every run in peace.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flowkit import (
    Break,
    Continue,
    RunConflict,
    StepInterrupted,
    aio,
    join,
    loop,
    receive,
    sleep,
    step,
    workflow,
)
from flowkit.client import Flowkit
from flowkit.core.entry import Entry
from flowkit.core.run import TERMINAL
from flowkit.primitives.info import run_info
from tests.torture.checker import Workflows, digest
from tests.torture.log import Log, logging_driver
from tests.torture.stores import BRISK, ask, is_server

__all__ = ["WORKFLOWS", "astorm", "main", "open_logged", "serve", "storm", "use_log", "visit"]

WORKERS = (1, 4)
SECONDS_ALIVE = (0.03, 0.4)
SECONDS_ALIVE_ON_A_SERVER = (0.1, 2.0)
SECONDS_OF_A_BODY = 0.12
SECONDS_OF_PEACE = 30.0
NOTES = 12
KINDS = ("storm", "astorm", "storm", "post", "astorm", "doomed", "storm", "post")
RUNS = 2 * len(KINDS)

_log: Log


def use_log(log: Log) -> None:
    """Where this process writes its lines from here on."""
    global _log
    _log = log


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


@step(at_most_once=True)
def once(location: str) -> str:
    """As `work`, but never a second time."""
    token, seconds = _effect(location)
    _log.write("run", run_info().id, location, os.getpid(), token)
    time.sleep(seconds)
    return token


@workflow(name="post", max_crashes=1_000)
def post() -> str:
    """Takes its messages, one in three with a nap before it, one in three with a step that must not run twice."""
    words = []
    for number in range(NOTES):
        if number % 3 == 1:
            sleep(0.02)
        words.append(_saw(_numbered("note", number), str(receive("note", timeout="1h").data)))
        if number % 3 == 2:
            place = _numbered("once", number // 3)
            try:
                words.append(_saw(place, once(place)))
            except StepInterrupted:
                words.append("interrupted")
    return digest(words)


@workflow(name="doomed", max_crashes=1_000)
def doomed() -> None:
    """Works until it is cancelled."""

    def turn(number: int) -> Continue[int]:
        place = f"turn/~{number}/work"
        _saw(place, work(place))
        return Continue(number + 1)

    loop(turn, 0, name="turn", prune_every=10_000)


def _storm_output(entries: Sequence[Entry]) -> str:
    """Steps in the order of the code: the chain, the branches one after the other, the turns."""
    tokens = {entry.location: json.loads(entry.output or b"null") for entry in entries if entry.kind == "step"}
    chain = [place for place in tokens if "/" not in place]
    branches = [[place for place in tokens if place.startswith(f"join/{name}/")] for name in "ab"]
    turns = [place for place in tokens if place.startswith("turn/")]
    return digest([tokens[place] for place in [*chain, *branches[0], *branches[1], *turns]])


def _post_output(entries: Sequence[Entry]) -> str:
    words = []
    for entry in entries:
        if entry.kind == "message":
            (message,) = json.loads(entry.output or b"[]")
            words.append(message["data"])
        elif entry.kind == "step":
            words.append("interrupted" if entry.output is None else json.loads(entry.output))
    return digest(words)


WORKFLOWS = Workflows(
    outputs={"storm": _storm_output, "astorm": _storm_output, "post": _post_output},
    at_most_once=lambda location: location.startswith("once"),
)
"""What the checker wants to know of these workflows. Entries come in order of their numbers, so each list is in its order."""


# --- the processes ------------------------------------------------------------------------------------------------------


def open_logged(database: str, *, worker: bool) -> Flowkit:
    """A handle whose commits and claims go to the log."""
    return Flowkit(logging_driver(database, _log), worker=worker, settings=BRISK if is_server(database) else None)


def _forked(work: Callable[[], None]) -> int:
    """Do `work` in a child; its pid."""
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def visit(database: str, wave: int, chance: random.Random) -> None:
    """A client: starts a wave of runs, sends to those that wait, some messages twice, and cancels the doomed ones."""
    flows = {"storm": storm, "astorm": astorm, "post": post, "doomed": doomed}
    with open_logged(database, worker=False) as fk:
        runs = [(f"{kind}-{wave}-{number}", flows[kind]) for number, kind in enumerate(KINDS * 2)]
        for run in fk.start_many((id, flow, ()) for id, flow in runs):
            _log.write("ack", "start", run.id)
        for id, words in _errands(runs, chance):
            time.sleep(chance.uniform(0, 0.02))
            if words is None:
                fk.get(id).cancel()
                row = fk.driver.get(id)
                assert row is not None
                _log.write("ack", "cancel", id, row.epoch, row.head)
                continue
            try:
                fk.send(id, words[0], words[1], key=words[1])
            except RunConflict:  # it has ended: nothing was promised
                continue
            _log.write("ack", "send", id, words[1])
        _log.write("ack", "result", runs[0][0], fk.get(runs[0][0]).result(timeout=300))


def _errands(runs: Iterable[tuple[str, object]], chance: random.Random) -> list[tuple[str, tuple[str, str] | None]]:
    """Messages as (name, word), a cancel as None; the messages of one run in order, each perhaps repeated."""
    lists: list[list[tuple[str, tuple[str, str] | None]]] = []
    for id, flow in runs:
        if flow is doomed:
            lists.append([(id, None)])
        if flow is post:
            words = [("note" if number != 5 else "unread", f"{id}.{number}") for number in range(NOTES + 1)]
            lists.append([(id, word) for word in words for _ in range(chance.choice((1, 1, 2)))])
    mixed = []
    while lists:
        chosen = chance.choice(lists)
        mixed.append(chosen.pop(0))
        lists = [each for each in lists if each]
    return mixed


def serve(database: str) -> None:
    """Work until told to leave, and note what this process has grown to."""
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    with open_logged(database, worker=True):
        leave.wait()
        _log.write("note", "left", os.getpid(), len(os.listdir("/proc/self/fd")), _resident_kilobytes())


def _resident_kilobytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class Storm:
    """Keeps workers alive, by killing them and forking new ones."""

    def __init__(self, database: str, seed: int, blow: signal.Signals) -> None:
        self.database = database
        self.signal = blow
        self.alive = SECONDS_ALIVE_ON_A_SERVER if is_server(database) else SECONDS_ALIVE
        self.chance = random.Random(seed)
        self.size = self.chance.randint(*WORKERS)
        self.workers: list[int] = []
        self.clients: list[int] = []
        self.wave = 0

    def blow(self, kills: int) -> None:
        """Kill `kills` times. When all runs have ended, more are started."""
        for _ in range(kills):
            self._fill()
            time.sleep(self.chance.uniform(*self.alive))
            if self._unended() == 0:
                self.begin()
            victim = self.workers.pop(self.chance.randrange(len(self.workers)))
            os.kill(victim, self.signal)
            code = os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1])
            assert code == (-signal.SIGKILL if self.signal == signal.SIGKILL else 0), f"a worker left with {code}"
            _log.write("kill", victim)
            _log.write("note", "killed", victim, f"{time.monotonic():.4f}", *self._orphans(victim))

    def begin(self) -> None:
        """Start a wave of runs, and leave the client to its errands."""
        wave, chance = self.wave, random.Random(self.chance.random())
        self.clients.append(_forked(lambda: visit(self.database, wave, chance)))
        self.wave += 1
        end = time.monotonic() + SECONDS_OF_PEACE
        while self._count("SELECT count(*) FROM runs") < RUNS * self.wave:
            assert time.monotonic() < end, "the runs could not be started"
            time.sleep(0.005)

    def calm(self) -> bool:
        """Let the last workers end every run and bury the dead, then leave; False if a run has not ended."""
        self._fill()
        end = time.monotonic() + SECONDS_OF_PEACE
        while (self._unended() or self._unburied()) and time.monotonic() < end:
            time.sleep(0.02)
        codes = [os.waitstatus_to_exitcode(os.waitpid(client, 0)[1]) for client in self.clients]
        for worker in self.workers:
            os.kill(worker, signal.SIGTERM)
        codes += [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in self.workers]
        return self._unended() == 0 and not any(codes)

    def _fill(self) -> None:
        while len(self.workers) < self.size:
            self.workers.append(_forked(lambda: serve(self.database)))
            _log.write("note", "born", self.workers[-1], f"{time.monotonic():.4f}")

    def _unended(self) -> int:
        marks = ", ".join(f"'{status}'" for status in TERMINAL)
        return self._count(f"SELECT count(*) FROM runs WHERE status NOT IN ({marks})")

    def _unburied(self) -> bool:
        """Whether a killed worker still counts as live: on a server until its lease is over, though its runs may have ended."""
        rows = self._ask("SELECT pid FROM workers WHERE kind = 'worker' AND state = 'live'")
        return bool({pid for (pid,) in rows} - {*self.workers})

    def _orphans(self, pid: int) -> list[str]:
        """Number and epoch of the runs that the process held, unless another has taken them over already."""
        rows = self._ask(
            "SELECT r.seq, r.epoch FROM runs r JOIN workers w ON w.id = r.owner WHERE w.pid = ? AND w.state = 'live'", pid
        )
        return [f"{run}:{epoch}" for run, epoch in rows]

    def _count(self, sql: str) -> int:
        return int(self._ask(sql)[0][0])

    def _ask(self, sql: str, *values: object) -> list[tuple[int, ...]]:
        """Before the first client a file has no table."""
        try:
            return ask(self.database, sql, *values)
        except sqlite3.OperationalError:
            return [(0,)]


def main(arguments: list[str] | None = None) -> int:
    """The storm; 0 if every run ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", help="a file or a URL")
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--gently", action="store_true", help="with SIGTERM")
    options = parser.parse_args(arguments)
    use_log(Log(options.log))
    weather = Storm(options.database, options.seed, signal.SIGTERM if options.gently else signal.SIGKILL)
    weather.begin()
    weather.blow(options.kills)
    return 0 if weather.calm() else 1


if __name__ == "__main__":
    sys.exit(main())
