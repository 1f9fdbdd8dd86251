"""`tag`: the tags of a run, changed from a shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.conftest import Cli

Data = Callable[..., Any]


@pytest.fixture
def greeted(cli: Cli, shop: str) -> None:
    """A run that has ended, with the tag `greeting`."""
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")


@pytest.mark.usefixtures("greeted")
def test_tags_are_put_on_and_taken_off(cli: Cli, data: Data) -> None:
    result = cli("tag", "g-1", "+vip", "-greeting", "+eu")

    assert (result.exit_code, result.stdout) == (0, "g-1: vip, eu\n")
    assert data("show", "g-1")["tags"] == ["vip", "eu"]


@pytest.mark.usefixtures("greeted")
def test_a_list_finds_a_run_by_its_new_tag_only(data: Data) -> None:
    data("tag", "g-1", "+vip", "-greeting")

    assert [run["id"] for run in data("list", "--tag", "vip")["runs"]] == ["g-1"]
    assert data("list", "--tag", "greeting")["runs"] == []


@pytest.mark.usefixtures("greeted")
@pytest.mark.parametrize("tag", ["high", "h", "db2", "json-like"])
def test_a_tag_that_looks_like_options_is_taken_off(data: Data, tag: str) -> None:
    data("tag", "g-1", f"+{tag}")

    assert data("tag", "g-1", f"-{tag}") == {"id": "g-1", "tags": ["greeting"]}


@pytest.mark.usefixtures("greeted")
@pytest.mark.parametrize("change", ["vip", "+", "--dbx", "+a/b", "+" + "x" * 300, "+~x"])
def test_a_change_that_cannot_be_is_refused(cli: Cli, data: Data, change: str) -> None:
    assert cli("tag", "g-1", change).exit_code == 2
    assert data("show", "g-1")["tags"] == ["greeting"]


@pytest.mark.usefixtures("greeted")
def test_a_run_cannot_have_more_tags_than_at_its_start(cli: Cli) -> None:
    assert cli("tag", "g-1", *(f"+t{n}" for n in range(19))).exit_code == 0

    assert cli("tag", "g-1", "+one-more").exit_code == 2
    assert cli("tag", "g-1", "+one-more", "-t3").exit_code == 0


@pytest.mark.usefixtures("greeted")
def test_an_unknown_run_is_not_found(cli: Cli) -> None:
    assert cli("tag", "g-9", "+vip").exit_code == 3
