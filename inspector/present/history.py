"""A window of a history as rows: a tree by location, folded where it is long.

Only joins, races and loops are entries; branches, turns and attempt blocks are known by their segment of a location, so
the tree is made of both. Children stand in the order of the first entry below them. A loop shows its first two, last
three and failing turns, and any other settled composite with many children is folded; `unfold` opens one by its seq.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from flowkit.client.facts import branch_facts
from flowkit.client.reader import Rewound, RunRow
from flowkit.core.entry import Entry
from flowkit.core.location import turn_of
from flowkit.core.run import TERMINAL
from flowkit.core.trial import pattern

from ..urls import run_url
from .notes import figures, has_failed, line_of, placeholder_text
from .states import State, entry_state, hollow
from .times import Stamp, length, stamp
from .values import shown

__all__ = ["CHIPS", "MANY", "Bar", "Gone", "HistoryRow", "cells_of", "matches", "rewind_labels", "rows_of"]

MANY = 20
DEEPEST = 5
_FIRST, _LAST = 2, 3
_SHORTEST_SPAN = 0.001
"""A window shorter than this many seconds has no scale worth drawing."""

CHIPS: dict[str, tuple[str, ...]] = {
    "failures": (),
    "steps": ("step",),
    "timers": ("sleep",),
    "messages": ("message", "send"),
    "migrations": ("removed", "version", "checkpoint"),
}
"""The filters above a history and the kinds they let through; failures are told by status."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """When an entry ran, in percent of the window's time."""

    start: float
    width: float


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of the history: an entry, a branch, turn or block around entries, or what a fold hides (`fold`: its seq)."""

    kind: str
    name: str
    seq: int = 0
    depth: int = 0
    crumb: str = ""
    href: str = ""
    state: State | None = None
    line: str = ""
    note: str = ""
    attempts: int = 0
    bar: Bar | None = None
    at: Stamp | None = None
    took: str = ""
    struck: bool = False
    failing: bool = False
    fold: int = 0
    lead: str = ""
    hidden: int = 0


Cells = tuple[str, ...]


def cells_of(row: HistoryRow) -> Cells:
    """What a template sets of a row, in the order of the markup; the icons of a completed step are the style's.

    A history of ten thousand entries is a page: names looked up in a template, one by one, are most of what that costs.
    """
    before = f"{row.crumb}/" if row.crumb else ""
    if not row.seq or row.state is None:
        what = "fold" if row.fold else "group"
        number = str(row.fold)
        return what, number, f"{what} d{row.depth}", before, row.kind, "", row.name, row.note, "", "", "", "", "", "", "", ""
    state, bar = row.state, row.bar
    plain, is_step = state.icon == "completed", row.kind == "step"
    tries = f"{row.attempts} attempts" if row.attempts > 1 else ""
    return (
        "", str(row.seq), "" if plain and is_step and not (row.depth or row.struck) else _classes(row, state, plain, is_step),
        f"{before}{row.lead} / " if row.lead else before, "" if is_step else row.kind, row.href, row.name, row.note,
        "" if plain else state.icon, state.word, " · ".join(filter(None, (state.detail, tries))) if tries or state.detail else "",
        row.line, "" if bar is None else f"{bar.start}%", "" if bar is None else f"{bar.width}%", row.took,
        "" if row.at is None else row.at.iso,
    )  # fmt: skip


def _classes(row: HistoryRow, state: State, plain: bool, is_step: bool) -> str:
    """``x`` and ``k``: this row brings the icon of its state, of its kind."""
    parts = [("" if plain else f"x {state.group}"), "" if is_step else "k", f"d{row.depth}" if row.depth else ""]
    return " ".join(filter(None, [*parts, "failing" if row.failing else "", "struck" if row.struck else ""]))


@dataclass(slots=True)
class _Node:
    segment: str
    location: str
    entry: Entry | None = None
    first: int = 1 << 62
    children: dict[str, _Node] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """All entries at and below this node."""
        found = [] if self.entry is None else [self.entry]
        for child in self.children.values():
            found += child.entries()
        return found


@dataclass(frozen=True, slots=True)
class Gone:
    """What the loaded code no longer makes in a run, as the last check found: locations with turns unnumbered, and the code."""

    places: tuple[str, ...] = ()
    code: str = ""

    def holds(self, location: str) -> bool:
        """Whether the entry at this location is such a one, or lies below one."""
        if not self.places:
            return False
        place = pattern(location)
        return any(place == each or place.startswith(f"{each}/") for each in self.places)


@dataclass(frozen=True)
class _Look:
    """What every row depends on."""

    run: RunRow
    page: str
    now: float
    failed: str | None
    start: float
    span: float
    unfold: Collection[int]
    archived: int | None
    gone: Gone
    code: str


def rewind_labels(rewinds: Sequence[Rewound]) -> tuple[str, ...]:
    """``before replay 2``: each counted among its like from the oldest on, for `rewinds` that come newest first."""
    left = Counter(rewind.why for rewind in rewinds)
    labels = []
    for rewind in rewinds:
        what = {"replay": "before replay", "recover": "before recovery", "resolve": "before resolve"}.get(rewind.why)
        labels.append(f"{what} {left[rewind.why]}" if what else "set aside")
        left[rewind.why] -= 1
    return tuple(labels)


def matches(entry: Entry, chip: str, text: str) -> bool:
    """Whether a filtered history shows this entry."""
    if text and text.lower() not in entry.location.lower():
        return False
    if chip == "failures":
        return entry.status in ("failed", "exhausted", "retrying")
    return not chip or entry.kind in CHIPS.get(chip, ())


def rows_of(
    run: RunRow, entries: Sequence[Entry], around: Sequence[Entry], now: float, *, failed: str | None = None,
    unfold: Collection[int] = (), archived: int | None = None, newest_first: bool = False,
    gone: Gone = Gone(), code: str = "",
) -> tuple[HistoryRow, ...]:  # fmt: skip
    """The rows of a window. `around` are composites above it, `failed` the location of the entry that ended the run.

    `archived` is the rewind that set them aside, if one did; `code` the only one that has worked on the run, if it is known.
    """
    shown_entries = [*around, *entries]
    if not shown_entries:
        return ()
    start = min(entry.created_at for entry in entries or shown_entries)
    end = max(_until(entry, run, now, archived is not None) for entry in entries or shown_entries)
    look = _Look(run, run_url(run.id), now, failed, start, max(end - start, 1e-6), frozenset(unfold), archived, gone, code)
    root = _tree(shown_entries)
    return tuple(row for node in _ordered(root, newest_first) for row in _rows(look, node, None, 0))


def _tree(entries: Sequence[Entry]) -> _Node:
    root = _Node("", "")
    for entry in entries:
        node = root
        for segment in entry.location.split("/"):
            location = f"{node.location}/{segment}" if node.location else segment
            node = node.children.setdefault(segment, _Node(segment, location))
            node.first = min(node.first, entry.seq)
        node.entry = entry
    return root


def _ordered(node: _Node, newest_first: bool = False) -> list[_Node]:
    return sorted(node.children.values(), key=lambda child: child.first, reverse=newest_first)


def _rows(look: _Look, node: _Node, parent: _Node | None, depth: int) -> list[HistoryRow]:
    own = _entry_row(look, node, node.entry, depth) if node.entry is not None else _group_row(look, node, parent, depth)
    if not node.children and own.kind not in ("loop", "race"):
        return [own]
    if node.entry is not None and node.entry.kind == "loop":
        return [own, *_loop_rows(look, node, depth + 1)]
    children = _ordered(node)
    lost = _lost_rows(node, depth + 1)
    if node.entry is None and len(children) == 1 and children[0].entry is not None and not children[0].children:
        return [_merged(own, _entry_row(look, children[0], children[0].entry, depth))]
    if node.entry is not None and node.entry.settled and len(children) > MANY and node.entry.seq not in look.unfold:
        return [own, _fold_row(node.entry, len(children), depth + 1)]
    return [own, *(row for child in children for row in _rows(look, child, node, depth + 1)), *lost]


def _lost_rows(node: _Node, depth: int) -> list[HistoryRow]:
    """The branches of a decided race whose entries were forgotten."""
    if node.entry is None or node.entry.kind != "race":
        return []
    facts = branch_facts(node.entry)
    lost = [name for name in facts.names if facts.winner is not None and name != facts.winner and name not in node.children]
    return [HistoryRow(kind="branch", name=shown(name), depth=min(depth, DEEPEST), note="cancelled") for name in lost]


def _merged(group: HistoryRow, row: HistoryRow) -> HistoryRow:
    """A branch, turn or block with a single entry takes one row."""
    note = " · ".join(text for text in (group.note, row.note) if text)
    return msgspec.structs.replace(row, lead=group.name, note=note, depth=group.depth, crumb=group.crumb)


def _loop_rows(look: _Look, node: _Node, depth: int) -> list[HistoryRow]:
    turns = sorted(node.children.values(), key=lambda child: (turn_of(child.segment) or 0, child.first))
    assert node.entry is not None
    if node.entry.seq in look.unfold or len(turns) <= _FIRST + _LAST + 1:
        return [row for turn in turns for row in _rows(look, turn, node, depth)]
    rows: list[HistoryRow] = []
    hidden = 0
    for place, turn in enumerate(turns):
        if _FIRST <= place < len(turns) - _LAST and not any(has_failed(entry) for entry in turn.entries()):
            hidden += 1
            continue
        if hidden:
            rows.append(_fold_row(node.entry, hidden, depth))
            hidden = 0
        rows += _rows(look, turn, node, depth)
    return rows


def _fold_row(entry: Entry, hidden: int, depth: int) -> HistoryRow:
    what = "turns" if entry.kind == "loop" else "branches"
    return HistoryRow(kind="fold", name=f"{hidden:,} {what} folded", depth=min(depth, DEEPEST), fold=entry.seq, hidden=hidden)


def _entry_row(look: _Look, node: _Node, entry: Entry, depth: int) -> HistoryRow:
    failing = has_failed(entry)
    stopping = look.failed is not None and (entry.location == look.failed or entry.location.startswith(f"{look.failed}/"))
    handled = failing and not stopping and look.archived is None and look.run.status not in ("rolling_back", "blocked")
    struck = entry.kind == "removed" or look.gone.holds(entry.location)
    state = entry_state(entry, look.run, handled=handled)
    return HistoryRow(
        kind=entry.kind, name=shown(node.segment), seq=entry.seq, depth=min(depth, DEEPEST), crumb=_crumb(node, depth),
        href=f"{look.page}/e/{entry.seq}{'' if look.archived is None else f'?archived={look.archived}'}",
        state=hollow(state) if struck else state, line=line_of(entry), note=_note(look, node, entry), struck=struck,
        attempts=entry.attempts if entry.kind == "step" else 0, bar=_bar(look, entry), at=stamp(entry.created_at, look.now),
        took=_took(entry),
        failing=failing and not handled,
    )  # fmt: skip


def _group_row(look: _Look, node: _Node, parent: _Node | None, depth: int) -> HistoryRow:
    turn = turn_of(node.segment)
    around = parent.entry if parent is not None else None
    note, kind, name = "", "attempt", shown(node.segment)
    if turn is not None:
        kind, name = "turn", f"turn {turn + 1:,}"
    elif around is not None and around.kind in ("join", "race"):
        kind = "branch"
        facts = branch_facts(around)
        if facts.winner == node.segment:
            note = "winner"
        elif around.kind == "race" and facts.winner is not None:
            note = "cancelled"
    return HistoryRow(kind=kind, name=name, depth=min(depth, DEEPEST), crumb=_crumb(node, depth), note=note)


def _crumb(node: _Node, depth: int) -> str:
    return shown(node.location.rpartition("/")[0]) if depth > DEEPEST else ""


def _took(entry: Entry) -> str:
    if entry.settled_at is None or entry.kind in ("checkpoint", "removed", "version", "send"):
        return ""
    begun = entry.started_at if entry.started_at is not None and entry.attempts <= 1 else entry.created_at
    return length(entry.settled_at - begun)


def _until(entry: Entry, run: RunRow, now: float, archived: bool) -> float:
    """Where an entry's bar ends; one that was set aside while it was open goes no further than its beginning."""
    if entry.settled_at is not None or archived:
        return entry.settled_at or entry.created_at
    return run.finished_at or entry.created_at if run.status in TERMINAL else max(now, entry.created_at)


