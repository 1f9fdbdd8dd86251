"""Where a call of user code stands: its scope, its strand, and the pass around them.

A *strand* is one line of control: the workflow function, or one branch of a join or race. A *scope* is where names are
unique: the run, a loop turn, a branch, an attempt block. The current scope travels in a context variable, which threads and
tasks that user code starts by itself may inherit; so a strand also knows its thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.journal import Visits
from flowkit.core.location import ROOT
from flowkit.core.origin import origin_in_chain
from flowkit.core.outcome import Failed, Outcome
from flowkit.engine.bodies import LiveBody
from flowkit.engine.source import caller
from flowkit.engine.state import StateBox
from flowkit.errors import HistoryDiverged, HistoryFull, NotInRun, Parked, ScopeClosed, Suspended, WrongColour

if TYPE_CHECKING:
    from flowkit.engine.passes import Pass
    from flowkit.engine.ports import BodyCall

__all__ = ["BodyScope", "Frontier", "Scope", "Strand", "current", "current_body", "in_run", "outside_run", "running_scope"]


T = TypeVar("T")


class Frontier(Parked):
    """A frozen pass has come to what a forward pass would perform."""


class Strand:
    """One line of control. `stop` is set once it is over from outside: nothing of it is recorded any more."""

    __slots__ = ("awaits", "bell", "body", "branches", "on_news", "parent", "performs", "running", "stop", "task", "thread")

    def __init__(
        self, running: Pass, *, awaits: bool, parent: Strand | None = None, on_news: Callable[[], None] | None = None
    ) -> None:
        """`on_news` is called once, when a branch does the first thing that is not recorded."""
        self.running = running
        self.awaits = awaits
        self.parent = parent
        self.branches: list[Strand] = []
        self.on_news = on_news
        self.stop: BaseException | None = None
        self.bell: threading.Event | None = None
        self.body: LiveBody | None = None
        self.task: asyncio.Task[Any] | None = None
        self.thread = 0
        self.performs = False
        running.begins(self)

    def passes_history(self) -> None:
        """What this line of control does now is new."""
        strand: Strand | None = self
        while strand is not None and (tell := strand.on_news) is not None:
            strand.on_news = None
            tell()
            strand = strand.parent

    def asked_to_stop(self, wait: float) -> bool:
        """Whether this line of control is over, or the run leaves this worker, in `wait` seconds at most."""
        with self.running.lock:
            if self.stop is not None or self.running.refusing is not None:
                return True
            self.bell = bell = self.bell or threading.Event()
        return bell.wait(wait) if wait > 0 else False

    def tree(self) -> list[Strand]:
        """This strand and all that branch off it."""
        found: list[Strand] = [self]
        for strand in found:
            found.extend(strand.branches)
        return found


class Scope:
    """A place where names are unique, as one pass visits it."""

    __slots__ = ("checkpointed", "over", "promised", "promises", "quiet", "running", "said", "strand", "visits")

    def __init__(self, strand: Strand, path: str = ROOT, *, checkpointed: bool = False) -> None:
        self.strand = strand
        self.running = strand.running
        """The pass around this scope."""
        self.visits: Visits = strand.running.journal.visit(path)
        self.checkpointed = checkpointed
        self.promises = 0
        """How many async calls have been made here."""
        self.promised: dict[int, tuple[Coroutine[Any, Any, Any], str, str]] = {}
        self.quiet: asyncio.Event | None = None
        self.over = False
        self.said = 0
        """How many log records its code has made."""

    @property
    def path(self) -> str:
        """The scope's location."""
        return self.visits.path

    def inside(self, path: str, strand: Strand | None = None) -> Scope:
        """A scope opened in this one: a turn, a branch, a block. A checkpoint passed before counts in it."""
        return Scope(strand or self.strand, path, checkpointed=self.checkpointed)

    def claim(self, kind: str, name: str, explicit: bool, where: Callable[[], str] = caller) -> tuple[str, Entry | None]:
        """The location of a call and history's entry there, None if it is new. In a frozen pass, what is new ends here.

        Raises:
            HistoryDiverged, Suspended: this pass or strand is over.
        """
        running, visits = self.running, self.visits
        if visits.busy is not None or self.strand.stop is not None or running.refusing is not None or self.over:
            raise self._refusal(name, where)
        try:
            return running.journal.claim(visits, kind, name, explicit, where)
        except HistoryDiverged as error:
            running.condemn(error)
            raise

    def claim_block(self, name: str, explicit: bool, where: Callable[[], str] = caller) -> str:
        """The location of an attempt block."""
        running, visits = self.running, self.visits
        if visits.busy is not None or self.strand.stop is not None or running.refusing is not None or self.over:
            raise self._refusal(name, where)
        try:
            return running.journal.claim_block(visits, name, explicit, where)
        except HistoryDiverged as error:
            running.condemn(error)
            raise

    def _refusal(self, name: str, where: Callable[[], str]) -> BaseException:
        """Why no call may be made: the strand or the pass is over, or it comes while another is under way or after the scope's
        end.
        """
        running, busy = self.running, self.visits.busy
        if (stop := self.strand.stop or running.refusing) is not None:
            return _again(stop)
        if busy is None:
            error = divergence.too_late(running.ledger, self.path, name, where())
        else:
            error = divergence.in_progress(running.ledger, self.path, busy, name, where())
        running.condemn(error)
        return error

    def open(self, location: str, kind: str, status: str, source: str, **fields: Any) -> Entry:
        """A new entry at `location`, staged: it is written with the next commit."""
        running = self.running
        if "created_at" not in fields:
            fields["created_at"] = running.recorder.now()
        ledger = running.ledger
        settings, live = running.host.settings, len(ledger.entries)
        if live >= settings.history:
            what = f"its history has {live:,} live entries, and every pass reads them all; loop() keeps a history short"
            raise running.outgrew(HistoryFull, location, what, "history", source)
        if live == settings.history_warning:
            running.log.warning(
                "run %r has a history of %s entries, which every pass reads again: a native loop over steps makes it grow "
                "without bound, loop() keeps it short, %s",
                ledger.run_id, f"{live:,}", source, extra={"step": location},
            )  # fmt: skip
        with ledger.lock:  # numbers become durable in their order
            parent = ledger.parent_of(location) if self.visits.path else 0
            entry = Entry(
                seq=ledger.next_seq(), location=location, kind=kind, status=status, parent=parent, source=source, **fields
            )  # fmt: skip
            return entry if running.journal.frozen else ledger.stage(entry, self.strand)

    def finish(self, location: str, kind: str, status: str, source: str, **fields: Any) -> Entry:
        """A new entry at `location` with its final outcome, staged. In a frozen pass this is where the scope ends."""
        running = self.running
        if running.journal.frozen or self.strand.on_news is not None:
            self.passes_history()
        settled_at = running.ledger.settle_instant(running.recorder.now())
        return self.open(location, kind, status, source, settled_at=settled_at, **fields)

    def stage(self, entry: Entry) -> Entry:
        """Have the entry written with the next commit; in a frozen pass, nothing."""
        return entry if self.running.journal.frozen else self.running.ledger.stage(entry, self.strand)

    def settle(self, entry: Entry, status: str, **fields: Any) -> Entry:
        """Stage the entry's final outcome. In a frozen pass this is where the scope ends."""
        self.passes_history()
        running = self.running
        settled_at = running.ledger.settle_instant(running.recorder.now())
        return self.stage(
            msgspec.structs.replace(entry, status=status, settled_at=settled_at, due_at=fields.pop("due_at", None), **fields)
        )

    def passes_history(self) -> None:
        """What this scope does now is new. A frozen pass ends here."""
        if self.running.journal.frozen:
            raise self.frontier()
        self.strand.passes_history()

    def asked_to_stop(self, wait: float) -> bool:
        """What `stopping()` answers here: where history goes on the code went on, and in a frozen pass nothing follows it."""
        if self.running.journal.unvisited(self.visits):
            return False
        if self.running.journal.frozen:
            return True
        self.strand.passes_history()
        return self.strand.asked_to_stop(wait)

    def frontier(self) -> Frontier:
        """End this strand of a frozen pass here."""
        stop = Frontier("the frozen pass ends here")
        self.strand.stop = stop
        return stop

    def close(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """What the scope's code came to, once it is sure that it and history fit."""
        strand = self.strand
        running = strand.running
        self.over = True
        if strand.stop is not None:
            return Failed(strand.stop)
        if running.refusing is not None:
            return Failed(running.refusing)
        if isinstance(outcome, Failed) and isinstance(outcome.error, Suspended | HistoryDiverged):
            return outcome
        if isinstance(outcome, Failed) and isinstance(outcome.error, KeyboardInterrupt):
            running.crash(outcome.error)
            return Failed(ScopeClosed("interrupted from the keyboard"))
        try:
            self._check_calls()
            if isinstance(outcome, Failed):
                origin = origin_in_chain(outcome.error)
                running.journal.leave(self.visits, outcome.error, origin.settled_at if origin else None)
            else:
                running.journal.leave(self.visits)
        except HistoryDiverged as error:
            if isinstance(outcome, Failed):
                error.__cause__ = outcome.error  # what the code raised is half of the story
            running.condemn(error)
            return Failed(error)
        return outcome

    def returns(self) -> None:
        """The call in progress is over."""
        self.visits.busy = None
        if self.quiet is not None:
            self.quiet.set()

    def _check_calls(self) -> None:
        """Each call made in this scope has been awaited and is over."""
        if self.visits.busy is not None:
            raise divergence.left_running(self.running.ledger, self.path, self.visits.busy)
        promised, self.promised = self.promised, {}
        for call, _, _ in promised.values():
            call.close()
        for _, name, source in promised.values():
            raise divergence.never_awaited(self.running.ledger, self.path, name, source)


class BodyScope(msgspec.Struct, eq=False):
    """Stands for the current scope inside a step's body, where primitives are refused and steps are plain calls."""

    scope: Scope
    live: LiveBody
    call: BodyCall

    @property
    def name(self) -> str:
        """What the body is called in messages."""
        return self.call.name

    @property
    def state(self) -> StateBox:
        """The box behind `run_state()`, made when the body first asks for it."""
        if self.call.state is None:
            self.call.state = StateBox(self.scope.running.state)
        return self.call.state


current: ContextVar[Scope | BodyScope | None] = ContextVar("flowkit_scope", default=None)


def in_run() -> Scope | None:
    """The scope this code runs in, None outside a run, in a step's body and in threads that user code started."""
    scope = current.get()
    if not isinstance(scope, Scope) or scope.strand.thread != threading.get_ident():
        return None
    return scope


def outside_run(function: Callable[..., T], *args: Any) -> T:
    """Call user code that belongs to no run, such as a hook, from a thread in which one runs."""
    context = copy_context()
    context.run(current.set, None)
    return context.run(function, *args)


def current_body() -> BodyScope | None:
    """The step body that this code runs in, if it does."""
    scope = current.get()
    return scope if isinstance(scope, BodyScope) else None


def running_scope(what: str, *, awaits: bool) -> Scope:
    """The scope that a call to the primitive `what` belongs to.

    Raises:
        NotInRun: there is none. WrongColour: it is of the other colour.
    """
    scope = current.get()
    if isinstance(scope, BodyScope):
        raise NotInRun(
            f"{what}() was called inside the body of step {scope.name!r}, {caller()}. A body is recorded as a whole: call "
            f"{what}() in the workflow function, before or after the step."
        )
    if scope is None or scope.strand.thread != threading.get_ident():
        raise NotInRun(
            f"{what}() was called outside a run, {caller()}. Start the workflow with Flowkit.start() or `flowkit run`; to try "
            "it out in a test, use flowkit.testing.Lab."
        )
    if scope.strand.awaits != awaits:
        raise wrong_colour(what, awaits=awaits)
    return scope


def wrong_colour(what: str, *, awaits: bool) -> WrongColour:
    """The error of a primitive called in code of the other colour."""
    if awaits:
        return WrongColour(
            f"flowkit.aio.{what}() was called in a plain workflow, {caller()}. Import it from flowkit: "
            f"`from flowkit import {what}`, and call it without await."
        )
    return WrongColour(
        f"{what}() was called in an async workflow, {caller()}. Import it from flowkit.aio: "
        f"`from flowkit.aio import {what}`, and await it."
    )


def _again(stop: BaseException) -> BaseException:
    """The same signal as a fresh exception: one object raised again and again would drag every traceback along."""
    return stop if isinstance(stop, HistoryDiverged) else type(stop)(*stop.args)
