"""What the tests of real workers and clients share."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flowkit
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from tests.runtime.logged import log


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


@pytest.fixture
def talkative() -> Iterator[None]:
    """The project of these tests lets DEBUG through."""
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(logging.NOTSET)
