"""What pytest is told about torture: the fixture, `F=` on the command line, and the report at the end.

Rows travel as the properties of test reports, which is the one way that works with and without lanes. The report is
printed and written to `torture-report.json`, or to the file that `FLOWKIT_TORTURE_REPORT` names.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.torture.trials import Torture

__all__ = ["faults_of", "merged", "of_one_fault", "pytest_terminal_summary", "table", "torture"]

_PROPERTY = "torture"
_COUNTS = ("aim", "trials", "injected", "acked", "checked", "violations", "seconds")
_COLUMNS = ("fault", *_COUNTS, "first_seed")


@pytest.fixture
def torture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Torture:
    """Makes faults, whose rows end up in the report."""
    node: Any = request.node
    scenario = str(getattr(node, "originalname", None) or node.name)
    return Torture(tmp_path_factory.getbasetemp(), scenario, lambda row: node.user_properties.append((_PROPERTY, row)))


def faults_of(function: Any) -> set[str]:
    """The faults that a test injects: those it names when it makes them."""
    return set(re.findall(r"""\btorture\(\s*["'](F\d+)["']""", inspect.getsource(function)))


def of_one_fault(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `F=F4` only the tests of that fault."""
    wanted = os.environ.get("F") or None
    if wanted is None:
        return
    taken = [item for item in items if wanted in faults_of(getattr(item, "function", None) or faults_of)]
    config.hook.pytest_deselected(items=[item for item in items if item not in taken])
    items[:] = taken


def merged(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a fault, in the order of their numbers: counts are summed, of seeds and replays the first is kept."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        whole = found.setdefault(row["fault"], {**row, **dict.fromkeys(_COUNTS, 0)})
        for count in _COUNTS:
            whole[count] = round(whole[count] + row[count], 1)
        whole["replay"] = whole["replay"] or row["replay"]
    return sorted(found.values(), key=lambda row: int(row["fault"][1:]))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as lines of text, one column for each count."""
    cells = [_COLUMNS, *([str(row[column]) for column in _COLUMNS] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    return [*lines, *(row["replay"] for row in rows if row["replay"])]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The report of all lanes."""
    reports = [report for kind in ("passed", "failed", "error") for report in terminalreporter.stats.get(kind, ())]
    properties = [known for report in reports if getattr(report, "when", "") == "call" for known in report.user_properties]
    rows = merged([row for name, row in properties if name == _PROPERTY])
    if not rows:
        return
    terminalreporter.section("torture")
    for line in table(rows):
        terminalreporter.write_line(line)
    place = Path(os.environ.get("FLOWKIT_TORTURE_REPORT") or "torture-report.json")
    place.write_text(json.dumps(rows, indent=1) + "\n")
    terminalreporter.write_line(f"written to {place}")
