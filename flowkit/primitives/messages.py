"""Messages: `receive`, `receive_batch`, and the `Message` that user code gets.

Taking a message from the inbox and recording it are one commit. A completable message stays in the inbox, hidden from other
receives, until `complete()` removes it and stores the answer; while one is open anywhere in the run, nothing else may be
received. Whether one is open is read off the inbox itself: its row is still there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from flowkit.codec import coder
from flowkit.core.change import Reply
from flowkit.core.entry import Entry
from flowkit.core.entry import Message as Letter
from flowkit.core.ledger import Ledger
from flowkit.core.mail import wanted
from flowkit.core.outcome import Done, Failed, Outcome, Place, Wake
from flowkit.engine.failures import error_line, info_bytes, recorded_failure
from flowkit.engine.passes import Pass
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.errors import FlowkitError, MessageNotCompleted, ReceiveTimeout

__all__ = ["Completion", "Message", "Receive", "Taken", "decode_messages", "message_names", "requeued", "taken_in"]

_body = coder()
_ALL = 1_000_000
_FEW = 256
"""How many messages are read ahead."""


class Waited(msgspec.Struct, gc=False):
    """What an open receive waits for."""

    names: list[str]
    count: int = 0


class Taken(msgspec.Struct, gc=False):
    """One message that a receive took."""

    number: int
    id: str
    name: str
    sent_at: float
    data: msgspec.Raw
    completable: bool = False


class Decided(msgspec.Struct, gc=False):
    """What is read of a race's record here."""

    winner: str | None = None


_read_waited = msgspec.json.Decoder(Waited)
_read_decided = msgspec.json.Decoder(Decided)
_read_taken = msgspec.json.Decoder(list[Taken])


@dataclass(frozen=True, slots=True)
class Message:
    """A received message. `data` is the decoded body, `sent_at` epoch seconds on the store's clock."""

    id: str
    name: str
    data: Any
    sent_at: float
    _completion: Completion | None = field(default=None, repr=False, compare=False)

    def complete(self, response: Any = None) -> Any:
        """Answer a completable message: it leaves the inbox and the sender's `request()` returns `response`.

        Durable when it returns (in async code: once awaited). Completing one that an earlier pass completed does nothing.

        Raises:
            FlowkitError: the message is not completable, or this pass has completed it already.
        """
        if self._completion is None:
            raise FlowkitError(f"message {self.name!r} is not completable: receive it with completable=True to answer it")
        return self._completion.front(self._completion, response)


