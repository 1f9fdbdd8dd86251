"""A run's history painted on the graph of its workflow's code: what is done, where it stands, and what may come.

Every entry is laid on the node that makes it, or stands in a list of its own: none is dropped. A node without entries is
*not taken* only where history shows that the run went another way; as long as a loop may come round again, or the run may
go on from where it stopped, it is *not reached yet*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from flowkit.client.facts import branch_facts, loop_facts
from flowkit.client.reader import RunRow
from flowkit.core.entry import KINDS, Entry
from flowkit.core.graph import Graph, Places, Spot, spots_of
from flowkit.core.run import TERMINAL

from ..urls import entry_url
from .history import Gone
from .notes import has_failed
from .states import State, entry_state, hollow
from .values import shown

__all__ = ["WORDS", "GraphNode", "Paint", "Painted", "Stray", "painted"]

Paint = Literal["done", "here", "ahead", "aside", "ghost", "flow"]

WORDS: dict[Paint, str] = {
    "done": "done",
    "here": "here",
    "ahead": "not reached yet",
    "aside": "not taken",
    "ghost": "taken out",
}
"""What each paint says."""

_NOTHING = Gone()
_SHOWN_STRAYS = 200
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode:
    """A node with what history says of it. `paint` ``flow`` is a piece of control flow that only holds others."""

    kind: str
    name: str
    paint: Paint
    word: str
    source: str = ""
    editor: str = ""
    href: str = ""
    state: State | None = None
    times: int = 0
    note: str = ""
    dynamic: bool = False
    nodes: tuple[GraphNode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """An entry that fits no node."""

    location: str
    kind: str
    href: str
    state: State
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """The whole graph. `counts` are nodes by paint, `strays` the entries without a node, `more` those that are not listed."""

    nodes: tuple[GraphNode, ...]
    counts: tuple[tuple[Paint, str, int], ...]
    strays: tuple[Stray, ...]
    more: int
    size: int


@dataclass(slots=True)
class _Painter:
    """What every node depends on. `whole`: no entry of the run is left out."""

    run: RunRow
    failed: str | None
    whole: bool
    editor: Callable[[str], str]
    entries: dict[int, list[Entry]] = field(default_factory=dict)
    met: set[int] = field(default_factory=set)
    here: int = -1
    counts: dict[Paint, int] = field(default_factory=dict)
    size: int = 0
    pruned: int = 0


def painted(
    graph: Graph, entries: Sequence[Entry], run: RunRow, *, failed: str | None = None, whole: bool = True,
    gone: Gone = _NOTHING, editor: Callable[[str], str] = lambda source: "",
) -> Painted:  # fmt: skip
    """The graph with these entries on it. `failed` is the location of the entry that ended the run."""
    spots = spots_of(graph)
    places = Places(spots)
    painter = _Painter(run, failed, whole, editor)
    strays: list[Entry] = []
    for entry in entries:
        spot = places.find(entry.location, entry.kind, entry.source)
        if spot is None:
            strays.append(entry)
        else:
            painter.entries.setdefault(spot.number, []).append(entry)
    painter.here = _under_way(run, entries, places)
    for spot in spots:
        _meet(painter, spot)
    nodes = _sequence(painter, spots, _When(passed=run.status == "completed"))
    return Painted(
        nodes=nodes, counts=tuple((paint, word, painter.counts.get(paint, 0)) for paint, word in WORDS.items()),
        strays=tuple(_stray(run, entry, gone) for entry in strays[:_SHOWN_STRAYS]),
        more=max(0, len(strays) - _SHOWN_STRAYS), size=painter.size,
    )  # fmt: skip


def _under_way(run: RunRow, entries: Sequence[Entry], places: Places) -> int:
    """The spot of a step that runs and has no entry yet: the row names it."""
    if run.status in TERMINAL or run.current is None or any(entry.location == run.current for entry in entries):
        return -1
    spot = next((each for kind in ("step", *sorted(KINDS)) if (each := places.find(run.current, kind))), None)
    return -1 if spot is None else spot.number


def _meet(painter: _Painter, spot: Spot) -> bool:
    """Note every spot that history has been at, or below."""
    below = [_meet(painter, inner) for inner in spot.spots]
    found = spot.number in painter.entries or spot.number == painter.here or any(below)
    if found:
        painter.met.add(spot.number)
    return found


# --- what comes when --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _When:
    """Where a node stands in time. `passed`: nothing more comes to it; `again`: it may come round anew; `once`: it stands in no
    loop, so that of a fork there one arm is taken, and no other. `behind`: something after it was met; `skipped`: something
    that cannot be left out comes after it, and was not met.
    """

    passed: bool
    again: bool = False
    once: bool = True
    behind: bool = False
    skipped: bool = False


def _sequence(painter: _Painter, spots: Sequence[Spot], when: _When) -> tuple[GraphNode, ...]:
    """Spots one after the other: what has one behind it that was met is passed, unless all of it may come round again."""
    found: list[GraphNode] = []
    for spot in reversed(spots):
        found.append(_node(painter, spot, when))
        if spot.number in painter.met:
            when = replace(when, behind=True, skipped=False, passed=when.passed or not when.again)
        elif _must(spot) and not when.behind:
            when = replace(when, skipped=True)
    return tuple(reversed(found))


def _must(spot: Spot) -> bool:
    """Whether whoever comes here leaves an entry."""
    match spot.node.kind:
        case "fork":
            return all(_must(arm) for arm in spot.spots)
        case "try":
            return any(_must(each) for each in spot.spots[:1])
        case "arm" | "call" | "attempt":
            return any(_must(each) for each in spot.spots)
        case _:
            return spot.node.kind in KINDS


def _node(painter: _Painter, spot: Spot, when: _When) -> GraphNode:
    within = replace(when, behind=False, skipped=False)
    match spot.node.kind:
        case "fork":
            taken = _taken(painter, spot, when) if when.once and not when.again else None
            inner = tuple(_arm(painter, arm, within, taken) for arm in spot.spots)
        case "try":
            inner = tuple(_arm(painter, arm, within, None) for arm in spot.spots)
        case "cycle":
            inner = _sequence(painter, spot.spots, _When(passed=when.passed, again=not when.passed, once=False))
        case "loop":
            inner = _turns(painter, spot, when)
        case "join" | "race":
            over = _over(painter, spot, when.passed)
            within = replace(within, passed=over, again=when.again and not over)
            inner = tuple(_node(painter, branch, within) for branch in spot.spots)
        case _:
            inner = _sequence(painter, spot.spots, within)
    return _shown(painter, spot, inner, when)


def _turns(painter: _Painter, spot: Spot, when: _When) -> tuple[GraphNode, ...]:
    over, pruned = _over(painter, spot, when.passed), painter.pruned
    painter.pruned += any(loop_facts(entry).pruned for entry in painter.entries.get(spot.number, []))
    inner = _sequence(painter, spot.spots, _When(passed=over, again=not over, once=False))
    painter.pruned = pruned
    return inner


def _arm(painter: _Painter, arm: Spot, when: _When, taken: Spot | None) -> GraphNode:
    """An arm is said to be not taken only where that is known: one that records nothing may have been."""
    shut_out = taken is not None and taken is not arm
    made = _node(painter, arm, replace(when, passed=when.passed or shut_out))
    if arm is taken or arm.number in painter.met:
        return replace(made, paint="flow")
    known = shut_out or (when.passed and _must(arm))
    return replace(made, paint="aside", word=WORDS["aside"]) if known else replace(made, paint="ahead")


def _taken(painter: _Painter, fork: Spot, when: _When) -> Spot | None:
    """The arm that history shows to have been taken: one that was met, or the only one that leads to what came after."""
    met = [arm for arm in fork.spots if arm.number in painter.met]
    if met:
        return met[0]
    if when.behind:
        left = [arm for arm in fork.spots if not _ends(arm) and not _must(arm)]
    elif when.passed and when.skipped:
        left = [arm for arm in fork.spots if _ends(arm) and not _must(arm)]
    else:
        left = []
    return left[0] if len(left) == 1 else None


def _ends(arm: Spot) -> bool:
    return bool(arm.spots) and arm.spots[-1].node.kind == "end"


def _over(painter: _Painter, spot: Spot, passed: bool) -> bool:
    """Whether a composite has ended, so that nothing more comes in it."""
    entries = painter.entries.get(spot.number, [])
    return passed or bool(entries and all(entry.settled for entry in entries))


# --- one node ---------------------------------------------------------------------------------------------------------


def _shown(painter: _Painter, spot: Spot, inner: tuple[GraphNode, ...], when: _When) -> GraphNode:
    node = spot.node
    if node.kind not in ("arm", "call"):
        painter.size += 1
    made = GraphNode(
        kind=node.kind, name=shown(node.name)[:_LONGEST], paint="flow", word="", source=shown(node.source),
        editor=painter.editor(node.source), dynamic=node.dynamic, nodes=inner,
    )  # fmt: skip
    if node.kind in KINDS or node.kind == "attempt":
        return _placed(painter, spot, made, passed=when.passed)
    if node.kind in ("end", "again") or spot.number in painter.met:
        return made
    paint: Paint = "aside" if when.passed else "ahead"
    return replace(made, paint=paint, word=WORDS["aside"] if node.kind == "branch" and when.passed else "")


def _placed(painter: _Painter, spot: Spot, made: GraphNode, *, passed: bool) -> GraphNode:
    """A node of what is recorded."""
    entries = painter.entries.get(spot.number, [])
    paint = _paint(painter, spot, entries, passed)
    painter.counts[paint] = painter.counts.get(paint, 0) + 1
    word = WORDS[paint]
    if paint == "aside" and (painter.pruned or not painter.whole):
        word = "not in the turns that are kept" if painter.pruned else "not among the entries looked at"
    if paint == "here" and painter.run.status in TERMINAL:
        word = "stopped here"
    if not entries:
        return replace(made, paint=paint, word=word, note="no entry yet" if spot.number == painter.here else "")
    telling = max(entries, key=lambda entry: _weight(painter, entry))
    state = entry_state(telling, painter.run, handled=has_failed(telling) and not _stops(painter, telling))
    return replace(
        made, paint=paint, word=word, state=hollow(state) if paint == "ghost" else state, times=len(entries),
        href=entry_url(painter.run.id, telling.seq), note=_note(telling, len(entries) > 1 and sum(map(has_failed, entries))),
    )  # fmt: skip


def _paint(painter: _Painter, spot: Spot, entries: Sequence[Entry], passed: bool) -> Paint:
    if spot.node.kind == "removed":
        return "ghost"
    if spot.number == painter.here or any(_is_here(painter, entry) for entry in entries):
        return "here"
    if entries:
        return "done"
    if spot.node.kind == "attempt" and spot.number in painter.met:
        return "done" if passed else "here" if painter.run.status not in TERMINAL else "done"
    return "aside" if passed else "ahead"


def _is_here(painter: _Painter, entry: Entry) -> bool:
    """Whether the run stands at this entry: it is open, or it is what stopped the run."""
    return (not entry.settled and painter.run.status not in ("completed", "cancelled")) or _stops(painter, entry)


def _stops(painter: _Painter, entry: Entry) -> bool:
    failed = painter.failed
    return failed is not None and (entry.location == failed or failed.startswith(f"{entry.location}/")) and has_failed(entry)


def _weight(painter: _Painter, entry: Entry) -> tuple[bool, bool, int]:
    """Of several entries at one node the one that tells most: what stopped the run, then where it stands, then the newest."""
    return _stops(painter, entry), _is_here(painter, entry), entry.seq


def _note(entry: Entry, failed: int) -> str:
    if failed:
        return f"{failed:,} failed"
    match entry.kind:
        case "loop":
            facts = loop_facts(entry)
            kept = f", {facts.pruned:,} pruned" if facts.pruned else ""
            return f"turn {facts.turn + 1:,}{kept}"
        case "join":
            branches = branch_facts(entry)
            return f"{len(branches.done)} of {len(branches.names)} branches" if branches.names else ""
        case "race":
            winner = branch_facts(entry).winner
            return f"won by {shown(winner)}" if winner else ""
        case _:
            return {"owes": "has a rollback", "done": "rolled back"}.get(entry.rollback, "")


def _stray(run: RunRow, entry: Entry, gone: Gone) -> Stray:
    why = "the loaded code no longer makes it" if gone.holds(entry.location) else "no place in this code makes it"
    return Stray(
        location=shown(entry.location), kind=entry.kind, href=entry_url(run.id, entry.seq), state=hollow(entry_state(entry, run)),
        why=why,
    )  # fmt: skip
