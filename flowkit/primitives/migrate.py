"""`removed` and `version`: how code changes under runs that are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec

from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.outcome import Done, Outcome
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.engine.source import caller
from flowkit.errors import HistoryDiverged

__all__ = ["Removed", "Version", "VersionAnswer"]


@dataclass(frozen=True, slots=True)
class Removed:
    """Stands in for an entry that the code no longer makes, with everything below it."""

    name: str
    was: str
    kind: ClassVar[str] = "removed"
    frontier: ClassVar[str] = "never"

    @property
    def explicit(self) -> bool:
        return True

    def recall(self, scope: Scope, entry: Entry) -> None:
        self._check(scope, entry)

    async def perform(self, call: Call, port: Port) -> Outcome[None]:
        scope, ledger = call.scope, call.scope.running.ledger
        if call.entry is not None:
            self._check(scope, call.entry)
        elif self.was != "attempt" and call.location in ledger.children:
            raise self._wrong(scope, call.location)
        for entry in [*([call.entry] if call.entry is not None else []), *ledger.below(call.location)]:
            if not entry.settled:
                call.cancel(entry)
        if call.entry is None:
            call.note(self.kind, "completed", output=msgspec.json.encode({"kind": self.was}))
        return Done(None)

    async def revisit(self, call: Call, port: Port) -> None:
        return None

    def _check(self, scope: Scope, entry: Entry) -> None:
        if entry.kind in (self.was, self.kind):
            return
        raise self._wrong(scope, entry.location)

    def _wrong(self, scope: Scope, location: str) -> HistoryDiverged:
        ledger = scope.running.ledger
        error = divergence.other_kind(ledger, location, self.kind, self.name, f"as a {self.was}, {caller()}")
        scope.running.condemn(error)
        return error


class VersionAnswer(msgspec.Struct, gc=False):
    """What a version gate answered, and the `latest` of the code that asked first."""

    answer: int
    latest: int


_read = msgspec.json.Decoder(VersionAnswer)


@dataclass(frozen=True, slots=True)
class Version:
    """Which version of the code this run takes here, pinned once asked."""

    name: str
    latest: int
    kind: ClassVar[str] = "version"
    frontier: ClassVar[str] = "never"

    @property
    def explicit(self) -> bool:
        return True

    def recall(self, scope: Scope, entry: Entry) -> int:
        found = _read.decode(entry.output or b'{"answer":1,"latest":1}')
        if found.answer <= self.latest:
            return found.answer
        running = scope.running
        error = divergence.refused(
            running.ledger,
            entry.location,
            f"this run took version {found.answer} of `{self.name}`, the code knows versions up to {self.latest}. Load code "
            f"that knows version {found.answer}.",
            caller(),
        )
        running.condemn(error)
        raise error

    async def perform(self, call: Call, port: Port) -> Outcome[int]:
        scope = call.scope
        answer = 1 if scope.running.journal.unvisited(scope.visits) else self.latest
        call.note(self.kind, "completed", output=msgspec.json.encode(VersionAnswer(answer=answer, latest=self.latest)))
        return Done(answer)

    async def revisit(self, call: Call, port: Port) -> None:
        return None
