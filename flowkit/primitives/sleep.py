"""`sleep` and `sleep_until`: wait for an instant that is stored before the wait begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flowkit.core.entry import Entry
from flowkit.core.outcome import Done, Outcome, Place, Wake
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope

__all__ = ["Sleep"]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Exactly one of `seconds` (from when it is first reached) and `until` (epoch seconds) is given."""

    name: str
    explicit: bool
    seconds: float | None = None
    until: float | None = None
    kind: ClassVar[str] = "sleep"
    frontier: ClassVar[str] = "always"

    def recall(self, scope: Scope, entry: Entry) -> None:
        return None

    async def perform(self, call: Call, port: Port) -> Outcome[None]:
        running = call.scope.running
        if call.entry is None:
            now = running.recorder.now()
            call.open(self.kind, "pending", due_at=self.until if self.until is not None else now + (self.seconds or 0.0))
        entry = call.entry
        assert entry is not None
        assert entry.due_at is not None
        while running.recorder.now() < entry.due_at:
            await port.wait(call.scope, Wake(at=entry.due_at, place=Place(call.location)), since=running.rings, seen=0)
        # The outcome rides with the next commit: until then a crash finds the stored deadline passed, and settles again.
        call.scope.settle(entry, "completed", due_at=entry.due_at)
        return Done(None)

    async def revisit(self, call: Call, port: Port) -> None:
        return None
