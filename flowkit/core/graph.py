"""The graph of a workflow's code, as plain data, and which of its nodes a location stands for.

A node is an entry that the code can make, a scope around such, or a piece of control flow. What the code decides as it runs
(which arm, how many turns) is left open, so a node may stand for any number of entries. A name that is computed at run time
is `parts`: the texts that are known, with anything between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from flowkit.core.entry import KINDS
from flowkit.core.location import split
from flowkit.core.trial import pattern

__all__ = ["BOXES", "FLOW", "Graph", "Node", "Places", "Spot", "spots_of"]

BOXES = frozenset(("loop", "join", "race", "attempt"))
"""Nodes that have scopes of their own below them."""

FLOW = frozenset(("fork", "try", "arm", "cycle", "call"))
"""Nodes that are no place of their own: what lies in them belongs to the scope around."""

_PLACES = KINDS | {"attempt"}


class Node(
    msgspec.Struct, frozen=True, omit_defaults=True, gc=False,
    rename={"kind": "k", "name": "n", "source": "s", "parts": "p", "body": "b"},
):  # fmt: skip
    """`kind` is that of an entry, ``attempt``, ``branch`` (of a join or race), one of `FLOW`, ``end`` (the way ends here) or
    ``again`` (a function that is under way is called anew). `name` is also a condition's text; `source` is ``file:line``.
    """

    kind: str
    name: str = ""
    source: str = ""
    parts: tuple[str, ...] = ()
    body: tuple[Node, ...] = ()

    @property
    def dynamic(self) -> bool:
        """Whether the name is computed at run time."""
        return bool(self.parts)

    def fits(self, segment: str) -> bool:
        """Whether a segment of a location can be this node's name."""
        base = segment.partition("#")[0]
        if not self.parts:
            return self.name in (segment, base)
        first, last = self.parts[0], self.parts[-1]
        if len(base) < sum(map(len, self.parts)) or not (base.startswith(first) and base.endswith(last)):
            return False
        at = len(first)
        for part in self.parts[1:-1]:
            found = base.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        return at <= len(base) - len(last)


