"""The picture of a graph: boxes, nodes and lines with their coordinates, from which a template makes SVG.

What comes later stands further down; the arms of a fork and the branches of a join stand side by side. Every block is
entered at the middle of its top and left at the middle of its bottom, so that lines need no search for a way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from .graph import GraphNode

__all__ = ["MOST", "Box", "Drawing", "Label", "Line", "Tile", "drawing_of"]

MOST = 400
"""A graph of more nodes is a list only."""

_WIDTH, _HEIGHT = 208, 44
_DOWN, _ACROSS = 22, 16
_PAD, _HEAD = 12, 30
_LABEL = 22
_NARROW = 112
_LETTERS, _LETTERS_SMALL = 21, 30
_PER_LETTER = 6.6
_MARGIN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A node: `name` cut to its width, `title` in full."""

    x: float
    y: float
    width: int
    height: int
    node: GraphNode
    name: str
    title: str
    below: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What holds others: a loop, join, race, attempt, branch, native loop or try."""

    x: float
    y: float
    width: float
    height: float
    node: GraphNode
    name: str
    title: str
    icon: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A condition over its arm."""

    x: float
    y: float
    text: str
    title: str
    faint: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line, as SVG says it."""

    d: str
    faint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The whole picture."""

    width: float
    height: float
    tiles: tuple[Tile, ...]
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]
    lines: tuple[Line, ...]


@dataclass(slots=True)
class _Sheet:
    tiles: list[Tile] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Block:
    """`put` sets it with its upper left corner there. One that is not `open` has no way out at its bottom."""

    width: float
    height: float
    put: Callable[[_Sheet, float, float], None]
    open: bool = True
    faint: bool = False


def drawing_of(nodes: Sequence[GraphNode]) -> Drawing:
    """The picture of these nodes."""
    whole, sheet = _sequence(nodes), _Sheet()
    whole.put(sheet, _MARGIN, _MARGIN)
    return Drawing(
        width=whole.width + 2 * _MARGIN, height=whole.height + 2 * _MARGIN, tiles=tuple(sheet.tiles), boxes=tuple(sheet.boxes),
        labels=tuple(sheet.labels), lines=tuple(sheet.lines),
    )  # fmt: skip


# --- one below the other ----------------------------------------------------------------------------------------------


def _sequence(nodes: Iterable[GraphNode]) -> _Block:
    blocks = [_block(node) for node in _flat(nodes)]
    if not blocks:
        return _Block(_NARROW, 0, lambda sheet, x, y: None)
    width = max(block.width for block in blocks)
    height = sum(block.height for block in blocks) + _DOWN * (len(blocks) - 1)

    def put(sheet: _Sheet, x: float, y: float) -> None:
        middle = x + width / 2
        for at, block in enumerate(blocks):
            block.put(sheet, middle - block.width / 2, y)
            y += block.height
            if at + 1 < len(blocks) and block.open:
                sheet.lines.append(Line(f"M{middle:g} {y:g}v{_DOWN}", block.faint or blocks[at + 1].faint))
            y += _DOWN

    return _Block(width, height, put, blocks[-1].open, blocks[0].faint)


def _flat(nodes: Iterable[GraphNode]) -> Iterable[GraphNode]:
    """A helper's nodes stand where it is called."""
    for node in nodes:
        if node.kind == "call":
            yield from _flat(node.nodes)
        else:
            yield node


def _block(node: GraphNode) -> _Block:
    match node.kind:
        case "fork":
            return _fork(node)
        case "join" | "race" | "try":
            return _box(node, _columns([_column(each) for each in node.nodes]))
        case "loop" | "attempt" | "cycle":
            return _box(node, _sequence(node.nodes))
        case "end" | "again":
            return _small(node)
        case _:
            return _tile(node)


def _tile(node: GraphNode) -> _Block:
    times = f"{node.times:,} times" if node.times > 1 else ""
    below = " · ".join(filter(None, (node.source.rpartition("/")[2], times, node.note)))

    def put(sheet: _Sheet, x: float, y: float) -> None:
        sheet.tiles.append(
            Tile(
                x=x, y=y, width=_WIDTH, height=_HEIGHT, node=node, name=_cut(node.name, _LETTERS), title=_title(node),
                below=_cut(below, _LETTERS_SMALL),
            )
        )  # fmt: skip

    return _Block(_WIDTH, _HEIGHT, put, faint=_is_faint(node))


