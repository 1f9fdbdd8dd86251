"""What the tests of the primitives share: a lab over a store in memory, and `ran` forgotten between two tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowkit.testing import Lab
from tests.primitives.pairs import ran


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear()
    yield
    ran.clear()
