"""`attempt`: run a block, or one step, and get its terminal failure as a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flowkit.core.origin import FailureKind, FailureSource, Origin, origin_of
from flowkit.core.outcome import Done, Outcome
from flowkit.engine.failures import holds_rollback, info_bytes
from flowkit.engine.ports import Port
from flowkit.engine.scope import Scope
from flowkit.errors import ErrorInfo, RollbackError

__all__ = ["CATCHABLE", "Attempt", "Block", "Failure", "attempt_of"]

T = TypeVar("T")

CATCHABLE = ("step", "join", "race", "rollback")


@dataclass(frozen=True, slots=True)
class Failure:
    """A terminal failure as data. `attempts` is 0 for every source but a step."""

    kind: FailureKind
    source: FailureSource
    name: str
    attempts: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """What came of it: `value` if `ok`, else `failure`."""

    ok: bool
    value: T | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A scope without an entry: its value is computed anew on each pass from what lies in it."""

    name: str
    explicit: bool
    body: Callable[[], Any]
    catch: tuple[str, ...]

    async def perform(self, scope: Scope, location: str, port: Port) -> Outcome[Attempt[Any]]:
        outcome = await port.call(scope.inside(location), self.body)
        return attempt_of(outcome, self.catch, self.name)


def attempt_of(outcome: Outcome[Any], catch: tuple[str, ...], name: str) -> Outcome[Attempt[Any]]:
    """The outcome as an Attempt if its failure is terminal and of a kind that `catch` names; else as it was."""
    if isinstance(outcome, Done):
        return Done(Attempt(True, outcome.value))
    failure = _caught(outcome.error, catch, name)
    return outcome if failure is None else Done(Attempt(False, None, failure))


def _caught(error: BaseException, catch: tuple[str, ...], name: str) -> Failure | None:
    origin = origin_of(error)
    if origin is None:
        if isinstance(error, RollbackError) and "rollback" in catch:
            return Failure("rollback", "block", name, 0, info_bytes(error)[0])
        return None
    if ("rollback" if holds_rollback(error) else origin.source) not in catch:
        return None
    return _failure(origin)


def _failure(origin: Origin) -> Failure:
    return Failure(origin.kind, origin.source, origin.name, origin.attempts, origin.error)
