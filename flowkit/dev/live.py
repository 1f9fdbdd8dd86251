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

from flowkit.client.livecode import CodeState, Fault, StartAnswer, StartWish

__all__ = ["Live"]

START_SECONDS = 10.0


class Live:
    """A `CodeInfo`. `wanted` and `killed` tell the supervisor what a page asks for."""

    def __init__(self, app: str, wanted: Callable[[StartWish, Future[StartAnswer]], None], killed: Callable[[], None]) -> None:
        self._state = CodeState(version=1, status="loading", app=app)
        self._wanted = wanted
        self._killed = killed
        self._lock = threading.Lock()

    def state(self) -> CodeState:
        """See `CodeInfo.state`."""
        return self._state

    def start(self, wish: StartWish) -> StartAnswer:
        """See `CodeInfo.start`."""
        answer: Future[StartAnswer] = Future()
        self._wanted(wish, answer)
        try:
            return answer.result(START_SECONDS)
        except FutureTimeout:
            text = f"the code did not answer within {START_SECONDS:g} s; look whether the run is there before you try again"
            return StartAnswer(faults=(Fault(field="", message=text),))

    def kill(self) -> None:
        """See `CodeInfo.kill`."""
        self._killed()

    def update(self, **fields: Any) -> None:
        """Change the state; nothing happens if it is the same."""
        with self._lock:
            changed = replace(self._state, **fields)
            if changed != self._state:
                self._state = replace(changed, version=self._state.version + 1)
