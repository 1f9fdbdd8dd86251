"""Fixtures of the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.postgres.server import NEWEST, emptied_database

from flowkit.testing import Lab


@pytest.fixture(params=["pg"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Over both stores."""
    with Lab(emptied_database(NEWEST)) as made:
        yield made
