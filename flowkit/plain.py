"""The primitives as plain workflows call them: they block where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, overload

from flowkit import calls
from flowkit.calls import DEFAULT_CATCH, DEFAULT_PRUNE_EVERY, UNSET, Duration
from flowkit.core.outcome import unwrap
from flowkit.core.trial import Skipped
from flowkit.engine.plain import PLAIN
from flowkit.engine.replay import call, drive
from flowkit.engine.scope import running_scope
from flowkit.primitives.block import Attempt
from flowkit.primitives.branches import Winner
from flowkit.primitives.loop import Break, Continue
from flowkit.primitives.messages import Completion, Message

__all__ = [
    "attempt",
    "checkpoint",
    "join",
    "loop",
    "race",
    "receive",
    "receive_batch",
    "removed",
    "send",
    "sleep",
    "sleep_until",
    "version",
]

T = TypeVar("T")
S = TypeVar("S")


def sleep(duration: Duration, *, name: str | None = None) -> None:
    """Wait for `duration` (seconds, `timedelta`, or text such as ``"3d 4h"``), across crashes and restarts.

    The instant of waking is stored before the wait begins; later passes keep it, whatever the code now says.
    """
    scope = running_scope("sleep", awaits=False)
    call(calls.build_sleep(duration, name), scope)


def sleep_until(instant: datetime | float, *, name: str | None = None) -> None:
    """Wait until `instant`, an aware `datetime` or epoch seconds."""
    scope = running_scope("sleep_until", awaits=False)
    call(calls.build_sleep_until(instant, name), scope)


def receive(*names: str, timeout: Duration | None = None, completable: bool = False, as_name: str | None = None) -> Message:
    """The first message with one of these names (none: any), waiting for it if need be.

    Raises:
        ReceiveTimeout: `timeout` is over. MessageNotCompleted: a completable message is still open in the run.
    """
    scope = running_scope("receive", awaits=False)
    found = call(calls.build_receive(names, timeout, completable, as_name, _complete), scope)
    assert isinstance(found, Message)
    return found


def receive_batch(
    *names: str,
    count: int,
    timeout: Duration | None = None,
    completable: bool = False,
    as_name: str | None = None,
) -> list[Message]:
    """1 to `count` messages as soon as there is one; an empty list when `timeout` is over."""
    scope = running_scope("receive_batch", awaits=False)
    return list(call(calls.build_receive(names, timeout, completable, as_name, _complete, count), scope))


def _complete(completion: Completion, response: Any) -> None:
    drive(completion.perform(running_scope("Message.complete", awaits=False), PLAIN, response))


def send(run_id: str, name: str, data: Any = None, *, key: str | None = None) -> None:
    """Send a message to another run: recorded, and delivered exactly once.

    Raises:
        RunNotFound, RunConflict: there is no such run, or it has ended.
    """
    scope = running_scope("send", awaits=False)
    call(calls.build_send(run_id, name, data, key), scope)


@overload
def loop(
    body: Callable[[S], Continue[S] | Break[T]],
    state: S,
    *,
    name: str | None = ...,
    prune_every: int = ...,
    keep: int | None = ...,
) -> T: ...
@overload
def loop(
    body: Callable[[], Continue[None] | Break[T] | None],
    *,
    name: str | None = ...,
    prune_every: int = ...,
    keep: int | None = ...,
) -> T: ...
def loop(
    body: Callable[..., Any],
    state: Any = UNSET,
    *,
    name: str | None = None,
    prune_every: int = DEFAULT_PRUNE_EVERY,
    keep: int | None = None,
) -> Any:
    """Run `body` again and again until it returns ``Break(value)``, which is what the loop returns.

    With `state`, the body gets it and returns ``Continue(next_state)``. Only the newest `keep` turns (default:
    `prune_every`) stay in the history, so a loop may run for ever.
    """
    scope = running_scope("loop", awaits=False)
    return call(calls.build_loop(body, state, name, prune_every, keep), scope)


def join(
    name: str | Mapping[str, Callable[[], T]] | None = None,
    mapping: Mapping[str, Callable[[], T]] | None = None,
    /,
    **branches: Callable[[], T],
) -> dict[str, T]:
    """Run all branches side by side and wait for all; their values by name, in the order of the call.

    Raises:
        JoinError: with every failure in `errors`, after all branches have ended.
    """
    scope = running_scope("join", awaits=False)
    return call(calls.build_join(name, mapping, branches), scope)


def race(
    name: str | Mapping[str, Callable[[], T]] | None = None,
    mapping: Mapping[str, Callable[[], T]] | None = None,
    /,
    **branches: Callable[[], T],
) -> Winner[T]:
    """Run all branches side by side until one succeeds; the others are cancelled and forgotten.

    Raises:
        RaceError: every branch failed.
    """
    scope = running_scope("race", awaits=False)
    return call(calls.build_race(name, mapping, branches), scope)


def attempt(body: Callable[[], T], *, name: str | None = None, catch: Iterable[str] = DEFAULT_CATCH) -> Attempt[T]:
    """Run `body` and get its terminal failure as a value instead of an exception.

    `catch` names what is caught: ``"step"``, ``"join"``, ``"race"``, and ``"rollback"`` for `RollbackError`.
    """
    scope = running_scope("attempt", awaits=False)
    block = calls.build_block(body, name, catch)
    try:
        location = scope.claim_block(block.name, block.explicit)
    except Skipped:
        return None  # type: ignore[return-value]  # a check tries out a gate around this call
    scope.visits.busy = location
    try:
        return unwrap(drive(block.perform(scope, location, PLAIN)))
    finally:
        scope.visits.busy = None


def checkpoint(name: str) -> None:
    """Steps with a rollback may run from here on, in this scope and those opened in it."""
    scope = running_scope("checkpoint", awaits=False)
    call(calls.build_checkpoint(name), scope)


def removed(name: str, kind: str) -> None:
    """Stand in for an entry that this code no longer makes, everything below it included."""
    scope = running_scope("removed", awaits=False)
    call(calls.build_removed(name, kind), scope)


def version(name: str, latest: int) -> int:
    """`latest` for runs that come by for the first time, 1 for those that went past under older code."""
    scope = running_scope("version", awaits=False)
    return call(calls.build_version(name, latest), scope)
