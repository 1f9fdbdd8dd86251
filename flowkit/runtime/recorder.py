"""The engine's Recorder over a driver and its writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from flowkit.clock import Clock
from flowkit.core.change import Change
from flowkit.core.entry import Message
from flowkit.drivers.base import Done, Driver, Duplicate, GuardFailed, Lost, Result, Undeliverable
from flowkit.drivers.writer import Writer
from flowkit.engine.recorder import Answer, ChangeRefused, Undelivered, Written
from flowkit.engine.threads import LoopThread
from flowkit.errors import Fenced, ScopeClosed, StoreError
from flowkit.runtime.lease import Lease

__all__ = ["LoopSink", "StoreRecorder"]

T = TypeVar("T")


class LoopSink:
    """Delivers the writer's answers to the engine's loop, a group in one call."""

    def __init__(self, loop: LoopThread) -> None:
        self._loop = loop

    def deliver(self, outcomes: list[tuple[object, Any]]) -> None:
        """Called in the writer's thread."""
        self._loop.call(lambda: _hand_over(outcomes))


def _hand_over(outcomes: list[tuple[object, Any]]) -> None:
    for token, outcome in outcomes:
        assert isinstance(token, _Flight)
        try:
            answer: Answer | BaseException = outcome if isinstance(outcome, BaseException) else _answer(token.change, outcome)
        except (Fenced, StoreError) as error:
            answer = error
        token.landed(_translated(answer) if isinstance(answer, BaseException) else answer)


class _Flight(msgspec.Struct, frozen=True):
    """A Change under way, and who is told what became of it."""

    change: Change
    landed: Callable[[Answer | BaseException], None]


class StoreRecorder:
    """One run's view of the store."""

    def __init__(
        self, run: int, driver: Driver, writer: Writer, clock: Clock, sink: LoopSink, lease: Lease, *,
        retry: float,
    ) -> None:  # fmt: skip
        self._run = run
        self._driver = driver
        self._writer = writer
        self.now = clock.now
        self._sink = sink
        self._lease = lease
        self._retry = retry

    @property
    def healthy(self) -> bool:
        return self._writer.healthy and self._lease.holds

    def write(self, change: Change) -> Answer:
        try:
            result = self._writer.write(change, patient=True)
        except Exception as error:  # what no driver foresaw concerns this Change alone, too: its run must say so
            raise _translated(error) from error
        if type(result) is Done:
            return Written(result.inbox, result.status, result.request)
        return _answer(change, result)

    def submit(self, change: Change, landed: Callable[[Answer | BaseException], None]) -> None:
        self._writer.submit(change, _Flight(change, landed), self._sink)

    def inbox(self, names: Collection[str], limit: int) -> list[Message]:
        return self._read(lambda: self._driver.inbox(self._run, names, limit))

    def inbox_number(self) -> int:
        row = self._read(lambda: self._driver.get(self._run))
        return 0 if row is None else row.inbox

    def _read(self, read: Callable[[], T]) -> T:
        """As patient as a Change: the code of the run must not hear of a store that does not answer for a while."""
        while True:
            try:
                return read()
            except GuardFailed:
                raise
            except StoreError as error:
                if self._writer.is_closing:
                    raise ScopeClosed("the handle is being closed, and the store does not answer") from error
                time.sleep(self._retry)


def _answer(change: Change, result: Result) -> Answer:
    match result:
        case Done(inbox=inbox, status=status, request=request):
            return Written(inbox, status, request)
        case Undeliverable(to=to, why=why):
            return Undelivered(to, why)
        case Lost(epoch=epoch, head=head):
            raise Fenced(
                f"run {change.run} has another owner or was steered: it is at epoch {epoch}, head {head}, and this worker "
                f"held epoch {change.epoch}, head {change.head}"
            )
        case Duplicate(first=first):
            return Written(change.seen, first, "")
        case _:
            raise StoreError(f"the store answered a Change with {type(result).__name__}")


def _translated(error: BaseException) -> BaseException:
    """A store that failed or was closed stays what it is; anything else is about the Change."""
    if isinstance(error, StoreError) and not isinstance(error, GuardFailed):
        return error
    if not isinstance(error, Exception):
        return error
    return ChangeRefused(f"{type(error).__name__}: {error}")
