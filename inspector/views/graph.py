"""A run's graph: what its code can do, with the history painted on it, as a picture and as a list that says the same.

The code is never imported here: workers publish its graph with the manifest, and of the codes that are known for this run
the page takes the one that is loaded, else the one that had it last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from flowkit.client.reader import RunRow, serving_of
from flowkit.core.entry import Entry
from flowkit.core.graph import Graph
from flowkit.core.run import TERMINAL

from ..editors import editor_link
from ..present.drawing import MOST, Drawing, drawing_of
from ..present.graph import WORDS, Painted, painted
from ..site import Asked, Page
from ..urls import run_url, with_query
from .run import Head, gone_in, head_of

__all__ = ["GraphPage", "graph"]

_FIRST, _LAST = 500, 1_500


@dataclass(frozen=True, slots=True)
class CodeChoice:
    """A code whose graph can be looked at."""

    code: str
    what: str
    href: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPage:
    """The graph of a run. `drawing` is None where it would be too large; `why` says why there is nothing to show."""

    head: Head
    codes: tuple[CodeChoice, ...]
    painted: Painted
    drawing: Drawing | None
    legend: tuple[tuple[str, str], ...]
    most: int
    cut: bool
    why: str
    whole: bool
    looked_at: int
    total: int
    part_href: str


def graph(asked: Asked, row: RunRow, token: str) -> Page:
    """GET /runs/{id}?view=graph."""
    head = head_of(asked, row, "graph")
    known = _known(asked, row)
    code = next((each for each in known if each == asked.query.get("code")), next(iter(known), ""))
    found = known[code][1] if known else Graph()
    entries, whole = _entries(asked, row)
    drawn = painted(
        found, entries, row, failed=head.failure.location if head.failure is not None else None, whole=whole,
        gone=gone_in(asked, row), editor=_editor(asked),
    )  # fmt: skip
    model = GraphPage(
        head=head, codes=tuple(_choices(row, known, code)), painted=drawn,
        drawing=drawing_of(drawn.nodes) if drawn.nodes and drawn.size <= MOST else None, legend=tuple(WORDS.items()), most=MOST,
        cut=found.cut, why=_why(known, found), whole=whole, looked_at=len(entries), total=row.entries,
        part_href=_part_href(asked, row, token),
    )  # fmt: skip
    parts = {"now": "_run_now.html", "graph": "_graph.html"}
    title = f"graph · {head.item.label}"
    return Page(template="graph.html", title=title, model=model, here="runs", run=row.id, token=token, parts=parts)


def _part_href(asked: Asked, row: RunRow, token: str) -> str:
    if row.status in TERMINAL:
        return ""
    return with_query(run_url(row.id), view="graph", code=asked.query.get("code"), part="graph", as_of=token)


# --- code -------------------------------------------------------------------------------------------------------------

_Known = dict[str, tuple[str, Graph]]


def _known(asked: Asked, row: RunRow) -> _Known:
    """The codes of which this run's graph is known, the one to show first. Code → what it is to the run, and the graph."""
    own = {asked.reader.last_code(row): "last pass"}
    own.setdefault(asked.reader.first_code(row.seq), "begun with")
    served = {serving_of(worker).code: "served now" for worker in asked.reader.workers() if worker.alive}
    loaded = _loaded(asked, (*served, *own))
    own = own if row.passes else {}
    wanted = {**loaded, **own} if row.status not in TERMINAL else {**own, **loaded}
    found: _Known = {}
    for code, what in (*wanted.items(), *served.items()):
        made = asked.reader.graph(code, row.workflow) if code not in found else None
        if made is not None:
            found[code] = (loaded.get(code, what), made)
    return found


def _loaded(asked: Asked, codes: Iterable[str]) -> dict[str, str]:
    """The code that is loaded, which is known by its first digits; those who run it have told all of them."""
    state = asked.site.code_state()
    running = "" if state is None else asked.reader.short_code(state.running)
    return {next((code for code in codes if code.startswith(running)), running): "loaded now"} if running else {}


def _choices(row: RunRow, known: _Known, code: str) -> Iterator[CodeChoice]:
    for each, (what, _) in known.items():
        yield CodeChoice(each[:6] or "unnamed", what, with_query(run_url(row.id), view="graph", code=each), each == code)


def _why(known: _Known, found: Graph) -> str:
    if not known:
        return "No worker has published the graph of this run's code: it does so when it begins to work."
    if found.why:
        return f"The code of this workflow cannot be shown: {found.why}."
    return "" if found.nodes else "The code of this workflow makes no entry that can be seen in its source."


# --- entries ----------------------------------------------------------------------------------------------------------


def _entries(asked: Asked, row: RunRow) -> tuple[tuple[Entry, ...], bool]:
    """The run's entries, of a long history the first and the last; whether that is all of them."""
    found = asked.reader.window(row.seq, limit=_FIRST + _LAST + 1)
    if len(found) <= _FIRST + _LAST:
        return found, True
    last = asked.reader.last(row.seq, _LAST)
    around = asked.reader.around(row.seq, last)
    chosen = {entry.seq: entry for entry in (*found[:_FIRST], *around, *last)}
    return tuple(chosen[seq] for seq in sorted(chosen)), False


def _editor(asked: Asked) -> Callable[[str], str]:
    """What opens a ``file:line`` in the reader's editor, each asked for once a page."""
    known: dict[str, str] = {}
    template = asked.site.settings.editor

    def href(source: str) -> str:
        if not template:
            return ""
        if source not in known:
            known[source] = editor_link(template, source)
        return known[source]

    return href
