"""Where time comes from.

The only module that reads the wall clock. Everything else is handed a `Clock`, so that a test may stand still or jump.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What flowkit asks of time: the instant, in UTC epoch seconds."""

    def now(self) -> float:
        """The current instant in UTC epoch seconds."""
        ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> float:
        return time.time()
