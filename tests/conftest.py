"""Rules for every test: the time limit, warnings as errors and markers stand in pyproject.toml, Hypothesis here.

Lanes load this file only, not those below it, so what reports on torture is named here.
"""

from __future__ import annotations

import os

from hypothesis import settings

from tests.alone import pytest_runtest_protocol
from tests.torture.report import pytest_collection_modifyitems, pytest_terminal_summary, torture

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_protocol", "pytest_terminal_summary", "torture"]

# The time limit of a test is pytest's business. In continuous integration the examples are the same every time, so that
# a red build is about the change.
settings.register_profile("flowkit", deadline=None, print_blob=True)
settings.register_profile("flowkit-ci", parent=settings.get_profile("flowkit"), derandomize=True)
settings.load_profile("flowkit-ci" if os.environ.get("FLOWKIT_REQUIRE_ALL") == "1" else "flowkit")
