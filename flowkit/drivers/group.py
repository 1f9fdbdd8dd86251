"""What a writer commits: operations on their way, the batches they go in, and who hears of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from operator import attrgetter
from typing import Protocol

from flowkit.core.change import Change
from flowkit.drivers.base import Done, Log, Op, Result, Send, Sent, Start, Started, Steered
from flowkit.drivers.rules import FINAL
from flowkit.errors import StoreError

__all__ = ["RANK", "Batch", "Collector", "Item", "Outcome", "Sink", "size_of", "stir"]

Outcome = Result | BaseException


class Sink(Protocol):
    """Who hears of submitted operations."""

    def deliver(self, outcomes: list[tuple[object, Outcome]]) -> None:
        """The tokens of one group with what became of each. Called in the thread that committed; must not block."""
        ...


class Collector:
    """A sink that gathers the outcomes of numbered operations for a thread that waits for all of them."""

    def __init__(self, count: int) -> None:
        self._outcomes: dict[object, Outcome] = {}
        self._count = count
        self._complete = threading.Event()
        if count == 0:
            self._complete.set()

    def deliver(self, outcomes: list[tuple[object, Outcome]]) -> None:
        self._outcomes.update(outcomes)
        if len(self._outcomes) == self._count:
            self._complete.set()

    def results(self, timeout_seconds: float) -> list[Result]:
        """Results in order. Raises the first error among them, or StoreError if they are not all there in time."""
        if not self._complete.wait(timeout_seconds):
            raise StoreError(
                f"the database did not answer within {timeout_seconds:g} s. Call again with the same ids.",
                outcome="unknown",
            )
        results: list[Result] = []
        for number in range(self._count):
            outcome = self._outcomes[number]
            if isinstance(outcome, BaseException):
                raise outcome
            results.append(outcome)
        return results


_RANKS: dict[type, int] = {Start: 0, Change: 1, Send: 2}
RANK = attrgetter("rank")
"""The order within a batch. Operations under way at once may land in any order; alike ones side by side make larger groups."""


class Item:
    """An operation on its way: `taken` into a batch, `decided` once it has an outcome, `answered` once its thread may
    go on.

    `following` is the thread to wake next; `gone` says that this one stopped waiting. `size` is known once it had to queue.
    """

    __slots__ = (
        "answered",
        "deadline",
        "decided",
        "following",
        "gone",
        "lock",
        "op",
        "outcome",
        "rank",
        "sink",
        "size",
        "taken",
        "token",
    )

    def __init__(self, op: Op, deadline: float | None, sink: Sink | None, token: object) -> None:
        self.op = op
        self.rank = _RANKS.get(type(op), 3)
        self.deadline = deadline
        self.sink = sink
        self.token = token
        self.lock: threading.Lock | None = None
        self.outcome: Outcome | None = None
        self.size = 0
        self.decided = False
        self.answered = False
        self.taken = False
        self.gone = False
        self.following: Item | None = None


class Batch:
    """Operations given to the driver together. `unknown`: an earlier try of it may have landed."""

    __slots__ = ("items", "unknown")

    def __init__(self, items: list[Item], *, unknown: bool = False) -> None:
        self.items = items
        self.unknown = unknown


def stir(ops: Iterable[Op], results: Iterable[Result]) -> bool:
    """Whether a run may have become due by one of these operations, or a bell rung."""
    for op, result in zip(ops, results, strict=True):
        if type(op) is Change:
            if (op.sends or op.bump or op.park or (op.release and op.status not in FINAL)) and isinstance(result, Done):
                return True
        elif isinstance(op, Start):
            if isinstance(result, Started) and result.epoch == 0:
                return True
        elif isinstance(result, Sent | Steered):
            return True
    return False


def size_of(op: Op) -> int:
    """Roughly the bytes that `op` brings."""
    match op:
        case Change():
            size = 500
            for entry in (*op.add, *op.set) if op.set else op.add:
                size += 200 + len(entry.output or b"") + len(entry.error or b"") + len(entry.args or b"")
            if op.finish is not None:
                size += len(op.finish.output or b"")
            for message in op.sends:
                size += len(message.body)
            return size
        case Start():
            return 500 + len(op.input)
        case Send():
            return 500 + len(op.body)
        case Log():
            return sum(200 + len(line.text) for line in op.lines)
        case _:
            return 200
