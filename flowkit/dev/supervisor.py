"""The supervisor: one loop in the main thread that hears events and decides which generation loads, works and leaves.

A save makes a *candidate*. When it has loaded and tried the open runs, the *serving* generation is asked to claim nothing
more; once it is quiet the candidate claims, and the one before is a *former*: it drains, is kept for some seconds in case the
new one dies at once, and leaves. A candidate that fails changes nothing. That two generations never write one run does not
rest on these turns, but on the fence of every write.

Longer than 400 lines because the turns that the generations take are only understood side by side.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

from flowkit.client.livecode import Answer, Decision, LoadError
from flowkit.dev.background import Background
from flowkit.dev.consent import Consent
from flowkit.dev.events import Aside, Decided, Ended, Event, Heard, Interrupted, Killed, Printed, SavedFiles, Stalled, Wanted
from flowkit.dev.generation import Generation
from flowkit.dev.herald import Herald
from flowkit.dev.live import Live
from flowkit.dev.protocol import (
    Broken,
    Checked,
    Checking,
    Claim,
    Claiming,
    Debugging,
    Drained,
    Leave,
    Load,
    Loaded,
    Loading,
    Quiet,
    Resolved,
    Started,
    Undoable,
    Waits,
    Word,
    Yield,
)
from flowkit.dev.report import Output, Remark, Report, Saved
from flowkit.dev.settings import (
    AGAIN_SECONDS,
    CHECK_SECONDS,
    DEATHS,
    DEATHS_SECONDS,
    KEEP_SECONDS,
    LATE_SECONDS,
    MANY_SECONDS,
    QUIET_SECONDS,
    STOP_SECONDS,
    Settings,
)
from flowkit.dev.spare import Spare
from flowkit.dev.terminal import Terminal
from flowkit.dev.watch import Files, Watcher, folders_of
from flowkit.dev.wishes import Wishes
from flowkit.engine.source import shown_path

__all__ = ["Supervisor"]


class Supervisor:
    """Make it, give `live` to the inspector, and `run` it in the main thread."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report
        self._events: SimpleQueue[Event] = SimpleQueue()
        self.live = Live(
            settings.app,
            wanted=lambda wish, answer: self._events.put(Wanted(wish, answer)),
            killed=lambda: self._events.put(Killed()),
            decided=lambda decision, answer: self._events.put(Decided(decision, answer)),
        )
        self._herald = Herald(report, self.live, app=settings.app, url=settings.url, db=settings.db if settings.works else "")
        files = Files(settings.globs, os.path.abspath(settings.db))
        self._watcher = Watcher(files, saved=lambda files: self._events.put(SavedFiles(files)))
        self._numbers = 0
        self._spare = Spare(self._make)
        self._candidate: Generation | None = None
        self._serving: Generation | None = None
        self._formers: list[Generation] = []
        self._alive: set[Generation] = set()
        self._promoting = False
        self._took_over_at = 0.0
        self._terminal = Terminal()
        self._saved: set[str] = set()
        self._load_at: float | None = None
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._wishes = Wishes()
        self._consent = Consent(settings.apply if settings.works else "auto")
        self._background = Background(settings, report, self.live, self._events.put)
        self._stopping: float | None = None

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Load, watch and serve until Ctrl-C or SIGTERM; when it returns, no child is left."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            self._watcher.add(folders_of(self._settings.app))
            self._watcher.start()
            self._load()
            while self._stopping is None or self._alive:
                self._step()
        finally:
            self._watcher.stop()
            self._kill_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        self._herald.stopped()

    def _step(self) -> None:
        now = time.monotonic()
        due = self._next_deadline()
        try:
            event = self._events.get(timeout=max(0.0, due - now) if due is not None else None)
        except Empty:
            event = None
        match event:
            case Heard(generation=generation, word=word):
                self._hear(generation, word)
            case Printed(generation=generation, stream=stream, line=line):
                self._report.tell(Output(code=generation.code, stream=stream, line=line))
            case Stalled(generation=generation, stack=stack):
                self._stalled(generation, stack)
            case Ended(generation=generation, code=code):
                self._ended(generation, code)
            case SavedFiles(files=files):
                self._files_saved(files)
            case Wanted(wish=wish, answer=answer):
                self._wishes.pass_on(wish, answer, self._serving)
            case Interrupted():
                self._stop()
            case Killed():
                self._kill_candidate()
            case Decided(decision=decision, answer=decided):
                decided.set_result(self._decide(decision))
            case Aside(event=about):
                self._background.hear(about)
        self._meet_deadlines(time.monotonic())

    def _interrupt(self, number: int, frame: Any) -> None:
        self._events.put(Interrupted())  # a SimpleQueue may be put to from within its own get

    def _children(self) -> list[Generation]:
        return [child for child in (self._candidate, self._serving, *self._formers) if child is not None]

    def _next_deadline(self) -> float | None:
        found = [
            child.deadline for child in self._children() if child.deadline is not None and child is not self._terminal.holder
        ]
        if self._load_at is not None and self._may_load():
            found.append(self._load_at)
        found += [due for due in (self._spare.due, self._background.due) if due is not None]
        return min(found, default=None)

    def _meet_deadlines(self, now: float) -> None:
        for child in self._children():
            if child.deadline is not None and now >= child.deadline and child is not self._terminal.holder:
                child.deadline = None
                self._too_late(child)
        if self._load_at is not None and now >= self._load_at and self._may_load():
            self._load()
        self._spare.tend(now)
        self._background.tend(now)

    def _may_load(self) -> bool:
        return not self._promoting and self._terminal.holder is None and self._stopping is None

    def _too_late(self, child: Generation) -> None:
        """A candidate that does not get through its check, a former that does not end, or one whose keeping is over."""
        if child is self._candidate and not self._promoting:
            error = LoadError(type="Stuck", message=f"the check of open runs did not end within {CHECK_SECONDS:g} s")
            self._refuse(child, error)
        elif child is self._serving and self._promoting:
            self._claim_now()
        elif child.drained and not child.leaving:
            child.leaving = True
            child.order(Leave())
            child.deadline = time.monotonic() + LATE_SECONDS
        else:
            child.kill()

    # --- loading ----------------------------------------------------------------------------------------------------

    def _files_saved(self, files: list[str]) -> None:
        if self._stopping is not None:
            return
        self._saved.update(files)
        self._deaths.clear()
        self._load_at = time.monotonic() + (MANY_SECONDS if len(self._saved) > 1 else 0.0)
        if self._may_load():
            self._drop_candidate()

    def _drop_candidate(self) -> None:
        child, self._candidate = self._candidate, None
        self._consent.gone()
        if child is not None:
            child.kill()

    def _load(self) -> None:
        self._load_at = None
        if self._saved:
            self._report.tell(Saved(files=tuple(shown_path(file) for file in sorted(self._saved))))
            self._saved.clear()
        self._drop_candidate()
        if not self._consent.asks:
            self._background.drop()  # else what it finds of the code that runs may be wanted yet: the new code may be discarded
        self._candidate = self._spare.take()
        self._candidate.order(Load(waited=self._candidate.was_spare))
        self._herald.loading()

    def _make(self) -> Generation:
        self._numbers += 1
        made = Generation(
            self._numbers, self._settings.app, self._settings.db, import_seconds=self._settings.import_seconds,
            terminal=self._settings.terminal, post=self._events.put,
        )  # fmt: skip
        self._alive.add(made)
        return made

    def _hear(self, child: Generation, word: Word) -> None:
        match word:
            case Loading():
                child.began = True
            case Loaded() if child is self._candidate:
                child.loaded = word
                child.deadline = time.monotonic() + CHECK_SECONDS
                self._watch(word.files)
            case Broken(error=error, files=files) if child is self._candidate:
                self._watch(files)
                self._refuse(child, error)
            case Checking(runs=runs) if child is self._candidate:
                self._herald.checking(runs)
            case Checked() if child is self._candidate:
                child.checked, child.deadline = word, None
                self._ask_or_promote(child)
            case Quiet() if child is self._serving and self._promoting:
                self._claim_now()
            case Claiming() if child is self._candidate:
                self._took_over(child)
            case Debugging(over=over):
                (self._terminal.take_back if over else self._terminal.lend)(child)
            case Waits(bodies=bodies, at_most_once=once) if not child.drained:  # else said as the last of them ended
                self._waiting(child, bodies, once)
            case Drained():
                self._drained(child)
            case Started() | Resolved() | Undoable():
                self._wishes.answered(word.number, word.answer)
            case _:
                return  # of a candidate that was dropped meanwhile

    def _watch(self, files: tuple[str, ...]) -> None:
        self._watcher.add({os.path.dirname(file) for file in files})

    def _refuse(self, child: Generation, error: LoadError) -> None:
        self._drop_candidate()
        self._spare.plan()
        self._herald.broken(child, error, self._running())

    def _running(self) -> str:
        return self._serving.code if self._serving is not None else ""

    def _stalled(self, child: Generation, stack: str) -> None:
        if child is self._candidate:
            self._herald.stalled(stack, self._running())

    def _kill_candidate(self) -> None:
        child = self._candidate
        if child is not None and child.loaded is None:
            self._refuse(child, LoadError(type="Killed", message="the import was ended by hand"))

    # --- handing over -----------------------------------------------------------------------------------------------

    def _ask_or_promote(self, child: Generation) -> None:
        if not self._consent.needed(child):
            self._promote()
            return
        self._herald.asks(child, self._serving)
        self._spare.plan()  # the next save may come before the answer

    def _decide(self, decision: Decision) -> Answer:
        """Do with the code that waits as a person says."""
        child = self._consent.waiting
        refusal = self._consent.refusal(decision)
        if refusal is not None or child is None:
            return refusal or Answer("refused", "no code waits to be applied")
        match decision.act:
            case "apply":
                self._consent.gone()
                self._promote()
            case "discard":
                self._drop_candidate()
                self._herald.discarded(child, self._running())
            case "hold":
                self._herald.held_back()
        return Answer("done")

    def _promote(self) -> None:
        """The candidate is ready: have the serving generation claim nothing more, then let it claim."""
        self._promoting = True
        serving = self._serving
        if serving is None or not self._settings.works:
            self._claim_now()
            return
        serving.order(Yield(grace=self._settings.grace, drain=self._settings.drain))
        serving.deadline = time.monotonic() + QUIET_SECONDS

    def _claim_now(self) -> None:
        candidate = self._candidate
        if candidate is None or candidate.claims:
            return  # it has been told: the former was late, or has died meanwhile
        candidate.claims = True
        if self._serving is not None:
            self._serving.deadline = None
        if self._settings.works:
            former = self._serving is not None
            candidate.order(Claim(gentle=self._settings.grace + LATE_SECONDS if former else 0.0))
        else:
            self._took_over(candidate)

    def _took_over(self, child: Generation) -> None:
        now = time.monotonic()
        former, self._serving, self._candidate = self._serving, child, None
        self._promoting, self._took_over_at = False, now
        self._consent.applied(child)
        for older in self._formers:
            if older.drained:
                older.deadline = now
            elif self._settings.drain:  # one generation drains, no more
                older.order(Yield(grace=self._settings.grace))
                older.deadline = now + self._settings.grace + LATE_SECONDS
        if former is not None:
            if former.drained or not self._settings.drain:
                former.deadline = now + (self._settings.grace + LATE_SECONDS if not former.drained else KEEP_SECONDS)
            former.drained = former.drained or not self._settings.works
            self._formers.append(former)
        self._spare.plan()
        self._herald.loaded(child, former)
        self._background.plan(child.code)

    def _waiting(self, child: Generation, bodies: tuple[str, ...], once: bool) -> None:
        if self._stopping is not None:
            self._herald.waits(child, bodies, "waits for")
        elif once:
            child.deadline = None  # such a body is never ended by a reload
            self._herald.waits(child, bodies, "stays for a body that may run only once")
        elif self._settings.drain and child.deadline is None:
            self._herald.waits(child, bodies, "finishes the runs that it has")

    def _drained(self, child: Generation) -> None:
        if child is self._serving and self._stopping is None:
            child.drained = self._promoting  # else it was to leave, and works again
            return
        child.drained = True
        self._herald.waits_no_more(child)
        keep = 0.0 if self._stopping is not None else self._took_over_at + KEEP_SECONDS - time.monotonic()
        child.deadline = time.monotonic() + max(0.0, keep)

    # --- ends -------------------------------------------------------------------------------------------------------

    def _kill_all(self) -> None:
        for child in self._alive:
            child.kill()

    def _ended(self, child: Generation, code: int) -> None:
        self._alive.discard(child)
        self._terminal.take_back(child)
        self._herald.waits_no_more(child)
        if self._spare.lost(child):
            return
        if child in self._formers:
            self._formers.remove(child)
        elif child is self._candidate:
            self._candidate_died(child, code)
        elif child is self._serving:
            self._serving_died(child, code)

    def _candidate_died(self, child: Generation, code: int) -> None:
        self._candidate = None
        self._consent.gone()
        orphaned = self._promoting and self._serving is None
        if self._promoting:
            self._promoting = False
            self._go_back_to(self._serving)
        if self._stopping is not None:
            return
        if orphaned:  # both died in the hand-over: what is saved now has loaded, so it is worth another try
            self._begin_again(child, code)
            return
        if not child.began and child.was_spare:
            self._load()  # it had died before it was needed, or is of no use
            return
        self._spare.plan()
        self._herald.died_loading(child, code, self._running())

    def _go_back_to(self, child: Generation | None) -> None:
        """A generation that was to leave works again."""
        if child is not None:
            child.deadline, child.drained = None, False
            child.order(Claim())

    def _serving_died(self, child: Generation, code: int) -> None:
        now = time.monotonic()
        self._serving = None
        if self._stopping is not None:
            return
        if self._promoting:  # the next one is ready: let it work
            self._herald.died(child, code, "the next code takes over", "")
            self._claim_now()
            return
        former = self._formers[-1] if self._formers and now < self._took_over_at + KEEP_SECONDS else None
        if former is not None and not former.leaving and self._settings.works:
            self._formers.remove(former)
            self._serving = former
            self._go_back_to(former)
            self._herald.died(child, code, f"back on {former.code}", former.code)
            return
        if self._consent.waiting is not None:
            self._herald.died(child, code, "nothing runs until you apply the code that waits", "")
            return
        self._begin_again(child, code)

    def _begin_again(self, child: Generation, code: int) -> None:
        """Nothing works on runs any more: load what is saved, sooner or later, unless it dies again and again."""
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == DEATHS and now - self._deaths[0] < DEATHS_SECONDS:
            often = f"that was {DEATHS} times in {DEATHS_SECONDS:g} s, so it starts again at the next save"
            self._herald.died(child, code, often, "")
            return
        self._herald.died(child, code, "it starts again", "")
        if self._candidate is None:
            lately = sum(now - death < DEATHS_SECONDS for death in self._deaths)
            self._load_at = now + (lately - 1) * AGAIN_SECONDS

    def _stop(self) -> None:
        """The first time: drain, then end. The second time: now."""
        now = time.monotonic()
        if self._stopping is not None:
            self._kill_all()
            return
        self._stopping = now
        self._watcher.stop()
        self._spare.drop()
        self._background.drop("flowkit dev was stopped")
        self._drop_candidate()
        for child in self._children():
            child.deadline = now + STOP_SECONDS + LATE_SECONDS
            child.order(Yield(grace=STOP_SECONDS, patient=False))
        if self._serving is not None and not self._settings.works:
            self._serving.order(Leave())
        self._report.tell(Remark(text=f"stopping: bodies have {STOP_SECONDS:g} s to end; Ctrl-C again stops now"))
