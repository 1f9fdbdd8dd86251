"""A run's page: what it is doing, its verbs, its values, and a window of its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flowkit.client.reader import Body, Reader, Rewound, RunRow
from flowkit.core.entry import Entry
from flowkit.core.fork import asked_line
from flowkit.core.run import TERMINAL
from flowkit.errors import PayloadError

from ..live import run_token
from ..present.crew import outlook
from ..present.entry import ErrorView, error_view
from ..present.health import HealthView, health_view
from ..present.history import CHIPS, Cells, Gone, HistoryRow, cells_of, matches, rewind_labels, rows_of
from ..present.runs import RunItem, VerbView, run_item, verbs_of
from ..present.states import Failure
from ..present.times import Stamp, stamp
from ..present.values import EXPANDABLE, Value, preview, shown
from ..site import Asked, Notice, Page, new_op
from ..urls import entry_url, run_url, with_query
from .errors import no_run
from .failures import failure_in, misfit_in, stop_of
from .notices import notice_of

__all__ = ["RunPage", "Window", "body_of", "gone_in", "head_of", "is_fork", "only_code", "run"]

WINDOW = 200
ALL = 10_000
_REWINDS = 1_000
_SHOWN_REWINDS = 20


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter above the history."""

    name: str
    href: str
    on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RewindView:
    """A replay or recovery, and the list of what it set aside."""

    label: str
    href: str
    on: bool
    entries: int
    at: Stamp | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Part of a history."""

    rows: tuple[HistoryRow, ...]
    total: int
    shown: int
    newest_first: bool
    more_href: str
    more_label: str
    other_href: str
    other_label: str
    order_href: str
    all_href: str
    archived: RewindView | None
    rewinds: tuple[RewindView, ...]
    now_href: str
    chips: tuple[Chip, ...]
    chip: str
    text: str
    looked_at: int
    live: bool

    @property
    def cells(self) -> Iterator[Cells]:
        """The rows as a template sets them."""
        return map(cells_of, self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The upper part of every page of a run."""

    item: RunItem
    verbs: tuple[VerbView, ...]
    op: str
    seen: int
    failure: Failure | None
    failed_at: str
    failed_href: str
    created: Stamp | None
    finished: Stamp | None
    passes: int
    crashes: int
    replays: int
    code: str
    first_code: str
    messages: int
    token: str
    tab: str
    part_href: str
    note: str
    forked: bool
    answer_href: str
    health: HealthView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """A run."""

    head: Head
    window: Window
    input: Value | None
    output: Value | None
    error: ErrorView | None
    state: Value | None
    history_href: str


def run(asked: Asked) -> Page:
    """GET /runs/{id}."""
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    token = run_token(row, asked.site.crew(), asked.now)
    if asked.is_current(token):
        return Page(same=True, token=token, run=id)
    head = head_of(asked, row, "history", part="now" if asked.query.get("part") == "now" else "page")
    end = asked.reader.end(row.seq) if row.status in ("failed", "blocked", "rolling_back") else None
    window = _window(asked, row, head.failure)
    order = "newest" if window.newest_first else "oldest"  # it stays as it is when the run ends under the reader's eyes
    model = RunPage(
        head=head, window=window, input=_value(asked, row, "input"),
        output=_value(asked, row, "output") if row.status == "completed" else None, state=_value(asked, row, "state"),
        error=None if end is None or end.error is None else error_view(end.error),
        history_href=_query(asked, row, part="history", as_of=token, order=order),
    )  # fmt: skip
    title = f"{head.item.state.detail or head.item.state.word} · {head.item.label}"
    parts = {"now": "_run_now.html", "page": "_run_live.html", "history": "_history.html", "more": "_more.html"}
    notice = _notice(asked, row)
    return Page(template="run.html", title=title, model=model, here="runs", run=row.id, token=token, parts=parts, notice=notice)


