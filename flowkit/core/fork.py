"""A what-if fork: a new run with the history before an entry of another one, and one thing in it changed.

What makes a run a fork is one record (`Fork`), stored with its start and never changed. It names the original, so that a pass
can look up how that went on, and holds the change itself, which is made wherever the fork comes to that location. A fork is
*fenced*: nothing with an effect runs in it unless a person has said so, for that entry, in that round of it. The tricky bit is
that history is copied, and what was allowed in one run must never be taken for allowed in another: hence `carried`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from flowkit.core.entry import Entry
from flowkit.core.resolution import ByHand, by_hand_of
from flowkit.errors import PayloadError

__all__ = ["TAG", "Fork", "asked_line", "asks_for", "can_answer", "carried", "may_run", "may_undo", "question", "read_fork"]

TAG = "fork"
"""Every fork has this tag."""

_EFFECTS = frozenset(("step", "send"))
_ASKS = "asks: "
_NEVER = -1
"""No entry has this round."""


class Fork(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """`origin` is the id of the original and `run` its number there, `at` the number of the entry at `location` that is changed.

    `first` is the lowest number that was not copied. `output` or `error` is the changed outcome, encoded as an entry has it.
    `owes`: the changed step's rollback gets the output. `by_hand` says who changed it, when and why.
    """

    origin: str
    run: int
    at: int
    first: int
    location: str
    kind: str
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    owes: bool = False
    by_hand: ByHand

    def encode(self) -> bytes:
        """As its run keeps it."""
        return msgspec.json.encode(self)


_read = msgspec.json.Decoder(Fork)


def read_fork(body: bytes | None) -> Fork | None:
    """What makes a run a fork, None for any other run.

    Raises:
        PayloadError: the record is damaged, so nobody may take the run for one that is not fenced.
    """
    if body is None:
        return None
    try:
        return _read.decode(body)
    except msgspec.MsgspecError as error:
        raise PayloadError(f"the record that makes this run a fork cannot be read: {error}") from error


def may_run(entry: Entry | None) -> bool:
    """Whether a person said that this step or send may be done for real."""
    return _allowed(entry, ("real", "again"))


def may_undo(entry: Entry) -> bool:
    """Whether a person said that the rollback of this step may be called for real."""
    return _allowed(entry, ("undo",))


def _allowed(entry: Entry | None, ways: tuple[str, ...]) -> bool:
    given = None if entry is None else by_hand_of(entry)
    return entry is not None and given is not None and given.how in ways and given.round == entry.round


def carried(entry: Entry) -> bytes | None:
    """What a person decided for an entry, as a copy of it in another run has it: told, but allowing nothing there."""
    given = by_hand_of(entry)
    return None if given is None else msgspec.structs.replace(given, round=_NEVER).encode()


def can_answer(was: Entry | None, kind: str) -> bool:
    """Whether the original's entry has an outcome to give, if its arguments are equal. What was undone there, happened first."""
    return was is not None and was.kind == kind and was.settled and was.status != "cancelled"


def asks_for(entries: Iterable[Entry], status: str, ending: str, current: str | None) -> list[Entry]:
    """The entries of a fork for which a person is asked, by number; a rollback asks for one after the other."""
    if status != "paused":
        return []
    if ending:
        return [e for e in entries if e.location == current and e.rollback == "owes" and not may_undo(e)]
    found = [e for e in entries if e.kind in _EFFECTS and not e.settled and not may_run(e)]
    return sorted(found, key=lambda entry: entry.seq)


def asked_line(status: str, error_line: str | None) -> str:
    """What a run asks, as lists have it; empty if it asks for nothing."""
    return error_line if status == "paused" and error_line is not None and error_line.startswith(_ASKS) else ""


def question(location: str, kind: str) -> str:
    """What is asked, on one line. `kind` is the entry's, or ``rollback``."""
    match kind:
        case "send":
            return f"{_ASKS}send `{location}` for real, or take it for sent"
        case "rollback":
            return f"{_ASKS}undo `{location}` for real, or take it for undone"
        case _:
            return f"{_ASKS}run `{location}` for real, or give its result"
