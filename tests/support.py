"""What tests of every package share."""

from __future__ import annotations

import os

import pytest

__all__ = ["require"]


def require(condition: object, reason: str) -> None:
    """Go on if `condition` holds; otherwise skip for `reason`, or fail where nothing may be skipped.

    With ``FLOWKIT_REQUIRE_ALL=1``, as in continuous integration, a missing browser or database is a failure. Works in a
    test, in a fixture and at the top of a module.
    """
    if condition:
        return
    if os.environ.get("FLOWKIT_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (and FLOWKIT_REQUIRE_ALL=1 allows no skip)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
