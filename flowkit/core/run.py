"""What a run's status says, and the few questions that everybody asks of it."""

from __future__ import annotations

from typing import Literal

__all__ = ["OPEN", "STATUSES", "TERMINAL", "RunStatus"]

RunStatus = Literal["pending", "running", "sleeping", "rolling_back", "completed", "failed", "cancelled", "paused", "blocked"]

STATUSES: tuple[str, ...] = (
    "pending", "running", "sleeping", "rolling_back", "completed", "failed", "cancelled", "paused", "blocked",
)  # fmt: skip
TERMINAL: frozenset[str] = frozenset(("completed", "failed", "cancelled"))
OPEN: tuple[str, ...] = tuple(status for status in STATUSES if status not in TERMINAL)
