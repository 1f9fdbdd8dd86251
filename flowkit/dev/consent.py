"""Whether new code may take over by itself, or waits until a person says so: ``--apply auto`` or ``ask``.

Only code that differs from what was applied last is asked for: the first one, and the same again after a crash, begin at once.
What is asked holds for the code that the page has shown and for no other, so that a press never applies what nobody has seen.
"""

from __future__ import annotations

from typing import Literal

from flowkit.client.livecode import Answer, Decision
from flowkit.dev.generation import Generation

__all__ = ["Consent"]


class Consent:
    """`waiting` is the generation that could take over and may not yet."""

    def __init__(self, apply: Literal["auto", "ask"]) -> None:
        self.waiting: Generation | None = None
        self._asks = apply == "ask"
        self._applied = ""

    @property
    def asks(self) -> bool:
        """Whether new code may have to wait, so that what runs stays what it is at least until then."""
        return self._asks and self._applied != ""

    def needed(self, child: Generation) -> bool:
        """Whether this one must wait; if so, it does from here on."""
        assert child.loaded is not None
        if not self._asks or self._applied in ("", child.loaded.code):
            return False
        self.waiting = child
        return True

    def applied(self, child: Generation) -> None:
        """It has taken over."""
        assert child.loaded is not None
        self.waiting, self._applied = None, child.loaded.code

    def gone(self) -> None:
        """None waits any more."""
        self.waiting = None

    def refusal(self, decision: Decision) -> Answer | None:
        """Why this cannot be decided now, if so."""
        if self.waiting is None or self.waiting.loaded is None:
            return Answer("refused", "no code waits to be applied")
        if self.waiting.loaded.code != decision.code:
            return Answer("moved", "other code waits now. Look at what it would do")
        return None
