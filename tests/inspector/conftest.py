"""Databases that are built once, inspectors of them, and a browser."""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowkit.drivers import open_driver
from flowkit.drivers.base import Start
from flowkit.testing import FakeClock
from tests.inspector.browser import axe_source, launched
from tests.inspector.budgets import Budget
from tests.inspector.million import NOW, million_file
from tests.inspector.served import Served, serving
from tests.inspector.stories import build_hostile, build_small

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


# --- for bulks


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Served]:
    """An inspector of 150 runs that wait for a worker."""
    with closing(open_driver(tmp_path / "many.db")) as driver:
        driver.write(
            [
                Start(id=f"n-{n:03}", workflow="nap", input=b"{}", input_hash="", start_at=NOW, token="t", tags=("vip",))
                for n in range(150)
            ],
            NOW,
        )
    with serving(tmp_path / "many.db") as served:
        yield served


# --- for the browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module, not of the session: as long as Playwright is open, no other test of the process can run an event loop."""
    with launched() as found:
        yield found


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core."""
    return axe_source()


@pytest.fixture(scope="module")
def recent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small database, as if it had been written in the last half hour."""
    file = tmp_path_factory.mktemp("recent") / "orders.db"
    build_small(file, time.time() - 1_500)
    with serving(file) as served:
        yield served


@pytest.fixture
def fresh(recent: Served, tmp_path: Path) -> Iterator[Served]:
    """A copy of the recent database, to be written."""
    copy = tmp_path / "fresh.db"
    shutil.copy(Path(recent.app.site.settings.database), copy)
    with serving(copy) as served:
        yield served


@pytest.fixture(scope="session")
def budget(request: pytest.FixtureRequest) -> Budget:
    """Exact under ``-m budget``, and then as in a process that serves and does nothing else: pytest's own heap is not looked
    through while a page is made.
    """
    if request.config.option.markexpr == "budget":
        gc.collect()
        gc.freeze()
    return Budget(exact=request.config.option.markexpr == "budget")


@pytest.fixture(scope="session")
def million_runs() -> Path:
    """The database of a million runs, built once for all times; not to be written."""
    return million_file()


@pytest.fixture(scope="session")
def million(million_runs: Path) -> Iterator[Served]:
    """An inspector of a million runs; its clock stands a second after the newest one began."""
    with serving(million_runs, clock=FakeClock(NOW), untouched=True) as served:
        yield served
