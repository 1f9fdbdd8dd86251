"""`doctor`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

Data = Callable[..., Any]


@pytest.mark.usefixtures("known")
def test_a_healthy_database_is_called_well(cli: Cli) -> None:
    result = cli("doctor", "--full")

    assert result.exit_code == 0
    assert "✓ the database is well" in result.stdout
    assert "recover" in result.stdout


@pytest.mark.usefixtures("known")
def test_the_facts_are_there_as_json(data: Data) -> None:
    facts = data("doctor")

    assert facts["runs"] == {"completed": 1, "failed": 1, "pending": 1}
    assert (facts["integrity"], facts["healthy"], facts["workers"]) == ("ok", True, [])
    assert facts["next_due"]["id"] == "w-1"
    assert facts["file_bytes"] > 0
    assert Path(facts["lock_folder"]).name == "flowkit.db-locks"


@pytest.mark.usefixtures("known")
def test_live_workers_are_told(data: Data, spawn: Callable[..., subprocess.Popen[str]], shop: str) -> None:
    worker = spawn("worker", f"{shop}:greet", "--json")
    worker.stdout.readline()

    facts = data("doctor")

    assert [(each["pid"], each["alive"]) for each in facts["workers"]] == [(worker.pid, True)]


@pytest.mark.usefixtures("known")
def test_a_worker_that_was_killed_is_told_as_dead(data: Data, spawn: Callable[..., subprocess.Popen[str]], shop: str) -> None:
    worker = spawn("worker", f"{shop}:greet", "--json")
    worker.stdout.readline()
    worker.kill()
    worker.wait()

    facts = data("doctor")

    assert [(each["pid"], each["alive"]) for each in facts["workers"]] == [(worker.pid, False)]
