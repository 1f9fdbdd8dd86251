"""What the driver tests share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.drivers.writer import Writer
from flowkit.settings import Settings
from tests.drivers.flaky import Flaky, StillClock

QUICK = Settings(write_retry=0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "orders.db"


@pytest.fixture
def driver(path: Path) -> Iterator[SQLiteDriver]:
    """A new file."""
    opened = SQLiteDriver(path, "process")
    yield opened
    opened.close()


@pytest.fixture
def store() -> Flaky:
    return Flaky()


@pytest.fixture
def writer(store: Flaky) -> Iterator[Writer]:
    made = Writer(store, StillClock(), patience_seconds=0.1, settings=QUICK)
    yield made
    store.free.set()
    made.close()


@pytest.fixture
def crowd(store: Flaky) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool
        store.plan = []  # a test that failed must not leave its threads waiting for a store that is held up
        store.free.set()
