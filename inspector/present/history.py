"""A window of a history as rows: a tree by location, folded where it is long.

Only joins, races and loops are entries; branches, turns and attempt blocks are known by their segment of a location, so
the tree is made of both. Children stand in the order of the first entry below them. A loop shows its first two, last
three and failing turns, and any other settled composite with many children is folded; `unfold` opens one by its seq.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from flowkit.client.facts import branch_facts, cause_of, loop_facts, output_of, plain_error, version_text, waited_names
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.location import turn_of
from flowkit.core.run import TERMINAL

from ..urls import run_url
from .states import State, entry_state
from .times import Stamp, length, stamp
from .values import one_line, shown

__all__ = ["CHIPS", "MANY", "Bar", "HistoryRow", "matches", "rows_of"]

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


@dataclass(frozen=True, slots=True)
class Bar:
    """When an entry ran, in percent of the window's time."""

    start: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
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


@dataclass
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
    archived: bool


def matches(entry: Entry, chip: str, text: str) -> bool:
    """Whether a filtered history shows this entry."""
    if text and text.lower() not in entry.location.lower():
        return False
    if chip == "failures":
        return entry.status in ("failed", "exhausted", "retrying")
    return not chip or entry.kind in CHIPS.get(chip, ())


def rows_of(
    run: RunRow, entries: Sequence[Entry], around: Sequence[Entry], now: float, *, failed: str | None = None,
    unfold: Collection[int] = (), archived: bool = False, newest_first: bool = False,
) -> tuple[HistoryRow, ...]:  # fmt: skip
    """The rows of a window. `around` are composites above it, `failed` the location of the entry that ended the run."""
    shown_entries = [*around, *entries]
    if not shown_entries:
        return ()
    start = min(entry.created_at for entry in entries or shown_entries)
    end = max(_until(entry, run, now) for entry in entries or shown_entries)
    look = _Look(run, run_url(run.id), now, failed, start, max(end - start, 1e-6), frozenset(unfold), archived)
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
    return replace(row, lead=group.name, note=note, depth=group.depth, crumb=group.crumb)


def _loop_rows(look: _Look, node: _Node, depth: int) -> list[HistoryRow]:
    turns = sorted(node.children.values(), key=lambda child: (turn_of(child.segment) or 0, child.first))
    assert node.entry is not None
    if node.entry.seq in look.unfold or len(turns) <= _FIRST + _LAST + 1:
        return [row for turn in turns for row in _rows(look, turn, node, depth)]
    rows: list[HistoryRow] = []
    hidden = 0
    for place, turn in enumerate(turns):
        if _FIRST <= place < len(turns) - _LAST and not any(_failed(entry) for entry in turn.entries()):
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
    failing = _failed(entry)
    stopping = look.failed is not None and (entry.location == look.failed or entry.location.startswith(f"{look.failed}/"))
    handled = failing and not stopping and look.run.status not in ("rolling_back", "blocked")
    line, note = _line(entry), _note(look, node, entry)
    return HistoryRow(
        kind=entry.kind, name=shown(node.segment), seq=entry.seq, depth=min(depth, DEEPEST), crumb=_crumb(node, depth),
        href=f"{look.page}/e/{entry.seq}{'?archived=1' if look.archived else ''}",
        state=entry_state(entry, handled=handled), line=line, note=note, attempts=entry.attempts if entry.kind == "step" else 0,
        bar=_bar(look, entry), at=stamp(entry.created_at, look.now), took=_took(entry), struck=entry.kind == "removed",
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


def _failed(entry: Entry) -> bool:
    return entry.status in ("failed", "exhausted")


def _took(entry: Entry) -> str:
    if entry.settled_at is None or entry.kind in ("checkpoint", "removed", "version", "send"):
        return ""
    begun = entry.started_at if entry.started_at is not None and entry.attempts <= 1 else entry.created_at
    return length(entry.settled_at - begun)


def _until(entry: Entry, run: RunRow, now: float) -> float:
    if entry.settled_at is not None:
        return entry.settled_at
    return run.finished_at or entry.created_at if run.status in TERMINAL else max(now, entry.created_at)


def _bar(look: _Look, entry: Entry) -> Bar | None:
    if look.span < _SHORTEST_SPAN:
        return None
    left = 100 * (entry.created_at - look.start) / look.span
    width = 100 * (_until(entry, look.run, look.now) - entry.created_at) / look.span
    left = min(max(left, 0.0), 99.0)
    return Bar(round(left, 2), round(min(max(width, 0.8), 100.0 - left), 2))


def _line(entry: Entry) -> str:
    """One line of what an entry came to."""
    if entry.error is not None:
        error = plain_error(entry.error)
        return shown(str(cause_of(error) or error).partition("\n")[0][:120])
    match entry.kind:
        case "version":
            return f"version {version_text(entry)}"
        case "message" if not entry.settled:
            return f"waits for {shown(' or '.join(waited_names(entry)) or 'any message')}"
        case "removed":
            return "placeholder: this entry was taken out of the code"
        case "sleep" | "checkpoint" | "send":
            return ""
    if entry.kind == "step" and entry.output is None and entry.settled and entry.size > 4_096:
        return f"a value of {entry.size:,} bytes"
    return one_line(output_of(entry))


def _note(look: _Look, node: _Node, entry: Entry) -> str:
    match entry.kind:
        case "loop":
            return _loop_note(node, entry)
        case "join":
            facts = branch_facts(entry)
            return f"{len(facts.done)} of {len(facts.names)} branches" if facts.names else ""
        case "race":
            winner = branch_facts(entry).winner
            return f"won by {shown(winner)}" if winner else ""
    return {"owes": "has a rollback", "done": "rolled back"}.get(entry.rollback, "")


def _loop_note(node: _Node, entry: Entry) -> str:
    """Figures over the turns that are kept and shown, and it says so."""
    facts = loop_facts(entry)
    turns = [child.entries() for child in node.children.values()]
    took = [max(e.settled_at or e.created_at for e in turn) - min(e.created_at for e in turn) for turn in turns if turn]
    failed = sum(any(_failed(each) for each in turn) for turn in turns)
    parts = [f"turn {facts.turn + 1:,}", f"{len(turns):,} turns kept"]
    if facts.turn + 1 > len(turns):
        parts[1] += f", {facts.turn + 1 - len(turns):,} pruned"
    if took:
        parts.append(f"p50 {length(median(took))}")
    if failed:
        parts.append(f"{failed} failed")
    return " · ".join(parts)
