"""A workflow written twice, plain and async, and a note of which bodies ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit import Workflow, aio, receive, step, workflow
from flowkit.drivers import open_driver
from flowkit.testing import Lab

__all__ = ["at_most", "atake", "both", "inbox", "locations", "note", "quick_file", "ran", "scripted", "take"]

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


def quick_file(path: Path) -> Lab:
    """A Lab over a SQLite file that does not wait for the disk."""
    return Lab(driver=open_driver(path, durability="process"))


def scripted(*acts: Callable[[Lab], object]) -> tuple[Callable[[Lab], object], ...]:
    """The acts of a script that ends with the run."""
    return (*acts, lambda lab: lab.run_to_end("r"))


def inbox(lab: Lab, run: str = "r") -> list[str]:
    """The names of the messages that are in the run's inbox, in order."""
    row = lab.client.driver.get(run)
    assert row is not None
    return [message.name for message in lab.client.driver.inbox(row.seq, (), 1000)]


@workflow
def take(names: list[str], times: int = 1, timeout: float | None = None) -> list[Any]:
    """Receives as often as it is told."""
    return [receive(*names, timeout=timeout).data for _ in range(times)]


@aio.workflow
async def atake(names: list[str], times: int = 1, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109 - of receive
    """As `take`."""
    return [(await aio.receive(*names, timeout=timeout)).data for _ in range(times)]
