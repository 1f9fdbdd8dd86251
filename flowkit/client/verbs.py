"""Verbs as a form or a script asks for them: with an `op` that makes each happen once, and a guard on the head it was asked from.

`Run` has the same verbs for programs. Here the wish may be repeated (a double click, a lost answer) and may come late, so
every call says what became of it as a value; nothing of what a user can do wrong is an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from flowkit.client.answering import open_question, questions
from flowkit.client.facts import loop_facts
from flowkit.client.forking import ForkForm, changed_outside
from flowkit.client.livecode import Answer, Fault, ResolveWish
from flowkit.client.resolving import Form, decided_outside
from flowkit.client.rewind import Rewind, recovery_of, replay_of, resolvable
from flowkit.client.steering import recover_run, replay_run
from flowkit.client.undoing import UndoMap, undo_map
from flowkit.codec import coder, faults_of
from flowkit.core.entry import Entry
from flowkit.core.location import check_key, check_name
from flowkit.core.run import OPEN
from flowkit.drivers.base import Duplicate, Ended, Full, Moved, NoRun, Result, RunView, Send, Steer, Steered, Verb
from flowkit.errors import FlowkitError, InvalidName, PayloadError, RunConflict, RunNotFound

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["OFFERED", "Answer", "RewindPlan", "Verbs"]

_tagged = coder()
_NO_HEAD = -1
"""No run has this head, so what demands it is answered only if it was done before."""

OFFERED: dict[str, frozenset[str]] = {
    "recover": frozenset(("failed",)),
    "replay": frozenset(("pending", "sleeping", "completed", "failed", "cancelled", "paused", "blocked")),
    "cancel": frozenset(OPEN),
    "evict": frozenset(("running", "rolling_back")),
    "pause": frozenset(("pending", "running", "sleeping", "rolling_back", "blocked")),
    "resume": frozenset(("paused", "blocked")),
    "wake": frozenset(("sleeping",)),
    "send": frozenset(OPEN),
}
"""The statuses of a run in which each verb makes sense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewindPlan:
    """What a recover or replay would do, by location; `refused` says why it would not.

    `pruned` are loops that start over whole, each with the number of its turns of which nothing is recorded any more.
    """

    refused: str = ""
    again: tuple[str, ...] = ()
    undone_again: tuple[str, ...] = ()
    archived: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    messages: int = 0
    kept: int = 0
    rollback: str = ""
    pruned: tuple[tuple[str, int], ...] = ()


