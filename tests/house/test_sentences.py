"""Every numbered sentence of the engine's behaviour has a test that carries its number, and the table of them is up to date.

A test carries a number by beginning its docstring with it: ``ST5 …``, or several: ``ST5 ST6 …``. `tests/SENTENCES.md` is
made by ``python -m tests.house.test_sentences``.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.house.source import ROOT, modules

pytestmark = pytest.mark.timeout(120)  # the first of them parses every test

COUNTS = {
    "ST": 34, "HK": 7, "AT": 7, "LP": 10, "SL": 9, "MS": 21, "SA": 8, "JN": 8, "RC": 9, "RB": 18, "CH": 23, "PY": 9,
    "RN": 28, "DB": 9, "LB": 7,
}  # fmt: skip
"""How many sentences each group has; they are numbered from 1."""

TITLES = {
    "ST": "Steps", "HK": "Error hook", "AT": "attempt", "LP": "Loops", "SL": "Sleep, waiting, parking", "MS": "Messages",
    "SA": "State", "JN": "join", "RC": "race", "RB": "Rollback", "CH": "Code and history", "PY": "Native Python",
    "RN": "Status and steering", "DB": "Store", "LB": "Lab",
}  # fmt: skip

TABLE = ROOT / "tests/SENTENCES.md"
_NUMBERS = re.compile(r"((?:[A-Z]{2}\d+[ ,]*)+)")


def carried() -> dict[str, list[str]]:
    """Sentence number → the tests that carry it."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules("tests"):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for number in numbers_of(ast.get_docstring(node) or ""):
                    found[number].append(f"{module.where}::{node.name}")
    return found


def numbers_of(docstring: str) -> list[str]:
    """The numbers that a docstring begins with."""
    begins = _NUMBERS.match(docstring)
    return re.findall(r"[A-Z]{2}\d+", begins[1]) if begins else []


def sentences() -> list[str]:
    """All numbers, in order."""
    return [f"{group}{number}" for group, count in COUNTS.items() for number in range(1, count + 1)]


def table() -> str:
    """The table as it should be."""
    found = carried()
    lines = ["# Which test shows which sentence", "", "Made by `python -m tests.house.test_sentences`.", ""]
    for group, count in COUNTS.items():
        lines += [f"## {TITLES[group]}", "", "| sentence | tests |", "|---|---|"]
        for number in range(1, count + 1):
            tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in sorted(found[f"{group}{number}"]))
            lines.append(f"| {group}{number} | {tests} |")
        lines.append("")
    return "\n".join(lines)


def test_every_sentence_has_a_test() -> None:
    found = carried()

    missing = [number for number in sentences() if not found[number]]

    assert not missing, f"no test carries {', '.join(missing)}"


def test_no_test_carries_a_number_that_does_not_exist() -> None:
    unknown = {number: tests for number, tests in carried().items() if number not in sentences() and number[:2] in COUNTS}

    assert not unknown


def test_the_table_of_sentences_is_up_to_date() -> None:
    assert TABLE.read_text("utf-8") == table(), "run: python -m tests.house.test_sentences"


if __name__ == "__main__":
    Path(TABLE).write_text(table(), "utf-8")
