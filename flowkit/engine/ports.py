"""The two colours. A primitive's `perform` is written once, as a coroutine that awaits nothing but a Port.

`PlainPort` never suspends, so plain code drives a `perform` to its end with one `send(None)`, on its own thread: a hop to the
loop and back would cost more than the step. `AwaitingPort` (in `awaiting`) suspends on the engine's loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, Protocol

import msgspec

from flowkit.core.line import Part
from flowkit.core.outcome import Done, Failed, Outcome, TimedOut, Wake
from flowkit.engine.bodies import LiveBody, Verdict
from flowkit.engine.commits import Final
from flowkit.engine.passes import Pass
from flowkit.engine.scope import BodyScope, Scope, current
from flowkit.engine.state import StateBox
from flowkit.errors import Evicted, ScopeClosed

__all__ = ["BodyCall", "Ended", "Group", "Port", "live_body", "refusal_of", "run_body"]


class BodyCall(msgspec.Struct, eq=False, kw_only=True):
    """A body to run: a step's or a handler's (`part`). `state` is the box behind `run_state()`, there once the body has asked.

    `location` is its own among those that run; `step` that of the step's entry, which began at `since`.
    """

    name: str
    location: str
    step: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    awaits: bool
    timeout: float | None
    record: Callable[[], None] | None
    state: StateBox | None = None
    at_most_once: bool = False
    attempt: int = 0
    since: float = 0.0
    part: Part = "step"


Ended = tuple[str, Outcome[Any]]
"""A branch's name and what it came to."""


class Group(Protocol):
    """Branches under way."""

    @property
    def running(self) -> int:
        """How many branches have not been heard of."""
        ...

    def stop(self) -> None:
        """Cancel the branches that still run, without waiting for them."""
        ...


class Port(Protocol):
    """What a `perform` may await."""

    async def commit(self, scope: Scope, final: Final | None = None) -> None:
        """Everything staged is durable afterwards."""
        ...

    async def body(self, scope: Scope, call: BodyCall) -> Outcome[Any] | TimedOut:
        """Run a body. Raises what stopped the strand, if that happens first."""
        ...

    async def wait(self, scope: Scope, wake: Wake, *, since: int, seen: int) -> None:
        """Come back when `wake` may have come, at the latest when it is due; parks the run if nothing else happens soon.

        `since` is the pass's `rings` from before the caller looked, `seen` the inbox number it looked at.
        """
        ...

    async def call(self, scope: Scope, function: Callable[..., Any], *args: Any) -> Outcome[Any]:
        """Run workflow code in `scope`: a loop's turn, an attempt block."""
        ...

    def branches(self, scope: Scope, location: str, functions: Mapping[str, Callable[[], Any]]) -> Group:
        """Start a branch for each function."""
        ...

    async def ended(self, scope: Scope, group: Group) -> Ended:
        """The next branch that ends."""
        ...

    async def blocking(self, function: Callable[[], Any]) -> Any:
        """What a short blocking call into the store returns."""
        ...


def refusal_of(scope: Scope, call: BodyCall) -> BaseException | None:
    """What keeps a body from beginning: its strand is over, or nothing new begins in the pass. An evict does not, once it is
    written down that the body may begin only once: the next pass would have to take it for interrupted.
    """
    if scope.strand.stop is not None:
        return scope.strand.stop
    refusal = scope.running.refusing
    return None if call.at_most_once and isinstance(refusal, Evicted) else refusal


def live_body(running: Pass, call: BodyCall, interrupt: Callable[[Verdict], None]) -> LiveBody:
    """The watchdog's view of a body that starts now."""
    now = time.monotonic()
    after = running.host.record_after
    return LiveBody(
        deadline=now + call.timeout if call.timeout else None,
        record_at=now + after if after is not None and call.record is not None else None,
        record=call.record,
        interrupt=interrupt,
        location=call.location,
        at_most_once=call.at_most_once,
        run=running.facts.id,
    )


def run_body(scope: Scope, call: BodyCall, live: LiveBody) -> Outcome[Any]:
    """Run a plain body in a copy of this context, watched."""
    running = scope.running
    number = running.host.watchdog.enter(live)
    try:
        return Done(copy_context().run(_enter, BodyScope(scope, live, call), call))
    except KeyboardInterrupt as error:
        running.crash(error)
        raise ScopeClosed("interrupted from the keyboard") from None
    except BaseException as error:  # user code: whatever it raised is its outcome
        return Failed(error)
    finally:
        running.host.watchdog.leave(number)


def _enter(scope: BodyScope, call: BodyCall) -> Any:
    current.set(scope)
    watch = scope.scope.running.host.watch
    if watch is None or not watch.bodies:
        return call.function(*call.args, **call.kwargs)
    return watch.body(scope)
