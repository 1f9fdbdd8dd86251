"""A run's timeline: a row an entry, the phases drawn in SVG that the server makes, and the same as a table.

The stretch shown stands in the address as `from` and `to`. Of a long history it is the newest entries that begin before `to`;
they are found by bisection, since entries stand in the order in which they began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.client.reader import Reader, RunRow
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.run import TERMINAL

from ..present.states import State, entry_state
from ..present.timeline import PHASES, Phase, Scale, Span, Stretch, Tick, instant_of, run_spans, scale_of, spans_of, total
from ..present.times import Stamp, length, stamp
from ..present.values import shown
from ..site import Asked, Page
from ..urls import entry_url, run_url, with_query
from .run import Head, head_of

__all__ = ["TimelinePage", "timeline"]

MOST = 200
_LOOKED_AT = 2_000
_PAGE = 500
_ATTEMPTS = 40
_LAST_SEQ = 1 << 62
_THINNEST = 0.35
ROW = 24
_HEIGHTS = {"running": (6, 12), "queued": (6, 12), "back-off": (10, 4), "asleep": (9, 6), "around": (11, 2), "instant": (7, 10)}
"""Top and height of each phase in its row, so that they can be told apart without colour."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle, in percent across and pixels down."""

    kind: str
    left: float
    width: float
    top: int
    height: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """An entry: its name beside the picture, its shapes, and what the table says of it."""

    name: str
    kind: str
    href: str
    depth: int
    state: State | None
    shapes: tuple[Shape, ...]
    queued: str
    running: str
    back_off: str
    asleep: str
    began: Stamp | None
    ended: Stamp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelinePage:
    """The timeline of a run."""

    head: Head
    lanes: tuple[Lane, ...]
    total: int
    partly: bool
    height: int
    cuts: tuple[Stretch, ...]
    ticks: tuple[Tick, ...]
    now_at: float | None
    legend: tuple[tuple[str, str], ...]
    sums: tuple[tuple[str, str], ...]
    begin: Stamp | None
    end: Stamp | None
    zoomed: bool
    earlier_href: str
    later_href: str
    closer_href: str
    wider_href: str
    whole_href: str
    part_href: str


def timeline(asked: Asked, row: RunRow, token: str) -> Page:
    """GET /runs/{id}?view=timeline."""
    head = head_of(asked, row, "timeline")
    begin, end = instant_of(asked.query.get("from", "")), instant_of(asked.query.get("to", ""))
    if begin is not None and end is not None and begin > end:
        begin, end = end, begin
    entries, partly = _entries(asked.reader, row, begin, end)
    model = _page(asked, row, head, entries, partly, begin, end)
    title = f"timeline · {head.item.label}"
    parts = {"now": "_run_now.html", "timeline": "_timeline.html"}
    return Page(template="timeline.html", title=title, model=model, here="runs", run=row.id, token=token, parts=parts)


def _page(
    asked: Asked, row: RunRow, head: Head, entries: Sequence[Entry], partly: bool, begin: float | None, end: float | None
) -> TimelinePage:
    spans = [spans_of(entry, attempts, row, asked.now) for entry, attempts in _with_attempts(asked.reader, row, entries)]
    before = run_spans(row, asked.now) if not partly else ()
    everything = [span for each in (before, *spans) for span in each]
    first = begin if begin is not None else min((span.start for span in everything), default=row.created_at)
    last = end if end is not None else max((span.end for span in everything), default=first)
    scale = scale_of(everything, first, max(first, last))
    lanes = [_lane(scale, entry, each, row, asked.now) for entry, each in zip(entries, spans, strict=True)]
    if before:
        lanes.insert(0, _run_lane(scale, before, row, asked.now))
    links = _links(asked, row, scale)
    open_ended = row.status not in TERMINAL and scale.start <= asked.now <= scale.end
    live = row.status not in TERMINAL and begin is None and end is None
    return TimelinePage(
        head=head, lanes=tuple(lanes), total=row.entries, partly=partly, height=ROW * len(lanes),
        cuts=tuple(stretch for stretch in scale.stretches if stretch.cut), ticks=scale.ticks(),
        now_at=scale.at(asked.now) if open_ended else None, legend=tuple(PHASES.items()),
        sums=tuple((phase, length(seconds)) for phase in PHASES if (seconds := total(everything, phase))),
        begin=stamp(scale.start, asked.now), end=stamp(scale.end, asked.now), zoomed=begin is not None or end is not None,
        earlier_href=links["earlier"] if row.created_at < scale.start else "",
        later_href=links["later"] if end is not None else "",
        closer_href=links["closer"] if scale.end > scale.start else "", wider_href=links["wider"], whole_href=links["whole"],
        part_href=with_query(run_url(row.id), view="timeline", part="timeline", as_of=head.token) if live else "",
    )  # fmt: skip


