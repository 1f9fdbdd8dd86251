"""What the store should hold, kept beside it from the writes that landed, and the rules that each of these must obey.

It is told of every operation that a driver applied, in order, and believes nothing else. At the end the store itself must be
equal to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from flowkit.core.change import Change, Outgoing
from flowkit.core.entry import Entry
from flowkit.drivers.base import BodyRef, Done, Driver, Duplicate, Op, Result, Send, Sent, Started, Steer, Steered
from flowkit.primitives.messages import requeued

__all__ = ["Mirror", "RunMirror", "Violation"]

TERMINAL = frozenset(("completed", "failed", "cancelled"))


class Violation(AssertionError):
    """A promise was broken."""


@dataclass
class RunMirror:
    """One run as it should stand in the store."""

    seq: int
    id: str
    head: int = 0
    epoch: int = 0
    status: str = "pending"
    entries: dict[int, Entry] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    """Every seq that was ever durable."""
    highest: int = 0
    inbox: dict[int, tuple[str, str, str | None]] = field(default_factory=dict)
    """Number → id, name, key of messages that wait."""
    numbers: dict[int, str] = field(default_factory=dict)
    """Every message that was ever accepted, by number."""
    consumed: set[int] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    """Messages whose sender waits for an answer, by id."""
    replies: dict[str, bytes] = field(default_factory=dict)
    """The answers; the first to a message is the one that counts."""
    races: bool = False
    """A branch that loses may have set a message aside while another took the next."""
    keys: dict[str, int] = field(default_factory=dict)
    rewinds: list[int] = field(default_factory=list)
    """Epochs that a recover or replay began."""
    undone: list[int] = field(default_factory=list)
    last_undone: tuple[float, int] | None = None

    def at(self, location: str) -> Entry | None:
        """The live entry at a location."""
        return next((entry for entry in self.entries.values() if entry.location == location), None)

    def generation(self, epoch: int) -> int:
        """How many recoveries and replays came before a pass of this epoch."""
        return sum(each <= epoch for each in self.rewinds)


class Mirror:
    """All runs of a store."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.runs: dict[int, RunMirror] = {}
        self.ids: dict[str, int] = {}
        self.broken: Violation | None = None
        """The first promise that was broken: what raises in a body or a write may be taken for a failure of that."""

    def demand(self, holds: object, what: str) -> None:
        """A promise."""
        if not holds:
            violation = Violation(what)
            self.broken = self.broken or violation
            raise violation

    def applied(self, op: Op, result: Result) -> None:
        """The store answered `op` with `result`."""
        match op, result:
            case Change(), Done():
                self._changed(op, result)
            case Send(), Sent() if result.number:
                self._sent(self.runs[self.ids[op.to]], result.number, op)
            case Steer(), Steered():
                self._steered(op, result)
            case _, Started():
                if op.id not in self.ids:  # type: ignore[union-attr]  # a Start
                    self.ids[op.id] = result.run  # type: ignore[union-attr]
                    self.runs[result.run] = RunMirror(result.run, op.id)  # type: ignore[union-attr]
            case _, Duplicate():
                pass

    def observe(self) -> None:
        """Heads and epochs never fall, whoever changed them."""
        for run in self.runs.values():
            row = self.driver.get(run.seq)
            self.demand(row is not None, f"run {run.id} is gone")
            assert row is not None
            self.demand(row.head == run.head, f"{run.id}: head {row.head} in the store, {run.head} writes landed")
            self.demand(row.epoch >= run.epoch, f"{run.id}: the epoch fell from {run.epoch} to {row.epoch}")
            run.epoch, run.status = row.epoch, row.status

    # --- one change -------------------------------------------------------------------------------------------------

    def _changed(self, change: Change, done: Done) -> None:
        run = self.runs[change.run]
        self.demand(change.head == run.head, f"{run.id}: a write with head {change.head} landed on head {run.head}")
        self.demand(change.epoch >= run.epoch, f"{run.id}: epoch {change.epoch} wrote after epoch {run.epoch}")
        rewinds = change.bump in ("recover", "replay")
        self.demand(rewinds or run.status not in TERMINAL, f"{run.id}: a write landed after it was {run.status}")
        run.head += 1
        run.epoch = max(run.epoch, change.epoch + bool(change.bump))
        if rewinds:
            run.rewinds.append(change.epoch + 1)
            run.last_undone = None
        self._undo(run, change)
        self._entries(run, change)
        self._messages(run, change)
        self._taken_in_order(run, change)
        run.status = done.status
        for outgoing in change.sends:
            self._delivered(outgoing)

    def _undo(self, run: RunMirror, change: Change) -> None:
        for seq in change.rolled_back:
            entry = run.entries.get(seq)
            self.demand(entry is not None and entry.rollback == "owes", f"{run.id}: entry {seq} was undone and owed nothing")
            assert entry is not None
            mine = (entry.settled_at or 0.0, entry.seq)
            owing = [(e.settled_at or 0.0, e.seq) for e in run.entries.values() if e.rollback == "owes"]
            self.demand(mine == max(owing), f"{run.id}: {entry.location} was undone before a newer completion")
            run.entries[seq] = msgspec.structs.replace(entry, status="rolled_back", rollback="done")
            run.undone.append(seq)

    def _entries(self, run: RunMirror, change: Change) -> None:
        for entry in change.set:
            before = run.entries.get(entry.seq)
            self.demand(before is not None and not before.settled, f"{run.id}: {entry.location} was settled and written again")
            assert before is not None
            self.demand(before.location == entry.location and before.kind == entry.kind, f"{run.id}: {entry.location} moved")
            run.entries[entry.seq] = entry
        back = {seq: run.entries.pop(seq) for seq in change.archive}
        for first, end in change.forget:
            for seq in [seq for seq in run.entries if first <= seq < end]:
                del run.entries[seq]
        live = {entry.location for entry in run.entries.values()}
        for entry in change.add:
            self.demand(entry.seq not in run.used or entry.seq in back, f"{run.id}: seq {entry.seq} was used again")
            self.demand(entry.location not in live, f"{run.id}: two entries at {entry.location}")
            live.add(entry.location)
            run.used.add(entry.seq)
            run.entries[entry.seq] = entry
        for entry in change.add:
            known = not entry.parent or (entry.parent in run.entries and entry.parent < entry.seq)
            self.demand(known, f"{run.id}: {entry.location} was written without the entry around it")
        run.highest = max([run.highest, change.entries, *(entry.seq for entry in change.add)])

    def _messages(self, run: RunMirror, change: Change) -> None:
        for number in change.consume:
            self.demand(number in run.inbox, f"{run.id}: message {number} was taken twice, or was never there")
            del run.inbox[number]
            run.consumed.add(number)
        answered = {reply.message_id for reply in change.replies}
        taken = {run.numbers[number] for number in change.consume}
        self.demand(answered <= taken, f"{run.id}: a message was answered and not taken with it")
        unanswered = taken & run.requests - answered - run.replies.keys()  # a replay takes one again, whose answer stays
        self.demand(not unanswered, f"{run.id}: a request was taken, and nobody will answer it")
        for reply in change.replies:
            run.replies.setdefault(reply.message_id, reply.body)
        for message in change.requeue:
            self.demand(message.seq in run.consumed, f"{run.id}: message {message.seq} came back and had not been taken")
            run.consumed.discard(message.seq)
            run.inbox[message.seq] = (message.id, message.name, message.key)

    def _taken_in_order(self, run: RunMirror, change: Change) -> None:
        """Of the messages of one name the one that came first is taken first, but for those due to receives that wait longer."""
        if run.races:
            return
        held = {message.seq for message in requeued(run.entries.values())}
        again = {message.seq for message in change.requeue}
        for entry in (*change.add, *change.set):
            for message in requeued([entry]) if entry.settled and not change.bump else ():
                name = message.name
                before = [n for n, m in run.inbox.items() if n < message.seq and m[1] == name and n not in held | again]
                due = sum(_awaited(other, name) for other in run.entries.values() if other.seq < entry.seq)
                what = f"{run.id}: {entry.location} took message {message.seq}, and {before} came before it"
                self.demand(len(before) <= due, what)

    def _delivered(self, outgoing: Outgoing) -> None:
        run = self.runs.get(self.ids.get(outgoing.to, 0))
        self.demand(run is not None, f"a message was sent to {outgoing.to}, which is no run")
        assert run is not None
        if outgoing.key is not None and outgoing.key in run.keys:
            return
        number = max(run.numbers, default=0) + 1
        self.demand(run.status not in TERMINAL, f"{run.id}: got a message after it was {run.status}")
        self._sent(run, number, outgoing)

    def _sent(self, run: RunMirror, number: int, message: Send | Outgoing) -> None:
        self.demand(number == max(run.numbers, default=0) + 1, f"{run.id}: message number {number} after {len(run.numbers)}")
        self.demand(message.message_id not in run.numbers.values(), f"{run.id}: message {message.message_id} was accepted twice")
        if message.key is not None:
            self.demand(message.key not in run.keys, f"{run.id}: key {message.key!r} was delivered twice")
            run.keys[message.key] = number
        run.numbers[number] = message.message_id
        if isinstance(message, Send) and message.reply:
            run.requests.add(message.message_id)
        run.inbox[number] = (message.message_id, message.name, message.key)

    def _steered(self, op: Steer, result: Steered) -> None:
        run = self.runs[self.ids[op.run]]
        run.status = result.status
        if result.status != "cancelled":
            return
        for seq, entry in run.entries.items():
            if not entry.settled:
                run.entries[seq] = msgspec.structs.replace(entry, status="cancelled", settled_at=1.0)

    # --- at the end -------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """The store holds what the mirror does."""
        self.observe()
        for run in self.runs.values():
            view = self.driver.load(run.seq)
            row = self.driver.get(run.seq)
            assert view is not None
            assert row is not None
            found = {entry.seq: _shape(entry) for entry in view.entries}
            wanted = {seq: _shape(entry) for seq, entry in run.entries.items()}
            self.demand(
                found == wanted, f"{run.id}: the store holds other entries than were written: {_differences(found, wanted)}"
            )
            self.demand(
                row.entries == run.highest, f"{run.id}: counter `entries` is {row.entries}, the highest seq {run.highest}"
            )
            self.demand(row.inbox == max(run.numbers, default=0), f"{run.id}: counter `inbox` is {row.inbox}")
            owing = sum(entry.rollback == "owes" for entry in view.entries)
            self.demand(row.owes == owing or row.status == "completed", f"{run.id}: counter `owes` is {row.owes}, {owing} owe")
            waiting = {message.seq: message.id for message in self.driver.inbox(run.seq, (), 10_000)}
            self.demand(waiting == {n: m[0] for n, m in run.inbox.items()}, f"{run.id}: the inbox is {sorted(waiting)}")
            self.demand(not (run.consumed & set(waiting)), f"{run.id}: messages both taken and there")
            self.demand(run.consumed | set(waiting) == set(run.numbers), f"{run.id}: a message was lost")
            self._taken_once(run)
            self._answered(run)

    def _answered(self, run: RunMirror) -> None:
        """Who waits for an answer finds the one that was given, or none yet."""
        for message in sorted(run.requests):
            found = self.driver.body(BodyRef(run=run.seq, field="reply", message_id=message))
            given = run.replies.get(message)
            self.demand(found == given, f"{run.id}: the answer to {message} is {found!r}, given was {given!r}")

    def _taken_once(self, run: RunMirror) -> None:
        taken = [m.seq for m in requeued(run.entries.values())]
        self.demand(len(taken) == len(set(taken)), f"{run.id}: one message was received twice: {taken}")
        self.demand(set(taken) <= set(run.numbers), f"{run.id}: a message was received that nobody sent")


def _shape(entry: Entry) -> tuple[Any, ...]:
    return (entry.location, entry.kind, entry.status, entry.attempts, entry.round, entry.parent, entry.rollback, entry.output)


def _differences(found: dict[int, Any], wanted: dict[int, Any]) -> str:
    seqs = sorted(seq for seq in found.keys() | wanted.keys() if found.get(seq) != wanted.get(seq))
    return "; ".join(f"{seq}: store {found.get(seq)}, written {wanted.get(seq)}" for seq in seqs[:3])


def _awaited(entry: Entry, name: str) -> int:
    """How many messages called `name` a receive that waits is given before later ones."""
    if entry.kind != "message" or entry.settled or entry.output is None:
        return 0
    waits = msgspec.json.decode(entry.output)
    return max(waits["count"], 1) if not waits["names"] or name in waits["names"] else 0
