"""The migration example: what its README says is what happens."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from flowkit.check import check_runs
from flowkit.engine.source import shown_path
from flowkit.testing import Lab, MemoryDriver

EXAMPLE = Path(__file__).parents[2] / "examples" / "migrate"


def order_of(version: str) -> Any:
    """The workflow of one version of the example."""
    spec = importlib.util.spec_from_file_location(f"migrate_{version}", EXAMPLE / f"{version}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.order


@pytest.fixture
def lab() -> Any:
    """A Lab with a run of the first version that waits for its payment."""
    shown_path.cache_clear()  # a test before may have been in another folder
    with Lab(driver=MemoryDriver()) as made:
        made.start("o-1", order_of("v1"), "o-1")
        made.run_once("o-1")
        yield made


def test_the_second_version_is_told_both_lines_that_its_readme_shows(lab: Lab) -> None:
    (cause,) = check_runs(lab.client.driver, {"order": order_of("v2")}).workflows[0].causes

    shown = (EXAMPLE / "README.md").read_text()
    assert [line.text for line in cause.lines] == ['if version("add-notify", 2) >= 2:', 'removed("validate", "step")']
    assert all(f"{line.where} {line.place}  {line.code}\n      {line.text}\n" in shown for line in cause.lines)
    assert cause.advice in shown


def test_with_both_lines_the_run_fits_and_goes_on(lab: Lab) -> None:
    fits = order_of("v2_fits")
    (report,) = check_runs(lab.client.driver, {"order": fits}).workflows
    lab.send("o-1", "paid")

    made = lab.run_once("o-1", workflow=fits)

    assert (report.fit, report.held) == (1, 0)
    assert f"{report.frontiers[0].location}  {report.frontiers[0].source}" in (EXAMPLE / "README.md").read_text()
    assert made.output == "o-1 shipped from the shelf of o-1"


def test_a_new_run_takes_the_new_code(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.start("o-2", order_of("v2_fits"), "o-2")
    lab.send("o-2", "paid")

    lab.run_to_end("o-2")

    assert capsys.readouterr().out == "o-2: thank you\n"
    assert [e.location for e in lab.history("o-2")] == ["add-notify", "notify", "reserve", "validate", "paid", "ship"]


def test_without_the_lines_the_run_is_held_and_goes_on_by_itself_later(lab: Lab) -> None:
    lab.send("o-1", "paid")

    held = lab.run_once("o-1", workflow=order_of("v2"))

    assert held.status == "blocked"
    assert lab.run_once("o-1", workflow=order_of("v2_fits")).status == "completed"
