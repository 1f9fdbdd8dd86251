"""One process kept ready, so that a save need not wait for an interpreter to start and flowkit to be imported.

A spare is a generation that has not been told to load: it knows nothing of the user's code, serves for one load, and the next
one is made only when the takeover is over, as there may be but two cores. Whatever is wrong with it costs no more than the time
it would have saved: then a process is started as if there had been none.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from flowkit.dev.generation import Generation
from flowkit.dev.settings import IN_FORCE

__all__ = ["Spare"]

AFTER_SECONDS = IN_FORCE.dev_spare
"""How long after a takeover the next one is started: the runs come first."""


class Spare:
    """`make` starts a process. `due` is when the next one is to be made, in monotonic seconds."""

    def __init__(self, make: Callable[[], Generation]) -> None:
        self.due: float | None = None
        self._make = make
        self._ready: Generation | None = None
        self._installed = _installed()

    def plan(self) -> None:
        """Have one made soon."""
        if self._ready is None:
            self.due = time.monotonic() + AFTER_SECONDS

    def tend(self, now: float) -> None:
        """Make it if it is due."""
        if self.due is not None and now >= self.due:
            self.due = None
            self._installed = _installed()
            self._ready = self._make()
            self._ready.was_spare = True

    def take(self) -> Generation:
        """A process for one load: the spare, else a new one."""
        ready, self._ready, self.due = self._ready, None, None
        if ready is not None and self._installed != _installed():
            ready.kill()
            ready = None
        return ready or self._make()

    def lost(self, child: Generation) -> bool:
        """Whether the process that ended was the spare; then there is none."""
        if child is not self._ready:
            return False
        self._ready = None
        return True

    def drop(self) -> None:
        """End it, and make no other."""
        ready, self._ready, self.due = self._ready, None, None
        if ready is not None:
            ready.kill()


def _installed() -> list[tuple[str, int]]:
    """What changes when a package is installed or removed: an interpreter reads the paths that packages add only as it starts."""
    return [(path, os.stat(path).st_mtime_ns) for path in sys.path if path.endswith("-packages") and os.path.isdir(path)]
