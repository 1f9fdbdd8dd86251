"""A workflow written twice, plain and async, and a note of which bodies ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flowkit import Workflow, step
from flowkit.testing import Lab

__all__ = ["at_most", "both", "locations", "note", "ran", "scripted"]

ran: list[Any] = []
"""What `note` was called with since the test, or since `at_most` looked."""


@step(backoff=1)
def note(value: Any = None) -> Any:
    """Says that it ran."""
    ran.append(value)
    return value


def both(plain: Workflow[..., Any], awaiting: Workflow[..., Any]) -> Any:
    """The test runs with each of the two as `flow`."""
    return pytest.mark.parametrize("flow", [plain, awaiting], ids=["plain", "async"])


def locations(lab: Lab, run: str = "r") -> list[str]:
    """Where the run's entries stand, in order of seq."""
    return [entry.location for entry in lab.history(run)]


def at_most(bodies: int) -> Callable[[Lab], None]:
    """A check for `crash_everywhere`: one crash runs one body again at the most, the one that was not yet recorded."""

    def check(_: Lab) -> None:
        count = len(ran)
        ran.clear()
        assert count <= bodies + 1

    return check


def scripted(*acts: Callable[[Lab], object]) -> tuple[Callable[[Lab], object], ...]:
    """The acts of a script that ends with the run."""
    return (*acts, lambda lab: lab.run_to_end("r"))
