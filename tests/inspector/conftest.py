"""Databases that are built once, and inspectors of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inspector.served import Served, serving
from tests.inspector.stories import build_hostile, build_small


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with runs in every status; not to be written."""
    file = tmp_path_factory.mktemp("small") / "small.db"
    build_small(file)
    return file


@pytest.fixture(scope="session")
def hostile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose texts try to be markup; not to be written."""
    file = tmp_path_factory.mktemp("hostile") / "hostile.db"
    build_hostile(file)
    return file


@pytest.fixture(scope="module")
def small(small_file: Path) -> Iterator[Served]:
    """An inspector that only looks at the small database."""
    with serving(small_file) as served:
        yield served


@pytest.fixture(scope="module")
def hostile(hostile_file: Path) -> Iterator[Served]:
    """An inspector of the hostile database."""
    with serving(hostile_file) as served:
        yield served


@pytest.fixture
def own(small_file: Path, tmp_path: Path) -> Iterator[Served]:
    """An inspector of a copy of the small database, to be written."""
    copy = tmp_path / "own.db"
    shutil.copy(small_file, copy)
    with serving(copy) as served:
        yield served
