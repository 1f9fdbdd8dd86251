"""Who looks on while runs are executed: one seam for metrics and traces, and not one call where nobody does.

An `Observer` overrides what it wants to hear of. A `Watch` stands between the observers and the rest: whoever has none holds
None instead, and asks `is None`. What an observer raises is logged once and changes nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from flowkit.core.entry import Message
from flowkit.core.fields import OwnLog

if TYPE_CHECKING:
    from flowkit.engine.passes import Pass
    from flowkit.engine.scope import BodyScope

__all__ = ["BodyEnds", "Held", "Observer", "Watch"]

BodyEnds = Callable[[BaseException | None], None]
"""Told once a body is over, and of what it raised."""


class Held(Protocol):
    """A run that a worker has claimed. `context` is what the tracer of the start or of an earlier pass left with it."""

    @property
    def run(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def workflow(self) -> str: ...
    @property
    def context(self) -> str: ...


class Observer:
    """Hears nothing. What is overridden must not block; it may be called in any thread."""

    def opened(self, log: OwnLog) -> None:
        """A handle has this observer; `log` is for what it has to say."""

    def wrote(self, ops: Sequence[object], results: Sequence[object], seconds: float) -> None:
        """A group of operations is durable. One group after the other, each in the thread that committed it."""

    def starts(self, workflow: str, run_id: str) -> str:
        """A run is about to be started; the context to keep with it."""
        return ""

    def sends(self, running: Pass | None, to: str, name: str) -> str:
        """A message is about to be sent, from a run if there is a pass; the context to send along."""
        return ""

    def receives(self, running: Pass, messages: Sequence[Message]) -> None:
        """A run takes messages, for the first time."""

    def begins(self, held: Held) -> str:
        """A pass begins; the context to keep with the run when it parks."""
        return ""

    def enters(self, held: Held) -> Callable[[], None] | None:
        """Code of a pass is about to run in this thread or task; what to call there once it no longer does."""
        return None

    def ends(self, held: Held, status: str, started_at: float) -> None:
        """The pass is over. `status` is the run's as this worker left it, empty if it was taken away; the run began at
        `started_at`.
        """

    def body(self, body: BodyScope) -> BodyEnds | None:
        """An attempt's body is about to run, here and in this context; what to call here once it is over."""
        return None

    def loses(self) -> None:
        """The worker was declared dead: whatever it held has another owner."""

    def close(self) -> None:
        """The handle is being closed."""


class _Ending(NamedTuple):
    """A pass that is over, and where to read how its run was left."""

    held: Held
    status: Callable[[], str]
    started_at: float