class Graph(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a workflow's code can do. `why` says what kept it from being read, `cut` that there is more than it holds."""

    nodes: tuple[Node, ...] = ()
    cut: bool = False
    why: str = ""


@dataclass(slots=True, eq=False)
class Spot:
    """A node in its place. `number` counts from 0 in the order of the code; `low` and `high` are the numbers among its like
    that an entry made here can have (``charge#2`` has 2).
    """

    node: Node
    number: int
    spots: list[Spot]
    low: int = 1
    high: float = 1


def spots_of(graph: Graph) -> list[Spot]:
    """The graph's nodes, numbered."""
    count = iter(range(1 << 30))

    def made(node: Node) -> Spot:
        return Spot(node, next(count), [*map(made, node.body)])

    spots = [*map(made, graph.nodes)]
    _number(spots)
    return spots


# --- numbers among their like -----------------------------------------------------------------------------------------

_Counts = dict[str, tuple[int, float]]


def _number(scope: Sequence[Spot]) -> None:
    counts: _Counts = {}
    for spot in scope:
        _count(spot, counts)


def _count(spot: Spot, counts: _Counts) -> None:
    """Note which numbers the spot can have, given how many of each name may have come before."""
    node = spot.node
    if node.kind in ("fork", "try"):
        _count_arms(spot, counts)
    elif node.kind in FLOW:
        for inner in spot.spots:
            _count(inner, counts)
        if node.kind == "cycle":
            for inner in _within(spot.spots):
                inner.high = math.inf
                counts[inner.node.name] = (counts[inner.node.name][0], math.inf)
    elif node.kind in _PLACES:
        least, most = counts.get(node.name, (0, 0))
        spot.low, spot.high = least + 1, most + 1
        counts[node.name] = (least + 1, most + 1)
        if node.kind in ("join", "race"):
            for branch in spot.spots:
                _number(branch.spots)
        elif node.kind in BOXES:
            _number(spot.spots)


def _count_arms(spot: Spot, counts: _Counts) -> None:
    """Of a fork one arm is taken; of a try what was begun may be cut short, and another arm follows."""
    before = dict(counts)
    if spot.node.kind == "try":
        for arm in spot.spots:
            _count(arm, counts)
        for inner in _within(spot.spots):
            inner.low = before.get(inner.node.name, (0, 0))[0] + 1
        for name, (_, most) in list(counts.items()):
            counts[name] = (before.get(name, (0, 0))[0], most)
        return
    found = list[_Counts]()
    for arm in spot.spots:
        own = dict(before)
        _count(arm, own)
        found.append(own)
    for name in {name for each in found for name in each}:
        ends = [each.get(name, (0, 0)) for each in found]
        counts[name] = (min(end[0] for end in ends), max(end[1] for end in ends))


def _within(spots: Sequence[Spot]) -> Iterator[Spot]:
    """The spots of one scope that an entry or attempt block can stand at."""
    for spot in spots:
        if spot.node.kind in FLOW:
            yield from _within(spot.spots)
        elif spot.node.kind in _PLACES:
            yield spot


# --- locations --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Places:
    """Answers which spot an entry was made at. A line that is the same decides; else the number among its like."""

    spots: Sequence[Spot]
    _at: dict[str, list[Spot]] = field(default_factory=dict)
    _inside: dict[str, list[list[Spot]]] = field(default_factory=dict)
    _scopes: dict[int, list[Spot]] = field(default_factory=dict)

    def find(self, location: str, kind: str, source: str = "") -> Spot | None:
        """The spot at which the code makes this entry; None if it makes none such."""
        number = _numbered(location)
        fitting = [spot for spot in self._spots_at(pattern(location)) if spot.node.kind in (kind, "removed")]
        return max(fitting, key=lambda spot: _likeness(spot, kind, source, number), default=None)

    def _spots_at(self, location: str) -> list[Spot]:
        found = self._at.get(location)
        if found is None:
            around, segment = split(location)
            scopes = self._scopes_at(around)
            found = [spot for scope in scopes for spot in self._entries(scope) if spot.node.fits(segment)]
            self._at[location] = found
        return found

    def _scopes_at(self, location: str) -> list[list[Spot]]:
        """What lies in the scope at a location: more than one, where names leave open which it is."""
        found = self._inside.get(location)
        if found is None:
            found = [[*self.spots]] if not location else [*self._entered(location)]
            self._inside[location] = found
        return found

    def _entered(self, location: str) -> Iterator[list[Spot]]:
        around, segment = split(location)
        if segment == "~":
            yield from (spot.spots for spot in self._spots_at(around) if spot.node.kind == "loop")
            return
        yield from (spot.spots for spot in self._spots_at(location) if spot.node.kind == "attempt")
        if around:
            boxes = [spot for spot in self._spots_at(around) if spot.node.kind in ("join", "race")]
            yield from (branch.spots for box in boxes for branch in box.spots if branch.node.fits(segment))

    def _entries(self, scope: list[Spot]) -> list[Spot]:
        known = self._scopes.get(id(scope))
        if known is None:
            known = self._scopes[id(scope)] = [*_within(scope)]
        return known


def _numbered(location: str) -> int:
    number = split(location)[1].rpartition("#")
    return int(number[2]) if number[1] and number[2].isascii() and number[2].isdigit() else 1


def _likeness(spot: Spot, kind: str, source: str, number: int) -> tuple[bool, bool, bool, bool, int]:
    """How well a spot answers for an entry, more telling things first."""
    node = spot.node
    same_line = bool(source) and node.source == source
    known = sum(map(len, node.parts))
    return node.kind == kind, same_line, not node.dynamic, spot.low <= number <= spot.high, known
