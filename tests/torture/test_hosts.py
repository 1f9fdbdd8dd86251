"""F12: workers on two hosts, the database on a third, and a link between them that is cut and healed while runs are under way.

A worker whose link is cut goes on for a while, and knows nothing of its runs being taken over. When the link is back all that
it still had to say arrives: late, and refused.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from flowkit.core.run import TERMINAL
from tests.house.source import ROOT
from tests.postgres.hosts import Host, network
from tests.postgres.server import Server, new_database, owned
from tests.torture import storm
from tests.torture.checker import check
from tests.torture.log import Log, read_log
from tests.torture.stores import BRISK, ask
from tests.torture.trials import LONG, Torture, Trial

CUTS = 3
TAKEN_OVER_SECONDS = BRISK.lease + BRISK.poll + 5.0
PEACE_SECONDS = 60.0
HELD_SECONDS = 10.0
LAST_BODY_SECONDS = 0.5
"""A body that was begun in the last moment of a cut has ended by then."""

Workers = dict[Host, "subprocess.Popen[bytes]"]
Wave = Callable[[random.Random], None]


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 200)
def test_a_host_that_is_cut_off_loses_its_runs_and_changes_nothing_when_it_is_back(torture: Torture) -> None:
    with torture("F12", ci=1, long=20) as fault, network(2) as net, owned(host=net.address, before=net.server) as server:
        for trial in fault.trials():
            database, log = new_database(server, tables=True), trial.folder / "log"
            lines = Log(log)
            storm.use_log(lines)
            with at_work(server, database, net.hosts, log, trial.folder / "stderr") as workers, clients(database) as wave:
                wave(trial.chance)
                for _ in range(CUTS):
                    trial.injected += cut_off(trial, database, workers, lines, wave)
                trial.found(until(lambda database=database: not unended(database), "C8: the runs do not end"))
            logged = read_log(log)
            trial.acked += logged.acks
            trial.checked += len(logged.started)
            refused = [note for note in logged.notes if note[0] in ("lost", "fenced")]
            trial.control(refused, "something of a worker that was cut off must be refused")
            found = check(database, log, storm.WORKFLOWS, stderr=(trial.folder / "stderr").read_text())
            trial.found(but_for_the_cut(found, log))


def cut_off(trial: Trial, database: str, workers: Workers, lines: Log, wave: Wave) -> bool:
    """Cut one host off while it holds runs, and heal the link once they are another's; False if it never held any."""
    if unended(database) < storm.RUNS // 2:
        wave(trial.chance)
    if until(lambda: any(held(database, process) for process in workers.values()), "no run", HELD_SECONDS):
        return False
    victim = max(workers, key=lambda host: held(database, workers[host]))
    time.sleep(trial.chance.uniform(0, 0.3))
    victim.cut()
    lines.write("note", "cut", workers[victim].pid)
    try:
        trial.found(until(lambda: not held(database, workers[victim]), "L2: nobody took the runs over", TAKEN_OVER_SECONDS))
        time.sleep(trial.chance.uniform(0, 1.0))
    finally:
        victim.heal()
    time.sleep(LAST_BODY_SECONDS)
    lines.write("note", "healed", workers[victim].pid)
    return True


def but_for_the_cut(found: list[str], log: Path) -> list[str]:
    """Without second runs of bodies that a host began while it could not know that its runs were another's: I6 allows them."""
    away: set[str] = set()
    allowed: set[str] = set()
    for words in map(str.split, log.read_text().splitlines()):
        match words:
            case ["note", "cut", pid]:
                away.add(pid)
            case ["note", "healed", pid]:
                away.discard(pid)
            case ["run", _, _, pid, token] if pid in away:
                allowed.add(token)
    return [sentence for sentence in found if "ran again" not in sentence or not any(token in sentence for token in allowed)]


def held(database: str, process: subprocess.Popen[bytes]) -> int:
    """How many runs the worker of this process holds."""
    asked = "SELECT count(*) FROM runs r JOIN workers w ON w.id = r.owner WHERE w.pid = ?"
    return int(ask(database, asked, process.pid)[0][0])


def unended(database: str) -> int:
    """How many runs have not ended."""
    marks = ", ".join(f"'{status}'" for status in TERMINAL)
    return int(ask(database, f"SELECT count(*) FROM runs WHERE status NOT IN ({marks})")[0][0])


def until(condition: Callable[[], object], violation: str, seconds: float = PEACE_SECONDS) -> list[str]:
    """Nothing once it is true; the violation if it does not come true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return [f"{violation} within {seconds:g} s"]
        time.sleep(0.02)
    return []


@contextmanager
def at_work(server: Server, database: str, hosts: Sequence[Host], log: Path, stderr: Path) -> Iterator[Workers]:
    """A worker on each host, told to leave in the end."""
    workers: Workers = {}
    with stderr.open("w") as said:
        for host in hosts:
            there = database.replace(server.host, host.server)
            command = [*host.inside, sys.executable, "-m", "tests.torture.servers", there, str(log), "--serve"]
            workers[host] = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=said)
    try:
        yield workers
    finally:
        for process in workers.values():
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(60) for process in workers.values()]
    assert codes == [0] * len(workers), f"the workers left with {codes}: {stderr.read_text()[-2_000:]}"


@contextmanager
def clients(database: str) -> Iterator[Wave]:
    """Starts a wave of runs each time it is called; waits for the clients in the end."""
    threads: list[threading.Thread] = []

    def wave(chance: random.Random) -> None:
        number, own = len(threads), random.Random(chance.random())
        threads.append(threading.Thread(target=lambda: storm.visit(database, number, own)))
        threads[-1].start()
        assert not until(lambda: int(ask(database, "SELECT count(*) FROM runs")[0][0]) > number * storm.RUNS, "no wave", 30)

    try:
        yield wave
    finally:
        for thread in threads:
            thread.join(PEACE_SECONDS)
