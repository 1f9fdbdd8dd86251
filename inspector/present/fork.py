"""A fork beside its original: the two histories by location, from the first difference on. Pure: entries in, rows out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flowkit.client.facts import plain_error, taken_messages
from flowkit.core.entry import Entry
from flowkit.core.fork import Fork, question
from flowkit.core.ledger import COMPOSITES
from flowkit.core.resolution import by_hand_of

from ..urls import entry_url
from .notes import line_of
from .states import Piece, State, entry_state, marked, pieces
from .values import shown

__all__ = ["Beside", "Cut", "Offer", "Pair", "Question", "Side", "beside", "cut", "offer_of", "questions_of"]

Verdict = Literal["same", "alike", "changed", "other", "open", "only here", "only there", "not yet", "asks"]
FEW = 3
"""So many entries in a row that are the same are shown; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An entry of one of the two. `note`: what a person decided for it."""

    seq: int
    href: str
    state: State
    line: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What both have at one location. `told` says in words how the fork compares. Before it, `skipped` that are the same are
    left out.
    """

    location: str
    kind: str
    verdict: Verdict
    told: str
    there: Side | None
    here: Side | None
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """`same` entries before the first difference are left out, and `rest` behind the last; `more`: another window follows."""

    pairs: tuple[Pair, ...] = ()
    same: int = 0
    rest: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """A window of both histories; `next`: the numbers behind which the one after it begins, there and here."""

    there: Sequence[Entry]
    here: Sequence[Entry]
    next: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the fork asks at an entry. `settles`: nothing but yes or no is to be said, by this word. `args` are on one line, and
    `was` those that the original has there, if they differ.
    """

    seq: int
    location: str
    text: tuple[Piece, ...]
    href: str
    real: str
    settles: str
    args: str
    was: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The message that the original took where the fork waits; `data` is JSON."""

    location: str
    name: str
    data: object
    line: str


_TOLD: Mapping[Verdict, str] = {
    "same": "the same",
    "alike": "of the same size, too large to compare here",
    "changed": "changed by hand",
    "other": "different",
    "open": "still open in the fork",
    "only here": "only in the fork",
    "only there": "not in the fork",
    "not yet": "not in the fork yet",
    "asks": "asks",
}
_HOW = {
    "value": "given by hand", "error": "given by hand", "real": "run for real", "again": "tried again by hand",
    "undo": "undone for real", "undone": "taken for undone",
}  # fmt: skip


def cut(there: Sequence[Entry], here: Sequence[Entry], after: tuple[int, int], limit: int) -> Cut:
    """So much of both as can be compared: up to the last location that both have, as long as one of them goes on.

    Where they have none in common, what goes on is shown, and a rest of the other waits for its counterpart. `after` is where
    this window began, and of each one entry more than `limit` was asked for.
    """
    goes_on = len(there) > limit, len(here) > limit
    if not any(goes_on):
        return Cut(there, here, None)
    there, here = there[:limit], here[:limit]
    known = {entry.location: entry.seq for entry in there}
    ends = next(((known[entry.location], entry.seq) for entry in reversed(here) if entry.location in known), None)
    if ends is None:
        ends = there[-1].seq if goes_on[0] else after[0], here[-1].seq if goes_on[1] else after[1]
    return Cut([each for each in there if each.seq <= ends[0]], [each for each in here if each.seq <= ends[1]], ends)


def beside(
    fork: Fork, there: Sequence[Entry], here: Sequence[Entry], asks: Collection[int], ids: tuple[str, str], *,
    more: bool, ended: bool,
) -> Beside:  # fmt: skip
    """The entries of both by location, in the order of the fork, then of the original. `ids`: the original's, the fork's.

    `ended`: the fork has come to its end, so what it has not made by now it will not make.
    """
    olds = {entry.location: entry for entry in there}
    news = {entry.location: entry for entry in here}
    places = _merged([entry.location for entry in there], [entry.location for entry in here])
    pairs = [_pair(fork, olds.get(place), news.get(place), asks, ids, ended) for place in places]
    first = next((number for number, pair in enumerate(pairs) if pair.verdict != "same"), len(pairs))
    shorter, rest = _folded(pairs[first:])
    return Beside(pairs=shorter, same=first, rest=rest, more=more)


