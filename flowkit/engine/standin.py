"""What answers in place of primitives: how a recorded run is gone through again without doing anything outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from flowkit.core.entry import Entry
from flowkit.core.outcome import Outcome

if TYPE_CHECKING:
    from flowkit.engine.ports import Port
    from flowkit.engine.replay import Call, Primitive
    from flowkit.engine.scope import Scope

__all__ = ["StandIn"]


class StandIn(Protocol):
    """Asked wherever a pass would perform. Of a worker's runs only forks have one; the `Lab` has one for runs that it loaded."""

    async def perform(self, primitive: Primitive[Any], call: Call, port: Port) -> Outcome[Any] | None:
        """The outcome, recorded like any other; None: the primitive is to be performed."""
        ...

    async def undoes(self, scope: Scope, entry: Entry, port: Port) -> bool:
        """Whether the rollback of this step is taken for done without calling its handler."""
        ...
