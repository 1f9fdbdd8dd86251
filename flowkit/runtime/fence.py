"""The fence around a what-if fork: the one place that decides what answers where a fork would perform.

A step or send is answered from the original where location, kind and arguments are equal, and a rollback that the original has
had is taken for done. Everything else with an effect asks: its entry is recorded open, the strand waits for nobody but a person,
and once no other strand goes on the run is paused. The answer is written into the entry, so any worker finds it there, and so
does one that comes after a crash. What has no effect is done: loops, branches, and waiting for messages of the fork's own. Time
that the original has slept is not slept again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec

from flowkit.codec import coder
from flowkit.core.entry import Entry
from flowkit.core.fields import OwnLog
from flowkit.core.fork import Fork, can_answer, carried, may_run, may_undo, question, read_fork
from flowkit.core.outcome import Done, Failed, Outcome, Place, Wake
from flowkit.drivers.base import BodyRef, Driver, RunView
from flowkit.engine.failures import recorded_failure
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call, Primitive
from flowkit.engine.scope import Scope
from flowkit.errors import PayloadError
from flowkit.primitives.messages import Receive, taken_in
from flowkit.primitives.migrate import Version, VersionAnswer
from flowkit.primitives.send import SendMessage
from flowkit.primitives.sleep import Sleep
from flowkit.primitives.step import StepCall

__all__ = ["Fence", "fence_of", "is_fork"]

_TOGETHER = 200
"""How many entries that the original has answered are written at once."""
_args = coder()
_read_version = msgspec.json.Decoder(VersionAnswer)


def fence_of(view: RunView, driver: Driver, log: OwnLog) -> Fence | None:
    """What stands in for this run if it is a fork.

    Raises:
        PayloadError: it is one, and its record is damaged.
    """
    fork = read_fork(view.fork)
    return None if fork is None else Fence(fork, driver, log)


def is_fork(run: int, driver: Driver) -> bool:
    """Whether a run that cannot be loaded is a fork, whatever its tags say. One whose record is damaged is."""
    try:
        return driver.body(BodyRef(run=run, field="fork")) is not None
    except PayloadError:
        return True


class Fence:
    """Stands in (`engine.standin`) for the fork `fork` in one claim of it. The original is read when it is first asked for."""

    def __init__(self, fork: Fork, driver: Driver, log: OwnLog) -> None:
        self._fork = fork
        self._driver = driver
        self._log = log
        self._known: Mapping[str, Entry] | None = None

    async def perform(self, primitive: Primitive[Any], call: Call, port: Port) -> Outcome[Any] | None:
        """See `StandIn`."""
        match primitive:
            case StepCall():
                return await self._step(primitive, call, port)
            case SendMessage():
                return await self._send(primitive, call, port)
            case Receive():
                return await self._receive(primitive, call, port)
            case Sleep():
                return await self._sleep(call, port)
            case Version():
                return await self._version(primitive, call, port)
            case _:
                assert primitive.frontier != "always" or primitive.kind == "checkpoint", f"{primitive.kind} is not fenced"
                return None

    async def undoes(self, scope: Scope, entry: Entry, port: Port) -> bool:
        """See `StandIn`."""
        if may_undo(entry):
            return False
        was = (await self._original(port)).get(entry.location)
        if was is not None and was.status == "rolled_back" and was.output == entry.output:
            args = await port.blocking(lambda: self._args_of(self._fork.run, was))
            if args is not None and args == await port.blocking(lambda: self._args_of(scope.running.ledger.run, entry)):
                return True
        await self._ask(scope, entry.location, "rollback", port)
        raise AssertionError("unreachable")  # pragma: no cover

    # --- steps and sends --------------------------------------------------------------------------------------------

    async def _step(self, primitive: StepCall, call: Call, port: Port) -> Outcome[Any] | None:
        plan = primitive.plan
        if may_run(call.entry) or (plan.rollback is not None and not call.scope.checkpointed):
            return None  # the latter is refused before its body
        if self._changes(call, "step"):
            try:
                change = _readable(primitive, self._change())
            except PayloadError as error:
                return Failed(call.scope.running.unreadable(call.location, error))
            return await self._settled(primitive, call, port, change)
        if (was := await self._answer(call, "step", _comparable(primitive), port)) is not None and self._fits(primitive, was):
            return await self._settled(primitive, call, port, was)
        call.open("step", "pending", **({} if call.entry is not None else primitive.recorded_args()))
        await self._ask(call.scope, call.location, "step", port)
        raise AssertionError("unreachable")  # pragma: no cover

    def _fits(self, primitive: StepCall, was: Entry) -> bool:
        try:
            _readable(primitive, was)
        except PayloadError as error:
            self._log.warning("the original's result of %r does not fit, so it is asked for: %s", was.location, error)
            return False
        return True

    async def _send(self, primitive: SendMessage, call: Call, port: Port) -> Outcome[Any] | None:
        if may_run(call.entry):
            return None
        try:
            args = primitive.recorded_args(primitive.encoded(call.scope.running.host.max_payload))
        except PayloadError:
            return None  # which is how it ends, with nothing sent
        was = await self._answer(call, "send", args, port)
        if was is not None:
            return await self._settled(primitive, call, port, was)
        call.open("send", "pending", args=args)
        await self._ask(call.scope, call.location, "send", port)
        raise AssertionError("unreachable")  # pragma: no cover

    async def _settled(self, primitive: StepCall | SendMessage, call: Call, port: Port, was: Entry) -> Outcome[Any]:
        running = call.scope.running
        failed = was.error is not None and was.output is None
        fields: dict[str, Any] = {
            "output": was.output, "error": was.error, "attempts": was.attempts, "patch": was.patch, "by_hand": was.by_hand,
        }  # fmt: skip
        if call.entry is None:
            fields |= _recorded(primitive, running.host.max_payload)
        if isinstance(primitive, StepCall) and primitive.plan.rollback is not None and was.rollback:
            fields["rollback"] = "owes"
        with running.ledger.lock:
            entry = _settle(call, was, was.status if failed else "completed", **fields)
            if was.patch is not None:
                running.state.current()  # it takes patches only once it is known
                running.state.apply(was.patch)
        running.progress(call.location, was.attempts)
        await self._keep(call, port)
        if failed:
            return Failed(recorded_failure(entry, "send" if was.kind == "send" else "step"))
        return Done(primitive.recall(call.scope, entry))

    async def _keep(self, call: Call, port: Port) -> None:
        """Answers are kept many at a time. One that a crash loses is given again, and whatever is asked for, begun or sent
        after it is written with it.
        """
        if call.scope.running.ledger.staged >= _TOGETHER:
            await port.commit(call.scope)

    # --- what waits, and what only decides ---------------------------------------------------------------------------

    async def _receive(self, primitive: Receive, call: Call, port: Port) -> Outcome[Any] | None:
        """The changed message; a wait that ran out ends again, but for a message that this run was sent; else it waits."""
        if self._changes(call, "message"):
            return await self._received(primitive, call, port, _as_asked(self._change(), primitive))
        found = (await self._original(port)).get(call.location)
        if found is None or found.kind != "message" or not _ran_out(found):
            return None
        if await port.blocking(lambda: call.scope.running.recorder.inbox(primitive.names, 1)):
            return None
        return await self._received(primitive, call, port, found)

    async def _received(self, primitive: Receive, call: Call, port: Port, was: Entry) -> Outcome[Any]:
        status = "failed" if was.error is not None else "completed"
        entry = _settle(call, was, status, output=was.output, error=was.error, by_hand=was.by_hand)
        call.scope.running.progress(call.location, 0)
        await self._keep(call, port)
        if was.error is not None:
            return Failed(recorded_failure(entry, "message"))
        return Done(primitive.recall(call.scope, entry))

    async def _sleep(self, call: Call, port: Port) -> Outcome[None] | None:
        was = (await self._original(port)).get(call.location)
        if was is None or not can_answer(was, "sleep"):
            return None
        _settle(call, was, "completed", due_at=was.due_at)
        return Done(None)

    async def _version(self, primitive: Version, call: Call, port: Port) -> Outcome[int] | None:
        was = (await self._original(port)).get(call.location)
        if was is None or not can_answer(was, "version"):
            return None
        answer = _read_version.decode(was.output or b"").answer
        if answer > primitive.latest:
            return None
        call.note("version", "completed", output=was.output)
        return Done(answer)

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _ask(self, scope: Scope, location: str, kind: str, port: Port) -> None:
        """Wait for a person. It never returns: the run is given up, and the answer is found by another pass."""
        running = scope.running
        place = Place(location, error_line=question(location, kind))
        while True:
            await port.wait(scope, Wake(place=place, asks=True), since=running.rings, seen=0)

    # --- the change, and the original -------------------------------------------------------------------------------

    def _changes(self, call: Call, kind: str) -> bool:
        return (call.location, kind) == (self._fork.location, self._fork.kind)

    def _change(self) -> Entry:
        """What was changed, as an entry that could answer."""
        fork = self._fork
        output = None if fork.output is msgspec.UNSET else bytes(fork.output)
        error = None if fork.error is msgspec.UNSET else bytes(fork.error)
        return Entry(
            seq=fork.at, location=fork.location, kind=fork.kind, status="completed" if error is None else "failed",
            output=output, error=error, rollback="owes" if fork.owes else "", settled_at=fork.by_hand.at,
            by_hand=fork.by_hand.encode(),
        )  # fmt: skip

    async def _answer(self, call: Call, kind: str, args: bytes | None, port: Port) -> Entry | None:
        was = (await self._original(port)).get(call.location)
        if was is None or not can_answer(was, kind) or args is None:
            return None
        if was.args_crc and was.args_crc != crc32(args):
            return None
        if await port.blocking(lambda: self._args_of(self._fork.run, was)) != args:
            return None
        return was

    async def _original(self, port: Port) -> Mapping[str, Entry]:
        """The original's entries by location; none once it is gone. What they carry of a person's word allows nothing here."""
        known = self._known
        if known is None:
            known = await port.blocking(self.read_original)
        return known

    def read_original(self) -> Mapping[str, Entry]:
        """Read it now, once for all."""
        if self._known is None:
            self._known = self._load()
        return self._known

    def _load(self) -> Mapping[str, Entry]:
        try:
            view = self._driver.load(self._fork.run)
        except PayloadError as error:
            self._log.warning("the original of this fork cannot be read, so everything is asked for: %s", error)
            return {}
        entries = () if view is None or view.row.id != self._fork.origin else view.entries
        return {entry.location: msgspec.structs.replace(entry, by_hand=carried(entry)) for entry in entries}

    def _args_of(self, run: int, entry: Entry) -> bytes | None:
        return self._driver.body(BodyRef(run=run, field="args", entry=entry.seq))


def _settle(call: Call, was: Entry, status: str, **fields: Any) -> Entry:
    """The entry with what `was` came to; in the pass of a check only as it would be recorded."""
    if call.scope.running.looks_ahead:
        return msgspec.structs.replace(was, status=status)
    return call.finish(was.kind, status, **fields)


def _as_asked(was: Entry, primitive: Receive) -> Entry:
    """The changed message as this receive takes it: the code may want to complete it."""
    taken = [msgspec.structs.replace(each, completable=primitive.completable) for each in taken_in(was.output or b"[]")]
    return msgspec.structs.replace(was, output=msgspec.json.encode(taken))


def _comparable(primitive: StepCall) -> bytes | None:
    """The arguments as an entry records them; None where they are not, or one of them only as a note of its type."""
    if not primitive.plan.record_args:
        return None
    try:
        return _args.encode(primitive.plan.bind(primitive.args, primitive.kwargs))
    except PayloadError:
        return None


def _readable(primitive: StepCall, was: Entry) -> Entry:
    """The entry itself. Raises PayloadError if its output does not fit today's annotation."""
    if was.output is not None:
        primitive.plan.returns.decode(was.output)
    return was


def _recorded(primitive: StepCall | SendMessage, limit: int) -> dict[str, Any]:
    if isinstance(primitive, StepCall):
        return primitive.recorded_args()
    return {"args": primitive.recorded_args(primitive.encoded(limit))}


def _ran_out(was: Entry) -> bool:
    """Whether a receive came to the end of its time with nothing."""
    return was.status == "failed" or (was.status == "completed" and was.output == b"[]")