class Verbs:
    """Steers the runs of an open `Flowkit` on behalf of `who`."""

    def __init__(self, flowkit: Flowkit, who: str) -> None:
        self._flowkit = flowkit
        self.who = who

    def steer(self, id: str, verb: Verb, op: str, *, seen: int | None = None) -> Answer:
        """Carry out a verb once. With `seen` the run must still have that head."""
        if verb == "resume" and (why := open_question(self._flowkit.driver, self._flowkit.driver.get(id))):
            return self.repeated(id, op) or Answer("refused", why, "paused")
        return self._write(id, Steer(run=id, verb=verb, op=op, who=self.who, head=seen))

    def repeated(self, id: str, op: str) -> Answer | None:
        """The first answer, if this wish was carried out before; for stores that do not tell of their verbs. Changes nothing."""
        answer = self.steer(id, "wake", op, seen=_NO_HEAD)
        return answer if answer.outcome == "done" else None

    def recover(self, id: str, op: str, *, seen: int | None = None) -> Answer:
        """As `Run.recover`."""
        try:
            result = recover_run(self._flowkit.driver, self._flowkit.desk.writer, id, self.who, op=op, head=seen)
        except (RunConflict, PayloadError) as error:
            return Answer("refused", str(error))
        return self._posted(id, result)

    def replay(self, id: str, op: str, location: str | None, *, seen: int | None = None) -> Answer:
        """As `Run.replay`."""
        try:
            result = replay_run(self._flowkit.driver, self._flowkit.desk.writer, id, location, self.who, op=op, head=seen)
        except (RunConflict, PayloadError) as error:
            return Answer("refused", str(error))
        except ValueError as error:
            return Answer("faulty", str(error))
        return self._posted(id, result)

    def resolve(self, wish: ResolveWish) -> Answer:
        """As `Run.resolve`, with values as JSON texts; they are checked where the code of the run's workflow is known. A wish
        for a fork: as `Run.fork`.
        """
        desk = self._flowkit.desk
        try:
            if wish.fork:
                return self._forked(wish)
            form = _form_of(wish)
            result = desk.resolve(
                wish.run, wish.location, lambda location, step: decided_outside(location, step, form, desk.max_payload),
                who=wish.who or self.who, op=wish.op, head=wish.seen,
            )  # fmt: skip
        except RunNotFound as error:
            return Answer("missing", str(error))
        except RunConflict as error:
            return Answer("refused", str(error))
        except PayloadError as error:
            found = faults_of(error) if wish.how == "value" else ()
            faults = tuple(Fault(field="value", path=path, message=why) for path, why in found)
            return Answer("faulty", str(error), faults=faults)
        except (ValueError, TypeError, RecursionError) as error:
            return Answer("faulty", str(error))
        return self._posted(wish.run, result)

    def _forked(self, wish: ResolveWish) -> Answer:
        desk = self._flowkit.desk
        value = _parsed(wish.value, "the value") if wish.how in ("value", "message") else None
        form = ForkForm(
            how=wish.how, reason=wish.reason, value=value, type=wish.type, text=wish.text, name=wish.name or None
        )  # fmt: skip
        now = desk.clock.now()
        _, seq = desk.fork(
            wish.run, wish.location, lambda entry, step: changed_outside(entry, step, form, now, desk.max_payload),
            id=wish.fork, who=wish.who or self.who, op=wish.op,
        )  # fmt: skip
        desk.bulletin.post(seq)
        return Answer("done", status="pending")

    def tag(self, id: str, op: str, add: Sequence[str], remove: Sequence[str]) -> Answer:
        """Put tags on a run and take others off it, once."""
        try:
            result = self._flowkit.desk.tag(id, add, remove, who=self.who, op=op)
        except RunNotFound as error:
            return Answer("missing", str(error))
        except (FlowkitError, ValueError, TypeError) as error:
            return Answer("faulty", str(error))
        return self._posted(id, result)

    def send(self, id: str, op: str, name: str, data: bytes, key: str | None) -> Answer:
        """Send a message once; `data` is JSON text."""
        try:
            value = msgspec.json.decode(data) if data.strip() else None
            body = _tagged.encode(value, limit=self._flowkit.house.host.max_payload)
            message = Send(
                to=id, message_id=op, name=check_name(name, "message name"), body=body, key=check_key(key), sender=self.who
            )
        except (msgspec.DecodeError, InvalidName, PayloadError, RecursionError, UnicodeDecodeError) as error:
            return Answer("faulty", str(error))
        return self._write(id, message)

    def _write(self, id: str, op: Steer | Send) -> Answer:
        return self._posted(id, self._flowkit.desk.writer.write(op))

    def _posted(self, id: str, result: Result | None) -> Answer:
        row = self._flowkit.driver.get(id)
        if row is None or isinstance(result, NoRun):
            return Answer("missing", f"there is no run {id!r}")
        self._flowkit.desk.bulletin.post(row.seq)
        match result:
            case Moved():
                return Answer("moved", "this run moved on since the page was made", row.status)
            case Ended(status=status):
                return Answer("refused", f"the run has ended: it is {status}", status)
            case Full(size=size):
                return Answer("refused", f"its inbox is full with {size} messages", row.status)
            case Duplicate(first=first) if first in OFFERED["cancel"]:
                return Answer("done", status=row.status)
            case Steered(status=status):
                return Answer("done", status=status)
            case None:
                return Answer("refused", f"nothing to do: the run is {row.status}", row.status)
            case _:
                return Answer("done", status=row.status)

    # --- what a verb would do ---------------------------------------------------------------------------------------

    def recovery(self, id: str) -> RewindPlan:
        """What `recover` would do now."""
        view = self._view(id)
        if view is None:
            return RewindPlan(refused=f"there is no run {id!r}")
        if view.row.ending:
            stuck = [entry.location for entry in view.entries if entry.rollback == "owes"]
            return RewindPlan(rollback=stuck[-1] if stuck else view.row.current or "its rollback")
        return _planned(view, lambda: recovery_of(view, self._flowkit.driver), f"the run is {view.row.status}, not failed")

    def resolvable(self, id: str) -> tuple[int, ...] | str:
        """The seqs of the steps whose outcome can be given, or for which a fork asks; or why there is none."""
        view = self._view(id)
        if view is None:
            return f"there is no run {id!r}"
        try:
            return tuple(entry.seq for entry in questions(view) or resolvable(view))
        except RunConflict as error:
            return str(error)

    def replaying(self, id: str, location: str | None) -> RewindPlan:
        """What `replay` from there would do now."""
        view = self._view(id)
        if view is None:
            return RewindPlan(refused=f"there is no run {id!r}")
        return _planned(view, lambda: replay_of(view, location, self._flowkit.driver), "there is nothing to replay")

    def undoing(self, id: str) -> UndoMap:
        """What a cancel with rollback would undo."""
        view = self._view(id)
        return UndoMap() if view is None else undo_map(view)

    def _view(self, id: str) -> RunView | None:
        row = self._flowkit.driver.get(id)
        return None if row is None else self._flowkit.driver.load(row.seq)


