"""`checkpoint(name)`: from here on, steps with a rollback may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flowkit.core.entry import Entry
from flowkit.core.outcome import Done, Outcome
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope

__all__ = ["Checkpoint"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The entry rides on the next commit: nothing that it allows can have happened before that."""

    name: str
    kind: ClassVar[str] = "checkpoint"
    frontier: ClassVar[str] = "always"

    @property
    def explicit(self) -> bool:
        return True

    def recall(self, scope: Scope, entry: Entry) -> None:
        scope.checkpointed = True

    async def perform(self, call: Call, port: Port) -> Outcome[None]:
        call.finish(self.kind, "completed")
        call.scope.checkpointed = True
        return Done(None)

    async def revisit(self, call: Call, port: Port) -> None:
        return None
