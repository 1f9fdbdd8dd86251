"""`run` and `start`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli


def test_run_prints_the_output_as_json_and_nothing_else(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:greet", '"ada"', "2")

    assert (result.exit_code, result.stdout) == (0, '"ADA ADA"\n')


def test_what_the_code_prints_goes_to_stderr(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:greet", '"ada"')

    assert "greeting ada" in result.stderr


def test_run_with_json_tells_id_status_and_output(data: Callable[..., Any], shop: str) -> None:
    document = data("run", f"{shop}:greet_async", '"ada"', "--id", "g-1")

    assert document == {"id": "g-1", "status": "completed", "output": "ADA", "error": None}


def test_an_argument_becomes_what_its_annotation_says(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:echo", '{"id": 7, "at": "2026-01-02T03:04:05Z"}')

    assert json.loads(result.stdout) == {"id": 7, "cents": 100, "at": "2026-01-02T03:04:05Z"}


def test_defaults_that_the_json_leaves_out_are_stored(cli: Cli, data: Callable[..., Any], shop: str) -> None:
    cli("start", f"{shop}:echo", '{"id": 7}', "--id", "e-1")

    assert data("show", "e-1")["input"] == {"order": {"id": 7, "cents": 100, "at": None}}


def test_variable_arguments_take_json_each(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:kinds", "1", "2", "--arg", 'pause="PT90S"')

    assert json.loads(result.stdout) == {"values": [1, 2], "named": {"pause": 90.0}}


@pytest.mark.parametrize("given", ['["ada", 2]', '{"name": "ada", "times": 2}'])
def test_one_array_or_object_that_cannot_be_the_first_argument_holds_all_of_them(
    data: Callable[..., Any], shop: str, given: str
) -> None:
    document = data("start", f"{shop}:greet", given, "--id", "g-1")

    assert document["created"]
    assert data("show", "g-1")["input"] == {"name": "ada", "times": 2}


@pytest.mark.parametrize("given", ["[1, 2]", '{"value": 1}'])
def test_one_array_or_object_that_can_be_the_first_argument_is_just_that(cli: Cli, shop: str, given: str) -> None:
    assert json.loads(cli("run", f"{shop}:anything", given).stdout) == json.loads(given)


def test_a_document_that_looks_like_one_of_ours_is_read_as_plain_data(cli: Cli, shop: str) -> None:
    pretending = '{"$": {"$dataclass": "os:stat_result", "fields": {}}}'

    result = cli("run", f"{shop}:anything", pretending)

    assert json.loads(result.stdout) == json.loads(pretending)


def test_an_app_with_one_workflow_needs_no_name(cli: Cli) -> None:
    Path("only_one.py").write_text("from flowkit import workflow\n@workflow\ndef one() -> int: return 1\n")

    assert cli("run", "only_one.py").stdout == "1\n"


def test_a_module_is_an_app_too(cli: Cli) -> None:
    Path("shop_pack").mkdir()
    Path("shop_pack/app.py").write_text("from flowkit import workflow\n@workflow\ndef two() -> int: return 2\n")

    assert cli("run", "shop_pack.app:two").stdout == "2\n"


def test_an_id_that_exists_goes_on_and_keeps_its_output(cli: Cli, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    again = cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    assert (again.exit_code, again.stdout, again.stderr) == (0, '"ADA"\n', "")


def test_an_id_that_exists_goes_on_without_arguments_too(cli: Cli, shop: str) -> None:
    cli("start", f"{shop}:greet", '"ada"', "--id", "g-1")

    assert cli("run", f"{shop}:greet", "--id", "g-1").stdout == '"ADA"\n'


def test_an_id_with_another_input_is_refused(cli: Cli, shop: str) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")

    result = cli("run", f"{shop}:greet", '"bob"', "--id", "g-1")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "another input" in result.stderr


def test_a_run_that_fails_says_why_where_and_how_to_go_on(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:fail", "--id", "f-1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "ValueError" in result.stderr
    assert "shop.py:" in result.stderr
    assert "flowkit recover f-1" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_run_that_fails_shows_its_traceback_on_request(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:fail", "--traceback")

    assert 'raise ValueError("the fuse' in result.stderr


def test_an_error_cannot_steer_the_terminal(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:fail")

    assert "\x1b" not in result.stderr
    assert r"\x1b[31mwas wet" in result.stderr


def test_a_run_that_fails_gives_its_error_as_json(cli: Cli, shop: str) -> None:
    result = cli("run", f"{shop}:give_up", "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["message"] == "no more"


def test_code_that_leaves_python_fails_its_run(cli: Cli, data: Callable[..., Any], shop: str) -> None:
    result = cli("run", f"{shop}:leave", "--id", "l-1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "failed: SystemExit: 3" in result.stderr
    assert data("show", "l-1")["status"] == "failed"


def test_start_only_starts(cli: Cli, data: Callable[..., Any], shop: str) -> None:
    result = cli("start", f"{shop}:greet", '"ada"', "--id", "g-1", "--tag", "vip")

    shown = data("show", "g-1")
    assert (result.exit_code, result.stdout) == (0, "g-1\n")
    assert (shown["status"], shown["tags"]) == ("pending", ["greeting", "vip"])


def test_start_makes_an_id_up(cli: Cli, shop: str) -> None:
    result = cli("start", f"{shop}:greet", '"ada"')

    assert result.stdout.startswith("greet-")


def test_start_with_a_delay_is_due_later(data: Callable[..., Any], shop: str) -> None:
    data("start", f"{shop}:greet", '"ada"', "--id", "g-1", "--delay", "2h")

    shown = data("show", "g-1")
    assert shown["wake_at"] - shown["created_at"] == pytest.approx(7200, abs=1)


def test_starting_twice_changes_nothing_unless_it_is_refused(cli: Cli, data: Callable[..., Any], shop: str) -> None:
    start = ("start", f"{shop}:greet", '"ada"', "--id", "g-1")
    first = data(*start)

    second = data(*start)
    third = cli(*start, "--reject")

    assert (first["created"], second["created"], third.exit_code) == (True, False, 2)


def test_the_database_comes_from_the_environment(cli: Cli, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_DB", "elsewhere.db")

    cli("start", f"{shop}:greet", '"ada"')

    assert Path("elsewhere.db").exists()
    assert not Path("flowkit.db").exists()


def test_a_paused_run_says_how_it_goes_on(cli: Cli, spawn: Callable[..., subprocess.Popen[str]], shop: str) -> None:
    cli("start", f"{shop}:greet", '"ada"', "--id", "g-1")
    cli("pause", "g-1")

    child = spawn("run", f"{shop}:greet", "--id", "g-1")
    said = child.stderr.readline()
    cli("resume", "g-1")

    assert "flowkit resume g-1" in said
    assert child.communicate()[0] == '"ADA"\n'