def _folded(pairs: Sequence[Pair]) -> tuple[tuple[Pair, ...], int]:
    """The pairs without the long stretches of the same, and how many of those stand behind the last difference."""
    found: list[Pair] = []
    same: list[Pair] = []
    for pair in pairs:
        if pair.verdict == "same":
            same.append(pair)
            continue
        found += same if len(same) <= FEW else []
        found.append(replace(pair, skipped=len(same) if len(same) > FEW else 0))
        same = []
    found += same if len(same) <= FEW else []
    return tuple(found), len(same) if len(same) > FEW else 0


def _merged(there: list[str], here: list[str]) -> list[str]:
    """All locations: the fork's in its order, each of the original's alone behind the one that came before it."""
    places, known = list(here), set(here)
    before: str | None = None
    for place in there:
        if place not in known:
            places.insert(places.index(before) + 1 if before is not None else 0, place)
            known.add(place)
        before = place
    return places


def _pair(
    fork: Fork, old: Entry | None, new: Entry | None, asks: Collection[int], ids: tuple[str, str], ended: bool
) -> Pair:  # fmt: skip
    verdict = _verdict(fork, old, new, asks, ended)
    entry = new or old
    assert entry is not None
    return Pair(
        location=shown(entry.location), kind=entry.kind, verdict=verdict, told=_TOLD[verdict],
        there=None if old is None else _side(old, ids[0]), here=None if new is None else _side(new, ids[1]),
    )  # fmt: skip


def _verdict(fork: Fork, old: Entry | None, new: Entry | None, asks: Collection[int], ended: bool) -> Verdict:
    if new is None:
        return "only there" if ended else "not yet"
    if new.seq in asks:
        return "asks"
    if new.location == fork.location:
        return "changed"
    if old is None:
        return "only here"
    if _outcome(old) != _outcome(new):
        return "other" if new.settled else "open"
    return "alike" if _is_large(new) and _is_of_its_own(new) else "same"


def _is_large(entry: Entry) -> bool:
    """Whether its output is too large to be read with it, so that only the sizes were compared."""
    return entry.output is None and entry.error is None and entry.settled and entry.size > 0


def _is_of_its_own(entry: Entry) -> bool:
    """Whether it was run or given here; everything else is a copy from the original."""
    given = by_hand_of(entry)
    return given is not None and given.round == entry.round


def _outcome(entry: Entry) -> tuple[object, ...]:
    """What an entry came to. A composite's record differs with the order in which branches end; what is in it stands below it."""
    status = "completed" if entry.status == "rolled_back" else entry.status
    if entry.kind in COMPOSITES:
        return entry.kind, status
    error = None if entry.error is None else str(plain_error(entry.error))
    return entry.kind, status, _output(entry), error, entry.size if _is_large(entry) and entry.kind == "step" else 0


def _output(entry: Entry) -> object:
    if entry.kind == "message":
        return tuple((each.name, str(each.data)) for each in taken_messages(entry))
    return entry.output if entry.settled else None


def _side(entry: Entry, id: str) -> Side:
    given = by_hand_of(entry)
    return Side(
        seq=entry.seq, href=entry_url(id, entry.seq), state=entry_state(entry), line=line_of(entry),
        note="" if given is None else f"{_HOW[given.how]}: {shown(given.reason)}",
    )  # fmt: skip


def questions_of(
    entries: Sequence[Entry], id: str, ending: str, commands: Mapping[int, str], args: Mapping[int, tuple[str, str]]
) -> tuple[Question, ...]:
    """What the fork asks, of which entries. `commands` and `args`, here and there, are by number."""
    found = []
    for entry in entries:
        kind = "rollback" if ending else entry.kind
        mine, theirs = args.get(entry.seq, ("", ""))
        text = question(shown(entry.location), kind).removeprefix("asks: ")
        found.append(
            Question(
                seq=entry.seq, location=shown(entry.location), text=pieces(marked(text), 0.0),
                href=entry_url(id, entry.seq, "resolve"),
                real={"rollback": "Undo it for real", "send": "Send it for real"}.get(kind, "Run it for real"),
                settles={"rollback": "Take it for undone", "send": "Take it for sent"}.get(kind, ""),
                command=commands.get(entry.seq, ""), args=mine, was=theirs if theirs != mine else "",
            )
        )  # fmt: skip
    return tuple(found)


def offer_of(entry: Entry, was: Entry | None) -> Offer | None:
    """The message that the original took at the receive where the fork waits, if it took one."""
    took = taken_messages(was) if was is not None and was.kind == "message" else ()
    if not took or entry.kind != "message" or entry.settled:
        return None
    return Offer(location=shown(entry.location), name=took[0].name, data=took[0].data, line=line_of(was) if was else "")
