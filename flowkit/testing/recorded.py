"""A recorded run gone through again: steps, sleeps, sends and versions are answered from the record, at its instants.

The workflow's own code runs as it does in the first pass of any run, loops and branches included, so other code may do other
things and be seen doing them. What ended a failed run is not answered but done, and so is all that the record does not hold. A
branch that lost its race waits for ever, since what it did was forgotten; a loop whose first turns were pruned is answered whole,
or goes on in the turn it was in.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol
from zlib import crc32

import msgspec

from flowkit.client.record import FORMAT, body_in, entry_in, message_in
from flowkit.core.entry import Entry, Message
from flowkit.core.location import nested, split
from flowkit.core.outcome import Done, Failed, Outcome, Place, Wake
from flowkit.engine.failures import recorded_failure
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call, Primitive
from flowkit.engine.scope import Scope
from flowkit.errors import PayloadError
from flowkit.primitives.branches import read_branches
from flowkit.primitives.loop import Loop, read_loop
from flowkit.primitives.messages import requeued
from flowkit.primitives.migrate import Version, VersionAnswer
from flowkit.primitives.send import SendMessage
from flowkit.primitives.sleep import Sleep
from flowkit.primitives.step import StepCall
from flowkit.testing.clock import FakeClock

__all__ = ["RecordedRun", "Replica", "order_of"]

_PLACEHOLDERS = ("version", "removed")


class Placed(Protocol):
    """An entry, stored or as people read it."""

    @property
    def seq(self) -> int: ...
    @property
    def location(self) -> str: ...
    @property
    def kind(self) -> str: ...


class RecordedRun:
    """What an export holds of a run, by location."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        if record.get("format") != FORMAT:
            raise ValueError(f"this is no exported run of the format {FORMAT!r}: export it again with `flowkit export`")
        run = record["run"]
        self.id: str = run["id"]
        self.workflow: str = run["workflow"]
        self.status: str = run["status"]
        self.tags = tuple(run.get("tags", ()))
        self.created_at: float = run["created_at"]
        self.start_at: float = run["start_at"]
        self.input = body_in(run, "input") or b"{}"
        self.output = body_in(run, "output")
        self.entries = {entry.location: entry for entry in map(entry_in, record["entries"])}
        self.messages = _in_order([*map(message_in, record["messages"]), *requeued(self.entries.values())])
        self.real = frozenset(self._culprits(run.get("failed_entry")))
        """Locations of what ended the run: these are done, not answered."""
        self.lost = tuple(self._lost_branches())
        self.cut = tuple(e.location for e in self.entries.values() if e.kind == "loop" and read_loop(e).pruned)
        """Loops whose first turns are gone."""

    def answer(self, location: str) -> Entry | None:
        """The settled entry that answers here, None if the code must do it."""
        found = self.entries.get(location)
        answers = found is not None and found.settled and found.status != "cancelled" and location not in self.real
        return found if answers else None

    def is_lost(self, location: str) -> bool:
        """Whether this is in a branch that lost its race."""
        return any(location.startswith(f"{branch}/") for branch in self.lost)

    def went_past(self, scope: str, made: Iterable[str]) -> bool:
        """Whether the record goes on in this scope with something that is not among the locations `made`."""
        known = set(made)
        return any(split(place)[0] == scope and place not in known for place in self.entries)

    def _culprits(self, seq: int | None) -> Iterator[str]:
        """The entry with this seq, and those that the failed branches in it came from."""
        for entry in self.entries.values():
            if seq is None or entry.seq != seq:
                continue
            yield entry.location
            if entry.kind in ("join", "race"):
                for end in read_branches(entry).done.values():
                    if end.error is not msgspec.UNSET:
                        yield from self._culprits(end.origin)

    def _lost_branches(self) -> Iterator[str]:
        for entry in self.entries.values():
            if entry.kind == "race" and (won := read_branches(entry).winner) is not None:
                yield from (nested(entry.location, name) for name in read_branches(entry).names if name != won)


def _in_order(messages: Iterable[Message]) -> list[Message]:
    """By number, each once: a completable one in hand is recorded and still in the inbox. None comes before an earlier one."""
    ordered = sorted({message.seq: message for message in messages}.values(), key=lambda message: message.seq)
    instants = itertools.accumulate((message.sent_at for message in ordered), max)
    return [msgspec.structs.replace(each, sent_at=at) for each, at in zip(ordered, instants, strict=True)]


