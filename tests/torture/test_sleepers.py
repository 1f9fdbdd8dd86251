"""F17: runs that sleep cost nothing but their rows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flowkit
from tests.house.source import ROOT
from tests.runtime.waiting import until
from tests.support import require
from tests.torture.sleepers import multiply, sleeps

SLEEPERS = 1_000_000 if os.environ.get("FLOWKIT_TORTURE") == "long" else 100_000


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_hundred_thousand_sleepers_take_no_time_to_open_and_no_memory(tmp_path: Path) -> None:
    require(Path("/proc/self/status").exists(), "only Linux says how much memory a process has")
    database = tmp_path / "sleepers.db"
    with flowkit.open(database) as fk:
        run = fk.start("sleeper", sleeps)
        until(lambda: run.status() == "sleeping")
    multiply(database, "sleeper", SLEEPERS)

    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.sleepers", str(database)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    cost = json.loads(done.stdout)
    assert cost["opened"] < 0.5
    assert cost["after"] - cost["before"] < 20_000
    assert (cost["output"], cost["woken"] < 1.0) == ("drowsy!", True)
