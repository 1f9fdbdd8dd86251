"""The shop in trouble: its runs come to the states that the demo promises, and its mistake is where the demo says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowkit.client import Flowkit
from flowkit.drivers import open_driver

DEMO = Path(__file__).parents[2] / "examples/demo_dev.py"


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, DEMO, folder, "--port", "0", *options], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_the_demo_makes_its_runs_serves_them_and_ends_by_itself(tmp_path: Path) -> None:
    result = demo(tmp_path, "--seconds", "3")

    with Flowkit(open_driver(tmp_path / "shop.db"), worker=False, workflows=()) as client:
        runs = {run.id: run.status for run in client.runs()}
        undone = [entry.status for entry in client.get("order-5").history() if entry.location == "charge"]
        tried = [(entry.status, entry.attempts) for entry in client.get("order-6").history() if entry.location == "charge"]
    assert (result.returncode, result.stderr) == (0, "")
    assert runs == {
        "order-1": "blocked",
        "order-2": "completed",
        "order-3": "sleeping",
        "order-4": "sleeping",
        "order-5": "failed",
        "order-6": "failed",
    }
    assert (undone, tried) == (["rolled_back"], [("exhausted", 3)])
    assert 'removed("validate", "step")' in result.stdout
    assert "http://localhost:" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_a_shop_that_is_there_is_kept_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("mine = True\n")

    result = demo(tmp_path, "--seconds", "2")

    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "shop.py").read_text() == "mine = True\n"
    assert "mend line" not in result.stdout
