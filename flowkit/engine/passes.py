"""One pass of one run: its strands, what they wait for, and how all of it comes to a stop.

A run is held in memory as long as any strand performs. The strand after which nobody does decides for all: if the nearest
wake is within the linger, everybody waits in place; else that strand commits the park and every strand unwinds with
`Parked`. Nothing is held while user code runs: `lock` guards the few fields below and is never kept over a call.

Longer than 400 lines because a pass is one state under one lock.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flowkit.core import divergence
from flowkit.core.change import Park
from flowkit.core.entry import Entry
from flowkit.core.fields import OwnLog, own_log
from flowkit.core.journal import Journal
from flowkit.core.ledger import Ledger
from flowkit.core.mail import Mail
from flowkit.core.outcome import TimedOut, Wake, decisive, merge_wakes, sooner
from flowkit.core.trial import Trial
from flowkit.engine.bodies import Watchdog
from flowkit.engine.commits import Commits, Final
from flowkit.engine.recorder import ChangeRefused, Recorder, Written
from flowkit.engine.scope import Strand
from flowkit.engine.source import caller
from flowkit.engine.standin import StandIn
from flowkit.engine.state import RunState
from flowkit.engine.threads import BodyPool, Guests, LoopThread
from flowkit.errors import Evicted, Fenced, HistoryDiverged, LimitReached, Parked, PayloadError, ScopeClosed

if TYPE_CHECKING:
    from flowkit.engine.logs import Listener
    from flowkit.engine.observer import Watch
    from flowkit.settings import Settings

__all__ = ["Host", "Pass", "RunFacts", "Waiter"]


L = TypeVar("L", bound=LimitReached)


@dataclass(frozen=True, slots=True)
class Host:
    """What all passes of a process share. `linger` and `record_after` are seconds; None records no start of a body."""

    guests: Guests
    bodies: BodyPool
    loop: LoopThread
    watchdog: Watchdog
    chance: Callable[[], float]
    settings: Settings
    linger: float
    record_after: float | None
    max_payload: int
    stand_in: StandIn | None = None
    listener: Listener | None = None
    log: OwnLog = field(default_factory=own_log)
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a pass knows of its run besides the history."""

    id: str
    workflow: str
    started_at: float
    pass_number: int
    tags: tuple[str, ...]
    input: bytes


class Waiter:
    """A strand that waits, having looked at the inbox up to number `seen`. `notify` wakes it, from any thread."""

    __slots__ = ("notify", "seen", "strand", "wake")

    def __init__(self, strand: Strand, wake: Wake, notify: Callable[[], None], seen: int) -> None:
        self.strand = strand
        self.wake = wake
        self.notify = notify
        self.seen = seen


