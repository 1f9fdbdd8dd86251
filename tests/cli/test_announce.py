"""What a new version says of the open runs before it takes over, and when it does not."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Workflow, receive, step, workflow
from flowkit.cli.failure import Failure
from flowkit.cli.rollout import announce
from flowkit.testing import Lab
from tests.cli.conftest import Cli


@step
def charge() -> str:
    return "paid"


@workflow(name="shop")
def shop() -> Any:
    charge()
    return receive("go").data


@workflow(name="shop")
def without() -> Any:
    return receive("go").data


@workflow(name="shop")
def writes() -> Any:
    Path("written").write_text("a check refuses this")
    return receive("go").data


@workflow(name="trip")
def trip() -> Any:
    charge()
    return receive("go").data


@pytest.fixture
def db(tmp_path: Path) -> str:
    """Two runs of a shop that wait, and one that other code has blocked before."""
    path = str(tmp_path / "runs.db")
    with Lab(path) as lab:
        for id in ("held", "a", "b"):
            lab.start(id, shop)
            lab.run_once(id)
        lab.run_once("held", workflow=without)
        lab.start("t", trip)
        lab.run_once("t")
    return path


def statuses(db: str) -> dict[str, str]:
    with flowkit.open(db, worker=False) as fk:
        return {item.id: item.status for item in fk.runs()}


def announced(db: str, code: Workflow[..., Any], hold_if: int | None, capsys: pytest.CaptureFixture[str]) -> str:
    announce(db, {"shop": code, "trip": writes}, hold_if)
    return capsys.readouterr().err


def test_runs_that_were_held_before_are_not_held_by_the_new_code(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = announced(db, without, 2, capsys).splitlines()

    assert said == [
        "2 runs held, as this code does not fit: b, a",
        "1 run held before, and this code does not fit either: held",
        "1 run could not be tried; each is tried again when it is due",
    ]
    assert statuses(db) == {"a": "blocked", "b": "blocked", "held": "blocked", "t": "sleeping"}


def test_a_refusal_counts_what_the_new_code_would_hold_and_says_how_many_were_not_tried(
    db: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Failure) as refused:
        announced(db, without, 1, capsys)

    assert "2 runs would not fit this code, and --hold-if allows 1: b, a; 1 more could not be tried." in refused.value.message
    assert statuses(db) == {"a": "sleeping", "b": "sleeping", "held": "blocked", "t": "sleeping"}


def test_code_that_fits_runs_that_were_held_before_holds_nothing_up(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert announced(db, shop, 0, capsys) == "1 run could not be tried; each is tried again when it is due\n"


@pytest.fixture
def new_shop(tmp_path: Path) -> str:
    """An APP that does not fit the runs."""
    code = "from flowkit import receive, workflow\n\n\n@workflow\ndef shop():\n    return receive('go').data\n"
    (tmp_path / f"{tmp_path.name}.py").write_text(code)  # a module of this name is in no other test
    return f"{tmp_path.name}.py"


def test_a_version_whose_port_is_taken_holds_nothing(db: str, cli: Cli, new_shop: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = cli("worker", new_shop, "--db", db, "--version", "2", "--drain-older", "--metrics", port)

    assert refused.exit_code == 2
    assert refused.stderr == f"flowkit: port {port} of 127.0.0.1 is taken. Choose another with --metrics.\n"
    assert statuses(db)["a"] == "sleeping"


def test_a_version_with_an_unreadable_switch_holds_nothing(
    db: str, cli: Cli, new_shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWKIT_OTEL", "perhaps")

    refused = cli("worker", new_shop, "--db", db, "--version", "2", "--drain-older")

    assert (refused.exit_code, refused.stderr) == (2, "flowkit: FLOWKIT_OTEL is 1 or 0, not 'perhaps'\n")
    monkeypatch.delenv("FLOWKIT_OTEL")
    assert statuses(db)["a"] == "sleeping"
