"""Which entry an exception came from, carried by the exception itself.

A terminal failure is raised in user code like any exception; when it leaves a block or the workflow, the engine asks where it
came from. The answer travels as an attribute, so it survives re-raising, and chaining is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flowkit.errors import ErrorInfo

__all__ = ["FailureKind", "FailureSource", "Origin", "mark", "origin_in_chain", "origin_of"]

FailureKind = Literal["critical", "timeout", "exhausted", "rollback"]
FailureSource = Literal["step", "join", "race", "message", "send", "block"]

_ATTRIBUTE = "__flowkit_origin__"
_CHAIN = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """The entry behind a failure. `source` is its kind; `error` is an exhausted step's last error, else the failure's."""

    kind: FailureKind
    source: FailureSource
    name: str
    attempts: int
    error: ErrorInfo
    seq: int
    settled_at: float | None


def mark(error: BaseException, origin: Origin) -> BaseException:
    """Have `error` know its origin."""
    error.__dict__[_ATTRIBUTE] = origin  # not setattr: the user's class may refuse it, as frozen dataclasses do
    return error


def origin_of(error: BaseException) -> Origin | None:
    """Where `error` itself came from, None if not from an entry."""
    found = getattr(error, _ATTRIBUTE, None)
    return found if isinstance(found, Origin) else None


def origin_in_chain(error: BaseException | None) -> Origin | None:
    """Where `error`, its cause or its context came from."""
    for _ in range(_CHAIN):
        if error is None:
            return None
        if (found := origin_of(error)) is not None:
            return found
        error = error.__cause__ or error.__context__
    return None
