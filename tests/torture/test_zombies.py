"""F3: a stopped worker that was declared dead comes back and changes nothing; one that holds the gate makes others wait."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.postgres.server import emptied_database
from tests.torture.checker import check
from tests.torture.errands import ERRANDS
from tests.torture.kept import kept
from tests.torture.log import read_log
from tests.torture.stores import Database
from tests.torture.trials import Torture, Trial


@pytest.fixture
def parent() -> Iterator["subprocess.Popen[str]"]:
    """The process that forks victims."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.zombies"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def play(parent: "subprocess.Popen[str]", folder: Path, seed: int, url: str = "") -> dict[str, Any]:
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(f"{folder} {seed} {url}\n")
    parent.stdin.flush()
    told: dict[str, Any] = json.loads(parent.stdout.readline())
    return told


def but_for_the_zombie(found: list[str], log: Path, zombie: int) -> list[str]:
    """Without those second runs of a body that the zombie began before it could know that it was dead: I6 allows them."""
    lines = [line.split() for line in log.read_text().splitlines() if line.startswith("run ")]
    tokens = {token for _, _, _, pid, token in lines if int(pid) == zombie}
    return [sentence for sentence in found if "ran again" not in sentence or not any(token in sentence for token in tokens)]


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_worker_that_comes_back_from_the_dead_changes_nothing(torture: Torture, parent: "subprocess.Popen[str]") -> None:
    with torture("F3", ci=50, long=1_000, seconds=12) as fault:
        for trial in fault.trials():
            judge(trial, trial.folder / "errands.db", play(parent, trial.folder, trial.seed))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_worker_that_comes_back_to_a_server_changes_nothing(torture: Torture, parent: "subprocess.Popen[str]") -> None:
    with torture("F3", ci=50, long=1_000, seconds=12) as fault:
        for trial in fault.trials():
            url = emptied_database()
            judge(trial, url, play(parent, trial.folder, trial.seed, url))


def judge(trial: Trial, database: Database, told: dict[str, Any]) -> None:
    """Nothing but what a zombie may do has come of it."""
    log = trial.folder / "log"
    logged = read_log(log)
    trial.injected += told["stopped"]
    trial.acked += logged.acks
    trial.checked += 1
    lost = any(note[0] == "lost" for note in logged.notes)
    trial.control(lost, "a write of the one that came back must be lost, at least once")
    trial.found(told["found"])
    found = [*kept(database, log), *check(database, log, ERRANDS, stderr=(trial.folder / "stderr").read_text())]
    trial.found(but_for_the_zombie(found, log, told["victim"]))
