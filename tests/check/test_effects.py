"""A check refuses what workflow code does to the world, and says what and where."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit import receive, workflow
from flowkit.check import check_runs
from flowkit.testing import Lab, MemoryDriver


def unchecked(act: Callable[[], object]) -> list[str]:
    """Why a run could not be checked under code that does `act` between two waits."""

    @workflow(name="flow")
    def old() -> None:
        receive("go")

    @workflow(name="flow")
    def new() -> None:
        try:
            act()
        except Exception:  # as careless code has it
            return
        receive("go")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")
        report = check_runs(driver, {"flow": new})
    return [missed.why for each in report.workflows for missed in each.unchecked]


def connect() -> None:
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))


EFFECTS: dict[str, Callable[[Path], object]] = {
    "opens a socket": lambda folder: connect(),
    "starts a program": lambda folder: subprocess.run([sys.executable, "-c", ""], check=True),
    "forks": lambda folder: os.fork(),
    "writes a file": lambda folder: (folder / "new").write_text("x"),
    "deletes a file": lambda folder: (folder / "old").unlink(),
    "opens a database": lambda folder: sqlite3.connect(folder / "other.db"),
}


@pytest.mark.parametrize("what", EFFECTS)
def test_an_effect_is_refused_and_told_with_its_place(what: str, tmp_path: Path) -> None:
    (tmp_path / "old").touch()

    (why,) = unchecked(lambda: EFFECTS[what](tmp_path))

    assert why.startswith(f"{what} at ")
    assert Path(__file__).name in why
    assert os.listdir(tmp_path) == ["old"]


def test_reading_is_no_effect(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")

    assert unchecked(lambda: (tmp_path / "old").read_text()) == []


def test_effects_are_free_outside_of_a_check(tmp_path: Path) -> None:
    unchecked(lambda: None)

    (tmp_path / "new").write_text("x")

    assert (tmp_path / "new").read_text() == "x"
