"""The supervisor's side of the check that goes on behind a load: it is started, heard, cut short and kept.

One at a time: a newer save ends the one before, which keeps what it had found. What its process prints was printed by the
generation that serves, so nobody hears it twice. A process that dies, or does not come to an end, costs its report and nothing
else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from flowkit.core.verdict import Replay
from flowkit.dev.changes import how_it_ended
from flowkit.dev.events import Aside, Ended, Event, Heard
from flowkit.dev.generation import Generation
from flowkit.dev.live import Live
from flowkit.dev.protocol import Replayed as Found
from flowkit.dev.protocol import Trying
from flowkit.dev.report import Replayed, Report
from flowkit.dev.settings import IN_FORCE, Settings
from flowkit.dev.shelf import MOST, Shelf

__all__ = ["Background"]

AFTER_SECONDS = IN_FORCE.dev_replay_after
"""How long after a takeover it begins: the runs come first, and the process for the next save."""

SECONDS = IN_FORCE.dev_replay_end
IMPORT_SILENCES = 2
"""The import of the APP may be silent for so many times as long as one run's passes."""


class Background:
    """`post` leads back to `hear` by way of the main loop."""

    def __init__(self, settings: Settings, report: Report, live: Live, post: Callable[[Event], None]) -> None:
        self._settings = settings
        self._report = report
        self._live = live
        self._post = post
        self._shelf = Shelf(settings.kept)
        self._due: float | None = None
        self._code = ""
        self._child: Generation | None = None
        self._began = 0.0
        self._heard_at = 0.0
        self._at = ""
        self._found = Replay()
        live.update(replays=self._shelf.all())

    def plan(self, code: str) -> None:
        """Have all runs tried under the code that has just taken over; its first digits."""
        self.drop()
        if self._settings.replays:
            self._code, self._due = code, time.monotonic() + AFTER_SECONDS

    @property
    def due(self) -> float | None:
        """When `tend` is wanted next, in monotonic seconds."""
        if self._child is not None:
            patience = self._settings.silence * (1 if self._at else IMPORT_SILENCES)
            return min(self._heard_at + patience, self._began + SECONDS)
        return self._due

    def tend(self, now: float) -> None:
        """Begin if it is time, and give up on what does not come to an end. In the thread that makes processes."""
        if self._child is None and self._due is not None and now >= self._due:
            self._due = None
            self._begin(now)
        elif self._child is not None and self.due is not None and now >= self.due:
            self._cut(f"the check did not go on{self._place()}, and was ended")

    def hear(self, event: Event) -> None:
        """What the process has said, or that it is gone."""
        if isinstance(event, Heard) and event.generation is self._child:
            self._heard_at = time.monotonic()
            match event.word:
                case Trying(run=run, workflow=workflow):
                    self._at = f"{run} of {workflow}"
                case Found(code=code, replay=replay):
                    self._listen(code[: len(self._code)], replay)
        elif isinstance(event, Ended) and event.generation is self._child:
            self._child = None
            tail = "".join(f"\n{line}" for line in event.generation.tail)
            self._publish(replace(self._found, why=f"the check's process {how_it_ended(event.code)}{self._place()}{tail}"))

    def drop(self, why: str = "newer code was saved") -> None:
        """End what is under way, if anything is. What it has found is kept."""
        self._due = None
        if self._child is not None:
            self._cut(f"{why} before the check was through", told=False)

    def _begin(self, now: float) -> None:
        self._began = self._heard_at = now
        self._at = ""
        self._found = Replay(number=self._shelf.next_number(), code=self._code, at=self._report.now(), over=False)
        self._child = Generation(
            self._found.number, self._settings.app, self._settings.db, import_seconds=self._settings.import_seconds,
            terminal=False, post=lambda event: self._post(Aside(event)), module="flowkit.dev.examiner",
        )  # fmt: skip
        self._show(self._found)

    def _listen(self, code: str, replay: Replay) -> None:
        if code and code != self._code:
            self._cut("newer code was saved before the check began", told=False)
            return
        fresh = replace(replay, number=self._found.number, code=self._code, at=self._found.at)
        if replay.over:
            self._child = None  # it ends by itself
            self._publish(fresh)
        else:
            self._found = fresh
            self._show(fresh)

    def _cut(self, why: str, *, told: bool = True) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
        self._publish(replace(self._found, why=why), told=told)

    def _publish(self, replay: Replay, *, told: bool = True) -> None:
        whole = replace(replay, over=True, seconds=replay.seconds or round(time.monotonic() - self._began, 3))
        before = next((kept for kept in self._shelf.all() if not kept.why), None)
        self._shelf.put(whole)
        self._live.update(replays=self._shelf.all())
        if told:  # a newer save has its own
            url = f"{self._settings.url}/migrate" if self._settings.url else ""
            self._report.tell(Replayed.of(whole, before, url))

    def _show(self, growing: Replay) -> None:
        self._live.update(replays=(growing, *self._shelf.all()[: MOST - 1]))

    def _place(self) -> str:
        return f" while it tried {self._at}" if self._at else " while it imported the code"
