"""F2: `kill -9` at random moments loses nothing, repeats nothing that was recorded, and stops nothing for good."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.postgres.server import new_database, owned
from tests.torture.checker import check
from tests.torture.log import Logged, read_log
from tests.torture.stores import BRISK, Database, ask
from tests.torture.storm import WORKFLOWS
from tests.torture.trials import BRIEF, LONG, Torture

KILLS = 12 if BRIEF else 75
KILLS_ON_A_SERVER = 10
RESUMED_SECONDS = 1.0


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 300)
def test_three_hundred_kills_lose_nothing_and_repeat_nothing_that_was_recorded(torture: Torture) -> None:
    with torture("F2", ci=4, long=10_000 // KILLS, seconds=10.0) as fault:
        for trial in fault.trials():
            database, log = trial.folder / "storm.db", trial.folder / "log"

            code, stderr = blown(database, log, trial.seed, KILLS)

            logged = read_log(log)
            trial.injected += logged.kills
            trial.acked += logged.acks
            trial.checked += len(logged.started)
            trial.found(check(database, log, WORKFLOWS, stderr=stderr))
            trial.found(resumed_late(logged, cancelled_in(database), overbooked()))
            trial.found([f"C8: not every run has ended, or a process did not leave in peace: {stderr}"] if code else [])
            trial.found([f"the storm was no storm: {logged.kills} kills"] if logged.kills != KILLS else [])


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 300)
def test_kills_of_workers_on_a_server_lose_nothing_and_repeat_nothing_that_was_recorded(torture: Torture) -> None:
    with torture("F2", ci=2, long=2_000 // KILLS_ON_A_SERVER, seconds=10.0) as fault, owned() as server:
        for trial in fault.trials():
            database, log = new_database(server, tables=True), trial.folder / "log"

            code, stderr = blown(database, log, trial.seed, KILLS_ON_A_SERVER)

            logged = read_log(log)
            trial.injected += logged.kills
            trial.acked += logged.acks
            trial.checked += len(logged.started)
            trial.found(check(database, log, WORKFLOWS, stderr=stderr))
            late = RESUMED_SECONDS + BRISK.lease + BRISK.poll + BRISK.reap
            trial.found(resumed_late(logged, cancelled_in(database), overbooked(), late))
            trial.found([f"C8: not every run has ended, or a process did not leave in peace: {stderr}"] if code else [])
            trial.found([f"the storm was no storm: {logged.kills} kills"] if logged.kills != KILLS_ON_A_SERVER else [])


def blown(database: Database, log: Path, seed: int, kills: int, *options: str) -> tuple[int, str]:
    """Exit code and stderr of a storm in a process of its own."""
    command = [sys.executable, "-m", "tests.torture.storm", str(database), str(log), "--seed", str(seed), "--kills", str(kills)]
    command += options
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def cancelled_in(database: Database) -> set[int]:
    """The numbers of the runs that were cancelled."""
    return {row[0] for row in ask(database, "SELECT seq FROM runs WHERE status = 'cancelled'")}


def overbooked() -> float:
    """How many processes want each processor, at least one."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def resumed_late(logged: Logged, cancelled: set[int], overbooked: float = 1.0, seconds: float = RESUMED_SECONDS) -> Iterator[str]:
    """L2: each run of a killed worker is claimed within `seconds` of another worker's life, unless it was cancelled before.

    On a machine that is `overbooked` by others it takes as many times longer: nobody there has a whole second.
    """
    born = {note[1]: float(note[2]) for note in logged.notes if note[0] == "born"}
    died = {note[1]: float(note[2]) for note in logged.notes if note[0] == "killed"}
    for note in logged.notes:
        if note[0] != "killed":
            continue
        for held in note[3:]:
            run, epoch = map(int, held.split(":"))
            later = [at for claimed, at in logged.claims.get(run, []) if claimed > epoch]
            if not later and run not in cancelled:
                yield f"L2: run number {run} lost its worker, and none ever took it"
            if not later:
                continue
            longest = max(min(later[0], died.get(pid, later[0])) - max(died[note[1]], at) for pid, at in born.items())
            if longest > seconds * overbooked:
                yield f"L2: run number {run} was left lying for {longest:.2f} s while a worker lived"


@pytest.mark.parametrize(
    ("claimed_at", "violation"),
    [("9.9", []), ("10.8", []), ("11.5", ["L2: run number 3 was left lying for 1.50 s while a worker lived"])],
)
def test_a_run_that_is_left_lying_while_a_worker_lives_is_a_violation(
    tmp_path: Path, claimed_at: str, violation: list[str]
) -> None:
    lines = ["note born 1 9.0", "note born 2 9.5", "note killed 1 10.0 3:7", f"claim 3 8 {claimed_at}"]
    (tmp_path / "log").write_text("\n".join(lines))

    assert list(resumed_late(read_log(tmp_path / "log"), set())) == violation


def test_a_run_that_is_never_claimed_again_is_a_violation_unless_it_was_cancelled(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("note born 1 9.0\nnote born 2 9.5\nnote killed 1 10.0 3:7")
    logged = read_log(tmp_path / "log")

    assert list(resumed_late(logged, set())) == ["L2: run number 3 lost its worker, and none ever took it"]
    assert list(resumed_late(logged, {3})) == []
