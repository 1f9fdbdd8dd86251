"""`join` and `race`: branches that run side by side.

Both keep in their entry which branches ended and how, so that a branch that ended is not entered again. Both fold what their
branches came to in one way: what ends the pass comes before failures (`core.outcome.decisive`). They differ in when they are
over: a join when all branches are, a race at the first success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from flowkit.codec import coder, decode_error, rebuild
from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.location import nested
from flowkit.core.origin import origin_in_chain
from flowkit.core.outcome import Done, Failed, Outcome, decisive
from flowkit.engine.failures import error_line, info_bytes, raised_again, recorded_failure
from flowkit.engine.ports import Group, Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.errors import FlowkitError, HistoryDiverged, JoinError, PayloadError, RaceError, ScopeClosed

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


_read = msgspec.json.Decoder(BranchRecord)


def read_branches(entry: Entry) -> BranchRecord:
    """The record in a join's or race's entry."""
    return _read.decode(entry.output or b"{}")


class _Branched:
    """What join and race share: the record, entering branches, and what stops the pass around them."""

    __slots__ = ("branches", "explicit", "name")

    kind: ClassVar[str]
    frontier: ClassVar[str] = "new"

    def __init__(self, name: str, explicit: bool, branches: Functions) -> None:
        self.name = name
        self.explicit = explicit
        self.branches = branches

    def record(self, call: Call) -> BranchRecord:
        """The entry's record, opened if new; diverges if its branches are not those of the code."""
        if call.entry is None:
            call.open(self.kind, "running", output=msgspec.json.encode(BranchRecord(names=list(self.branches))))
        assert call.entry is not None
        found = read_branches(call.entry)
        self.check_names(call.scope, call.entry, found, call.where)
        return found

    def check_names(self, scope: Scope, entry: Entry, record: BranchRecord, where: Callable[[], str] | None) -> None:
        if set(record.names) == set(self.branches):
            return
        running = scope.running
        error = divergence.refused(
            running.ledger,
            entry.location,
            f"history has a {self.kind} of the branches {', '.join(sorted(record.names)) or '(none)'}, the code has "
            f"{', '.join(sorted(self.branches)) or '(none)'}. Give the new {self.kind} another name and put "
            f'removed("{self.name}", "{self.kind}") in the old one\'s place.',
            where() if where is not None else "",
        )
        running.condemn(error)
        raise error

    async def enter(self, call: Call, port: Port, names: list[str]) -> dict[str, Outcome[Any]]:
        """Run these branches to their ends."""
        group = port.branches(call.scope, call.location, {name: self.branches[name] for name in names})
        ended: dict[str, Outcome[Any]] = {}
        while group.running:
            name, outcome = await port.ended(call.scope, group)
            ended[name] = outcome
        return ended

    async def revisit(self, call: Call, port: Port) -> None:
        """Enter the recorded branches again, to collect what they owe; what they come to is known already."""
        assert call.entry is not None
        record = read_branches(call.entry)
        self.check_names(call.scope, call.entry, record, call.where)
        kept = call.scope.running.ledger.inner.get(call.location, {})
        ended = await self.enter(call, port, [name for name in self.branches if name in kept])
        for outcome in ended.values():
            if isinstance(outcome, Failed) and isinstance(outcome.error, HistoryDiverged | ScopeClosed):
                raise outcome.error


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


def _note(call: Call, record: BranchRecord) -> None:
    assert call.entry is not None
    call.entry = call.scope.stage(msgspec.structs.replace(call.entry, output=msgspec.json.encode(record)))


def _errors(record: BranchRecord, order: Functions) -> dict[str, BaseException]:
    found: dict[str, BaseException] = {}
    for name in order:
        end = record.done.get(name)
        if end is not None and end.error is not msgspec.UNSET:
            found[name] = _exception(end.error)
    return found


def _exception(body: msgspec.Raw) -> BaseException:
    return rebuild(decode_error(bytes(body)))