def head_of(asked: Asked, row: RunRow, tab: str, *, part: str = "now") -> Head:
    """What stands above every page of this run, and refreshes itself from that `part` of the run's own page."""
    crew = asked.site.crew()
    token = run_token(row, crew, asked.now)
    failure = failure_in(asked.reader, row)
    reveal = asked.query.get("reveal") if part == "page" else None
    why = failure or misfit_in(asked.reader, row) or stop_of(asked.reader, row)
    return Head(
        item=run_item(row, asked.now, why, crew),
        verbs=() if asked.site.settings.read_only else verbs_of(row, why), op=new_op(), seen=row.head, failure=failure,
        failed_at=shown(failure.location) if failure is not None else "",
        failed_href=entry_url(row.id, failure.seq) if failure is not None and failure.seq else "",
        created=stamp(row.created_at, asked.now), finished=stamp(row.finished_at, asked.now), passes=row.passes,
        crashes=row.crashes, replays=row.replays, code=asked.reader.last_code(row)[:6],
        first_code=asked.reader.first_code(row.seq)[:6],
        messages=len(asked.reader.inbox(row.seq, 100)), token=token, tab=tab, forked=is_fork(asked, row),
        answer_href=run_url(row.id, "fork") if asked_line(row.status, row.error_line) and tab != "fork" else "",
        part_href=with_query(run_url(row.id), part=part, as_of=token, reveal=reveal),
        note=outlook(row, crew, asked.now), health=None if row.status in TERMINAL else health_view(crew, row.workflow, asked.now),
    )  # fmt: skip


def is_fork(asked: Asked, row: RunRow) -> bool:
    """Whether the run is a fork, whatever its tags say; one whose record is damaged is blocked, but a fork."""
    try:
        return asked.reader.fork(row.seq) is not None
    except PayloadError:
        return True


def gone_in(asked: Asked, row: RunRow) -> Gone:
    """The entries of this run that the loaded code no longer makes, as its check found."""
    state = asked.site.code_state()
    causes = () if state is None else state.causes
    mine = [cause for cause in causes if cause.workflow == row.workflow and row.id in cause.run_ids]
    return Gone() if state is None else Gone(tuple(place for cause in mine for place in cause.missing), state.running[:6])


def only_code(asked: Asked, row: RunRow) -> str:
    """The code that began this run, if it is also the one that worked on it last."""
    code = asked.reader.last_code(row)
    return code[:6] if code and code == asked.reader.first_code(row.seq) else ""


def _notice(asked: Asked, row: RunRow) -> Notice | None:
    op = asked.query.get("op", "")
    return notice_of(asked, row, op) if op else None


def _value(asked: Asked, row: RunRow, field: str) -> Value | None:
    body = body_of(asked.reader, row.seq, field, most=EXPANDABLE)
    here = run_url(row.id)
    return preview(
        body, raw=run_url(row.id, field), reveal=with_query(here, reveal="1"), revealed=asked.query.get("reveal") == "1"
    )


def body_of(
    reader: Reader, run: int, field: str, entry: int | None = None, archived: int | None = None, most: int | None = None
) -> Body:
    """One value, by a name that may come from an address; of more than `most` bytes perhaps the beginning."""
    match field:
        case "input" | "output" | "error" | "state" | "args":
            return reader.body(run, field, entry, archived=archived, most=most)
        case _:
            return Body(None)


# --- the window -----------------------------------------------------------------------------------------------------


