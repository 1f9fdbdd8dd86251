"""A clock that only moves when told."""

from __future__ import annotations

from datetime import timedelta

from flowkit.durations import seconds

__all__ = ["FakeClock"]

START = 1_767_225_600.0
"""2026-01-01T00:00:00Z: an instant that reads well in a failing test."""


class FakeClock:
    """Stands at `now` (epoch seconds) until moved."""

    def __init__(self, now: float = START) -> None:
        self._now = now

    def now(self) -> float:
        """The instant it stands at, in epoch seconds."""
        return self._now

    def advance(self, duration: float | timedelta | str) -> None:
        """Move on by `duration`."""
        self._now += seconds(duration)

    def set(self, now: float) -> None:
        """Stand at `now`, epoch seconds; back is allowed, as with real clocks."""
        self._now = now
