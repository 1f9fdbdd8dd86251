"""Fixtures of the tests of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flowkit.testing import Lab


@pytest.fixture(params=["memory", "sqlite"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Over both stores."""
    with Lab(None if request.param == "memory" else tmp_path / "bulk.db") as made:
        yield made
