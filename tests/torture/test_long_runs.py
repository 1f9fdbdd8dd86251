"""F18: the ten-thousandth step of a run costs what the thousandth did, and a loop without end keeps few rows."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house.source import ROOT
from tests.torture.trials import LONG, Torture

STEPS = 100_000 if LONG else 20_000
TURNS = 1_000_000 if LONG else 10_000
RESUME_SECONDS = 2.0
RESUMED_STEPS = 100_000
UNEVEN = 1.2 if LONG else 1.5
"""How much more a late step may cost than an early one; beside other tests a processor is no exact clock."""
SLACK = 1.0 if LONG else 2.0
MOST_ROWS = 200


def cost_of(kind: str, database: Path, count: int) -> Any:
    """What a process of its own has measured."""
    command = [sys.executable, "-m", "tests.torture.long_runs", kind, str(database), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def unevenness(stretches: list[float]) -> float:
    """How the later half of all stretches compares with the earlier one, from the second on."""
    even = stretches[1:]
    return statistics.median(even[len(even) // 2 :]) / statistics.median(even[: len(even) // 2])


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_late_step_costs_what_an_early_one_did(torture: Torture) -> None:
    with torture("F18", ci=1, long=1) as fault:
        for trial in fault.trials():
            cost = cost_of("chain", trial.folder / "long.db", STEPS)
            uneven = unevenness(cost["stretches"])
            trial.injected, trial.checked = STEPS, len(cost["stretches"])
            print(f"F18: {STEPS:,} steps, the later half × {uneven:.2f}, resumed with {cost['resumed']:.2f} s of processor")
            trial.found([] if cost["output"] == STEPS * (STEPS - 1) // 2 else [f"the output is {cost['output']}"])
            trial.found([] if cost["rows"] == STEPS + 1 else [f"{cost['rows']} entries for {STEPS} steps and a message"])
            trial.found([] if uneven <= UNEVEN else [f"late steps cost {uneven:.2f} of early ones: {cost['stretches']}"])
            most = RESUME_SECONDS * STEPS / RESUMED_STEPS * SLACK
            trial.found([] if cost["resumed"] <= most else [f"resuming took {cost['resumed']:.2f} s, and may take {most:.2f}"])


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_loop_without_end_keeps_few_rows(torture: Torture) -> None:
    with torture("F18", ci=1, long=1) as fault:
        for trial in fault.trials():
            cost = cost_of("loop", trial.folder / "loop.db", TURNS)
            uneven = unevenness(cost["stretches"])
            trial.injected, trial.checked = TURNS, len(cost["stretches"])
            print(f"F18: {TURNS:,} turns, at most {cost['most']} rows, {cost['bytes']:,} bytes, later half × {uneven:.2f}")
            trial.found([] if cost["output"] == TURNS else [f"the output is {cost['output']}"])
            trial.found([] if cost["most"] <= MOST_ROWS else [f"the loop left {cost['most']} rows"])
            trial.found([] if cost["bytes"] < 2_000_000 else [f"the file has {cost['bytes']:,} bytes"])
            trial.found([] if uneven <= UNEVEN else [f"late turns cost {uneven:.2f} of early ones: {cost['stretches']}"])
            trial.found([] if cost["resumed"] < 1.0 else [f"resuming took {cost['resumed']:.2f} s of processor"])
