"""`fork`, and `resolve` of what a fork asks, from a shell."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flowkit
from tests.cli.conftest import Cli

Data = Callable[..., Any]

APP = str(Path(__file__).with_name("whatif.py"))


@pytest.fixture
def app(cli: Cli) -> str:
    """The APP, with a run of it that has ended."""
    assert cli("run", f"{APP}:trade", '"tea"', "--id", "o-1").exit_code == 0
    return APP


def _worked_on(data: Data, id: str) -> None:
    """Work on the run until it asks or has ended."""
    from tests.cli import whatif

    with flowkit.open("flowkit.db", workflows=[whatif.trade]):
        until = time.monotonic() + 8
        while data("show", id)["status"] in ("pending", "running") and time.monotonic() < until:
            time.sleep(0.02)


def test_a_fork_is_made_and_says_of_what(data: Data, app: str) -> None:
    made = data("fork", "o-1", "price", "--value", "250", "--app", app, "--id", "o-2")

    assert made == {"id": "o-2", "fork_of": "o-1", "at": "price", "status": "pending"}
    assert data("show", "o-2")["tags"] == ["fork"]


def test_it_asks_in_lists_and_on_its_own_and_is_answered(cli: Cli, data: Data, app: str) -> None:
    cli("fork", "o-1", "1", "--value", "250", "--id", "o-2")
    _worked_on(data, "o-2")

    assert data("list", "--tag", "fork")["runs"][0]["error"] == "asks: run `charge` for real, or give its result"
    assert "asks: run `charge` for real" in cli("list").stdout
    shown = cli("show", "o-2")
    assert "run `charge` for real, or give its result" in shown.stdout
    assert "flowkit resolve o-2 charge --real|--nothing|--value JSON --reason TEXT" in shown.stderr

    given = data("resolve", "o-2", "--value", '"by phone"', "--reason", "made up", "--app", app)

    assert given == {"id": "o-2", "before": "paused", "status": "pending"}
    assert cli("run", f"{app}:trade", '"tea"', "--id", "o-2").stdout.strip() == '"by phone"'


def test_what_is_asked_is_run_for_real(cli: Cli, data: Data, app: str) -> None:
    cli("fork", "o-1", "price", "--value", "250", "--id", "o-2")
    _worked_on(data, "o-2")

    assert cli("resolve", "o-2", "charge", "--real", "--reason", "a test account").exit_code == 0

    assert cli("run", f"{app}:trade", '"tea"', "--id", "o-2").stdout.strip() == '"receipt for 250"'


def test_an_error_is_raised_instead(cli: Cli, app: str) -> None:
    cli("fork", "o-1", "charge", "--raise", "Declined", "--text", "no credit", "--app", app, "--id", "o-2")

    ended = cli("run", f"{app}:trade", '"tea"', "--id", "o-2")

    assert (ended.exit_code, "Declined: no credit" in ended.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["price"], 2, "exactly one of --value"),
        (["price", "--value", "1", "--nothing"], 2, "exactly one of --value"),
        (["prise", "--value", "1"], 2, "Did you mean 'price'"),
        (["price", "--value", "{"], 2, "is not JSON"),
        (["price", "--value", '"dear"', "--app", APP], 2, "does not fit `int`"),
        (["price", "--message", "1"], 2, "is a step"),
        (["price", "--value", "1", "--id", "o-1"], 2, "exists already"),
        (["price", "--value", "1", "--text", "no"], 2, "--text goes with --raise"),
        (["price", "--nothing", "--name", "address"], 2, "--name goes with --message"),
    ],
)
def test_what_cannot_be_is_refused(cli: Cli, data: Data, app: str, words: list[str], code: int, why: str) -> None:
    result = cli("fork", "o-1", *words)

    assert result.exit_code == code, result.stderr
    assert why in result.stderr
    assert data("list", "--tag", "fork")["runs"] == []


def test_an_unknown_run_is_not_found(cli: Cli, app: str) -> None:
    assert cli("fork", "o-9", "price", "--value", "1").exit_code == 3


def test_who_waits_for_a_fork_is_told_what_it_asks(cli: Cli, spawn: Callable[..., subprocess.Popen[str]], app: str) -> None:
    cli("fork", "o-1", "1", "--value", "250", "--id", "o-2")

    child = spawn("run", f"{app}:trade", '"tea"', "--id", "o-2")

    assert child.stderr is not None
    assert child.stderr.readline() == "run o-2 asks: run `charge` for real, or give its result: `flowkit resolve o-2` answers\n"
