"""The harness itself: what it counts, when it stops, what it says, and that it cannot stay green by doing nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.torture import trials
from tests.torture.report import faults_of, merged, table
from tests.torture.trials import Torture, Trial, past_seeds


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the outer run was told, these faults are told nothing."""
    for name in ("SEED", "DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trials, "KEPT", tmp_path / "kept")


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """The rows that were reported."""
    return []


@pytest.fixture
def make(tmp_path: Path, rows: list[dict[str, Any]]) -> Torture:
    """A harness of its own."""
    return Torture(tmp_path, "scenario", rows.append)


def play(make: Torture, count: int, act: Callable[[Trial], None]) -> None:
    """`count` trials of a fault, each doing `act`."""
    with make("F99", ci=count, long=count) as fault:
        for trial in fault.trials():
            act(trial)


def test_a_fault_plays_as_many_seeds_as_it_is_told_and_counts(make: Torture, rows: list[dict[str, Any]]) -> None:
    with make("F99", ci=5, long=5) as fault:
        for trial in fault.trials():
            trial.injected += 1
            trial.acked += 2
            trial.checked += 3

    (row,) = rows
    assert (row["trials"], row["injected"], row["acked"], row["checked"], row["violations"]) == (5, 5, 10, 15, 0)


def test_the_first_violation_ends_the_fault_and_keeps_its_folder(
    make: Torture, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    played: list[Path] = []

    def act(trial: Trial) -> None:
        played.append(trial.folder)
        trial.found(["C1: something is gone"] if len(played) == 2 else [])

    with pytest.raises(AssertionError, match="replay: make torture F=F99 SEED=") as caught:
        play(make, 9, act)

    assert "C1: something is gone" in str(caught.value)
    assert not any(folder.exists() for folder in played)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert (rows[0]["violations"], rows[0]["trials"]) == (1, 2)


def test_what_failed_leaves_the_file_that_makes_it_a_regression(make: Torture, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        play(make, 9, lambda trial: trial.found(["C1: something is gone"]))

    (written,) = tmp_path.rglob("F99-*.json")
    known = json.loads(written.read_text())
    assert past_seeds("F99", "scenario", written.parent) == [known["seed"]]
    assert past_seeds("F99", "another test", written.parent) == []


def test_an_error_inside_a_trial_is_a_violation_and_says_how_to_play_it_again(make: Torture, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        play(make, 9, lambda trial: trial.found([str(1 / 0)]))

    assert "replay: make torture F=F99 SEED=" in caught.value.__notes__[0]
    assert rows[0]["violations"] == 1


def test_a_control_that_shows_nothing_is_a_failure(make: Torture) -> None:
    with pytest.raises(AssertionError, match="proves nothing: without the guard"):
        play(make, 3, lambda trial: trial.control([], "without the guard"))


def test_a_control_that_shows_something_once_is_enough(make: Torture, rows: list[dict[str, Any]]) -> None:
    with make("F99", ci=3, long=3) as fault:
        for number, trial in enumerate(fault.trials()):
            trial.control(["lost"] if number == 1 else [], "without the guard")

    assert rows[0]["violations"] == 0


def test_a_fault_whose_time_is_up_goes_on_until_its_control_has_shown(make: Torture, rows: list[dict[str, Any]]) -> None:
    with make("F99", ci=500, long=500, seconds=0.12 / trials.SHARE) as fault:
        began = time.monotonic()
        for trial in fault.trials():
            time.sleep(0.01)
            trial.control(time.monotonic() - began > 0.3, "without the guard")

    assert rows[0]["violations"] == 0
    assert 0.3 < time.monotonic() - began < 0.8


def test_a_fault_without_a_trial_is_a_failure(make: Torture) -> None:
    with pytest.raises(AssertionError, match="played no trial"):
        play(make, 0, lambda trial: None)


def test_one_seed_is_played_alone_and_is_the_same_chance_again(make: Torture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "81234")
    drawn: list[float] = []

    for _ in range(2):
        with make("F99", ci=50, long=50) as fault:
            drawn += [trial.chance.random() for trial in fault.trials()]

    assert len(drawn) == 2
    assert drawn[0] == drawn[1]


def test_a_test_is_known_by_the_faults_that_it_makes() -> None:
    def test(torture: Torture) -> None:
        torture("F41", ci=1, long=1)
        torture('F42', ci=1, long=1)  # fmt: skip

    assert faults_of(test) == {"F41", "F42"}


def test_rows_of_one_fault_are_one_line_of_the_report() -> None:
    row = {"aim": 9, "injected": 1, "acked": 2, "checked": 3, "violations": 0, "seconds": 0.5, "first_seed": 7, "replay": ""}

    lines = table(
        merged([{"fault": "F10", "trials": 1, **row}, {"fault": "F2", "trials": 2, **row}, {"fault": "F2", "trials": 3, **row}])
    )

    assert [line.split() for line in lines[1:]] == [
        ["F2", "18", "5", "2", "4", "6", "0", "1.0", "7"],
        ["F10", "9", "1", "1", "2", "3", "0", "0.5", "7"],
    ]


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("lanes", [(), ("-n", "2")])
def test_a_run_writes_a_report_of_its_own_faults_only(lanes: tuple[str, ...], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    environment = {**os.environ, "F": "F98", "FLOWKIT_TORTURE_REPORT": str(report)}
    command = [sys.executable, "-m", "pytest", "-q", *lanes, "tests/torture/test_trials.py", "-k", "example"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)

    assert "2 passed" in done.stdout, done.stdout
    assert [(row["fault"], row["trials"]) for row in json.loads(report.read_text())] == [("F98", 4)]


@pytest.mark.parametrize("part", [1, 3])
def test_an_example_in_two_parts(torture: Torture, part: int) -> None:
    with torture("F98", ci=part, long=part) as fault:
        for trial in fault.trials():
            trial.checked += trial.folder.exists()


def test_an_example_of_another_fault(torture: Torture) -> None:
    with torture("F97", ci=1, long=1) as fault:
        for trial in fault.trials():
            trial.checked += 1
