"""What a driver may answer on pages over all runs: instants to come, messages kept, verbs carried out, the store itself.

As with a `Survey`, a driver need not offer it: whoever asks then falls back on the port, or says that this store cannot tell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from flowkit.core.entry import Entry
from flowkit.drivers.base import RunRow
from flowkit.drivers.survey import Deed

__all__ = ["Across", "Kept", "SeenAcross", "StoreFacts"]


class Kept(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message in a run's inbox, without what it says. `place` orders it among those of all runs, oldest first."""

    place: int
    run: int
    id: str
    name: str
    sent_at: float
    sender: str = ""
    key: str | None = None
    reply: bool = False


class StoreFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a store keeps its data and how much of it. Sizes are bytes; `log_at` is when its log was written last."""

    path: str
    size: int = 0
    free: int = 0
    log_size: int = 0
    log_at: float | None = None
    schema: int = 0
    engine: str = ""
    journal: str = ""
    runs: int = 0


class Across(Protocol):
    """Answers in a time that does not grow with the number of runs."""

    def due(self, after: tuple[float, int], limit: int, workflows: Collection[str] | None) -> list[RunRow]:
        """Runs without an owner that are due next, soonest first, after that instant and, at that instant, that seq."""
        ...

    def waits(self, runs: Sequence[int], most: int) -> list[tuple[int, Entry]]:
        """The open entries of these runs that are due at an instant, with their runs; of each run the `most` soonest."""
        ...

    def kept(self, after: int, limit: int) -> list[Kept]:
        """The messages beyond that place, oldest first; those of ended runs among them."""
        ...

    def deeds(self, before: tuple[float, str] | None, limit: int) -> list[Deed]:
        """Verbs as they were carried out, newest first; `before` are instant and op of the last one known."""
        ...

    def facts(self) -> StoreFacts:
        """The store itself."""
        ...


@runtime_checkable
class SeenAcross(Protocol):
    """A driver that offers `Across`."""

    def across(self) -> Across:
        """What this driver's database answers over all runs."""
        ...
