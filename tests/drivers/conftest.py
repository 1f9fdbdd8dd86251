"""What the driver tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowkit.drivers.sqlite import SQLiteDriver


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
