"""What a generation is known by, its files as they were when it loaded them; and what a spare must not have loaded."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowkit.dev.loading import Sources, hides_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "flowkit_dev_first.py").write_text("VALUE = 1\n")
    (tmp_path / "flowkit_dev_late.py").write_text("VALUE = 1\n")
    importlib.import_module("flowkit_dev_first")
    yield tmp_path
    for name in ("flowkit_dev_first", "flowkit_dev_late"):
        sys.modules.pop(name, None)


def test_a_file_that_is_saved_again_later_does_not_change_what_is_loaded(folder: Path) -> None:
    sources = Sources()
    before = sources.now()

    (folder / "flowkit_dev_first.py").write_text("VALUE = 2\n")

    assert sources.now() == before == sources.loaded
    assert Sources().now() != before


def test_a_file_that_is_imported_later_counts(folder: Path) -> None:
    sources = Sources()
    before = sources.now()

    importlib.import_module("flowkit_dev_late")

    assert sources.now() != before


@pytest.mark.parametrize(
    ("file", "hides"),
    [
        ("json.py", True),
        ("email/__init__.py", True),
        ("json/data.txt", False),
        ("flowkit/__init__.py", False),
        ("json.pyi", False),
        ("no_such_module_anywhere.py", False),
    ],
)
def test_a_loaded_module_hides_the_folders_own(tmp_path: Path, file: str, hides: bool) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()

    assert hides_files(str(tmp_path)) is hides
