"""What the engine asks of whoever keeps its records. `flowkit.runtime.recorder` supplies it over a driver."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal, Protocol

import msgspec

from flowkit.core.change import Change
from flowkit.core.entry import Message

__all__ = ["Answer", "ChangeRefused", "Recorder", "Undelivered", "Written"]


class ChangeRefused(Exception):
    """The Change contradicts what the store holds, so this run cannot go on; no other run is touched."""


class Written(msgspec.Struct, frozen=True):
    """The Change is durable. `inbox` is the run's newest message number, `status` what its row says now."""

    inbox: int
    status: str
    request: str


class Undelivered(msgspec.Struct, frozen=True):
    """Nothing was written, since the message to run `to` has no living receiver."""

    to: str
    why: Literal["missing", "ended", "full"]


Answer = Written | Undelivered


class Recorder(Protocol):
    """The store as one run sees it."""

    @property
    def healthy(self) -> bool:
        """False while the store fails: no body may begin."""
        ...

    def now(self) -> float:
        """The store's clock, in epoch seconds."""
        ...

    def write(self, change: Change) -> Answer:
        """Write, and block until acknowledged. Raises Fenced when the run has another owner."""
        ...

    def submit(self, change: Change, landed: Callable[[Answer | BaseException], None]) -> None:
        """Write without blocking; `landed` is called on the engine's loop."""
        ...

    def inbox(self, names: Collection[str], limit: int) -> list[Message]:
        """The first messages with these names (none: any), in order. Blocks."""
        ...

    def inbox_number(self) -> int:
        """The number of the newest message. Blocks."""
        ...
