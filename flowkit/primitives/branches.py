"""`join` and `race`: branches that run side by side.

Both keep in their entry which branches ended and how, so that a branch that ended is not entered again. Both fold what their
branches came to in one way: what ends the pass comes before failures (`core.outcome.decisive`). They differ in when they are
over: a join when all branches are, a race at the first success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from flowkit.codec import coder, decode_error, rebuild
from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.location import nested, split
from flowkit.core.origin import FailureSource, origin_in_chain
from flowkit.core.outcome import Done, Failed, Outcome, decisive
from flowkit.engine.failures import error_line, info_bytes, raised_again, recorded_failure
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.engine.source import branches_at, caller
from flowkit.errors import HistoryDiverged, JoinError, PayloadError, RaceError, ScopeClosed, TooManyBranches

__all__ = ["BranchEnd", "BranchRecord", "Join", "Race", "Winner", "read_branches"]

T = TypeVar("T")
_values = coder()

Functions = Mapping[str, Callable[[], Any]]


@dataclass(frozen=True, slots=True)
class Winner(Generic[T]):
    """The branch of a race that succeeded first, and what it returned."""

    name: str
    value: T


class BranchEnd(msgspec.Struct, gc=False, omit_defaults=True):
    """How a branch ended: a value, or an error and the seq of the entry it came from (0: the branch's own code)."""

    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    origin: int = 0


class BranchRecord(msgspec.Struct, gc=False, omit_defaults=True):
    """What a join's or race's entry holds: its branches, those that ended, and a race's winner."""

    names: list[str] = []
    done: dict[str, BranchEnd] = {}
    winner: str | None = None

    def encoded(self) -> bytes:
        """As it is stored: what ended in the order of the call, not of the threads."""
        self.done = {name: self.done[name] for name in self.names if name in self.done}
        return msgspec.json.encode(self)


_read = msgspec.json.Decoder(BranchRecord)


def read_branches(entry: Entry) -> BranchRecord:
    """The record in a join's or race's entry."""
    return _read.decode(entry.output or b"{}")


class _Branched:
    """What join and race share: the record, entering branches, and what stops the pass around them."""

    __slots__ = ("branches", "explicit", "name")

    kind: ClassVar[str]
    source: ClassVar[FailureSource]
    error_type: ClassVar[type[JoinError] | type[RaceError]]
    frontier: ClassVar[str] = "new"

    def __init__(self, name: str, explicit: bool, branches: Functions) -> None:
        self.name = name
        self.explicit = explicit
        self.branches = branches

    def record(self, call: Call) -> BranchRecord:
        """The entry's record, opened if new; diverges if its branches are not those of the code."""
        if call.entry is None:
            self._check_room(call)
            call.open(self.kind, "running", output=BranchRecord(names=list(self.branches)).encoded())
        assert call.entry is not None
        found = read_branches(call.entry)
        self.check_names(call.scope, call.entry, found, call.where)
        return found

    def _check_room(self, call: Call) -> None:
        running = call.scope.running
        count = len(running.root.tree()) - 1 + len(self.branches)
        if count > (most := running.host.settings.branches):
            what = f"this {self.kind} would have {count:,} branches of the run open at once, {most:,} may be"
            raise running.outgrew(TooManyBranches, call.location, what, "branches")

    def check_names(self, scope: Scope, entry: Entry, record: BranchRecord, where: Callable[[], str] = caller) -> None:
        if set(record.names) == set(self.branches):
            return
        running = scope.running
        error = divergence.refused(
            running.ledger,
            entry.location,
            f"history has a {self.kind} of the branches {', '.join(sorted(record.names)) or '(none)'}, the code has "
            f"{', '.join(sorted(self.branches)) or '(none)'}. Give the new {self.kind} another name and put "
            f'removed("{split(entry.location)[1]}", "{self.kind}") in the old one\'s place.',
            where(),
        )
        running.condemn(error)
        raise error

    def settled(self, scope: Scope, entry: Entry) -> BranchRecord:
        """The record of a settled entry; raises the failure it holds."""
        record = read_branches(entry)
        self.check_names(scope, entry, record)
        if entry.error is not None:
            raise recorded_failure(entry, self.source)
        if entry.status == "cancelled":
            raise scope.frontier()
        return record

    async def fold(self, call: Call, port: Port, record: BranchRecord, names: Iterable[str]) -> BaseException | None:
        """Run these branches until they decide it; what ends the pass around them, if anything does."""
        running = call.scope.running
        todo = [name for name in names if running.collects or name not in record.done]
        before = branches_at.set(call.where())
        try:
            group = port.branches(call.scope, call.location, {name: self.branches[name] for name in todo})
        finally:
            branches_at.reset(before)
        stops: list[BaseException] = []
        while group.running:
            name, outcome = await port.ended(call.scope, group)
            if isinstance(outcome, Failed) and decisive([outcome.error]) is not None:
                stops.append(outcome.error)
            elif name not in record.done and self.decides(call, record, name, _end_of(outcome, running.host.max_payload)):
                group.stop()
                return None
        return decisive(stops if running.refusing is None else [*stops, running.refusing])

    def decides(self, call: Call, record: BranchRecord, name: str, end: BranchEnd) -> bool:
        """Note how a branch ended, so that it is not entered again. Whether the others are not waited for any more."""
        assert call.entry is not None
        record.done[name] = end
        call.entry = call.scope.stage(msgspec.structs.replace(call.entry, output=record.encoded()))
        return False

    def failed(self, call: Call, record: BranchRecord, failures: dict[str, BaseException]) -> Failed:
        """Settle it as failed; the error as it is recorded."""
        listed = "; ".join(f"{branch}: {type(error).__name__}: {error}" for branch, error in failures.items())
        name = split(call.location)[1]
        error = self.error_type(
            f"{self.kind} {name!r}: {len(failures)} of {len(record.names)} branches failed: {listed}",
            name=name,
            errors=failures,
        )
        info, body = info_bytes(error)
        entry = call.finish(self.kind, "failed", output=record.encoded(), error=body)
        call.scope.running.progress(call.location, 0, error=error_line(info))
        return Failed(raised_again(entry, info, self.source))

    async def revisit(self, call: Call, port: Port) -> None:
        """Enter the recorded branches again, to collect what they owe; what they come to is known already."""
        assert call.entry is not None
        record = read_branches(call.entry)
        self.check_names(call.scope, call.entry, record, call.where)
        kept = call.scope.running.ledger.inner.get(call.location, {})
        stop = await self.fold(call, port, record, [name for name in self.branches if name in kept])
        if isinstance(stop, HistoryDiverged | ScopeClosed):
            raise stop


def _end_of(outcome: Outcome[Any], limit: int) -> BranchEnd:
    """A branch's outcome as it is recorded; a value that cannot be stored is the branch's failure."""
    if isinstance(outcome, Done):
        try:
            return BranchEnd(value=msgspec.Raw(_values.encode(outcome.value, limit=limit)))
        except PayloadError as error:
            outcome = Failed(error)
    _, body = info_bytes(outcome.error)
    origin = origin_in_chain(outcome.error)
    return BranchEnd(error=msgspec.Raw(body), origin=origin.seq if origin is not None else 0)


def _decoded(end: BranchEnd) -> Any:
    assert end.value is not msgspec.UNSET
    return _values.decode(bytes(end.value))


def _errors(record: BranchRecord, order: Functions) -> dict[str, BaseException]:
    found: dict[str, BaseException] = {}
    for name in order:
        end = record.done.get(name)
        if end is not None and end.error is not msgspec.UNSET:
            found[name] = rebuild(decode_error(bytes(end.error)))
    return found


class Join(_Branched):
    """Wait for all branches; the dict of their values, or `JoinError` with all the failures."""

    __slots__ = ()
    kind: ClassVar[str] = "join"
    source: ClassVar[FailureSource] = "join"
    error_type = JoinError

    def recall(self, scope: Scope, entry: Entry) -> dict[str, Any]:
        return self._values(self.settled(scope, entry))

    async def perform(self, call: Call, port: Port) -> Outcome[dict[str, Any]]:
        record = self.record(call)
        if (stop := await self.fold(call, port, record, self.branches)) is not None:
            return Failed(stop)
        if failures := _errors(record, self.branches):
            return self.failed(call, record, failures)
        call.finish(self.kind, "completed", output=record.encoded())
        return Done(self._values(record))

    def _values(self, record: BranchRecord) -> dict[str, Any]:
        return {name: _decoded(record.done[name]) for name in self.branches}


class Race(_Branched):
    """The first branch that succeeds; the others are cancelled and forgotten."""

    __slots__ = ()
    kind: ClassVar[str] = "race"
    source: ClassVar[FailureSource] = "race"
    error_type = RaceError

    def recall(self, scope: Scope, entry: Entry) -> Winner[Any]:
        return _won(self.settled(scope, entry))

    async def perform(self, call: Call, port: Port) -> Outcome[Winner[Any]]:
        record = self.record(call)
        again = record.winner  # reopened by recover(): it keeps its winner, and the others are gone or only to be undone
        names = self.branches if again is None or call.scope.running.collects else [again]
        if (stop := await self.fold(call, port, record, names)) is not None:
            return Failed(stop)
        end = record.done.get(record.winner) if record.winner is not None else None
        if record.winner is None or end is None or end.value is msgspec.UNSET:
            return self.failed(call, record, _errors(record, self.branches))
        await self._settle(call, port, record, record.winner)
        return Done(_won(record))

    def decides(self, call: Call, record: BranchRecord, name: str, end: BranchEnd) -> bool:
        running = call.scope.running
        if end.value is msgspec.UNSET:
            return super().decides(call, record, name, end)
        if running.journal.frozen or running.refusing is not None:
            return False  # not in this pass
        record.done[name], record.winner = end, name
        return True

    async def _settle(self, call: Call, port: Port, record: BranchRecord, winner: str) -> None:
        running = call.scope.running
        call.scope.passes_history()
        with running.ledger.lock:  # one commit for both: no other branch's may carry only half of it
            self._forget_losers(call, winner)
            call.finish(self.kind, "completed", output=record.encoded())
        await port.commit(call.scope)
        running.ring()  # what the losers waited for or held open is free for others

    def _forget_losers(self, call: Call, winner: str) -> None:
        running = call.scope.running
        ledger = running.ledger
        gone: list[Entry] = []
        for segment in list(ledger.inner.get(call.location, ())):
            branch = nested(call.location, segment)
            if segment == winner:
                continue
            if not ledger.owing_below(branch):
                gone.extend(ledger.below(branch))
                continue
            for entry in list(ledger.below(branch)):  # it must stay whole to be undone
                if not entry.settled:
                    call.scope.settle(entry, "cancelled")
        if gone:
            running.fold_state(gone)
            ledger.forget(gone)
        running.mail.open = None  # what a loser held open goes back to the inbox: look again when somebody asks


def _won(record: BranchRecord) -> Winner[Any]:
    assert record.winner is not None
    return Winner(record.winner, _decoded(record.done[record.winner]))