class Completion:
    """What `Message.complete` needs: what was taken, and how to run `perform` in this colour."""

    __slots__ = ("done", "front", "taken")

    def __init__(self, taken: Taken, front: Any) -> None:
        self.taken = taken
        self.front = front
        self.done = False

    async def perform(self, scope: Scope, port: Port, response: Any) -> None:
        running = scope.running
        running.check_waitable(scope.strand)
        await _find_open(running, port)
        body = _body.encode(response, limit=running.host.max_payload) if self._is_open(running) else b""
        with running.ledger.lock:
            if self.done:
                raise FlowkitError(f"message {self.taken.name!r} ({self.taken.id}) was completed already in this pass")
            if running.journal.frozen and self._is_open(running):
                raise scope.frontier()
            self.done = True
            if not self._is_open(running):
                return  # an earlier pass completed it
            running.ledger.stage_message(consume=self.taken.number, reply=Reply(message_id=self.taken.id, body=body))
            running.mail.take(self.taken.number)
        await port.commit(scope)
        running.ring()

    def _is_open(self, running: Pass) -> bool:
        return self.taken.number in (running.mail.open or ())


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for one message, or for a batch of 1 to `count`. `names` empty: any. `timeout` in seconds, None: for ever."""

    name: str
    explicit: bool
    names: tuple[str, ...]
    timeout: float | None
    completable: bool
    front: Any
    """Runs a `Completion` in the workflow's colour."""
    count: int = 0
    """0 for a single message."""
    kind: ClassVar[str] = "message"
    frontier: ClassVar[str] = "always"

    def recall(self, scope: Scope, entry: Entry) -> Any:
        if entry.status != "completed" or entry.output is None:
            if entry.error is None:
                raise scope.frontier()
            raise recorded_failure(entry, "message")
        messages = [self._message(taken) for taken in _read_taken.decode(entry.output)]
        return messages if self.count else messages[0]

    async def revisit(self, call: Call, port: Port) -> None:
        return None

    async def perform(self, call: Call, port: Port) -> Outcome[Any]:
        running = call.scope.running
        deadline = self._deadline(call)
        while True:
            await _find_open(running, port)  # each time: a race that is won lets go of what its losers held
            since, seen = running.rings, running.mail.read_up_to(self.names)
            taken = self._take(call, deadline, least=max(self.count, 1))
            if taken is None:
                seen = await port.blocking(lambda: self._look(call))
                taken = self._take(call, deadline, least=1)
            if taken is not None:
                return await self._received(call, port, taken)
            if running.mail.open and not _waited(call.entry):
                return await self._fail(call, port, _not_completed(call))
            if deadline is not None and running.recorder.now() >= deadline:
                return await self._time_out(call, port)
            self._open(call, deadline)
            wake = Wake(at=deadline, names=self.names or ("*",), place=Place(call.location))
            await port.wait(call.scope, wake, since=since, seen=seen)

    def _deadline(self, call: Call) -> float | None:
        if call.entry is not None and _waited(call.entry):
            return call.entry.due_at
        return None if self.timeout is None else call.scope.running.recorder.now() + self.timeout

    def _open(self, call: Call, deadline: float | None) -> None:
        waits = msgspec.json.encode(Waited(names=list(self.names), count=self.count))
        if call.entry is None:
            call.open(self.kind, "pending", due_at=deadline, output=waits)
        elif not _waited(call.entry):  # started over by recover(): the wait begins anew
            call.entry = call.scope.stage(msgspec.structs.replace(call.entry, due_at=deadline, output=waits))

    def _look(self, call: Call) -> int:
        """Read what the store has for these names; the inbox number up to which that is all."""
        running = call.scope.running
        number: int = running.recorder.inbox_number()
        if number > running.mail.read_up_to(self.names):
            limit = _FEW + self.count + sum(max(count, 1) for _, count, _ in _earlier_waits(call))
            found = running.recorder.inbox(self.names, limit)
            with running.ledger.lock:
                running.mail.learn(found, self.names, number if len(found) < limit else found[-1].seq)
        return number

    def _choose(self, call: Call, deadline: float | None) -> list[Letter]:
        """The messages this receive may take: accepted by its deadline, and not due to an earlier entry that waits.

        What is there before the wait begins has come in time, whatever the sender's clock says.
        """
        mail = call.scope.running.mail
        limit = deadline if _waited(call.entry) else None
        if mail.open is None or mail.open:
            return []
        candidates = [m for m in mail.matching(self.names) if limit is None or m.sent_at <= limit]
        for names, count, due in _earlier_waits(call):
            mine = [m for m in candidates if wanted(m.name, names) and (due is None or m.sent_at <= due)]
            for letter in mine[: max(count, 1)]:
                candidates.remove(letter)
        return candidates[: max(self.count, 1)]

    def _take(self, call: Call, deadline: float | None, *, least: int) -> list[Taken] | None:
        """Choose and take, entry and inbox at once: no other branch's choice or commit can come between."""
        running = call.scope.running
        with running.ledger.lock:
            found = self._choose(call, deadline)
            if len(found) < least:
                return None
            taken = [
                Taken(
                    number=m.seq, id=m.id, name=m.name, sent_at=m.sent_at, data=msgspec.Raw(m.body),
                    completable=self.completable,
                )
                for m in found
            ]  # fmt: skip
            call.finish(self.kind, "completed", output=msgspec.json.encode(taken), error=None)
            if (watch := running.host.watch) is not None:
                watch.receives(running, found)
            for letter in found:
                if self.completable:
                    assert running.mail.open is not None
                    running.mail.open.add(letter.seq)
                else:
                    reply = Reply(message_id=letter.id, body=_body.encode(None)) if letter.reply else None
                    running.ledger.stage_message(consume=letter.seq, reply=reply)
                    running.mail.take(letter.seq)
            return taken

    async def _received(self, call: Call, port: Port, taken: list[Taken]) -> Outcome[Any]:
        call.scope.running.progress(call.location, 0)
        await port.commit(call.scope)
        messages = [self._message(each) for each in taken]
        return Done(messages if self.count else messages[0])

    async def _time_out(self, call: Call, port: Port) -> Outcome[Any]:
        if self.count:
            call.finish(self.kind, "completed", output=b"[]")
            await port.commit(call.scope)
            return Done([])
        wanted_names = ", ".join(map(repr, self.names)) or "any name"
        return await self._fail(call, port, ReceiveTimeout(f"no message of {wanted_names} came in time", names=self.names))

    async def _fail(self, call: Call, port: Port, error: BaseException) -> Outcome[Any]:
        info, body = info_bytes(error)
        entry = call.finish(self.kind, "failed", error=body, output=None)
        call.scope.running.progress(call.location, 0, error=error_line(info))
        await port.commit(call.scope)
        return Failed(recorded_failure(entry, "message"))

    def _message(self, taken: Taken) -> Message:
        completion = Completion(taken, self.front) if taken.completable else None
        return Message(taken.id, taken.name, _body.decode(bytes(taken.data)), taken.sent_at, completion)


