"""What stored entries and errors say, as plain data: for those who look at runs without having their code.

Decoding a value may import the module of its class, and importing runs it. Whoever only looks must not run users' code, so
everything here reads shapes and describes values; nothing is decoded into a user's type.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from flowkit.codec import describe
from flowkit.core.entry import Entry
from flowkit.engine.source import shown_path
from flowkit.errors import ErrorInfo
from flowkit.primitives.branches import read_branches
from flowkit.primitives.loop import read_loop
from flowkit.primitives.messages import Taken, Waited
from flowkit.primitives.migrate import VersionAnswer

__all__ = [
    "BranchFacts",
    "LoopFacts",
    "TakenMessage",
    "branch_facts",
    "cause_of",
    "loop_facts",
    "output_of",
    "plain_error",
    "removed_kind",
    "shown_path",
    "taken_messages",
    "version_text",
    "waited_names",
]


@dataclass(frozen=True, slots=True)
class LoopFacts:
    """How far a loop is: the turn under way (counted from 0), and below which turn all were pruned."""

    turn: int
    pruned: int
    state: object = None


@dataclass(frozen=True, slots=True)
class BranchFacts:
    """The branches of a join or race, those that ended and whether well, and a race's winner."""

    names: tuple[str, ...] = ()
    done: dict[str, bool] = field(default_factory=dict)
    winner: str | None = None


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that an entry consumed."""

    number: int
    id: str
    name: str
    sent_at: float
    data: object
    completable: bool


def plain_error(body: bytes) -> ErrorInfo:
    """A stored error with its attributes described; never raises."""
    shown = describe(body)
    return _as_error(shown) or ErrorInfo("unreadable", str(shown), "")


def _as_error(shown: object) -> ErrorInfo | None:
    if not isinstance(shown, dict) or not isinstance(shown.get("type"), str):
        return None
    attributes = shown.get("attributes")
    return ErrorInfo(
        shown["type"], str(shown.get("message", "")), str(shown.get("traceback", "")),
        dict(attributes) if isinstance(attributes, dict) else {},
    )  # fmt: skip


def cause_of(error: ErrorInfo) -> ErrorInfo | None:
    """The error of the last attempt, if this says that a step has none left."""
    return _as_error(error.attributes.get("error"))


def loop_facts(entry: Entry) -> LoopFacts:
    """How far a loop is."""
    try:
        found = read_loop(entry)
    except msgspec.MsgspecError:
        return LoopFacts(entry.attempts, 0)
    return LoopFacts(found.turn, found.pruned, describe(bytes(found.state)))


def branch_facts(entry: Entry) -> BranchFacts:
    """How the branches of a join or race stand. Of an entry whose record was too large to bring along: nothing."""
    try:
        found = read_branches(entry)
    except msgspec.MsgspecError:
        return BranchFacts()
    return BranchFacts(tuple(found.names), {name: end.error is msgspec.UNSET for name, end in found.done.items()}, found.winner)


def taken_messages(entry: Entry) -> tuple[TakenMessage, ...]:
    """The messages that a receive took; none while it waits."""
    if not entry.settled or entry.output is None:
        return ()
    try:
        found = msgspec.json.decode(entry.output, type=list[Taken])
    except msgspec.MsgspecError:
        return ()
    return tuple(TakenMessage(m.number, m.id, m.name, m.sent_at, describe(bytes(m.data)), m.completable) for m in found)


def waited_names(entry: Entry) -> tuple[str, ...]:
    """What an open receive waits for; none: any message."""
    if entry.settled or entry.output is None:
        return ()
    try:
        return tuple(msgspec.json.decode(entry.output, type=Waited).names)
    except msgspec.MsgspecError:
        return ()


def removed_kind(entry: Entry) -> str:
    """The kind of entry that a placeholder stands for; nothing where it does not tell."""
    kind = _described(_raw(entry, "kind"))
    return kind if isinstance(kind, str) else ""


def version_text(entry: Entry) -> str:
    """Which version of the code a gate took: ``2 of 3``."""
    try:
        found = msgspec.json.decode(entry.output or b"", type=VersionAnswer)
    except msgspec.MsgspecError:
        return ""
    return f"{found.answer} of {found.latest}"


def output_of(entry: Entry) -> object:
    """What an entry came to, as far as its row brings it."""
    if entry.output is None or not entry.settled:
        return None
    match entry.kind:
        case "step":
            return describe(entry.output)
        case "message":
            data = [message.data for message in taken_messages(entry)]
            return data[0] if len(data) == 1 else data
        case "loop":
            return _described(_raw(entry, "value"))
        case _:
            return None


def _raw(entry: Entry, name: str) -> object:
    try:
        return msgspec.json.decode(entry.output or b"{}", type=dict[str, msgspec.Raw]).get(name)
    except msgspec.MsgspecError:
        return None


def _described(raw: object) -> object:
    return describe(bytes(raw)) if isinstance(raw, msgspec.Raw) else None
