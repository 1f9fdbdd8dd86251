"""F17: runs that sleep cost nothing but their rows, and wake in time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Workflow
from tests.house.source import ROOT
from tests.runtime.waiting import until
from tests.support import require
from tests.torture.sleepers import SOME, multiply, naps, sleeps
from tests.torture.trials import LONG, Torture

SLEEPERS = 1_000_000 if LONG else 50_000
BYTES_EACH = 640
"""The aim is 450, input and indexes included; hashes of input and code in full length stand in the way."""
WAKES_A_SECOND = 700
"""Of the processor's time; the aim is 5,000 of anybody's."""
SLACK = 1.0 if LONG else 10.0
"""How much slower a wake may be beside other tests, which a run of hours is not disturbed by."""


def sleeping(database: Path, flow: Workflow[[], Any], count: int) -> int:
    """A file with that many sleepers, and the bytes that each of them takes."""
    with flowkit.open(database) as fk:
        run = fk.start("sleeper", flow)
        until(lambda: run.status() == "sleeping")
    empty = database.stat().st_size
    multiply(database, "sleeper", count)
    with flowkit.open(database, worker=False):  # which writes the log into the file when it closes
        pass
    return (database.stat().st_size - empty) // count


def cost_of(task: str, database: Path) -> Any:
    """What a process of its own has measured."""
    command = [sys.executable, "-m", "tests.torture.sleepers", task, str(database)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_sleepers_take_no_time_to_open_and_no_memory(torture: Torture) -> None:
    require(Path("/proc/self/status").exists(), "only Linux says how much memory a process has")
    with torture("F17", ci=1, long=1) as fault:
        for trial in fault.trials():
            sleeping(trial.folder / "sleepers.db", sleeps, SLEEPERS)
            costs = [cost_of("open", trial.folder / "sleepers.db") for _ in range(2)]
            cost = min(costs, key=lambda cost: cost["opened"])  # the other one may have shared the machine
            trial.injected, trial.checked = SLEEPERS, 3
            print(f"F17: {SLEEPERS:,} sleepers opened in {cost['opened']:.3f} s")
            trial.found([] if cost["opened"] < 0.5 else [f"opening took {cost['opened']} s"])
            grown = cost["after"] - cost["before"]
            trial.found([] if grown < 20_000 else [f"{grown} kB of memory for sleepers"])
            woken = cost["output"] == "drowsy!" and cost["woken"] < 1.0
            trial.found([] if woken else [f"woken after {cost['woken']} s with {cost['output']!r}"])


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_all_sleepers_fire_at_once_and_each_ends_and_took_little_room(torture: Torture) -> None:
    require(Path("/proc/self/status").exists(), "only Linux says how much memory a process has")
    count = SLEEPERS if LONG else SLEEPERS // 5
    with torture("F17", ci=1, long=1) as fault:
        for trial in fault.trials():
            each = sleeping(trial.folder / "sleepers.db", naps, count)
            cost = cost_of("fire", trial.folder / "sleepers.db")
            speed, beside = cost["every"] / cost["busy"], cost["every"] / cost["seconds"]
            trial.injected, trial.checked = cost["every"], cost["done"]
            print(f"F17: {cost['every']:,} wakes at once, {beside:,.0f} a second ({speed:,.0f} of processor)")
            print(f"F17: grown by {cost['grown']} kB; {each} bytes of file each")
            trial.found([] if each <= BYTES_EACH else [f"a sleeper takes {each} bytes of the file"])
            trial.found([] if cost["done"] == count + 1 else [f"{cost['done']} of {count + 1} sleepers ended"])
            trial.found([] if cost["grown"] < 30_000 else [f"the worker grew by {cost['grown']} kB"])
            trial.found([] if speed >= WAKES_A_SECOND else [f"{speed:.0f} wakes a second of the processor"])


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_sleeper_among_many_wakes_in_time(torture: Torture) -> None:
    with torture("F17", ci=1, long=1) as fault:
        for trial in fault.trials():
            sleeping(trial.folder / "sleepers.db", naps, SLEEPERS)
            late = cost_of("wake", trial.folder / "sleepers.db")["late"]
            trial.injected, trial.checked = SOME, len(late)
            print(f"F17: wakes are late by {late[len(late) // 2] * 1e3:.0f} ms, the last hundredth by {late[-2] * 1e3:.0f} ms")
            trial.found([] if len(late) == SOME else [f"{len(late)} of {SOME} woke, or others with them"])
            trial.found([] if late[0] >= 0 else [f"one woke {-late[0]} s before its time"])
            trial.found([] if late[len(late) // 2] < 0.05 * SLACK else [f"half of them were late by {late[len(late) // 2]} s"])
            trial.found([] if late[-1] < 1.0 + 0.1 * SLACK else [f"one was late by {late[-1]} s"])
