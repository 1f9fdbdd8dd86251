"""`flowkit check`: all runs tried under the code of an APP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from flowkit.testing import Lab

EXAMPLE = Path(__file__).parents[2] / "examples" / "migrate"


@pytest.fixture
def waiting(cli: Any, tmp_path: Path) -> Path:
    """A database with a run of the example's first version that waits for its payment."""
    from flowkit.registry import import_app

    path = tmp_path / "flowkit.db"
    with Lab(path) as lab:
        lab.start("o-1", import_app(str(EXAMPLE / "v1.py")).order, "o-1")
        lab.run_once("o-1")
    return path


def test_runs_that_fit_are_counted_and_the_exit_code_is_0(cli: Any, waiting: Path) -> None:
    result = cli("check", str(EXAMPLE / "v2_fits.py"))

    assert result.exit_code == 0
    assert result.stdout.startswith("order  1 run open: 1 goes on\n")
    assert "1 would go on at paid  " in result.stdout


def test_a_held_run_gives_the_lines_and_the_exit_code_1(cli: Any, waiting: Path) -> None:
    before = waiting.read_bytes()

    result = cli("check", str(EXAMPLE / "v2.py"), "--db", str(waiting))

    assert result.exit_code == 1
    assert "HELD  1 run of order: o-1" in result.stdout
    assert 'if version("add-notify", 2) >= 2:' in result.stdout
    assert 'removed("validate", "step")' in result.stdout
    assert "thank you" not in result.stdout
    assert waiting.read_bytes() == before


def test_the_report_as_json(data: Callable[..., Any], waiting: Path) -> None:
    report = data("check", str(EXAMPLE / "v2.py"))

    (finding,) = report["findings"]
    assert (report["held"], finding["workflow"], finding["verdict"]) == (1, "order", "held")
    assert [line["text"] for line in finding["lines"]] == [
        'if version("add-notify", 2) >= 2:',
        'removed("validate", "step")',
    ]


def test_runs_without_code_and_a_store_without_runs_are_told(cli: Any, waiting: Path, shop: str, tmp_path: Path) -> None:
    with Lab(tmp_path / "empty.db"):
        pass

    unattended = cli("check", shop)
    empty = cli("check", shop, "--db", str(tmp_path / "empty.db"))

    assert (unattended.exit_code, unattended.stdout) == (
        0,
        "order  1 run open, and no code for it here: they would be left alone\n",
    )
    assert (empty.exit_code, empty.stdout) == (0, "no runs\n")


def test_a_missing_app_is_not_found(cli: Any, waiting: Path) -> None:
    assert cli("check", "nowhere.py").exit_code == 3


SHOP = """
from flowkit import receive, removed, step, workflow

@step
def charge(amount: int) -> int:
    return amount

@workflow
def shop(last: bool) -> dict[str, int]:
    total = 0
    for amount in {amounts}:
        total += charge(amount)
    {more}
    if last:
        receive("go")
    return {{"total": total}}
"""


def file(folder: Path, text: str) -> str:
    """A file of a name that no other test has: a module stays loaded."""
    path = folder / f"shop_{uuid4().hex}.py"
    path.write_text(text)
    return str(path)


@pytest.fixture
def edited(cli: Any, tmp_path: Path) -> Callable[..., Any]:
    """Checks an edit of a shop of which one run waits and one is done."""
    from flowkit.registry import import_app

    before = file(tmp_path, SHOP.format(amounts=(1, 2, 3), more=""))
    with Lab(tmp_path / "flowkit.db") as lab:
        for run, last in (("waits", True), ("done", False)):
            lab.start(run, import_app(before).shop, last)
            lab.run_once(run)

    def check(amounts: tuple[int, ...], more: str = "", *options: str) -> Any:
        after = file(tmp_path, SHOP.format(amounts=amounts, more=more))
        return cli("check", after, "--db", str(tmp_path / "flowkit.db"), *options)

    return check


def test_a_finished_run_with_another_end_is_told_and_the_exit_code_is_0(edited: Callable[..., Any]) -> None:
    result = edited((1, 2, 3), "total += 1")

    assert result.exit_code == 0
    assert "shop  1 run finished: 1 other end\n" in result.stdout
    assert "other end  1 run of shop: done\n    it completed, and would now be completed with another output" in result.stdout
    assert "first at $.total" in result.stdout


def test_calls_that_move_up_are_a_warning_and_the_exit_code_is_0(edited: Callable[..., Any]) -> None:
    result = edited((2, 3), 'removed("charge#3", "step")')

    assert result.exit_code == 0
    assert "warning  shop: charge  " in result.stdout
    assert "is called with other arguments than recorded: waits, done" in result.stdout


def test_a_finished_run_that_no_longer_fits_holds_up_nobody(edited: Callable[..., Any]) -> None:
    both = edited((1,))
    without = edited((1,), "", "--finished", "0")

    assert (both.exit_code, without.exit_code) == (1, 1)
    assert "held  1 run of shop: done" in both.stdout
    assert "done" not in without.stdout
    assert "HELD  1 run of shop: waits" in without.stdout


def test_a_line_that_no_open_run_needs_is_named(edited: Callable[..., Any]) -> None:
    result = edited((1, 2, 3), 'removed("validate", "step")')

    assert result.exit_code == 0
    assert "leftover  shop: no open run needs this line any more, " in result.stdout
    assert 'removed("validate", "step")' in result.stdout


def test_what_does_not_decode_is_told_with_its_annotation_and_the_exit_code_1(cli: Any, tmp_path: Path) -> None:
    from flowkit.registry import import_app

    one = file(tmp_path, SHOP.format(amounts=(1,), more=""))
    two = file(tmp_path, SHOP.format(amounts=(1,), more="").replace("last: bool", "last: list[int]"))
    with Lab(tmp_path / "flowkit.db") as lab:
        lab.start("waits", import_app(one).shop, True)
        lab.run_once("waits")

    result = cli("check", two, "--db", str(tmp_path / "flowkit.db"))

    assert result.exit_code == 1
    assert "does not decode  1 run of shop: waits\n    the input at $.last, annotated list[int]: " in result.stdout


def test_a_limit_leaves_older_open_runs_unchecked(cli: Any, tmp_path: Path) -> None:
    from flowkit.registry import import_app

    one = file(tmp_path, SHOP.format(amounts=(1,), more=""))
    with Lab(tmp_path / "flowkit.db") as lab:
        for run in ("old", "new"):
            lab.start(run, import_app(one).shop, True)
            lab.run_once(run)

    result = cli("check", one, "--db", str(tmp_path / "flowkit.db"), "--limit", "1")

    assert result.stdout.startswith("shop  2 runs open: 1 not checked, 1 goes on\n")
    assert "only the newest 1 were to be checked" in result.stdout
