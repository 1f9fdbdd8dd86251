"""What the documents promise: every error and command is in them, and every example in them runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.source import ROOT, code_in_documents, documents, modules

NOT_RUN = "<!-- not run -->"
AS_PROGRAM = 'if __name__ == "__main__":'


class Example(NamedTuple):
    """A block of Python in a document; `line` is that of its fence."""

    where: str
    line: int
    code: str
    runs: bool


def examples_in(path: Path) -> Iterator[Example]:
    text = path.read_text("utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        before = text[: block.start()]
        yield Example(path.relative_to(ROOT).as_posix(), before.count("\n") + 1, block[1], not before.rstrip().endswith(NOT_RUN))


def runnable() -> list[Example]:
    return [example for path in documents() for example in examples_in(path) if example.runs]


def error_names() -> list[str]:
    tree = ast.parse((ROOT / "flowkit/errors.py").read_text("utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


@pytest.mark.parametrize("example", runnable(), ids=lambda example: f"{example.where}:{example.line}")
def test_an_example_of_the_documents_runs(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"example_{re.sub(r'[^0-9A-Za-z]', '_', example.where)}_{example.line}"
    (tmp_path / f"{name}.py").write_text(example.code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    importlib.import_module(name)


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "example", [each for each in runnable() if AS_PROGRAM in each.code], ids=lambda example: f"{example.where}:{example.line}"
)
def test_an_example_that_is_a_program_runs_as_one_twice(example: Example, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(example.code, "utf-8")

    said = [
        subprocess.run([sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert said[0].endswith(said[1])  # what was done is answered from the record


@pytest.mark.timeout(120)  # reads and imports every module
def test_the_examples_in_docstrings_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named = [module.name for module in modules("flowkit", "inspector") if ">>> " in module.text]

    results = {name: doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS) for name in named}

    assert not {name for name, result in results.items() if result.failed}


def test_every_error_is_documented() -> None:
    code = code_in_documents()

    unknown = {name for name in error_names() if not re.search(rf"\b{name}\b", code)}

    assert not unknown


def test_the_error_tree_is_drawn_whole() -> None:
    tree = ast.get_docstring(ast.parse((ROOT / "flowkit/errors.py").read_text("utf-8"))) or ""

    missing = {name for name in error_names() if name != "ErrorInfo" and not re.search(rf"\b{name}\b", tree)}

    assert not missing
