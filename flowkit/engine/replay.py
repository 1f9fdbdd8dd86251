"""The one rule: find my place in history; if it is settled, answer from it; otherwise do the thing and record it first.

Every primitive is a small frozen value with `recall` (pure: the answer of a settled entry) and `perform` (a coroutine that
awaits nothing but a Port). `call` and `acall` are the two fronts of the same rule; nothing else consults history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.origin import origin_of
from flowkit.core.outcome import Done, Failed, Outcome
from flowkit.core.trial import Skipped
from flowkit.engine.awaiting import AWAITING
from flowkit.engine.plain import PLAIN
from flowkit.engine.ports import Port
from flowkit.engine.scope import Frontier, Scope
from flowkit.engine.source import caller
from flowkit.errors import HistoryDiverged, PayloadError

__all__ = ["Call", "Primitive", "acall", "call", "drive", "promise"]

T = TypeVar("T")
R = TypeVar("R", covariant=True)


class Call(msgspec.Struct, eq=False):
    """One call of a primitive: where it stands, and what history has there. `where` gives its ``file:line``."""

    scope: Scope
    location: str
    entry: Entry | None
    where: Callable[[], str]

    def open(self, kind: str, status: str, **fields: Any) -> Entry:
        """The entry that history has here, or a new one, staged."""
        if self.entry is None:
            self.entry = self.scope.open(self.location, kind, status, self.where(), **fields)
        return self.entry

    def finish(self, kind: str, status: str, **fields: Any) -> Entry:
        """The entry's final outcome, staged, whether it was recorded before or not."""
        if self.entry is not None:
            self.entry = self.scope.settle(self.entry, status, **fields)
        else:
            self.entry = self.scope.finish(self.location, kind, status, self.where(), **fields)
        return self.entry

    def note(self, kind: str, status: str, **fields: Any) -> None:
        """As `finish`, for what does nothing outside the pass: in a frozen one it is simply not written."""
        if not self.scope.running.journal.frozen:
            self.finish(kind, status, **fields)

    def cancel(self, entry: Entry) -> None:
        """An open entry that nothing will go on with."""
        if not self.scope.running.journal.frozen:
            self.scope.settle(entry, "cancelled")


class Primitive(Protocol[R]):
    """What differs from one primitive to the next.

    `frontier` says where a frozen pass ends: ``"always"`` when this would have to be performed, ``"new"`` only if it is not
    recorded (what is recorded has scopes to look into), ``"never"`` if performing it does nothing outside the pass.
    """

    kind: ClassVar[str]
    frontier: ClassVar[str]

    @property
    def name(self) -> str: ...
    @property
    def explicit(self) -> bool: ...

    def recall(self, scope: Scope, entry: Entry) -> R:
        """The answer of a settled entry; raises the recorded failure."""
        ...

    async def perform(self, call: Call, port: Port) -> Outcome[R]:
        """Do it, and settle the entry."""
        ...

    async def revisit(self, call: Call, port: Port) -> None:
        """Enter the scopes below a settled entry again, for what the pass collects in them."""
        ...


def call(primitive: Primitive[T], scope: Scope, where: Callable[[], str] = caller) -> T:
    """Answer from history, or have it performed. Plain code only."""
    try:
        location, entry = scope.claim(primitive.kind, primitive.name, primitive.explicit, where)
    except Skipped:
        return _instead(primitive)
    if entry is not None and entry.settled_at is not None and not scope.running.collects:
        return _recall(primitive, scope, entry)
    scope.visits.busy = location
    try:
        outcome = drive(_perform(primitive, Call(scope, location, entry, where), PLAIN))
    finally:
        scope.visits.busy = None
    if isinstance(outcome, Done):
        return outcome.value
    raise outcome.error


