"""The generations take turns: a candidate loads and tries the open runs, one serves, those before it leave.

When the candidate is ready, the *serving* generation is asked to claim nothing more; once it is quiet the candidate claims, and
the one before is a *former*: it drains, is kept for some seconds in case the new one dies at once, and leaves. A candidate that
fails changes nothing. That two generations never write one run does not rest on these turns, but on the fence of every write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from flowkit.client.livecode import Answer, Decision, LoadError
from flowkit.dev.background import Background
from flowkit.dev.consent import Consent
from flowkit.dev.events import Event
from flowkit.dev.generation import Generation
from flowkit.dev.herald import Herald
from flowkit.dev.loads import Loads
from flowkit.dev.protocol import (
    Broken,
    Checked,
    Checking,
    Claim,
    Claiming,
    Drained,
    Leave,
    Load,
    Loaded,
    Loading,
    Quiet,
    Waits,
    Word,
    Yield,
)
from flowkit.dev.settings import (
    CHECK_SECONDS,
    DEATHS,
    DEATHS_SECONDS,
    KEEP_SECONDS,
    LATE_SECONDS,
    QUIET_SECONDS,
    STOP_SECONDS,
    Settings,
)
from flowkit.dev.spare import Spare
from flowkit.dev.terminal import Terminal
from flowkit.dev.watch import Watcher

__all__ = ["Handover"]


class Handover:
    """`serving` is the generation that works on runs, and `over` says that all are gone after `stop`. Nothing here waits: the
    loop tells what has happened, and calls `tend` no later than `due`.
    """

    def __init__(
        self,
        settings: Settings,
        herald: Herald,
        *,
        watcher: Watcher,
        terminal: Terminal,
        background: Background,
        post: Callable[[Event], None],
    ) -> None:
        self.serving: Generation | None = None
        self._settings = settings
        self._herald = herald
        self._watcher = watcher
        self._terminal = terminal
        self._background = background
        self._post = post
        self._numbers = 0
        self._spare = Spare(self._make)
        self._candidate: Generation | None = None
        self._formers: list[Generation] = []
        self._alive: set[Generation] = set()
        self._promoting = False
        self._took_over_at = 0.0
        self._loads = Loads()
        self._consent = Consent(settings.apply if settings.works else "auto")
        self._stopping = False

    # --- loading ----------------------------------------------------------------------------------------------------

    def saved(self, files: list[str]) -> None:
        """These files changed: what they make is loaded when no more of them follow."""
        if self._stopping:
            return
        self._loads.saved(files, time.monotonic())
        if self._may_load():
            self._drop_candidate()

    def _drop_candidate(self) -> None:
        child, self._candidate = self._candidate, None
        self._consent.gone()
        if child is not None:
            child.kill()

    def load(self) -> None:
        """Load what is saved now, in place of a candidate that has not taken over."""
        files = self._loads.begin()
        if files:
            self._herald.saved(files)
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
            terminal=self._settings.terminal, post=self._post,
        )  # fmt: skip
        self._alive.add(made)
        return made

    def hear(self, child: Generation, word: Word) -> None:
        """A generation says how far it is."""
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
            case Quiet() if child is self.serving and self._promoting:
                self._claim_now()
            case Claiming() if child is self._candidate:
                self._took_over(child)
            case Waits(bodies=bodies, at_most_once=once) if not child.drained:  # else said as the last of them ended
                self._waiting(child, bodies, once)
            case Drained():
                self._drained(child)
            case _:
                return  # of a candidate that was dropped meanwhile

    def _watch(self, files: tuple[str, ...]) -> None:
        self._watcher.add({os.path.dirname(file) for file in files})

    def _refuse(self, child: Generation, error: LoadError) -> None:
        self._drop_candidate()
        self._spare.plan()
        self._herald.broken(child, error, self._running())

    def _running(self) -> str:
        return self.serving.code if self.serving is not None else ""

    def stalled(self, child: Generation, stack: str) -> None:
        """A generation's import takes long, and has come to here."""
        if child is self._candidate:
            self._herald.stalled(stack, self._running())

    def end_import(self) -> None:
        """A person does not want to wait for an import that does not come to an end."""
        child = self._candidate
        if child is not None and child.loaded is None:
            self._refuse(child, LoadError(type="Killed", message="the import was ended by hand"))

    # --- handing over -----------------------------------------------------------------------------------------------

    def _ask_or_promote(self, child: Generation) -> None:
        if not self._consent.needed(child):
            self._promote()
            return
        self._herald.asks(child, self.serving)
        self._spare.plan()  # the next save may come before the answer

    def decide(self, decision: Decision) -> Answer:
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
        serving = self.serving
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
        if self.serving is not None:
            self.serving.deadline = None
        if self._settings.works:
            former = self.serving is not None
            candidate.order(Claim(gentle=self._settings.grace + LATE_SECONDS if former else 0.0))
        else:
            self._took_over(candidate)

    def _took_over(self, child: Generation) -> None:
        now = time.monotonic()
        former, self.serving, self._candidate = self.serving, child, None
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
        if self._stopping:
            self._herald.waits(child, bodies, "waits for")
        elif once:
            child.deadline = None  # such a body is never ended by a reload
            self._herald.waits(child, bodies, "stays for a body that may run only once")
        elif self._settings.drain and child.deadline is None:
            self._herald.waits(child, bodies, "finishes the runs that it has")

    def _drained(self, child: Generation) -> None:
        if child is self.serving and not self._stopping:
            child.drained = self._promoting  # else it was to leave, and works again
            return
        child.drained = True
        self._herald.waits_no_more(child)
        keep = 0.0 if self._stopping else self._took_over_at + KEEP_SECONDS - time.monotonic()
        child.deadline = time.monotonic() + max(0.0, keep)

    # --- ends -------------------------------------------------------------------------------------------------------

    def kill_all(self) -> None:
        """End every process now."""
        for child in self._alive:
            child.kill()

    def ended(self, child: Generation, code: int) -> None:
        """A process is gone; `code` as of `subprocess`, negative for a signal."""
        self._alive.discard(child)
        self._terminal.take_back(child)
        self._herald.waits_no_more(child)
        if self._spare.lost(child):
            return
        if child in self._formers:
            self._formers.remove(child)
        elif child is self._candidate:
            self._candidate_died(child, code)
        elif child is self.serving:
            self._serving_died(child, code)

    def _candidate_died(self, child: Generation, code: int) -> None:
        self._candidate = None
        self._consent.gone()
        orphaned = self._promoting and self.serving is None
        if self._promoting:
            self._promoting = False
            self._go_back_to(self.serving)
        if self._stopping:
            return
        if orphaned:  # both died in the hand-over: what is saved now has loaded, so it is worth another try
            self._begin_again(child, code)
            return
        if not child.began and child.was_spare:
            self.load()  # it had died before it was needed, or is of no use
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
        self.serving = None
        if self._stopping:
            return
        if self._promoting:  # the next one is ready: let it work
            self._herald.died(child, code, "the next code takes over", "")
            self._claim_now()
            return
        former = self._formers[-1] if self._formers and now < self._took_over_at + KEEP_SECONDS else None
        if former is not None and not former.leaving and self._settings.works:
            self._formers.remove(former)
            self.serving = former
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
        if not self._loads.died(now):
            often = f"that was {DEATHS} times in {DEATHS_SECONDS:g} s, so it starts again at the next save"
            self._herald.died(child, code, often, "")
            return
        self._herald.died(child, code, "it starts again", "")
        if self._candidate is None:
            self._loads.again(now)

    def stop(self) -> None:
        """Load nothing more, and have every generation end its bodies and leave."""
        self._stopping = True
        self._spare.drop()
        self._drop_candidate()
        deadline = time.monotonic() + STOP_SECONDS + LATE_SECONDS
        for child in self._children():
            child.deadline = deadline
            child.order(Yield(grace=STOP_SECONDS, patient=False))
        if self.serving is not None and not self._settings.works:
            self.serving.order(Leave())

    @property
    def over(self) -> bool:
        """Whether it was stopped and no process is left."""
        return self._stopping and not self._alive

    # --- deadlines --------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float | None:
        """When `tend` is wanted next, in monotonic seconds."""
        found = [
            child.deadline for child in self._children() if child.deadline is not None and child is not self._terminal.holder
        ]
        if self._loads.due is not None and self._may_load():
            found.append(self._loads.due)
        if self._spare.due is not None:
            found.append(self._spare.due)
        return min(found, default=None)

    def tend(self, now: float) -> None:
        """Do what is due."""
        for child in self._children():
            if child.deadline is not None and now >= child.deadline and child is not self._terminal.holder:
                child.deadline = None
                self._too_late(child)
        if self._loads.due is not None and now >= self._loads.due and self._may_load():
            self.load()
        self._spare.tend(now)

    def _children(self) -> list[Generation]:
        return [child for child in (self._candidate, self.serving, *self._formers) if child is not None]

    def _may_load(self) -> bool:
        return not self._promoting and self._terminal.holder is None and not self._stopping

    def _too_late(self, child: Generation) -> None:
        """A candidate that does not get through its check, a former that does not end, or one whose keeping is over."""
        if child is self._candidate and not self._promoting:
            error = LoadError(type="Stuck", message=f"the check of open runs did not end within {CHECK_SECONDS:g} s")
            self._refuse(child, error)
        elif child is self.serving and self._promoting:
            self._claim_now()
        elif child.drained and not child.leaving:
            child.leaving = True
            child.order(Leave())
            child.deadline = time.monotonic() + LATE_SECONDS
        else:
            child.kill()