class Replica:
    """Answers for loaded runs; runs that a `Lab` started itself are none of its business. It moves the clock, which nothing else
    in a pass does: only where no branch waits, so that branches meet in the order of their recorded instants.
    """

    def __init__(self, clock: FakeClock, deliver: Callable[[str, Message], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._runs: dict[str, RecordedRun] = {}
        self._delivered: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, run: RecordedRun) -> None:
        """Answer for this run from here on."""
        self._runs[run.id] = run
        self._delivered[run.id] = 0

    def recorded(self, run_id: str) -> RecordedRun | None:
        """The record of a loaded run."""
        return self._runs.get(run_id)

    # --- messages ---------------------------------------------------------------------------------------------------

    def next_message_at(self, run_id: str) -> float | None:
        """When the next message comes that the record holds, epoch seconds."""
        run = self._runs.get(run_id)
        left = [] if run is None else run.messages[self._delivered[run_id] :]
        return left[0].sent_at if left else None

    def deliver_due(self, run_id: str) -> None:
        """Put into the inbox what has come by now."""
        with self._lock:
            while (at := self.next_message_at(run_id)) is not None and at <= self._clock.now():
                message = self._runs[run_id].messages[self._delivered[run_id]]
                self._delivered[run_id] += 1
                self._deliver(run_id, message)

    # --- answering --------------------------------------------------------------------------------------------------

    async def undoes(self, scope: Scope, entry: Entry, port: Port) -> bool:
        """See `StandIn`."""
        run = self._runs.get(scope.running.facts.id)
        return run is not None and run.answer(entry.location) is not None

    async def perform(self, primitive: Primitive[Any], call: Call, port: Port) -> Outcome[Any] | None:
        """See `StandIn`."""
        run = self._runs.get(call.scope.running.facts.id)
        if run is None:
            return None
        was = run.answer(call.location)
        if was is None and run.is_lost(call.location) and isinstance(primitive, StepCall | Sleep | SendMessage):
            await self._never(call, port)
        if was is None or was.kind != primitive.kind:
            return self._unrecorded(run, primitive, call)
        match primitive:
            case StepCall() | SendMessage():
                await self._until(call, port, was.settled_at or 0.0)
                return await self._answered(primitive, call, port, was)
            case Sleep():
                await self._until(call, port, was.settled_at or 0.0)
                call.finish("sleep", "completed", due_at=was.due_at)
                return Done(None)
            case Version():
                call.finish("version", "completed", output=was.output)
                return Done(msgspec.json.decode(was.output or b"", type=VersionAnswer).answer)
            case Loop() if was.location in run.cut:
                await self._until(call, port, was.settled_at or 0.0)
                return await self._answered(primitive, call, port, was)
            case _:
                return None

    def _unrecorded(self, run: RecordedRun, primitive: Primitive[Any], call: Call) -> Outcome[Any] | None:
        if isinstance(primitive, Version):
            return self._gate(run, primitive, call)
        if isinstance(primitive, Loop):
            self._begin_late(run, call)
        return None

    def _gate(self, run: RecordedRun, primitive: Version, call: Call) -> Outcome[Any] | None:
        """A version gate that this run went past under older code answers 1, as it would have."""
        scope, ledger = call.scope.path, call.scope.running.ledger
        with ledger.lock:
            made = [nested(scope, name) for name in ledger.children.get(scope, ())]
        if not run.went_past(scope, made):
            return None
        call.finish("version", "completed", output=msgspec.json.encode(VersionAnswer(answer=1, latest=primitive.latest)))
        return Done(1)

    def _begin_late(self, run: RecordedRun, call: Call) -> None:
        """A loop that the run had not left, and whose first turns are gone, goes on in its turn; others begin at the first."""
        was = run.entries.get(call.location)
        if call.entry is None and was is not None and was.kind == "loop" and was.location in run.cut:
            progress = read_loop(was)
            progress.kept = {}  # what they owe is not this history's
            call.open("loop", "running", output=msgspec.json.encode(progress), attempts=progress.turn)

    async def _until(self, call: Call, port: Port, instant: float) -> None:
        """Come back at this instant. Where nothing else goes on in the run, the clock is moved; else the branch waits."""
        running = call.scope.running
        if call.scope.strand.parent is None and self._clock.now() < instant:
            self._clock.set(instant)
        while running.recorder.now() < instant:
            await port.wait(call.scope, Wake(at=instant, place=Place(call.location)), since=running.rings, seen=0)
        self.deliver_due(running.facts.id)

    async def _never(self, call: Call, port: Port) -> None:
        while True:
            await port.wait(call.scope, Wake(place=Place(call.location)), since=call.scope.running.rings, seen=0)

    async def _answered(self, primitive: Any, call: Call, port: Port, was: Entry) -> Outcome[Any]:
        """The recorded outcome as this run's own."""
        running = call.scope.running
        failed = was.error is not None and was.output is None
        try:
            value = None if failed or was.output is None else _decoded(primitive, call, was)
        except PayloadError as error:
            return Failed(running.unreadable(was.location, error))
        with running.ledger.lock:
            entry = call.finish(was.kind, was.status if failed else "completed", **_fields(primitive, was))
            if was.patch is not None:
                running.state.current()  # it takes patches only once it is known
                running.state.apply(was.patch)
        running.progress(call.location, was.attempts)
        await port.commit(call.scope)
        return Failed(recorded_failure(entry, "send" if was.kind == "send" else "step")) if failed else Done(value)


def _decoded(primitive: Any, call: Call, was: Entry) -> Any:
    return primitive.plan.returns.decode(was.output) if was.kind == "step" else primitive.recall(call.scope, was)


def _fields(primitive: Any, was: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {"output": was.output, "error": was.error, "attempts": was.attempts, "patch": was.patch}
    if was.args is not None:
        fields |= {"args": was.args, "args_crc": crc32(was.args)}
    if was.by_hand is not None:
        fields["by_hand"] = was.by_hand
    if isinstance(primitive, StepCall) and primitive.plan.rollback is not None and was.output is not None:
        fields["rollback"] = "owes"
    return fields


def order_of(entries: Iterable[Placed], run: RecordedRun, removed: Collection[str]) -> dict[str, list[str]]:
    """By scope, the entries in their order, as ``kind name``. Between branches there is no order that code decides.

    Left out is what either side lacks or need not have: gates, placeholders and what they stand for (the locations `removed`),
    branches that lost a race, and what lies below loops whose first turns were pruned.
    """
    order: dict[str, list[str]] = {}
    for entry in sorted(entries, key=lambda each: each.seq):
        if entry.kind in _PLACEHOLDERS or entry.location in removed or run.is_lost(entry.location):
            continue
        if _below(entry.location, (*run.cut, *removed)):
            continue
        scope, name = split(entry.location)
        order.setdefault(scope, []).append(f"{entry.kind} {name}")
    return order


def _below(location: str, places: Iterable[str]) -> bool:
    return any(location.startswith(f"{place}/") for place in places)
