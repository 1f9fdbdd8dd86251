"""Lanes: in which order tests are handed out to them, and when only one of them may work.

A lane takes whole files, so that what a file's tests share is made once. Files that take minutes go first, lest the other
lanes wait for one of them in the end, and those that measure go last.

Tests that measure are run alone: while one of them runs, the other lanes wait between two tests. A shared lock is held by
every test, the whole lock by one that is marked `alone`. The turnstile before it keeps a stream of short tests from locking
a measurement out for ever.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

try:
    from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
except ImportError:  # no lanes on Windows
    flock = None  # type: ignore[assignment]

__all__ = ["in_order", "pytest_runtest_protocol"]

FIRST = ("browser", "torture", "slow")
"""Markers of what takes long, the longest first."""


def in_order(items: list[pytest.Item]) -> None:
    """Sort by how long a file is expected to take."""
    marks: dict[Path, set[str]] = {}
    for item in items:
        marks.setdefault(item.path, set()).update(mark.name for mark in item.iter_markers())
    last = len(FIRST) + 1
    ranks = {
        path: last if "alone" in names else next((rank for rank, name in enumerate(FIRST) if name in names), len(FIRST))
        for path, names in marks.items()
    }
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Around the whole test, its time limit included."""
    lanes = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if lanes is None or flock is None:
        return (yield)
    with _held(Path(tempfile.gettempdir()) / f"flowkit-lanes-{lanes}", whole=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _held(place: Path, *, whole: bool) -> Iterator[None]:
    turnstile, lock = (os.open(f"{place}.{name}", os.O_RDWR | os.O_CREAT, 0o666) for name in ("next", "lock"))
    try:
        flock(turnstile, LOCK_EX)
        flock(lock, LOCK_EX if whole else LOCK_SH)
        flock(turnstile, LOCK_UN)
        yield
    finally:
        os.close(lock)
        os.close(turnstile)