class Pass:
    """One execution of a workflow function over a ledger.

    `refusing` ends everything at its next call while bodies may still be recorded (evict, divergence); a strand's own
    `stop` drops everything of it at once.
    """

    def __init__(
        self,
        *,
        host: Host,
        facts: RunFacts,
        ledger: Ledger,
        recorder: Recorder,
        commits: Commits,
        report: Callable[[object], None],
        frozen: bool = False,
        trial: Trial | None = None,
        collects: bool = False,
        awaits: bool = False,
        mail: Mail | None = None,
        state: RunState | None = None,
        verdicts: Mapping[str, TimedOut] | None = None,
        abandon: Callable[[Pass, str, TimedOut], None] | None = None,
        park_status: str = "sleeping",
        deadline_at: float | None = None,
        stand_in: StandIn | None = None,
    ) -> None:
        self.host = host
        self.stand_in = host.stand_in if stand_in is None else stand_in
        self.looks_ahead = frozen and trial is not None and not collects and stand_in is not None
        """Whether this pass of a check goes on where the stand-in answers, though nothing of that is recorded."""
        self._asks = False
        self._asked = False
        self.facts = facts
        self.ledger = ledger
        self.recorder = recorder
        self.commits = commits
        self.report = report
        self.journal = Journal(ledger, frozen=frozen, trial=trial)
        self.collects = collects
        self.handlers: dict[str, Any] = {}
        self.frontiers: dict[str, str] = {}
        """Where the strands of a frozen pass ended: what a forward pass would perform next, with its ``file:line``."""
        self.mail = mail if mail is not None else Mail()
        self.state = state if state is not None else RunState(None, ())
        self.reports: deque[tuple[int, object]] = deque()
        """What the hooks are to be told, each with the version of the ledger from which on it is durable."""
        self.inbox_heard = self.mail.number
        self.verdicts: dict[str, TimedOut] = dict(verdicts or {})
        self.abandoned = abandon
        self.park_status = park_status
        self.deadline_at = deadline_at
        self.waits = 0
        self.lock = threading.Lock()
        self.refusing: BaseException | None = None
        self.fatal: BaseException | None = None
        self.ended: BaseException | None = None
        self.rings = 0
        self.performing = 0
        self.waiters: list[Waiter] = []
        self.root = Strand(self, awaits=awaits)

    # --- strands, with the lock held but for `begins` ----------------------------------------------------------------

    def begins(self, strand: Strand) -> None:
        """A new strand, which performs; one that branches off a stopped strand is stopped from the first."""
        with self.lock:
            if strand.parent is not None:
                strand.stop = strand.parent.stop
                strand.parent.branches.append(strand)
            self.performs(strand)

    def performs(self, strand: Strand) -> None:
        """The strand keeps the run in memory. One that was stopped never does, whatever its code is busy with."""
        if not strand.performs and strand.stop is None:
            strand.performs = True
            self.performing += 1

    def rests(self, strand: Strand) -> None:
        """The strand only waits."""
        if strand.performs:
            strand.performs = False
            self.performing -= 1

    def leaves(self, strand: Strand) -> None:
        """A branch is over."""
        self.rests(strand)
        if strand.parent is not None:
            strand.parent.branches.remove(strand)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def begin_wait(self, waiter: Waiter, since: int) -> bool:
        """Count `waiter`'s strand as waiting; False if something rang since the mark `since`, so it should look again."""
        with self.lock:
            self.check_waitable(waiter.strand)
            if self.rings != since:
                return False
            self.waiters.append(waiter)
            self.waits += 1
            self.rests(waiter.strand)
            return True

    def end_wait(self, waiter: Waiter) -> None:
        """The strand performs again."""
        with self.lock:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            self.performs(waiter.strand)

    def park_with(self, waiter: Waiter | None = None) -> Park | None:
        """The park to commit if nobody performs, now or once `waiter` waits too, and nothing happens soon; else None."""
        with self.lock:
            if waiter is not None and waiter.strand.stop is not None:
                return None  # it counts no more: taking it off would hide another one that performs
            alone = self.performing - (waiter is not None and waiter.strand.performs) == 0
            waiters = [*self.waiters, waiter] if waiter is not None else list(self.waiters)
            if not alone or not waiters or self.ended is not None or self.refusing is not None:
                return None
        wake = merge_wakes(each.wake for each in waiters)
        if wake.at is not None and wake.at <= self.recorder.now() + self.host.linger:
            return None
        if wake.names is not None:
            seen = min(each.seen for each in waiters if each.wake.names is not None)
            if self.recorder.inbox_number() > seen:
                self.ring()
                return None
            self.ledger.seen = seen
        self._show_wait(waiters)
        self._asks = wake.asks
        return Park(wake_at=sooner(wake.at, self.deadline_at), waiting=wake.names)

    def final_of(self, park: Park) -> Final:
        """What to commit where the run is given up with `park`. One that asks a person is paused, whatever else it waits for."""
        self._asked = self._asks
        return self._final(park, asks=self._asks)

    def _final(self, park: Park, *, asks: bool) -> Final:
        if asks:
            return Final(status="paused", release=True)
        return Final(status=self.park_status, park=park, still=lambda: self.ended is None)

    def parked(self) -> Parked:
        """The park is durable: every strand ends here."""
        signal = Parked("the run waits")
        self.end(signal)
        return signal

    def ring(self) -> None:
        """Something may have come: whoever waits looks again, and counts as performing until it has."""
        with self.lock:
            self.rings += 1
            waiters, self.waiters = self.waiters, []
            for waiter in waiters:
                self.performs(waiter.strand)
        for waiter in waiters:
            waiter.notify()

    def check_waitable(self, strand: Strand) -> None:
        """Raise what ended the strand, or what the pass refuses everything new with."""
        if strand.stop is not None:
            raise strand.stop
        if self.refusing is not None:
            raise self.refusing

    # --- what is known of the run ------------------------------------------------------------------------------------

    @property
    def log(self) -> OwnLog:
        """flowkit's own log, for what is to be said of this run."""
        return self.host.log.of(run=self.facts.id, workflow=self.facts.workflow)

    def progress(self, location: str, attempts: int, attempts_max: int = 0, error: str | None = None) -> None:
        """What lists show of the run from the next commit on. Fewer `attempts` than `attempts_max`: it is under way."""
        ledger = self.ledger
        ledger.current, ledger.attempts, ledger.attempts_max, ledger.error_line = location, attempts, attempts_max, error

    def _show_wait(self, waiters: Sequence[Waiter]) -> None:
        """Lists name the entry that wakes the run: the one that asks, else the one whose instant comes first."""
        first = min(waiters, key=lambda waiter: (not waiter.wake.asks, math.inf if waiter.wake.at is None else waiter.wake.at))
        if first.wake.place is not None:
            self.ledger.shows(first.wake.place)

    def fold_state(self, gone: Iterable[Entry]) -> None:
        """Entries are about to be forgotten: what they did to the run's state goes into its base."""
        patched = [entry for entry in gone if entry.patch is not None]
        if patched:
            left = {entry.seq for entry in patched}
            live = (entry for entry in self.ledger.entries.values() if entry.seq not in left)
            self.ledger.stage_state(self.state.rebase(patched, live))

    def report_after(self, event: object) -> None:
        """Tell the hooks of `event` once everything staged so far is durable."""
        self.reports.append((self.ledger.version, event))

    def deliver_reports(self) -> None:
        """Tell the hooks what has become durable."""
        while self.reports and self.reports[0][0] <= self.commits.landed:
            try:
                _, event = self.reports.popleft()
            except IndexError:  # another strand took it
                return
            self.report(event)

    def forget_reports(self) -> None:
        """What is not durable yet is not going to be: nobody is told of it."""
        self.reports.clear()

    def commit_in_background(self) -> None:
        """Have what is staged written soon, without waiting."""
        self.host.guests.run(self._commit_quietly)

    def _commit_quietly(self) -> None:
        try:
            self.commits.commit()
        except BaseException as error:  # in a thread of its own: the strand in its body must learn it
            self.end(ScopeClosed(str(error))) if isinstance(error, Fenced) else self.crash(error)

    # --- ending -----------------------------------------------------------------------------------------------------

    def condemn(self, error: HistoryDiverged) -> None:
        """Code and history do not fit: nothing new begins in this pass."""
        self.refuse(error)

    def outgrew(self, kind: type[L], location: str, what: str, setting: str, source: str = "") -> L:
        """The run is at a limit: it is blocked, and a person may raise the limit."""
        refusal = divergence.outgrown(kind, self.ledger, location, what, setting, source or caller())
        self.condemn(refusal)
        return refusal

    def unreadable(self, location: str, error: PayloadError) -> HistoryDiverged:
        """A stored value does not fit today's annotations: the run is blocked."""
        refusal = divergence.unreadable(self.ledger.run_id, location, error, caller())
        refusal.__cause__ = error
        self.condemn(refusal)
        return refusal

    def refused_by_store(self, error: Exception) -> HistoryDiverged:
        """The store holds something else than this pass believes: the run is blocked, no other is touched."""
        refusal = divergence.refused(self.ledger, self.ledger.current or "", f"the store refused a write: {error}", "")
        self.condemn(refusal)
        return refusal

    def not_committed(self, error: BaseException) -> BaseException:
        """A commit ended with `error`: what the strand that asked for it is to raise."""
        match error:
            case Fenced():
                self.end(ScopeClosed(str(error)))
            case ChangeRefused():
                return self.refused_by_store(error)
            case ScopeClosed():
                return error
            case _:  # not the run's own failure: the worker decides what becomes of it
                self.crash(error)
        return ScopeClosed(str(error))

    def refuse(self, signal: BaseException) -> None:
        """Nothing new begins; bodies under way may end and be recorded."""
        with self.lock:
            self.refusing = signal if self.refusing is None else decisive((self.refusing, signal))
            _toll(self.root.tree())
        self.ring()

    def warn_bodies(self) -> None:
        """`stopping()` is true in every body from here on."""
        for strand in self.root.tree():
            if (body := strand.body) is not None:
                body.warn()

    def end(self, signal: BaseException, strand: Strand | None = None) -> None:
        """Stop a strand with all its branches (default: all of the pass): what they do from here on is dropped."""
        whole = strand is None
        with self.ledger.lock, self.lock:  # in this order: code that stages may come here, or pass its history
            if whole and self.ended is None:
                self.ended = signal
            strands, fresh, waiters = (strand or self.root).tree(), [], []
            for each in strands:
                if each.stop is None:
                    each.stop = signal
                    fresh.append(each)
                self.rests(each)
            _toll(strands)
            if self.waiters:
                waiters = [waiter for waiter in self.waiters if waiter.strand in strands]
                self.waiters = [waiter for waiter in self.waiters if waiter not in waiters]
        for each in fresh:  # none is cancelled twice: it may be cleaning up
            if (body := each.body) is not None and body.stop("stopped"):
                continue
            if each.task is not None and not isinstance(signal, Parked):
                self.host.loop.call(partial(_cancel, each, each.task))
        for waiter in waiters:
            waiter.notify()

    def crash(self, error: BaseException) -> None:
        """The worker must stop: `error` is not the run's own. Memory is not to be trusted from here on."""
        self.fatal = self.fatal or error
        self.end(ScopeClosed("the worker stops"))

    def heard(self, written: Written) -> None:
        """What a commit's answer says besides: operators' wishes and new messages."""
        if self._asked:
            return  # this pass has paused the run itself, with its last commit
        if written.status == "paused" or written.request == "evict":
            self.refuse(Evicted("the run leaves this worker"))
        elif written.inbox > self.inbox_heard:
            self.inbox_heard = written.inbox
            self.ring()

    def idle(self) -> bool:
        """Whether every strand waits."""
        with self.lock:
            return self.performing == 0

    def final_park(self, signal: BaseException) -> Final | None:
        """What to commit when a run is evicted, by `signal`, that only waits. From then on nothing new begins: a timer that
        runs out while the park is being written must not start a body whose result would be dropped.
        """
        with self.lock:
            if self.performing > 0 or not self.waiters or self.ended is not None:
                return None
            self.refusing = signal if self.refusing is None else decisive((self.refusing, signal))
            wake = merge_wakes(waiter.wake for waiter in self.waiters)
            looked = [waiter.seen for waiter in self.waiters if waiter.wake.names is not None]
            self._show_wait(self.waiters)
        if looked:
            self.ledger.seen = min(looked)
        return self._final(Park(wake_at=sooner(wake.at, self.deadline_at), waiting=wake.names), asks=wake.asks)


def _toll(strands: Iterable[Strand]) -> None:
    """Whoever waits in `stopping()` hears of it."""
    for strand in strands:
        if strand.bell is not None:
            strand.bell.set()


def _cancel(strand: Strand, task: object) -> None:
    if strand.task is not None and strand.task is task:  # a cancel that comes late must not hit what the task does next
        strand.task.cancel()
