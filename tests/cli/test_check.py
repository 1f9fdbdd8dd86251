"""`flowkit check`: open runs tried under the code of an APP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    assert result.stdout.startswith("order  1 run open: 1 fit\n")
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

    (workflow,) = report["workflows"]
    assert (report["held"], workflow["workflow"], workflow["fit"]) == (1, "order", 0)
    assert [line["text"] for line in workflow["causes"][0]["lines"]] == [
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
    assert (empty.exit_code, empty.stdout) == (0, "no open runs\n")


def test_a_missing_app_is_not_found(cli: Any, waiting: Path) -> None:
    assert cli("check", "nowhere.py").exit_code == 3
