"""`prune`, and `doctor --settings`: what is in force, and what goes when its time is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit.cli.failure import STORE, USAGE
from tests.cli.conftest import Cli

Data = Callable[..., Any]


# --- prune ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("known")
def test_a_dry_run_says_what_would_go_and_deletes_nothing(cli: Cli, data: Data) -> None:
    result = cli("prune", "--older-than", "0s", "--dry-run")

    assert (result.exit_code, result.stdout) == (0, "would delete 2 runs\n  fail  failed  1\n  greet  completed  1\n")
    assert len(data("list")["runs"]) == 3


@pytest.mark.usefixtures("known")
def test_prune_deletes_what_ended_long_enough_ago(cli: Cli, data: Data) -> None:
    assert cli("prune", "--older-than", "1d").stdout == "nothing to prune\n"
    assert data("prune", "--older-than", "0s", "--status", "failed") == {
        "dry_run": False, "runs": 1, "counts": [{"workflow": "fail", "status": "failed", "runs": 1}],
    }  # fmt: skip
    assert data("prune", "--older-than", "0s", "--workflow", "greet")["runs"] == 1
    assert [run["id"] for run in data("list")["runs"]] == ["w-1"]


@pytest.mark.usefixtures("known")
def test_prune_without_an_age_goes_by_retention(cli: Cli, data: Data, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data("prune")["runs"] == 0
    monkeypatch.setenv("FLOWKIT_RETENTION", "greet/completed=0s, failed=30d")
    cli("run", f"{shop}:greet", '"bob"', "--id", "g-2")

    assert data("prune")["counts"] == [{"workflow": "greet", "status": "completed", "runs": 1}]
    assert "g-1" in [run["id"] for run in data("list")["runs"]]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--older-than", "soon"], USAGE, "--older-than 'soon' is not a length of time"),
        (["--status", "running"], USAGE, "'running' is not one of"),
        (["--older-than", "1d"], STORE, "there is no database"),
    ],
)
def test_what_cannot_be_pruned_is_one_line(cli: Cli, shop: str, args: list[str], code: int, said: str) -> None:
    if code == USAGE:
        cli("start", f"{shop}:wait", "--id", "w-1")

    result = cli("prune", *args)

    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


# --- settings -------------------------------------------------------------------------------------------------------


def test_doctor_lists_all_settings_and_their_sources(cli: Cli, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pyproject.toml").write_text('[tool.flowkit]\nlease = "30s"\n')
    monkeypatch.setenv("FLOWKIT_POLL", "2s")

    facts = data("doctor", "--settings")["settings"]

    assert facts["poll"] == {
        "value": 2.0, "unit": "seconds", "range": "10ms to 1m", "source": "environment FLOWKIT_POLL",
    }  # fmt: skip
    assert facts["lease"]["source"].endswith("pyproject.toml [tool.flowkit]")
    assert facts["grace"]["source"] == "default"
    assert "poll" in cli("doctor", "--settings").stdout


@pytest.mark.usefixtures("known")
def test_doctor_shows_what_differs_from_the_defaults(cli: Cli, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_POLL", "2s")

    said = cli("doctor").stdout

    assert "2s  (environment FLOWKIT_POLL)" in said
    assert "settings are as by default" in said
    assert "lease" not in said
    assert data("doctor")["settings"]["poll"]["value"] == 2.0


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("FLOWKIT_POLL", "soon", "setting poll (environment FLOWKIT_POLL): 'soon' cannot be read; it is 10ms to 1m"),
        ("FLOWKIT_POLL", "2h", "setting poll (environment FLOWKIT_POLL): '2h' is out of range; it is 10ms to 1m"),
        ("FLOWKIT_PULL", "1", "there is no setting 'pull' (environment FLOWKIT_PULL); did you mean poll, 10ms to 1m?"),
    ],
)
@pytest.mark.parametrize("command", ["list", "start", "doctor"])
def test_with_a_wrong_setting_nothing_starts(
    cli: Cli, shop: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str, command: str
) -> None:
    monkeypatch.setenv(variable, value)

    result = cli(command, *([f"{shop}:wait", "--id", "w-1"] if command == "start" else []))

    assert (result.exit_code, result.stdout, result.stderr) == (USAGE, "", f"flowkit: {said}\n")
    assert not Path("flowkit.db").exists()


def test_the_project_of_the_folder_is_asked(cli: Cli) -> None:
    Path("pyproject.toml").write_text('[tool.flowkit]\npoll = "soon"\n')

    result = cli("list")

    assert result.exit_code == USAGE
    assert "pyproject.toml [tool.flowkit]): 'soon' cannot be read" in result.stderr
