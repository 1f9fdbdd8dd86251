"""The instant by which a run must have ended, and who notices that it has come.

A run that sleeps is woken at its deadline, since every park is for no longer; one that is in memory is watched over by the
watchdog, like a body with a timeout. Either way it is a claim of the run that finds out and fails it, so the deadline needs no
row of its own: it follows from the run's start and the code's `deadline=`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flowkit.definitions import Workflow
from flowkit.durations import format_seconds, utc_text
from flowkit.engine.bodies import LiveBody, Verdict
from flowkit.errors import DeadlineExceeded
from flowkit.runtime.house import House

__all__ = ["Deadline"]


class Deadline:
    """The deadline of one run under one claim. `passed` is called once, from the watchdog's thread, if it comes meanwhile."""

    def __init__(self, house: House, workflow: Workflow[..., Any], started_at: float, passed: Callable[[], None]) -> None:
        own = workflow.deadline
        self.seconds = house.settings.deadline if own is None else own
        self.at = started_at + self.seconds if self.seconds else None
        self._house = house
        self._passed = passed
        self._number: int | None = None

    def exceeded(self, run_id: str) -> DeadlineExceeded | None:
        """The error of a run that should have ended by now."""
        if self.at is None or self._house.clock.now() < self.at:
            return None
        return DeadlineExceeded(
            f"run {run_id!r} was not over by its deadline, {format_seconds(self.seconds)} after its start ({utc_text(self.at)}). "
            f"Raise the deadline before it is recovered, or it fails again.",
            deadline=self.seconds,
        )

    def watch(self) -> None:
        """A pass begins: have it ended if the deadline comes before it is over."""
        if self.at is None:
            return
        left = max(0.0, self.at - self._house.clock.now())
        alarm = LiveBody(deadline=time.monotonic() + left, record_at=None, record=None, interrupt=self._ring)
        self._number = self._house.watchdog.enter(alarm)

    def rest(self) -> None:
        """The pass is over."""
        if self._number is not None:
            self._house.watchdog.leave(self._number)
            self._number = None

    def _ring(self, verdict: Verdict) -> None:
        self.rest()
        if self.at is not None and self._house.clock.now() < self.at:
            return self.watch()  # the run's clock goes slower than the machine's, or was set back
        self._passed()