def _links(asked: Asked, row: RunRow, scale: Scale) -> dict[str, str]:
    """Where one may go from here: half a window aside, or nearer and farther by half."""
    width = scale.end - scale.start
    stretches = {
        "earlier": (scale.start - width / 2, scale.end - width / 2), "later": (scale.start + width / 2, scale.end + width / 2),
        "closer": (scale.instant(25), scale.instant(75)), "wider": (scale.start - width / 2, scale.end + width / 2),
    }  # fmt: skip
    here = run_url(row.id)
    links = {
        name: with_query(here, view="timeline", **{"from": f"{begin:.3f}", "to": f"{end:.3f}"})
        for name, (begin, end) in stretches.items()
    }
    return links | {"whole": with_query(here, view="timeline")}


# --- entries --------------------------------------------------------------------------------------------------------


def _entries(reader: Reader, row: RunRow, begin: float | None, end: float | None) -> tuple[tuple[Entry, ...], bool]:
    """The entries that lie in the stretch, in order of seq, and whether others that may do so are left out."""
    before = _LAST_SEQ if end is None else _first_after(reader, row, end)
    found: list[Entry] = []
    looked_at = 0
    while len(found) <= MOST and looked_at < _LOOKED_AT:
        page = reader.window(row.seq, before=before, limit=min(_PAGE, MOST + 1) if begin is None else _PAGE)
        looked_at += len(page)
        found = [*(entry for entry in page if begin is None or _reaches(entry, begin)), *found]
        if not page or page[0].seq <= 1:
            break
        before = page[0].seq
    partly = len(found) > MOST or looked_at >= _LOOKED_AT
    found = found[-MOST:]
    around = {entry.seq: entry for entry in reader.around(row.seq, found)}
    return tuple(sorted([*around.values(), *found], key=lambda entry: entry.seq)), partly


def _reaches(entry: Entry, begin: float) -> bool:
    """Whether an entry had not ended before this instant."""
    return entry.settled_at is None or entry.settled_at >= begin


def _first_after(reader: Reader, row: RunRow, instant: float) -> int:
    """The seq of the first entry that began after an instant."""
    newest = reader.last(row.seq, 1)
    low, high = 1, newest[0].seq + 1 if newest else 1
    while low < high:
        middle = (low + high) // 2
        found = reader.window(row.seq, after=middle - 1, limit=1)
        if not found or found[0].created_at > instant:
            high = middle
        else:
            low = found[0].seq + 1
    return low


def _with_attempts(reader: Reader, row: RunRow, entries: Sequence[Entry]) -> list[tuple[Entry, list[FailedAttempt]]]:
    """Each with the last of its failed attempts; most steps have none, which their row tells."""
    tried = [entry for entry in entries if entry.kind == "step" and (entry.attempts > 1 or entry.status != "completed")]
    failures = {entry.seq: reader.attempts(row.seq, entry.seq) for entry in tried}
    in_order = {seq: sorted(each, key=lambda one: (one.started_at, one.n))[-_ATTEMPTS:] for seq, each in failures.items()}
    return [(entry, in_order.get(entry.seq, [])) for entry in entries]


# --- shapes ---------------------------------------------------------------------------------------------------------


def _lane(scale: Scale, entry: Entry, spans: Sequence[Span], row: RunRow, now: float) -> Lane:
    name = shown(entry.location.rpartition("/")[2])
    state = entry_state(entry, row)
    return Lane(
        name=name, kind=entry.kind, href=entry_url(row.id, entry.seq), depth=min(entry.location.count("/"), 5), state=state,
        shapes=_shapes(scale, name, spans), began=stamp(entry.created_at, now), ended=stamp(entry.settled_at, now),
        **_sums(spans),
    )  # fmt: skip


def _run_lane(scale: Scale, spans: Sequence[Span], row: RunRow, now: float) -> Lane:
    return Lane(
        name="before the first pass", kind="", href="", depth=0, state=None, shapes=_shapes(scale, "the run", spans),
        began=stamp(row.created_at, now), ended=stamp(row.started_at, now), **_sums(spans),
    )  # fmt: skip


def _sums(spans: Sequence[Span]) -> dict[str, str]:
    names: dict[Phase, str] = {"queued": "queued", "running": "running", "back-off": "back_off", "asleep": "asleep"}
    present = {span.phase for span in spans if not span.ahead}
    return {name: length(total(spans, phase)) if phase in present else "" for phase, name in names.items()}


def _shapes(scale: Scale, name: str, spans: Sequence[Span]) -> tuple[Shape, ...]:
    return tuple(_shape(scale, name, span) for span in spans if span.end >= scale.start and span.start <= scale.end)


def _shape(scale: Scale, name: str, span: Span) -> Shape:
    left, right = scale.at(span.start), scale.at(span.end)
    left = min(left, 100 - _THINNEST)
    top, height = _HEIGHTS[span.phase]
    kind = f"t-{span.phase}{' t-bad' if span.bad else ''}{' t-ahead' if span.ahead else ''}"
    lasted = "" if span.phase == "instant" else f" for {length(span.end - span.start)}"
    what = "recorded" if span.phase == "instant" else "around others" if span.phase == "around" else span.phase
    note = f" ({span.note})" if span.note else ""
    return Shape(kind, left, round(max(right - left, _THINNEST), 2), top, height, f"{name}: {what}{lasted}{note}")
