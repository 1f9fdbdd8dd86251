"""How a piece of user code ended, as a value.

User code never raises through the engine's own frames (a `StopIteration` crossing a coroutine becomes something else), so
whoever calls it turns what happened into an Outcome, and whoever needs it as an exception again calls `unwrap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

from flowkit.errors import Evicted, HistoryDiverged, RollbackCheckpointError, ScopeClosed, Suspended

__all__ = ["Done", "Failed", "Outcome", "Place", "TimedOut", "Wake", "decisive", "merge_wakes", "sooner", "unwrap"]

T = TypeVar("T", covariant=True)


class Done(msgspec.Struct, Generic[T], frozen=True):
    """It returned."""

    value: T


class Failed(msgspec.Struct, frozen=True):
    """It raised."""

    error: BaseException


class TimedOut(msgspec.Struct, frozen=True):
    """A body ran longer than its `timeout` seconds. Whatever it still does is dropped."""

    timeout: float


Outcome = Done[T] | Failed


def unwrap(outcome: Outcome[T]) -> T:
    """The value, or the exception raised here."""
    if isinstance(outcome, Done):
        return outcome.value
    raise outcome.error


class Place(msgspec.Struct, frozen=True, gc=False):
    """An entry as lists name it: its location, how many attempts it had and may have (0: unknown), the newest error's line."""

    location: str | None = None
    attempts: int = 0
    attempts_max: int = 0
    error_line: str | None = None


class Wake(msgspec.Struct, frozen=True):
    """What a strand waits for: an instant in epoch seconds, message names (``("*",)``: any), or both.

    `place` is the entry that waits; a merged wake has none. `asks`: only a person's answer ends this wait.
    """

    at: float | None = None
    names: tuple[str, ...] | None = None
    place: Place | None = None
    asks: bool = False


def merge_wakes(wakes: Iterable[Wake]) -> Wake:
    """What a run waits for whose branches wait for `wakes`: the earliest instant, all the names, a person if one of them does."""
    at: float | None = None
    names: set[str] | None = None
    asks = False
    for wake in wakes:
        asks = asks or wake.asks
        if wake.at is not None:
            at = wake.at if at is None else min(at, wake.at)
        if wake.names is not None:
            names = (names or set()) | set(wake.names)
    if names is not None and "*" in names:
        names = {"*"}
    return Wake(at, None if names is None else tuple(sorted(names)), asks=asks)


def sooner(first: float | None, second: float | None) -> float | None:
    """The earlier of two instants, either of which may not be set."""
    return second if first is None else first if second is None else min(first, second)


def decisive(errors: Iterable[BaseException]) -> BaseException | None:
    """Of what ended several branches, the one that ends the pass around them, or None if they only failed.

    Eviction and closing come first, then divergence, then the missing checkpoint, then waiting.
    """
    ranked = [(_rank(error), position, error) for position, error in enumerate(errors)]
    first = min(ranked, key=lambda item: item[:2], default=None)
    return first[2] if first is not None and first[0] < _ORDINARY else None


_ORDINARY = 4


def _rank(error: BaseException) -> int:
    match error:
        case Evicted() | ScopeClosed():
            return 0
        case HistoryDiverged():
            return 1
        case RollbackCheckpointError():
            return 2
        case Suspended():
            return 3
        case _:
            return _ORDINARY