def _planned(view: RunView, plan: Callable[[], Rewind | None], nothing: str) -> RewindPlan:
    try:
        rewind = plan()
    except (FlowkitError, ValueError) as error:
        return RewindPlan(refused=str(error))
    if rewind is None:
        return RewindPlan(refused=nothing)
    before = {entry.seq: entry for entry in view.entries}
    steps = {entry.seq for entry in rewind.add if entry.kind == "step"}
    gone = [seq for seq in rewind.archive if seq not in {entry.seq for entry in rewind.add}]
    undone = {seq for seq in steps if before[seq].status == "rolled_back"}
    touched = set(rewind.archive)
    return RewindPlan(
        again=tuple(before[seq].location for seq in sorted(steps - undone)),
        undone_again=tuple(before[seq].location for seq in sorted(undone)),
        archived=tuple(before[seq].location for seq in gone if seq in before),
        effects=tuple(
            before[seq].location for seq in sorted(touched) if before[seq].kind in ("step", "send") and _has_begun(before[seq])
        ),
        messages=len(rewind.requeue),
        pruned=tuple(_pruned(before[seq] for seq in gone if seq in before)),
        kept=sum(entry.kind == "step" and entry.status == "completed" and entry.seq not in touched for entry in view.entries),
    )


def _form_of(wish: ResolveWish) -> Form:
    value = _parsed(wish.value, "the value") if wish.how == "value" else None
    args = {name: _parsed(text, f"argument {name!r}") for name, text in wish.arguments.items()}
    return Form(how=wish.how, reason=wish.reason, value=value, type=wish.type, text=wish.text, args=args, rollback=wish.rollback)


def _parsed(text: str, what: str) -> object:
    try:
        return msgspec.json.decode(text.encode("utf-8", "replace"))
    except msgspec.DecodeError as error:
        raise ValueError(f"{what} is not JSON: {error}") from error


def _pruned(gone: Iterable[Entry]) -> Iterator[tuple[str, int]]:
    for entry in gone:
        if entry.kind == "loop" and (turns := loop_facts(entry).pruned):
            yield entry.location, turns


def _has_begun(entry: Entry) -> bool:
    return entry.status != "pending" or entry.attempts > 0 or entry.error is not None
