"""Waiting in tests: a poll with a deadline, never a sleep for something to be true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

T = TypeVar("T")


def until(look: Callable[[], T], seconds: float = 5.0) -> T:
    """What `look` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"did not happen within {seconds:g} s"
        time.sleep(0.002)
    return found
