"""`resolve`: the outcome of the step that stopped a run, from a shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

Data = Callable[..., Any]

APP = str(Path(__file__).with_name("counter.py"))


@pytest.fixture
def app(cli: Cli) -> str:
    """The APP, with a run of it that has failed."""
    cli("run", f"{APP}:order", "500", "--id", "o-1")
    return APP


def test_a_value_is_checked_by_the_code_and_given(cli: Cli, data: Data, app: str) -> None:
    given = data("resolve", "o-1", "--value", '{"id": "phone", "cents": 5}', "--reason", "by phone", "--app", app)

    assert given == {"id": "o-1", "before": "failed", "status": "pending"}
    assert cli("run", f"{app}:order", "--id", "o-1").stdout.strip() == '"paid phone"'


def test_the_history_says_resolved_by_hand(cli: Cli, data: Data, app: str) -> None:
    cli("resolve", "o-1", "--value", '{"id": "phone", "cents": 5}', "--reason", "by phone", "--app", app)

    (entry,) = [each for each in data("history", "o-1")["entries"] if each["location"] == "charge"]
    assert (entry["by_hand"]["how"], entry["by_hand"]["reason"], entry["by_hand"]["who"]) == ("value", "by phone", "CLI")
    assert "by hand: by phone" in cli("history", "o-1").stdout


def test_a_value_that_does_not_fit_is_refused_with_its_path(cli: Cli, data: Data, app: str) -> None:
    result = cli("resolve", "o-1", "--value", '{"id": "phone", "cents": "x"}', "--reason", "by phone", "--app", app)

    assert result.exit_code == 2
    assert "$.cents" in result.stderr
    assert data("show", "o-1")["status"] == "failed"


def test_an_exception_of_the_steps_module_is_raised(cli: Cli, app: str) -> None:
    cli("resolve", "o-1", "--raise", "Declined", "--text", "by hand", "--reason", "the bank said so", "--app", app)

    assert cli("run", f"{app}:order", "--id", "o-1").stdout.strip() == '"declined"'


def test_an_exception_that_the_module_does_not_know_is_refused(cli: Cli, app: str) -> None:
    result = cli("resolve", "o-1", "--raise", "Refused", "--reason", "because", "--app", app)

    assert (result.exit_code, "knows no exception 'Refused'" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["KeyboardInterrupt", "GeneratorExit", "flowkit.errors.Suspended", "os system", ""])
def test_an_exception_that_no_step_may_raise_is_refused(cli: Cli, app: str, name: str) -> None:
    assert cli("resolve", "o-1", "--raise", name, "--reason", "because").exit_code == 2


def test_arguments_are_changed(cli: Cli, app: str) -> None:
    cli("resolve", "o-1", "--arg", "cents=300", "--arg", 'currency="USD"', "--reason", "a discount", "--app", app)

    assert cli("run", f"{app}:order", "--id", "o-1").stdout.strip() == '"paid USD"'


def test_nothing_is_given_where_the_annotation_allows_it(cli: Cli, app: str) -> None:
    cli("run", f"{app}:asking", "--id", "a-1")

    cli("resolve", "a-1", "--nothing", "--reason", "nobody answers", "--app", app)

    assert cli("run", f"{app}:asking", "--id", "a-1").stdout.strip() == '"said None"'


def test_nothing_is_refused_where_the_annotation_does_not_allow_it(cli: Cli, app: str) -> None:
    assert cli("resolve", "o-1", "--nothing", "--reason", "because", "--app", app).exit_code == 2


def test_without_the_code_the_record_says_that_nobody_checked(cli: Cli, data: Data, app: str) -> None:
    cli("resolve", "o-1", "--value", '{"id": "phone", "cents": 5}', "--reason", "by phone")

    (entry,) = [each for each in data("history", "o-1")["entries"] if each["location"] == "charge"]
    assert entry["by_hand"]["unchecked"] is True
    assert cli("run", f"{app}:order", "--id", "o-1").stdout.strip() == '"paid phone"'


@pytest.mark.parametrize(
    "words",
    [
        [], ["--value", "1", "--nothing"], ["--value", "{"], ["--arg", "cents"], ["--value", "1", "--app", "nowhere.py"],
        ["elsewhere", "--value", "1"],
    ],
)  # fmt: skip
def test_a_wish_that_cannot_be_leaves_the_run_as_it_is(cli: Cli, data: Data, app: str, words: list[str]) -> None:
    result = cli("resolve", "o-1", *words, "--reason", "because")

    assert result.exit_code in (2, 3)
    assert data("show", "o-1")["status"] == "failed"


def test_a_run_that_is_not_failed_is_refused(cli: Cli, app: str) -> None:
    cli("run", f"{app}:order", "5", "--id", "o-2")

    result = cli("resolve", "o-2", "--nothing", "--reason", "because")

    assert (result.exit_code, "completed" in result.stderr) == (2, True)
