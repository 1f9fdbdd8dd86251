"""A driver that counts durable writes and dies at a chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from flowkit.drivers.base import Driver, Op, Result

__all__ = ["CrashingDriver", "SimulatedCrash"]


class SimulatedCrash(BaseException):
    """The process dies here, as far as the run can tell. One shot; comes out of the Lab call that made the write."""


class CrashingDriver:
    """Passes everything on to `inner`, but for a write that was chosen with `crash_at`."""

    def __init__(self, inner: Driver) -> None:
        self.inner = inner
        self.limits = inner.limits
        self.commits = 0
        self._countdown: int | None = None
        self._when = "before"

    def crash_at(self, k: int, when: Literal["before", "after"] = "before") -> None:
        """Raise SimulatedCrash at the k-th durable write from now: before it, or after it landed."""
        if k < 1:
            raise ValueError(f"k counts from 1, not {k}")
        if when not in ("before", "after"):
            raise ValueError(f'when is "before" or "after", not {when!r}')
        self._countdown, self._when = k, when

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        """As the inner driver's, counted."""
        dies = False
        if self._countdown is not None:
            self._countdown -= len(ops)
            dies = self._countdown <= 0
        if dies:
            self._countdown = None
            if self._when == "before":
                raise SimulatedCrash("before a durable write")
        results = self.inner.write(ops, now)
        self.commits += len(ops)
        if dies:
            raise SimulatedCrash("after a durable write")
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
