"""The primitives as async workflows call them: the same names and arguments as in `plain`, each gives something to await.

They are plain functions that return coroutines, not coroutine functions, so that a call in code of the wrong colour fails
where it stands even if nobody awaits it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar, overload

from flowkit import calls
from flowkit.calls import DEFAULT_CATCH, DEFAULT_PRUNE_EVERY, UNSET, Duration
from flowkit.core.outcome import unwrap
from flowkit.core.trial import Skipped
from flowkit.engine.awaiting import AWAITING
from flowkit.engine.replay import promise
from flowkit.engine.scope import Scope, running_scope
from flowkit.engine.source import caller
from flowkit.primitives.block import Attempt, Block
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
Later = Coroutine[Any, Any, T]


def sleep(duration: Duration, *, name: str | None = None) -> Later[None]:
    """As `flowkit.sleep`."""
    scope = running_scope("sleep", awaits=True)
    return promise(calls.build_sleep(duration, name), scope)


def sleep_until(instant: datetime | float, *, name: str | None = None) -> Later[None]:
    """As `flowkit.sleep_until`."""
    scope = running_scope("sleep_until", awaits=True)
    return promise(calls.build_sleep_until(instant, name), scope)


def receive(
    *names: str, timeout: Duration | None = None, completable: bool = False, as_name: str | None = None
) -> Later[Message]:
    """As `flowkit.receive`; the message's `complete` is awaited too."""
    scope = running_scope("receive", awaits=True)
    return promise(calls.build_receive(names, timeout, completable, as_name, _complete), scope)


def receive_batch(
    *names: str,
    count: int,
    timeout: Duration | None = None,
    completable: bool = False,
    as_name: str | None = None,
) -> Later[list[Message]]:
    """As `flowkit.receive_batch`."""
    scope = running_scope("receive_batch", awaits=True)
    return promise(calls.build_receive(names, timeout, completable, as_name, _complete, count), scope)


def _complete(completion: Completion, response: Any) -> Later[None]:
    return completion.perform(running_scope("Message.complete", awaits=True), AWAITING, response)


def send(run_id: str, name: str, data: Any = None, *, key: str | None = None) -> Later[None]:
    """As `flowkit.send`."""
    scope = running_scope("send", awaits=True)
    return promise(calls.build_send(run_id, name, data, key), scope)


@overload
def loop(
    body: Callable[[S], Awaitable[Continue[S] | Break[T]]],
    state: S,
    *,
    name: str | None = ...,
    prune_every: int = ...,
    keep: int | None = ...,
) -> Later[T]: ...
@overload
def loop(
    body: Callable[[], Awaitable[Continue[None] | Break[T] | None]],
    *,
    name: str | None = ...,
    prune_every: int = ...,
    keep: int | None = ...,
) -> Later[T]: ...
def loop(
    body: Callable[..., Any],
    state: Any = UNSET,
    *,
    name: str | None = None,
    prune_every: int = DEFAULT_PRUNE_EVERY,
    keep: int | None = None,
) -> Later[Any]:
    """As `flowkit.loop`; the body is an async function."""
    scope = running_scope("loop", awaits=True)
    return promise(calls.build_loop(body, state, name, prune_every, keep), scope)


def join(
    name: str | Mapping[str, Callable[[], Awaitable[T]]] | None = None,
    mapping: Mapping[str, Callable[[], Awaitable[T]]] | None = None,
    /,
    **branches: Callable[[], Awaitable[T]],
) -> Later[dict[str, T]]:
    """As `flowkit.join`; branches are async functions."""
    scope = running_scope("join", awaits=True)
    return promise(calls.build_join(name, mapping, branches), scope)


def race(
    name: str | Mapping[str, Callable[[], Awaitable[T]]] | None = None,
    mapping: Mapping[str, Callable[[], Awaitable[T]]] | None = None,
    /,
    **branches: Callable[[], Awaitable[T]],
) -> Later[Winner[T]]:
    """As `flowkit.race`; branches are async functions."""
    scope = running_scope("race", awaits=True)
    return promise(calls.build_race(name, mapping, branches), scope)


def attempt(
    body: Callable[[], Awaitable[T]], *, name: str | None = None, catch: Iterable[str] = DEFAULT_CATCH
) -> Later[Attempt[T]]:
    """As `flowkit.attempt`; the body is an async function."""
    scope = running_scope("attempt", awaits=True)
    block, source = calls.build_block(body, name, catch), caller(2)
    scope.promises = number = scope.promises + 1
    made = _attempted(block, scope, source, number)
    scope.promised[number] = (made, block.name, source)
    return made


async def _attempted(block: Block, scope: Scope, source: str, promise: int) -> Attempt[Any]:
    scope.promised.pop(promise, None)
    try:
        location = scope.claim_block(block.name, block.explicit, lambda: source)
    except Skipped:
        return None  # type: ignore[return-value]  # a check tries out a gate around this call
    scope.visits.busy = location
    try:
        return unwrap(await block.perform(scope, location, AWAITING))
    finally:
        scope.returns()


def checkpoint(name: str) -> Later[None]:
    """As `flowkit.checkpoint`."""
    scope = running_scope("checkpoint", awaits=True)
    return promise(calls.build_checkpoint(name), scope)


def removed(name: str, kind: str) -> Later[None]:
    """As `flowkit.removed`."""
    scope = running_scope("removed", awaits=True)
    return promise(calls.build_removed(name, kind), scope)


def version(name: str, latest: int) -> Later[int]:
    """As `flowkit.version`."""
    scope = running_scope("version", awaits=True)
    return promise(calls.build_version(name, latest), scope)
