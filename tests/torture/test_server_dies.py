"""F11: a server that dies and comes back, and one that ends connections, lose nothing and make nothing happen twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from tests.house.source import ROOT
from tests.postgres.server import NEWEST, VERSIONS, Server, new_database, owned
from tests.support import require
from tests.torture.checker import check
from tests.torture.errands import ERRANDS
from tests.torture.kept import kept, resumed
from tests.torture.log import read_log
from tests.torture.trials import BRIEF, LONG, Torture, Trial

RUNS = 20
MANY_RUNS = 80
SECONDS_UP = (0.3, 1.5 if not LONG else 3.0)
SECONDS_BETWEEN_BLOWS = (0.005, 0.06)
RESTARTS = 1 if BRIEF else 3
"""How often the server dies in a trial."""

_TERMINATE = """
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1
    ) AS chosen
"""


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 200)
@pytest.mark.parametrize("version", VERSIONS[1:] if LONG else (NEWEST,))
def test_a_server_that_dies_again_and_again_loses_nothing_that_it_acknowledged(torture: Torture, version: str) -> None:
    with torture("F11", ci=8, long=300 // RESTARTS, seconds=12.0) as fault, owned(version) as server:
        for trial in fault.trials():

            def blow(trial: Trial = trial) -> None:
                time.sleep(trial.chance.uniform(*SECONDS_UP))
                server.crash()
                server.start()

            play(trial, server, blow, RESTARTS)


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 200)
@pytest.mark.parametrize("version", VERSIONS[1:] if LONG else (NEWEST,))
def test_connections_that_the_server_ends_between_two_statements_lose_nothing(torture: Torture, version: str) -> None:
    with torture("F11", ci=10, long=200, seconds=8.0) as fault, owned(version) as server:
        for trial in fault.trials():
            name = f"trial_{trial.seed}"

            def blow(trial: Trial = trial, name: str = name) -> None:
                time.sleep(trial.chance.uniform(*SECONDS_BETWEEN_BLOWS))
                server.ask(_TERMINATE, name)

            play(trial, server, blow, 40)


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 200)
def test_a_server_whose_disk_is_full_for_a_while_loses_nothing_that_it_acknowledged(torture: Torture) -> None:
    require(hasattr(os, "geteuid") and os.geteuid() == 0, "a small disk needs root")
    wal = {"max_wal_size": "8MB", "min_wal_size": "2MB"}
    with torture("F7", ci=2, long=100, seconds=8.0) as fault, owned(megabytes=80, **wal) as server:
        for trial in fault.trials():

            def blow(trial: Trial = trial) -> None:
                time.sleep(trial.chance.uniform(0.1, 0.5))
                with filled(server.folder / "disk"):
                    time.sleep(trial.chance.uniform(0.5, 1.5))
                if not answers(server):  # it gives up if there is no room for its log
                    server.start(**wal)

            play(trial, server, blow, RESTARTS, ("no", "unknown"), runs=MANY_RUNS)
            server.ask(f"DROP DATABASE trial_{trial.seed} WITH (FORCE)")


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """No byte is free on this disk meanwhile."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65_536)
    try:
        yield
    finally:
        filler.unlink()


def answers(server: Server) -> bool:
    """Whether it does, or will as soon as it has recovered by itself."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            return bool(server.ask("SELECT 1"))
        except psycopg.OperationalError:
            if not is_running(server):
                return False
            time.sleep(0.05)
    return False


def is_running(server: Server) -> bool:
    """Whether its first process is there."""
    try:
        os.kill(server.pid, 0)
    except (OSError, ValueError):
        return False
    return True


def play(
    trial: Trial, server: Server, blow: Callable[[], None], blows: int, outcomes: Sequence[str] = ("unknown",),
    *, runs: int = RUNS,
) -> None:  # fmt: skip
    """Errands, disturbed `blows` times or until they are done; then everything must be as if nothing had been."""
    database, log, stderr = new_database(server, name=f"trial_{trial.seed}"), trial.folder / "log", trial.folder / "stderr"
    with stderr.open("w") as said:
        command = [sys.executable, "-m", "tests.torture.servers", database, str(log), "--runs", str(runs)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=said, stdin=subprocess.DEVNULL)
    begun(process, log)
    while process.poll() is None and trial.injected < blows:
        blow()
        trial.injected += 1
    code = process.wait(90)
    logged = read_log(log)
    shown = any(note[0] == "red" and note[1] in outcomes for note in logged.notes)
    trial.control(shown, "a write must fail, and be said to be " + " or ".join(outcomes) + ", at least once")
    trial.acked += logged.acks
    trial.checked += len(logged.started)
    trial.found([f"C8: the errands ended with {code}: {stderr.read_text()[-2_000:]}"] if code else [])
    trial.found(kept(database, log))
    trial.found(resumed(database, log))
    trial.found(check(database, log, ERRANDS, stderr=stderr.read_text()))


def begun(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until something has been acknowledged, so that there is something to lose."""
    end = time.monotonic() + 30
    while process.poll() is None and not (log.exists() and "ack start" in log.read_text()):
        assert time.monotonic() < end, "the errands do not begin"
        time.sleep(0.01)
