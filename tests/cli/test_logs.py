"""`logs`: what a run's code logged, as text and as data, and followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.runtime.waiting import until

APP = str(Path(__file__).with_name("talks.py"))


@pytest.fixture
def app() -> str:
    """The APP."""
    return APP


def test_logs_prints_time_level_place_logger_and_text(cli: Cli, app: str) -> None:
    cli("run", f"{app}:order", "--id", "o-1")

    lines = cli("logs", "o-1").stdout.splitlines()

    assert [line.partition("Z ")[2] for line in lines[:4]] == [
        "info     - shop: an order",
        "warning  charge shop: the till is slow: 28 s\\x1b[31m",
        "warning  charge (2) shop: the till is slow: 28 s\\x1b[31m",
        "error    - shop: giving up",
    ]
    assert lines[-1] == "    ValueError: what a pity"


def test_logs_gives_data(data: Callable[..., Any], cli: Cli, app: str) -> None:
    cli("run", f"{app}:order", "--id", "o-1")

    found = data("logs", "o-1")

    assert found["id"] == "o-1"
    assert [(line["step"], line["attempt"], line["level"]) for line in found["lines"]] == [
        ("", 0, 20), ("charge", 1, 30), ("charge", 2, 30), ("", 0, 40)
    ]  # fmt: skip


def test_logs_says_how_many_lines_made_room_for_newer_ones(
    data: Callable[..., Any], cli: Cli, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWKIT_LOG_RUN_LINES", "3")
    cli("run", f"{app}:order", "--id", "o-1")

    said, found = cli("logs", "o-1"), data("logs", "o-1")

    assert said.stderr == "1 older line has made room for newer ones\n"
    assert "an order" not in said.stdout
    assert found["dropped"] == 1
    assert len(found["lines"]) == 3


@pytest.mark.parametrize(
    ("options", "levels"),
    [
        (("--level", "error"), [40]),
        (("--level", "WARNING"), [30, 30, 40]),
        (("--step", "charge"), [30, 30]),
        (("--step", "charge", "--level", "error"), []),
    ],
)
def test_logs_picks(data: Callable[..., Any], cli: Cli, app: str, options: tuple[str, ...], levels: list[int]) -> None:
    cli("run", f"{app}:order", "--id", "o-1")

    assert [line["level"] for line in data("logs", "o-1", *options)["lines"]] == levels


def test_logs_of_a_quiet_run_are_empty(cli: Cli, app: str) -> None:
    cli("run", f"{app}:quiet", "--id", "q-1")

    result = cli("logs", "q-1")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "nothing was logged\n")


def test_logs_that_nothing_matches_say_so(cli: Cli, app: str) -> None:
    cli("run", f"{app}:order", "--id", "o-1")

    assert cli("logs", "o-1", "--level", "critical").stderr == "no lines match\n"


@pytest.mark.parametrize(("args", "code"), [(("nobody",), 3), (("o-1", "--level", "loud"), 2)])
def test_logs_refuses_what_is_not_there(cli: Cli, app: str, args: tuple[str, ...], code: int) -> None:
    cli("run", f"{app}:quiet", "--id", "o-1")

    assert cli("logs", *args).exit_code == code


def test_a_worker_may_keep_nothing(cli: Cli, spawn: Callable[..., Any], data: Callable[..., Any], app: str) -> None:
    cli("start", f"{app}:order", "--id", "o-1")
    spawn("worker", app, "--no-logs")
    until(lambda: data("show", "o-1")["status"] == "completed")

    assert data("logs", "o-1")["lines"] == []


def test_logs_follows_a_run_to_its_end(cli: Cli, spawn: Callable[..., Any], app: str) -> None:
    cli("start", f"{app}:waits", "--id", "w-1")
    spawn("worker", app)
    following = spawn("logs", "w-1", "--follow", "--json")

    first = json.loads(following.stdout.readline())
    cli("send", "w-1", "go")
    rest = [json.loads(line)["text"] for line in following.stdout]

    assert [first["text"], *rest] == ["waiting", "went"]
    assert following.wait(5) == 0
