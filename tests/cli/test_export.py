"""`flowkit export`: a run written to stdout or to a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("stocked")


@pytest.fixture
def stocked(cli: Cli, shop: str) -> None:
    """A database with a run that completed, one that failed and one that waits."""
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")
    cli("run", f"{shop}:fail", "--id", "f-1")
    cli("start", f"{shop}:wait", "--id", "w-1")


def test_export_prints_one_json_document(data: Callable[..., Any]) -> None:
    found = data("export", "g-1")

    assert (found["run"]["id"], found["run"]["status"], found["end"]["entries"]) == ("g-1", "completed", len(found["entries"]))


def test_export_prints_lines(cli: Cli) -> None:
    lines = cli("export", "w-1", "--format", "ndjson").stdout.splitlines()

    assert [json.loads(line)["piece"] for line in lines] == ["run", "code", "end"]


def test_the_test_imports_the_workflow_from_where_the_worker_found_it(cli: Cli, tmp_path: Path) -> None:
    found = cli("export", "g-1", "--format", "py", "-o", "test_g.py")

    text = (tmp_path / "test_g.py").read_text()
    assert "wrote test_g.py" in found.stderr
    assert "\nfrom shop import greet\n" in text
    assert "is a guess" not in text


def test_the_place_of_the_workflow_may_be_given(cli: Cli) -> None:
    text = cli("export", "g-1", "--format", "py", "--workflow", "my.shop:flows.greet").stdout

    assert "\nfrom my.shop import flows\n" in text
    assert "lab.load(RUN, flows.greet)" in text


def test_a_run_that_has_not_ended_has_no_test(cli: Cli) -> None:
    found = cli("export", "w-1", "--format", "py")

    assert found.exit_code == 2
    assert "only a completed or failed run has an end" in found.stderr
    assert found.stdout == ""


def test_a_run_that_is_not_there_is_not_exported(cli: Cli) -> None:
    assert cli("export", "g-2").exit_code == 3


@pytest.mark.parametrize("options", [("--json", "--format", "py"), ("--workflow", "a:b"), ("-o", "no/such/folder/x.json")])
def test_options_that_cannot_be_are_refused(cli: Cli, options: tuple[str, ...]) -> None:
    found = cli("export", "g-1", *options)

    assert found.exit_code == 2
    assert found.stderr.startswith("flowkit: ")