def _bar(look: _Look, entry: Entry) -> Bar | None:
    if look.span < _SHORTEST_SPAN:
        return None
    left = 100 * (entry.created_at - look.start) / look.span
    width = 100 * (_until(entry, look.run, look.now, look.archived is not None) - entry.created_at) / look.span
    left = min(max(left, 0.0), 99.0)
    return Bar(round(left, 1), round(min(max(width, 0.8), 100.0 - left), 1))


def _note(look: _Look, node: _Node, entry: Entry) -> str:
    turns = {segment: child.entries() for segment, child in node.children.items()} if entry.kind == "loop" else {}
    gone = f"not made by code {look.gone.code}" if look.gone.holds(entry.location) else ""
    own = placeholder_text(entry, look.code) if entry.kind == "removed" else figures(entry, turns)
    hand = "resolved by hand" if entry.by_hand is not None else ""
    return " · ".join(part for part in (own, hand, _interruption(look, entry), gone) if part)


def _interruption(look: _Look, entry: Entry) -> str:
    """Of a body that was begun in a run that nobody holds now: by a reload, if the code is not that of the last pass any more."""
    run = look.run
    left = look.archived is None and run.owner is None and run.status not in TERMINAL
    if not left or entry.kind != "step" or entry.status != "running":
        return ""
    reloaded = look.gone.code and run.code and run.code[:6] != look.gone.code and not run.crashes
    return "interrupted by reload, will run again" if reloaded else "interrupted"
