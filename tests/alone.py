"""Tests that measure are run alone: while one of them runs, the other lanes wait between two tests.

A shared lock is held by every test, the whole lock by one that is marked `alone`. The turnstile before it keeps a stream of
short tests from locking a measurement out for ever.
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

__all__ = ["pytest_runtest_protocol"]


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