class Watch:
    """The observers of one handle, behind a guard. `bodies`: whether any of them looks at bodies."""

    def __init__(self, observers: Sequence[Observer], log: OwnLog) -> None:
        self.observers = tuple(observers)
        self._log = log
        self._broken: set[int] = set()
        self._lock = threading.Lock()
        self._inside: Counter[tuple[int, int]] = Counter()
        self._undecided: dict[tuple[int, int], _Ending] = {}
        self._of_writes = self._those_of("wrote")
        self._of_bodies = self._those_of("body")
        self.bodies = bool(self._of_bodies)
        self._tell("opened", log)

    def _those_of(self, name: str) -> tuple[Observer, ...]:
        return tuple(each for each in self.observers if getattr(type(each), name) is not getattr(Observer, name))

    def _tell(self, name: str, *said: object) -> list[Any]:
        """What each answers that answers anything."""
        answers = []
        for each in self.observers:
            try:
                answer = getattr(each, name)(*said)
            except Exception:  # it looks on, and must not change what becomes of a run
                self._fails(each)
                continue
            if answer:
                answers.append(answer)
        return answers

    def _fails(self, observer: Observer) -> None:
        if id(observer) not in self._broken:
            self._broken.add(id(observer))
            self._log.exception(
                "flowkit: %s, which looks on at runs, failed; runs go on all the same, and this is said once",
                type(observer).__name__,
            )

    # --- what is told, see `Observer`

    def wrote(self, ops: Sequence[object], results: Sequence[object], seconds: float) -> None:
        """A group is durable."""
        for each in self._of_writes:
            try:
                each.wrote(ops, results, seconds)
            except Exception:  # as in `_tell`, which would cost more
                self._fails(each)

    def starts(self, workflow: str, run_id: str) -> str:
        """The context to keep with a run that is about to be started."""
        return next(iter(self._tell("starts", workflow, run_id)), "")

    def sends(self, running: Pass | None, to: str, name: str) -> str:
        """The context to send along with a message."""
        return next(iter(self._tell("sends", running, to, name)), "")

    def receives(self, running: Pass, messages: Sequence[Message]) -> None:
        """A run takes messages."""
        self._tell("receives", running, messages)

    def begins(self, held: Held) -> str:
        """A pass begins; the context to keep with the run when it parks."""
        return next(iter(self._tell("begins", held)), "")

    def ends(self, held: Held, status: Callable[[], str], started_at: float) -> None:
        """The pass is over, and its run left with a `status`; if that is not known yet, its code's last commit may tell.

        Whoever looks for runs that this worker has lost may see that commit in the store before the pass hears of it.
        """
        ending = _Ending(held, status, started_at)
        with self._lock:
            if not status() and (held.run, held.epoch) in self._inside:
                self._undecided[held.run, held.epoch] = ending
                return
        self._end_pass(ending)

    def _end_pass(self, ending: _Ending) -> None:
        self._tell("ends", ending.held, ending.status(), ending.started_at)

    def loses(self) -> None:
        """The worker was declared dead."""
        self._tell("loses")

    def close(self) -> None:
        """The handle is being closed."""
        with self._lock:
            left, self._undecided = list(self._undecided.values()), {}
        for ending in left:
            self._end_pass(ending)
        self._tell("close")

    # --- around code

    async def around(self, held: Held, flow: Awaitable[None]) -> None:
        """Have a pass's code run while it is looked at."""
        key = (held.run, held.epoch)
        with self._lock:
            self._inside[key] += 1
        leaving = self._tell("enters", held)
        try:
            await flow
        finally:
            self._leave(leaving)
            with self._lock:
                self._inside[key] -= 1
                last = not self._inside[key]
                if last:
                    del self._inside[key]
                ending = self._undecided.pop(key, None) if last else None
            if ending is not None:
                self._end_pass(ending)

    def _leave(self, leaving: Sequence[Callable[[], None]]) -> None:
        for leave in leaving:
            try:
                leave()
            except Exception:  # as in `_tell`
                self._log.debug("flowkit: a pass could not be left as it was entered", exc_info=True)

    def body(self, body: BodyScope) -> Any:
        """Run a plain body while it is looked at."""
        ending = self._begin(body)
        try:
            made = body.call.function(*body.call.args, **body.call.kwargs)
        except BaseException as error:  # user code: whatever it raised goes on from here
            self._end(ending, error)
            raise
        self._end(ending, None)
        return made

    async def awaited(self, body: BodyScope) -> Any:
        """Await an async body while it is looked at."""
        ending = self._begin(body)
        try:
            made = await body.call.function(*body.call.args, **body.call.kwargs)
        except BaseException as error:  # user code: whatever it raised goes on from here
            self._end(ending, error)
            raise
        self._end(ending, None)
        return made

    def _begin(self, body: BodyScope) -> list[tuple[Observer, BodyEnds]]:
        ending = []
        for each in self._of_bodies:
            try:
                if (ends := each.body(body)) is not None:
                    ending.append((each, ends))
            except Exception:  # as in `_tell`
                self._fails(each)
        return ending

    def _end(self, ending: Sequence[tuple[Observer, BodyEnds]], error: BaseException | None) -> None:
        for each, ends in reversed(ending):
            try:
                ends(error)
            except Exception:  # as in `_tell`
                self._fails(each)
