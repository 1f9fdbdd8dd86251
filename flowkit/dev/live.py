"""What the inspector is told of the code: the current state, and a way to start runs and to end an import that hangs.

The supervisor's thread writes, the server's threads read; each state is one frozen value, replaced whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Any

from flowkit.client.livecode import Answer, CodeState, Decision, Fault, ResolveWish, StartAnswer, StartWish, UndoTrial, UndoWish
from flowkit.dev.settings import IN_FORCE

__all__ = ["Live"]

START_SECONDS = IN_FORCE.dev_start


class Live:
    """A `CodeInfo`. `wanted`, `killed` and `decided` tell the supervisor what a page asks for."""

    def __init__(
        self,
        app: str,
        wanted: Callable[[StartWish | ResolveWish | UndoWish, Future[StartAnswer | Answer | UndoTrial]], None],
        killed: Callable[[], None],
        decided: Callable[[Decision, Future[Answer]], None],
    ) -> None:
        self._state = CodeState(version=1, status="loading", app=app)
        self._wanted = wanted
        self._killed = killed
        self._decided = decided
        self._lock = threading.Lock()

    def state(self) -> CodeState:
        """See `CodeInfo.state`."""
        return self._state

    def start(self, wish: StartWish) -> StartAnswer:
        """See `CodeInfo.start`."""
        answer: Future[StartAnswer | Answer | UndoTrial] = Future()
        self._wanted(wish, answer)
        try:
            found = answer.result(START_SECONDS)
        except FutureTimeout:
            text = f"the code did not answer within {START_SECONDS:g} s; look whether the run is there before you try again"
            return StartAnswer(faults=(Fault(field="", message=text),))
        assert isinstance(found, StartAnswer)
        return found

    def resolve(self, wish: ResolveWish) -> Answer:
        """See `CodeInfo.resolve`."""
        answer: Future[StartAnswer | Answer | UndoTrial] = Future()
        self._wanted(wish, answer)
        try:
            found = answer.result(START_SECONDS)
        except FutureTimeout:
            return Answer("refused", f"the code did not answer within {START_SECONDS:g} s; look at the run before you try again")
        assert isinstance(found, Answer)
        return found

    def try_undoing(self, run_id: str) -> UndoTrial:
        """See `TriesUndoing`."""
        answer: Future[StartAnswer | Answer | UndoTrial] = Future()
        self._wanted(UndoWish(run_id), answer)
        try:
            found = answer.result(START_SECONDS)
        except FutureTimeout:
            return UndoTrial(problem=f"the code did not answer within {START_SECONDS:g} s")
        assert isinstance(found, UndoTrial)
        return found

    def decide(self, decision: Decision) -> Answer:
        """See `Decides`."""
        answer: Future[Answer] = Future()
        self._decided(decision, answer)
        try:
            return answer.result(START_SECONDS)
        except FutureTimeout:
            return Answer("refused", f"nobody answered within {START_SECONDS:g} s; look before you try again")

    def kill(self) -> None:
        """See `CodeInfo.kill`."""
        self._killed()

    def update(self, **fields: Any) -> None:
        """Change the state; nothing happens if it is the same."""
        with self._lock:
            changed = replace(self._state, **fields)
            if changed != self._state:
                self._state = replace(changed, version=self._state.version + 1)
