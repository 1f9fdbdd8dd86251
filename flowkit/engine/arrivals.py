"""In which order a join or race hears of its branches. Pure dictionary work under the lock of the pass, in both colours.

A branch is *in its history* until it does something that is not recorded yet. Two things must not depend on the speed of
threads: which of several branches is first that come to their ends in history alone, and whether one that does not fit its
history is found before another is declared the winner. So branches that ended are held back while others are in their
history; those that ended there are then told in the order in which they settled. One that ended by doing something new only
waits for those that have a history at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flowkit.core.location import nested

if TYPE_CHECKING:
    from flowkit.engine.ports import Ended
    from flowkit.engine.scope import Strand

__all__ = ["Arrivals"]


class Arrivals:
    """The branches of the join or race at `location`, which `parent` waits for. `wake` is called, with the lock held, when
    there is something to hear. `running` counts the branches it has not heard of.
    """

    def __init__(self, parent: Strand, location: str, names: Iterable[str], wake: Callable[[], None]) -> None:
        self._parent = parent
        self._pass = parent.running
        self._location = location
        self._wake = wake
        self._position = {name: position for position, name in enumerate(names)}
        self._in_history = set(self._position)
        self._recorded = {name for name in self._position if nested(location, name) in self._pass.ledger.children}
        self._held: list[Ended] = []
        self._news = False
        self._told: deque[Ended] = deque()
        self._waiting = False
        self.running = len(self._position)

    def next(self) -> Ended | None:
        """The next branch that ended; with None the parent counts as waiting until it is woken."""
        with self._pass.lock:
            if self._told:
                self.running -= 1
                return self._told.popleft()
            self._waiting = True
            self._pass.rests(self._parent)
            return None

    def passes_history(self, name: str) -> None:
        """The branch does something new."""
        with self._pass.lock:
            self._in_history.discard(name)
            self._tell()

    def ends(self, strand: Strand, ended: Ended) -> bool:
        """The branch is over; False if that is held back."""
        with self._pass.lock:
            self._pass.leaves(strand)
            self._held.append(ended)
            self._news = self._news or ended[0] not in self._in_history
            self._in_history.discard(ended[0])
            self._tell()
            return not self._held

    def hurry(self) -> None:
        """Hold nothing back any longer: a branch that is in its history and takes its time does something else there."""
        with self._pass.lock:
            self._in_history.clear()
            self._tell()

    def _tell(self) -> None:
        if self._in_history if not self._news else self._in_history & self._recorded:
            return
        self._told.extend(sorted(self._held, key=self._order))
        self._held.clear()
        if self._told and self._waiting:
            self._waiting = False
            self._pass.performs(self._parent)
            self._wake()

    def _order(self, ended: Ended) -> tuple[float, int]:
        below = self._pass.ledger.below(nested(self._location, ended[0]))
        return max((entry.settled_at or 0.0 for entry in below), default=0.0), self._position[ended[0]]