class Join(_Branched):
    """Wait for all branches; the dict of their values, or `JoinError` with all the failures."""

    __slots__ = ()
    kind = "join"

    def recall(self, scope: Scope, entry: Entry) -> dict[str, Any]:
        record = read_branches(entry)
        self.check_names(scope, entry, record, None)
        if entry.error is not None:
            raise recorded_failure(entry, "join")
        if entry.status == "cancelled":
            raise scope.frontier()
        return {name: _decoded(record.done[name]) for name in self.branches}

    async def perform(self, call: Call, port: Port) -> Outcome[dict[str, Any]]:
        record = self.record(call)
        running = call.scope.running
        todo = [name for name in self.branches if running.collects or name not in record.done]
        group = port.branches(call.scope, call.location, {name: self.branches[name] for name in todo})
        stops: list[BaseException] = []
        while group.running:
            name, outcome = await port.ended(call.scope, group)
            if isinstance(outcome, Failed) and decisive([outcome.error]) is not None:
                stops.append(outcome.error)
            elif name not in record.done:
                record.done[name] = _end_of(outcome, running.host.max_payload)
                _note(call, record)
        if (stop := decisive(stops)) is not None:
            return Failed(stop)
        return self._settle(call, record)

    def _settle(self, call: Call, record: BranchRecord) -> Outcome[dict[str, Any]]:
        body = msgspec.json.encode(record)
        failures = _errors(record, self.branches)
        if not failures:
            call.finish(self.kind, "completed", output=body)
            return Done({name: _decoded(record.done[name]) for name in self.branches})
        error = JoinError(_summary("join", self.name, failures, len(record.names)), name=self.name, errors=failures)
        return _failed(call, self.kind, error, body)


class Race(_Branched):
    """The first branch that succeeds; the others are cancelled and forgotten."""

    __slots__ = ()
    kind = "race"

    def recall(self, scope: Scope, entry: Entry) -> Winner[Any]:
        record = read_branches(entry)
        self.check_names(scope, entry, record, None)
        if entry.error is not None:
            raise recorded_failure(entry, "race")
        if record.winner is None:
            raise scope.frontier()
        return Winner(record.winner, _decoded(record.done[record.winner]))

    async def perform(self, call: Call, port: Port) -> Outcome[Winner[Any]]:
        record = self.record(call)
        running = call.scope.running
        entered = self.branches if record.winner is None else [record.winner]  # reopened by recover(): it keeps its winner
        todo = [name for name in entered if running.collects or name not in record.done]
        group = port.branches(call.scope, call.location, {name: self.branches[name] for name in todo})
        stops: list[BaseException] = []
        while group.running:
            name, outcome = await port.ended(call.scope, group)
            if isinstance(outcome, Failed) and decisive([outcome.error]) is not None:
                stops.append(outcome.error)
                if running.refusing is not None:
                    continue
            elif isinstance(outcome, Done) and not isinstance(decisive(stops), HistoryDiverged):
                end = _end_of(outcome, running.host.max_payload)
                record.done[name] = end
                if end.error is msgspec.UNSET:
                    return await self._won(call, port, group, record, name)
            elif isinstance(outcome, Failed) and name not in record.done:
                record.done[name] = _end_of(outcome, running.host.max_payload)
                _note(call, record)
        if (stop := decisive(stops)) is not None:
            return Failed(stop)
        failures = _errors(record, self.branches)
        error = RaceError(_summary("race", self.name, failures, len(record.names)), name=self.name, errors=failures)
        return _failed(call, self.kind, error, msgspec.json.encode(record))

    async def _won(self, call: Call, port: Port, group: Group, record: BranchRecord, name: str) -> Outcome[Winner[Any]]:
        running = call.scope.running
        if running.refusing is not None:
            return Failed(running.refusing)
        if running.journal.frozen:
            raise call.scope.frontier()
        record.winner = name
        group.stop()
        self._forget_losers(call, name)
        call.finish(self.kind, "completed", output=msgspec.json.encode(record))
        await port.commit(call.scope)
        return Done(Winner(name, _decoded(record.done[name])))

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
            running.mail.open = None  # what a loser held open goes back to the inbox: look again when somebody asks
            running.fold_state(gone)
            ledger.forget(gone)


def _failed(call: Call, kind: str, error: FlowkitError, body: bytes) -> Failed:
    info, encoded = info_bytes(error)
    entry = call.finish(kind, "failed", output=body, error=encoded)
    call.scope.running.progress(call.location, 0, error_line(info))
    return Failed(raised_again(entry, info, "join" if kind == "join" else "race"))


def _summary(kind: str, name: str, failures: Mapping[str, BaseException], count: int) -> str:
    listed = "; ".join(f"{branch}: {type(error).__name__}: {error}" for branch, error in failures.items())
    return f"{kind} {name!r}: {len(failures)} of {count} branches failed: {listed}"
