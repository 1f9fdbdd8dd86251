"""The supervisor: one loop in the main thread that hears events, and tells each to whom it concerns.

Whatever happens in another thread or process comes as an event, so that nothing below needs a lock. Which generation loads,
works and leaves is decided in `handover`; the loop adds the signals, the watcher of files and the check in the background.
"""

from __future__ import annotations

import os
import signal
import time
from queue import Empty, SimpleQueue
from typing import Any, assert_never

from flowkit.dev.background import Background
from flowkit.dev.events import Aside, Decided, Ended, Event, Heard, Interrupted, Killed, Printed, SavedFiles, Stalled, Wanted
from flowkit.dev.generation import Generation
from flowkit.dev.handover import Handover
from flowkit.dev.herald import Herald
from flowkit.dev.live import Live
from flowkit.dev.protocol import Debugging, Resolved, Started, Undoable, Word
from flowkit.dev.report import Output, Remark, Report
from flowkit.dev.settings import STOP_SECONDS, Settings
from flowkit.dev.terminal import Terminal
from flowkit.dev.watch import Files, Watcher, folders_of
from flowkit.dev.wishes import Wishes

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
        self._terminal = Terminal()
        self._wishes = Wishes()
        self._background = Background(settings, report, self.live, self._events.put)
        self._generations = Handover(
            settings, self._herald, watcher=self._watcher, terminal=self._terminal, background=self._background,
            post=self._events.put,
        )  # fmt: skip
        self._stopping = False

    def run(self) -> None:
        """Load, watch and serve until Ctrl-C or SIGTERM; when it returns, no child is left."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._interrupt) for number in numbers}
        try:
            self._watcher.add(folders_of(self._settings.app))
            self._watcher.start()
            self._generations.load()
            while not self._generations.over:
                self._step()
        finally:
            self._watcher.stop()
            self._generations.kill_all()
            for number, handler in before.items():
                signal.signal(number, handler)
        self._herald.stopped()

    def _interrupt(self, number: int, frame: Any) -> None:
        self._events.put(Interrupted())  # a SimpleQueue may be put to from within its own get

    def _step(self) -> None:
        now = time.monotonic()
        due = min((due for due in (self._generations.due, self._background.due) if due is not None), default=None)
        try:
            event = self._events.get(timeout=max(0.0, due - now) if due is not None else None)
        except Empty:
            pass
        else:
            self._tell(event)
        now = time.monotonic()
        self._generations.tend(now)
        self._background.tend(now)

    def _tell(self, event: Event) -> None:
        match event:
            case Heard(generation=generation, word=word):
                self._hear(generation, word)
            case Printed(generation=generation, stream=stream, line=line):
                self._report.tell(Output(code=generation.code, stream=stream, line=line))
            case Stalled(generation=generation, stack=stack):
                self._generations.stalled(generation, stack)
            case Ended(generation=generation, code=code):
                self._generations.ended(generation, code)
            case SavedFiles(files=files):
                self._generations.saved(files)
            case Wanted(wish=wish, answer=answer):
                self._wishes.pass_on(wish, answer, self._generations.serving)
            case Interrupted():
                self._stop()
            case Killed():
                self._generations.end_import()
            case Decided(decision=decision, answer=decided):
                decided.set_result(self._generations.decide(decision))
            case Aside(event=about):
                self._background.hear(about)
            case _:
                assert_never(event)

    def _hear(self, child: Generation, word: Word) -> None:
        match word:
            case Debugging(over=over):
                (self._terminal.take_back if over else self._terminal.lend)(child)
            case Started() | Resolved() | Undoable():
                self._wishes.answered(word.number, word.answer)
            case _:
                self._generations.hear(child, word)

    def _stop(self) -> None:
        """The first time: drain, then end. The second time: now."""
        if self._stopping:
            self._generations.kill_all()
            return
        self._stopping = True
        self._watcher.stop()
        self._background.drop("flowkit dev was stopped")
        self._generations.stop()
        self._report.tell(Remark(text=f"stopping: bodies have {STOP_SECONDS:g} s to end; Ctrl-C again stops now"))