async def acall(primitive: Primitive[T], scope: Scope, where: Callable[[], str], promise: int) -> T:
    """As `call`, for async code. `promise` is the number of the call, which is kept now."""
    scope.promised.pop(promise, None)
    try:
        location, entry = scope.claim(primitive.kind, primitive.name, primitive.explicit, where)
    except Skipped:
        return _instead(primitive)
    if entry is not None and entry.settled_at is not None and not scope.running.collects:
        return _recall(primitive, scope, entry)
    scope.visits.busy = location
    try:
        outcome = await _perform(primitive, Call(scope, location, entry, where), AWAITING)
    except asyncio.CancelledError:
        raise _cancelled(scope, location, where) from None
    finally:
        scope.returns()
    if isinstance(outcome, Done):
        return outcome.value
    raise outcome.error


def promise(primitive: Primitive[T], scope: Scope) -> Coroutine[Any, Any, T]:
    """An async call of a primitive, to be awaited; a scope that ends with one that was not awaited names it."""
    source = caller(2)
    scope.promises = number = scope.promises + 1
    made = acall(primitive, scope, lambda: source, number)
    scope.promised[number] = (made, primitive.name, source)
    return made


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, here."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise AssertionError("a plain port suspended")


def _instead(primitive: Primitive[T]) -> T:
    """What a call is worth that a check passes over: nothing behind a gate, and for a gate itself the newest way."""
    return getattr(primitive, "latest", None)  # type: ignore[return-value]  # only a version has one


async def _perform(primitive: Primitive[T], call: Call, port: Port) -> Outcome[T]:
    scope = call.scope
    running = scope.running
    entry = call.entry
    if entry is not None and entry.settled_at is not None:
        if entry.rollback == "owes":
            running.handlers[call.location] = (primitive, entry)
        elif primitive.frontier == "new" and running.ledger.owing_below(call.location):
            await primitive.revisit(call, port)
        return _recalled(primitive, scope, entry)
    if running.journal.frozen and primitive.frontier != "never":
        return await _look(primitive, call, port)
    if scope.strand.on_news is not None and (entry is None or primitive.frontier == "always"):
        scope.strand.passes_history()
    stand_in = running.stand_in
    if stand_in is not None and (outcome := await stand_in.perform(primitive, call, port)) is not None:
        found: Outcome[T] = outcome
        return found
    return await primitive.perform(call, port)


async def _look(primitive: Primitive[T], call: Call, port: Port) -> Outcome[T]:
    """What a frozen pass does where a forward pass would perform: look into recorded scopes, or end the strand here."""
    running = call.scope.running
    if call.entry is None or primitive.frontier == "always":
        if running.looks_ahead and (foretold := await _foretold(primitive, call, port)) is not None:
            return foretold
        running.frontiers[call.location] = call.where()
        raise call.scope.frontier()
    try:
        outcome = await primitive.perform(call, port)
    except Frontier:
        outcome = Failed(call.scope.frontier())
    if isinstance(outcome, Failed) and isinstance(outcome.error, Frontier):
        if not any(location.startswith(call.location + "/") for location in running.frontiers):
            running.frontiers[call.location] = call.where()
        call.scope.strand.stop = outcome.error  # a bare except in user code must not let it go on past this
    return outcome


async def _foretold(primitive: Primitive[T], call: Call, port: Port) -> Outcome[T] | None:
    """What a stand-in would answer here, if it needs nobody for that."""
    stand_in = call.scope.running.stand_in
    if stand_in is None:
        return None
    try:
        return await stand_in.perform(primitive, call, port)
    except Frontier:
        return None


def _recall(primitive: Primitive[T], scope: Scope, entry: Entry) -> T:
    try:
        return primitive.recall(scope, entry)
    except PayloadError as error:
        if origin_of(error) is not None:
            raise  # a recorded failure like any other
        raise scope.running.unreadable(entry.location, error) from error


def _recalled(primitive: Primitive[T], scope: Scope, entry: Entry) -> Outcome[T]:
    try:
        return Done(_recall(primitive, scope, entry))
    except Exception as error:  # the recorded failure, to be raised in user code
        return Failed(error)


def _cancelled(scope: Scope, location: str, where: Callable[[], str]) -> BaseException:
    if scope.strand.stop is not None:
        return scope.strand.stop
    if scope.running.refusing is not None and not isinstance(scope.running.refusing, HistoryDiverged):
        return scope.running.refusing
    error = divergence.cancelled(scope.running.ledger, location, where())
    scope.running.condemn(error)
    return error
