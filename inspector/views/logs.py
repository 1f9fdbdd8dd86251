"""What a run's code logged: a window of it in order of time, by level and by step."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry
from flowkit.core.line import Line, number_at
from flowkit.core.run import TERMINAL

from ..live import run_token
from ..present.logs import LEVELS, LineView, level_named, lines_of
from ..present.runs import command_line
from ..present.values import shown
from ..site import Asked, Page
from ..urls import run_url, with_query
from .errors import no_run
from .run import Chip, Head, head_of

__all__ = ["LogsPage", "lines_of_entry", "logs"]

WINDOW = 200
OF_ENTRY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsPage:
    """A window of a run's log."""

    head: Head
    lines: tuple[LineView, ...]
    chips: tuple[Chip, ...]
    level: str
    step: str
    earlier_href: str
    later_href: str
    all_href: str
    dropped: int
    part_href: str
    live: bool
    command: str


def logs(asked: Asked) -> Page:
    """GET /runs/{id}/logs."""
    id = asked.text("id")
    row = asked.reader.run(id)
    if row is None:
        return no_run(asked, id)
    token = run_token(row, asked.site.crew(), asked.now)
    as_of = f"{token}.{asked.reader.newest_line(row.seq)}"  # lines come without a change of the run
    if asked.is_current(as_of):
        return Page(same=True)
    head = head_of(asked, row, "logs")
    level, step = asked.query.get("level", ""), asked.query.get("step", "")
    level = level if level in LEVELS else ""
    lines, earlier, later = _window(asked, row, level_named(level), step or None)
    is_window = "before" in asked.query or "after" in asked.query
    model = LogsPage(
        head=head, lines=lines_of(id, lines, asked.now), level=level, step=shown(step),
        chips=tuple(Chip(name, _here(id, level="" if name == level else name, step=step), name == level) for name in LEVELS),
        earlier_href=_here(id, level=level, step=step, before=lines[0].seq) if earlier else "",
        later_href=_here(id, level=level, step=step, after=lines[-1].seq) if later else "",
        all_href=_here(id) if level or step or is_window else "",
        part_href=_here(id, level=level, step=step, part="lines", as_of=as_of),
        live=row.status not in TERMINAL and not is_window, dropped=asked.reader.dropped_lines(row.seq),
        command=command_line(asked.site.settings.database, "logs", id, *_options(level, step)),
    )  # fmt: skip
    return Page(
        template="logs.html", title=f"logs · {head.item.label}", model=model, here="runs", run=id, token=token,
        parts={"now": "_run_now.html", "lines": "_logs.html"},
    )  # fmt: skip


def _window(asked: Asked, row: RunRow, level: int, step: str | None) -> tuple[tuple[Line, ...], bool, bool]:
    """The lines, and whether there are earlier and later ones. An open run's are its newest, an ended one's its first."""
    before, after = asked.number("before"), asked.number("after")
    ask = {"location": step, "level": level, "limit": WINDOW + 1}
    if before is not None:
        found = asked.reader.lines(row.seq, before=before, **ask)  # type: ignore[arg-type]  # each value is of its option's type
        return found[-WINDOW:], len(found) > WINDOW, True
    if after is None and row.status not in TERMINAL:
        found = asked.reader.last_lines(row.seq, **ask)  # type: ignore[arg-type]  # as above
        return found[-WINDOW:], len(found) > WINDOW, False
    found = asked.reader.lines(row.seq, after=after or 0, **ask)  # type: ignore[arg-type]  # as above
    return found[:WINDOW], after is not None, len(found) > WINDOW


def _here(id: str, **query: object) -> str:
    return with_query(run_url(id, "logs"), **query)


def _options(level: str, step: str) -> list[str]:
    return [*(["--level", level] if level else []), *(["--step", step] if step else [])]


def lines_of_entry(asked: Asked, row: RunRow, entry: Entry) -> tuple[tuple[LineView, ...], str]:
    """The first lines that an entry's bodies logged, and where the others stand if there are more."""
    if entry.kind != "step":
        return (), ""
    after = max(0, number_at(entry.created_at) - 1)
    found = asked.reader.lines(row.seq, after=after, location=entry.location, limit=OF_ENTRY + 1)
    href = _here(row.id, step=entry.location, after=after) if len(found) > OF_ENTRY else ""
    return lines_of(row.id, found[:OF_ENTRY], asked.now), href
