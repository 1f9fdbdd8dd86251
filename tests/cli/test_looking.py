"""`list`, `show` and `history`, and that nothing heavy is imported to explain them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit.cli import main
from tests.cli.conftest import Cli

Data = Callable[..., Any]


@pytest.fixture
def stocked(cli: Cli, shop: str) -> None:
    """A database with a run of each kind."""
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")
    cli("run", f"{shop}:fail", "--id", "f-1")
    cli("start", f"{shop}:wait", "--id", "w-1", "--tag", "vip")


@pytest.mark.usefixtures("stocked")
def test_list_shows_the_newest_first_in_aligned_columns(cli: Cli) -> None:
    lines = cli("list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["ID", "w-1", "f-1", "g-1"]
    assert {line.index(word) for line, word in zip(lines, ("WORKFLOW", "wait", "fail", "greet"), strict=True)} == {5}
    assert "✕ failed" in lines[2]
    assert "\x1b" not in "".join(lines)


@pytest.mark.usefixtures("stocked")
@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--status", "failed"), ["f-1"]),
        (("--status", "failed", "--status", "pending"), ["w-1", "f-1"]),
        (("--workflow", "greet"), ["g-1"]),
        (("--tag", "vip"), ["w-1"]),
        (("--since", "1h"), ["w-1", "f-1", "g-1"]),
        (("--until", "2020-01-01T00:00Z"), []),
        (("--limit", "1"), ["w-1"]),
    ],
)
def test_list_picks(data: Data, options: tuple[str, ...], ids: list[str]) -> None:
    assert [run["id"] for run in data("list", *options)["runs"]] == ids


@pytest.mark.usefixtures("stocked")
def test_list_goes_on_after_a_page(data: Data) -> None:
    first = data("list", "--limit", "2")

    second = data("list", "--limit", "2", "--after", str(first["next"]))

    assert [run["id"] for run in second["runs"]] == ["g-1"]
    assert second["next"] is None


@pytest.mark.usefixtures("stocked")
def test_list_says_so_if_nothing_matches(cli: Cli) -> None:
    result = cli("list", "--workflow", "other")

    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no runs match\n")


@pytest.mark.usefixtures("stocked")
def test_show_tells_input_output_and_entries(cli: Cli) -> None:
    text = cli("show", "g-1").stdout

    assert '{"name": "ada", "times": 1}' in text
    assert '"ADA"' in text
    assert "shout" in text


@pytest.mark.usefixtures("stocked")
def test_show_of_a_failed_run_leads_to_the_line_and_the_next_command(cli: Cli) -> None:
    result = cli("show", "f-1")

    assert "shop.py" in result.stdout
    assert "flowkit recover f-1" in result.stderr


def test_show_of_a_waiting_run_says_what_it_waits_for(cli: Cli, shop: str, data: Data) -> None:
    sleeping(cli, shop)

    result = cli("show", "w-1")

    assert "waits for" in result.stdout
    assert "flowkit send w-1 go" in result.stderr
    assert data("show", "w-1")["waiting_for"] == ["go"]


@pytest.mark.usefixtures("stocked")
def test_show_as_json_has_instants_in_epoch_seconds(data: Data) -> None:
    shown = data("show", "g-1")

    assert shown["created_at"] <= shown["finished_at"]
    assert [entry["location"] for entry in shown["entries"]] == ["shout"]


@pytest.mark.usefixtures("stocked")
def test_history_lists_the_entries(cli: Cli, data: Data) -> None:
    lines = cli("history", "g-1").stdout.splitlines()

    assert lines[1].split()[:5] == ["1", "shout", "step", "✓", "completed"]
    assert data("history", "g-1")["entries"][0]["args"] == {"text": "ada", "times": 1}


def test_history_lists_what_a_replay_set_aside(cli: Cli, shop: str, data: Data) -> None:
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")
    cli("replay", "g-1")

    assert data("history", "g-1")["entries"] == []
    assert [entry["location"] for entry in data("history", "g-1", "--archived")["entries"]] == ["shout"]


@pytest.mark.usefixtures("stocked")
def test_looking_writes_nothing(cli: Cli) -> None:
    before = Path("flowkit.db").read_bytes()

    for command in (("list",), ("show", "g-1"), ("history", "g-1"), ("doctor",)):
        assert cli(*command).exit_code == 0

    assert Path("flowkit.db").read_bytes() == before


def test_values_of_classes_that_cannot_be_imported_are_shown_all_the_same(cli: Cli) -> None:
    Path("gone_app.py").write_text(
        "from dataclasses import dataclass\nfrom flowkit import step, workflow\n"
        "@dataclass\nclass Box:\n    size: int\n"
        "@step\ndef pack(box): return box\n"
        "@workflow\ndef packing(size: int): return pack(Box(size))\n"
    )
    cli("run", "gone_app.py:packing", "3", "--id", "p-1")
    Path("gone_app.py").unlink()

    history = process("history", "p-1", "--json")
    shown = process("show", "p-1")

    assert (history.returncode, shown.returncode) == (0, 0)
    assert '"size": 3' in history.stdout


def test_help_needs_nothing_heavy() -> None:
    code = "import sys, flowkit.cli; assert not {'rich', 'uvicorn', 'jinja2', 'starlette', 'sqlite_utils'} & set(sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_help_has_an_example(cli: Cli, name: str) -> None:
    result = cli(name, "--help")

    assert result.exit_code == 0
    assert f"flowkit {name} " in result.stdout.partition("Example:")[2]


def test_the_version_is_told(cli: Cli) -> None:
    result = cli("--version")

    assert result.stdout.startswith("flowkit ")


def test_a_reader_that_goes_away_is_no_error(cli: Cli, shop: str, spawn: Callable[..., subprocess.Popen[str]]) -> None:
    cli("start", f"{shop}:greet", '"ada"')
    child = spawn("list")
    child.stdout.close()

    said = child.stderr.read()

    assert said == ""


def process(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-P", "-m", "flowkit", *args], capture_output=True, text=True)


def sleeping(cli: Cli, shop: str) -> None:
    """Start `w-1` and let it come to its wait: a run that ends beside it gives its worker the time."""
    import flowkit
    from flowkit.registry import import_app

    with flowkit.open("flowkit.db", workflows=[import_app(shop).wait]) as fk:
        run = fk.start("w-1", import_app(shop).wait)
        for snapshot in run.watch():
            if snapshot.status == "sleeping":
                return
