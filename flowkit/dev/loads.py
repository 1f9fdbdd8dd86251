"""When the next load is due: soon after a save, or some while after code that worked has died.

Several files saved at once are one load. Code that dies again and again waits longer each time, and is then left alone until
somebody saves.
"""

from __future__ import annotations

from collections import deque

from flowkit.dev.settings import AGAIN_SECONDS, DEATHS, DEATHS_SECONDS, MANY_SECONDS

__all__ = ["Loads"]


class Loads:
    """`due` is when to load next, in monotonic seconds as every `now` here, or None."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._saved: set[str] = set()
        self._deaths: deque[float] = deque(maxlen=DEATHS)

    def saved(self, files: list[str], now: float) -> None:
        """Load what these files make; the deaths of other code count no more."""
        self._saved.update(files)
        self._deaths.clear()
        self.due = now + (MANY_SECONDS if len(self._saved) > 1 else 0.0)

    def died(self, now: float) -> bool:
        """Code that worked has died. Whether it may be tried again."""
        self._deaths.append(now)
        return len(self._deaths) < DEATHS or now - self._deaths[0] >= DEATHS_SECONDS

    def again(self, now: float) -> None:
        """Try it again: at once after the first death, later after each that followed."""
        lately = sum(now - death < DEATHS_SECONDS for death in self._deaths)
        self.due = now + (lately - 1) * AGAIN_SECONDS

    def begin(self) -> list[str]:
        """A load begins. The files that were saved for it, in order."""
        files = sorted(self._saved)
        self.due = None
        self._saved.clear()
        return files