def _window(asked: Asked, row: RunRow, failure: Failure | None) -> Window:
    chip, text = asked.query.get("only", ""), asked.query.get("name", "").strip()
    rewinds = asked.reader.rewinds(row.seq, _REWINDS)
    archived = _chosen(rewinds, asked.number("archived"))
    newest_first = asked.query.get("order", "newest" if row.status not in TERMINAL else "oldest") == "newest"
    newest_first = newest_first and archived is None
    entries, looked_at, more = _entries(asked, row, chip, text, newest_first, archived)
    around = () if archived is not None else asked.reader.around(row.seq, entries)
    rows = rows_of(
        row, entries, around, asked.now, failed=failure.location if failure is not None else None, archived=archived,
        unfold=asked.numbers("open"), newest_first=newest_first, code=only_code(asked, row),
        gone=Gone() if archived is not None else gone_in(asked, row),
    )  # fmt: skip
    low, high = (entries[0].seq, entries[-1].seq) if entries else (0, 0)
    onward = {"before": low} if newest_first else {"after": high}
    is_window = any(name in asked.query for name in ("before", "after", "at"))
    order = "newest" if newest_first else "oldest"
    views = _rewind_views(asked, row, rewinds, archived)
    return Window(
        rows=rows, total=row.entries, shown=len(entries), newest_first=newest_first, chip=chip,
        archived=next((view for view in views if view.on), None), rewinds=views[:_SHOWN_REWINDS],
        now_href=_query(asked, row, archived=""),
        more_href=_query(asked, row, order=order, **onward) if more else "", more_label="older" if newest_first else "newer",
        other_href=_query(asked, row) if is_window else "", other_label="newest" if newest_first else "first",
        order_href=_query(asked, row, order="oldest" if newest_first else "newest"), text=shown(text), looked_at=looked_at,
        all_href=_query(asked, row, order=order, all="1") if more and row.entries <= ALL and archived is None else "",
        chips=tuple(Chip(name, _query(asked, row, only="" if name == chip else name), name == chip) for name in CHIPS),
        live=row.status not in TERMINAL and not is_window and archived is None and "all" not in asked.query,
    )  # fmt: skip


def _chosen(rewinds: tuple[Rewound, ...], wanted: int | None) -> int | None:
    """The rewind that an address names, or the newest where it names none that there is; None: the history as it is now."""
    if wanted is None or not rewinds:
        return None
    return wanted if any(rewind.head == wanted for rewind in rewinds) else rewinds[0].head


def _rewind_views(asked: Asked, row: RunRow, rewinds: tuple[Rewound, ...], chosen: int | None) -> tuple[RewindView, ...]:
    return tuple(
        RewindView(
            label=label, href=_query(asked, row, archived=rewind.head, order=None, open=None), on=rewind.head == chosen,
            entries=rewind.entries, at=stamp(rewind.at or None, asked.now),
        )
        for label, rewind in zip(rewind_labels(rewinds), rewinds, strict=True)
    )  # fmt: skip


def _entries(
    asked: Asked, row: RunRow, chip: str, text: str, newest_first: bool, archived: int | None
) -> tuple[tuple[Entry, ...], int, bool]:
    """The entries of the window in order of seq, how many were looked at, and whether more lie beyond."""
    limit = ALL if asked.query.get("all") == "1" else WINDOW
    at, before, after = asked.number("at"), asked.number("before"), asked.number("after") or 0
    if at is not None:
        after, newest_first = max(0, at - WINDOW // 2), False
    kept: list[Entry] = []
    looked_at = 0
    while len(kept) <= limit and looked_at < ALL:
        if archived is not None:
            page = asked.reader.set_aside(row.seq, archived, after=after, limit=limit + 1)
        else:
            page = _page(asked.reader, row.seq, newest_first, before, after, limit + 1)
        looked_at += len(page)
        chosen = [entry for entry in page if matches(entry, chip, text)]
        kept = [*chosen, *kept] if newest_first else [*kept, *chosen]
        if len(page) <= limit:
            break
        before, after = page[0].seq, page[-1].seq
    more = len(kept) > limit
    kept = (kept[-limit:] if newest_first else kept[:limit]) if more else kept
    return tuple(kept), looked_at, more


def _page(reader: Reader, run: int, newest_first: bool, before: int | None, after: int, limit: int) -> tuple[Entry, ...]:
    if not newest_first:
        return reader.window(run, after=after, limit=limit)
    return reader.last(run, limit) if before is None else reader.window(run, before=before, limit=limit)


def _query(asked: Asked, row: RunRow, **change: object) -> str:
    """This page with other parameters; those of the filter stay unless they are given anew."""
    kept = {name: asked.query.get(name) for name in ("only", "name", "archived", "open")}
    if "order" not in change and "order" in asked.query:
        kept["order"] = asked.query["order"]
    return with_query(run_url(row.id), **(kept | change))
