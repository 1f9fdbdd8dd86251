"""`send`, `wake`, `cancel`, `evict`, `pause`, `resume`, `recover` and `replay`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Cli

Data = Callable[..., Any]


@pytest.fixture
def waiting(cli: Cli, shop: str) -> None:
    """A run that nobody works on."""
    cli("start", f"{shop}:wait", "--id", "w-1")


@pytest.mark.usefixtures("waiting")
def test_a_message_is_what_the_run_waited_for(cli: Cli, shop: str) -> None:
    sent = cli("send", "w-1", "go", '{"tracking": "1Z"}')

    assert (sent.exit_code, sent.stdout) == (0, "sent go to w-1\n")
    assert cli("run", f"{shop}:wait", "--id", "w-1", "--json").stdout.count("1Z") == 1


@pytest.mark.usefixtures("waiting")
def test_a_message_with_a_key_is_delivered_once(cli: Cli, data: Data) -> None:
    cli("send", "w-1", "go", "1", "--key", "k")
    cli("send", "w-1", "go", "1", "--key", "k")

    assert data("doctor")["messages"] == 1


@pytest.mark.usefixtures("waiting")
def test_a_message_reaches_a_run_that_another_process_works_on(
    cli: Cli, spawn: Callable[..., subprocess.Popen[str]], shop: str
) -> None:
    child = spawn("run", f"{shop}:wait", "--id", "w-1")

    cli("send", "w-1", "go", "42")

    assert child.communicate(timeout=9)[0] == "42\n"


@pytest.mark.usefixtures("waiting")
def test_pause_and_resume(data: Data) -> None:
    paused = data("pause", "w-1")
    resumed = data("resume", "w-1")

    assert (paused["before"], paused["status"], resumed["status"]) == ("pending", "paused", "pending")


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("verb", ["wake", "evict"])
def test_wake_and_evict_leave_a_pending_run_as_it_is(cli: Cli, verb: str) -> None:
    result = cli(verb, "w-1")

    assert (result.exit_code, result.stdout) == (0, "w-1: ▷ pending\n")


def test_wake_makes_a_sleeping_run_due(cli: Cli, data: Data, shop: str) -> None:
    halfway(cli, shop)
    before = data("show", "w-1")

    cli("wake", "w-1")

    assert data("show", "w-1")["wake_at"] < before["wake_at"]


@pytest.mark.usefixtures("waiting")
def test_cancel_ends_a_run(cli: Cli, shop: str) -> None:
    result = cli("cancel", "w-1")

    assert result.stdout == "w-1: ⊘ cancelled (was pending)\n"
    assert cli("run", f"{shop}:wait", "--id", "w-1").exit_code == 1


def test_cancel_with_rollback_undoes_first(cli: Cli, data: Data, shop: str) -> None:
    halfway(cli, shop)

    cli("cancel", "w-1", "--rollback")
    result = cli("run", f"{shop}:wait", "--id", "w-1")

    assert "undone taken" in result.stderr
    assert data("show", "w-1")["status"] == "cancelled"


def test_recover_lets_a_failed_run_go_on(cli: Cli, data: Data, shop: str) -> None:
    cli("run", f"{shop}:fail", "--id", "f-1")

    assert data("recover", "f-1") == {"id": "f-1", "before": "failed", "status": "pending"}


def test_replay_starts_over_from_an_entry(cli: Cli, data: Data, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    result = data("replay", "g-1", "--from", "shout")

    assert (result["before"], result["status"]) == ("completed", "pending")


def test_replay_of_an_unknown_entry_is_not_found(cli: Cli, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    result = cli("replay", "g-1", "--from", "shuot")

    assert result.exit_code == 3
    assert "shuot" in result.stderr


def halfway(cli: Cli, shop: str) -> None:
    """A run `w-1` that has taken its step and waits."""
    import flowkit
    from flowkit.registry import import_app

    wait = import_app(shop).wait
    with flowkit.open("flowkit.db", workflows=[wait]) as fk:
        for snapshot in fk.start("w-1", wait).watch():
            if snapshot.status == "sleeping":
                return