def message_names(entry: Entry) -> tuple[str, ...]:
    """The names that an open message entry waits for, empty for any."""
    return tuple(_read_waited.decode(entry.output or b"{}").names)


def decode_messages(output: bytes) -> list[Message]:
    """What a settled message entry took, for people."""
    return [Message(t.id, t.name, _body.decode(bytes(t.data)), t.sent_at) for t in _read_taken.decode(output)]


def taken_in(output: bytes) -> list[Taken]:
    """What a settled message entry keeps of the messages it took. One with the number 0 never was in an inbox."""
    return _read_taken.decode(output)


def requeued(entries: Iterable[Entry]) -> list[Letter]:
    """The messages that these entries took, as they stood in the inbox."""
    return [
        Letter(seq=taken.number, id=taken.id, name=taken.name, sent_at=taken.sent_at, body=bytes(taken.data))
        for entry in entries
        if entry.kind == "message" and entry.settled and entry.status == "completed" and entry.output is not None
        for taken in taken_in(entry.output)
        if taken.number
    ]


def _earlier_waits(call: Call) -> list[tuple[tuple[str, ...], int, float | None]]:
    """What open receives recorded before this one wait for, in their order: they choose first."""
    ledger = call.scope.running.ledger
    mine = call.entry.seq if call.entry is not None else ledger.last + 1
    waiting = [
        entry
        for entry in ledger.open_entries()
        if entry.kind == "message" and entry.seq < mine and entry.location != call.location
    ]
    found = []
    for entry in sorted(waiting, key=lambda each: each.seq):
        if entry.output is None:
            continue
        waits = _read_waited.decode(entry.output)
        found.append((tuple(waits.names), waits.count, entry.due_at))
    return found


def _waited(entry: Entry | None) -> bool:
    """Whether this receive has begun to wait: its names and deadline stand in the entry."""
    return entry is not None and entry.output is not None


async def _find_open(running: Pass, port: Port) -> None:
    """Have `mail.open` known. Two branches may ask at once, and one take a message while the other still reads."""
    if running.mail.open is not None:
        return
    if any(number > running.mail.number for number in _completables(running)):
        found = await port.blocking(lambda: running.recorder.inbox((), _ALL))
        with running.ledger.lock:
            running.mail.learn(found, (), running.mail.number)
    with running.ledger.lock:
        if running.mail.open is None:
            running.mail.open = {number for number in _completables(running) if number in running.mail.known}


def _completables(running: Pass) -> set[int]:
    """Numbers of the messages that were taken as completable, but for what branches hold that lost a race and are kept."""
    with running.ledger.lock:
        return {
            taken.number
            for entry in running.ledger.entries.values()
            if entry.kind == "message" and entry.settled and entry.output is not None and b'"completable":true' in entry.output
            if not _lost(running.ledger, entry.location)
            for taken in _read_taken.decode(entry.output)
            if taken.completable
        }


def _lost(ledger: Ledger, location: str) -> bool:
    """Whether a location lies in a branch that lost its race."""
    parts = location.split("/")
    for end in range(1, len(parts) - 1):
        around = ledger.entries.get("/".join(parts[:end]))
        if around is not None and around.kind == "race" and around.output is not None:
            winner = _read_decided.decode(around.output).winner
            if winner is not None and winner != parts[end]:
                return True
    return False


def _not_completed(call: Call) -> MessageNotCompleted:
    mail = call.scope.running.mail
    held = sorted(mail.open or ())
    names = ", ".join(repr(mail.known[number].name) for number in held if number in mail.known) or "a message"
    return MessageNotCompleted(
        f"{names} was received as completable and is still open in run {call.scope.running.facts.id}: call "
        f"message.complete() before the next receive, {call.where()}"
    )
