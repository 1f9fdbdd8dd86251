"""Rules for every test: the time limit, warnings as errors and markers stand in pyproject.toml, Hypothesis here.

Lanes load this file only, not those below it, so what reports on torture is named here.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from tests.lanes import in_order, pytest_runtest_protocol
from tests.registered import pytest_runtest_setup
from tests.torture.report import of_one_fault, pytest_terminal_summary, torture

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "torture",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What failed once goes first, then what takes long."""
    in_order(items)
    items.sort(key=lambda item: "regressions" not in item.path.parts)
    of_one_fault(config, items)


# The time limit of a test is pytest's business. In continuous integration the examples are the same every time, so that
# a red build is about the change.
settings.register_profile("flowkit", deadline=None, print_blob=True)
settings.register_profile("flowkit-ci", parent=settings.get_profile("flowkit"), derandomize=True)
settings.load_profile("flowkit-ci" if os.environ.get("FLOWKIT_REQUIRE_ALL") == "1" else "flowkit")
