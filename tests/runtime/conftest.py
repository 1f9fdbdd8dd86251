"""What the tests of real workers and clients share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flowkit
from flowkit.client import Flowkit
from flowkit.drivers import open_driver


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "orders.db"


@pytest.fixture
def fk(path: Path) -> Iterator[Flowkit]:
    """A new database with a worker in this process."""
    with flowkit.open(path) as opened:
        yield opened


@pytest.fixture
def hasty(path: Path) -> Iterator[Callable[[], Flowkit]]:
    """Opens handles on one database that give bodies a fifth of a second to end when they are closed."""
    opened: list[Flowkit] = []

    def open_it() -> Flowkit:
        opened.append(Flowkit(open_driver(path), grace=0.2))
        return opened[-1]

    yield open_it
    for handle in opened:
        handle.close()