def _small(node: GraphNode) -> _Block:
    """Where a way ends, or goes into a function that is under way."""
    text = node.name if node.kind == "end" else f"{node.name} again"
    width = min(_WIDTH, max(72, round(len(text) * _PER_LETTER) + 24))

    def put(sheet: _Sheet, x: float, y: float) -> None:
        cut = _cut(text, round((width - 16) / _PER_LETTER))
        sheet.tiles.append(Tile(x=x, y=y, width=width, height=24, node=node, name=cut, title=f"{text}, {node.source}", below=""))

    return _Block(width, 24, put, open=node.kind != "end")


# --- side by side -----------------------------------------------------------------------------------------------------


def _column(node: GraphNode) -> _Block:
    """An arm or branch under its label."""
    inner = _sequence(node.nodes)
    width = max(inner.width, min(_WIDTH, round(len(node.name) * _PER_LETTER) + 16), _NARROW)
    faint = _is_faint(node)

    def put(sheet: _Sheet, x: float, y: float) -> None:
        middle = x + width / 2
        cut = _cut(node.name, round(width / _PER_LETTER))
        sheet.labels.append(Label(x=middle, y=y + 15, text=cut, title=f"{node.name}, {node.source}", faint=faint))
        inner.put(sheet, middle - inner.width / 2, y + _LABEL)

    return _Block(width, _LABEL + inner.height, put, inner.open, faint)


def _columns(columns: Sequence[_Block]) -> _Block:
    width = max(_NARROW, sum(column.width for column in columns) + _ACROSS * max(0, len(columns) - 1))
    height = max((column.height for column in columns), default=0)

    def put(sheet: _Sheet, x: float, y: float) -> None:
        for column in columns:
            column.put(sheet, x, y)
            x += column.width + _ACROSS

    return _Block(width, height, put)


def _fork(node: GraphNode) -> _Block:
    columns = [_column(each) for each in node.nodes]
    inner = _columns(columns)
    top, bottom = _DOWN, _DOWN
    is_open = any(column.open for column in columns)

    def put(sheet: _Sheet, x: float, y: float) -> None:
        middle, across, low = x + inner.width / 2, y + top / 2, y + top + inner.height + bottom / 2
        inner.put(sheet, x, y + top)
        for column in columns:
            own = x + column.width / 2
            sheet.lines.append(Line(f"M{middle:g} {y:g}V{across:g}H{own:g}V{y + top:g}", column.faint))
            if column.open:
                end = y + top + column.height
                sheet.lines.append(Line(f"M{own:g} {end:g}V{low:g}H{middle:g}V{low + bottom / 2:g}", column.faint))
            x += column.width + _ACROSS

    return _Block(inner.width, top + inner.height + bottom, put, is_open, all(column.faint for column in columns))


def _box(node: GraphNode, inner: _Block) -> _Block:
    text = " ".join(filter(None, (node.name or node.kind, f"· {node.note}" if node.note else "")))
    width = max(inner.width + 2 * _PAD, min(2 * _WIDTH, round(len(text) * _PER_LETTER) + 48))
    height = _HEAD + inner.height + _PAD

    def put(sheet: _Sheet, x: float, y: float) -> None:
        icon = {"cycle": "turn", "try": "attempt"}.get(node.kind, node.kind)
        cut = _cut(text, round((width - 40) / _PER_LETTER))
        sheet.boxes.append(Box(x=x, y=y, width=width, height=height, node=node, name=cut, title=_title(node), icon=icon))
        inner.put(sheet, x + (width - inner.width) / 2, y + _HEAD)

    return _Block(width, height, put, faint=_is_faint(node))


# --- texts ------------------------------------------------------------------------------------------------------------


def _is_faint(node: GraphNode) -> bool:
    """Whether the way there was not gone."""
    return node.paint in ("ahead", "aside")


def _title(node: GraphNode) -> str:
    state = f"{node.state.word} {node.state.detail}".strip() if node.state is not None else ""
    times = f"{node.times:,} times" if node.times > 1 else ""
    return ", ".join(filter(None, (f"{node.kind} {node.name}".strip(), node.word, state, times, node.note, node.source)))


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: max(letters - 1, 1)]}…"
