"""The run list. All of its filters live in the address; pages go by keyset, so rows never jump under the reader."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from flowkit.client.reader import RunFilter, RunList
from flowkit.core.run import STATUSES

from ..present.bulk import BulkLink, bulk_links
from ..present.runs import RunItem, run_item
from ..present.values import shown
from ..site import Asked, Notice, Page
from ..urls import run_url, with_query
from .failures import reasons_of

__all__ = ["RunsPage", "filter_of", "runs"]

PAGE = 50
_AGO = re.compile(r"(\d{1,6})\s*(s|m|h|d|w)")
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FIELDS = ("q", "status", "workflow", "tag", "since", "until")


@dataclass(frozen=True, slots=True)
class Dropped:
    """A filter in force, and the list without it."""

    name: str
    value: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """A page of runs."""

    items: tuple[RunItem, ...]
    next_href: str
    first_href: str
    newer: str
    filters: tuple[Dropped, ...]
    values: dict[str, str]
    statuses: tuple[str, ...]
    workflows: tuple[str, ...]
    top: int
    rows_href: str
    token: str
    narrow: str
    partial: str
    further: bool
    bulk: tuple[BulkLink, ...]
    bulk_count: str


def runs(asked: Asked) -> Page:
    """GET /runs."""
    id = asked.query.get("q", "").strip()
    if id and "part" not in asked.query and asked.reader.run(id) is not None and not asked.path.endswith(".json"):
        return Page(to=run_url(id))
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    filter, problem = filter_of(asked)
    top, after = asked.number("top"), asked.number("after")
    page = asked.reader.runs(filter, after=top + 1 if top is not None else after, limit=PAGE)
    reasons = reasons_of(asked.reader, page.rows)
    crew = asked.site.crew()
    first = top if top is not None else page.rows[0].seq if page.rows else 0
    newer = asked.reader.newer(filter, first) if top is not None else None
    href = _href(asked)
    stays = {"top": first} if after is None else {"after": after}  # rows never jump under the reader
    model = RunsPage(
        items=tuple(run_item(row, asked.now, reasons.get(row.seq), crew) for row in page.rows),
        next_href="" if page.next is None else _href(asked, after=page.next), first_href=href,
        newer=f"{newer.number}{'+' if newer.more else ''}" if newer is not None and newer.number else "",
        filters=_dropped(asked), values={name: asked.query.get(name, "") for name in _FIELDS}, statuses=STATUSES,
        workflows=tuple(name for name in asked.reader.workflows() if shown(name) == name), top=first,
        rows_href=_href(asked, part="rows", as_of=token, **stays), token=token,
        narrow=problem, further=page.out_of_time and page.next is not None,
        partial=_partial(page, filter), bulk=_bulk(asked, filter, bool(problem) or not page.rows),
        bulk_count=f"{len(page.rows):,}" if page.next is None and top is None and after is None and not page.looked_at else "",
    )  # fmt: skip
    notice = Notice(problem, good=False) if problem else None
    return Page(
        template="runs.html",
        title=_title(asked),
        model=model,
        here="runs",
        token=token,
        parts={"rows": "_runs.html"},
        notice=notice,
    )


def filter_of(asked: Asked) -> tuple[RunFilter, str]:
    """The filter that the address asks for, and what of it could not be read."""
    given = {name: asked.query.get(name, "").strip() for name in _FIELDS}
    problems: list[str] = []
    asked_for = [each.strip() for each in given["status"].split(",") if each.strip()]
    statuses = tuple(each for each in asked_for if each in STATUSES)
    problems += [f"there is no status {shown(each)!r}" for each in asked_for if each not in STATUSES]
    since, until = (_instant(given[name], asked.now, problems) for name in ("since", "until"))
    field, text = _sought(given["q"])
    if field and not text:
        problems.append(f"{field}: is followed by the text to search for")
    found = RunFilter(
        statuses=statuses, workflow=given["workflow"] or None, tag=given["tag"] or None, since=since, until=until,
        id_prefix=None if field else given["q"] or None, error=text or None if field == "error" else None,
        input=text or None if field == "input" else None,
    )  # fmt: skip
    return found, "; ".join(problems)


def _sought(q: str) -> tuple[str, str]:
    """``error:text`` and ``input:text`` search; anything else is the beginning of an id."""
    field, colon, text = q.partition(":")
    return (field, text.strip()) if colon and field in ("error", "input") else ("", "")


def _instant(text: str, now: float, problems: list[str]) -> float | None:
    """``2h`` (ago), an ISO date or time (UTC unless it says otherwise), or epoch seconds."""
    if not text:
        return None
    if found := _AGO.fullmatch(text):
        return now - int(found[1]) * _UNITS[found[2]]
    try:
        if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
            return float(text)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        problems.append(f"{shown(text)!r} is no instant: give 2h, 2026-03-01 or 2026-03-01T14:00Z")
        return None


def _href(asked: Asked, **more: object) -> str:
    return with_query("/runs", **{name: asked.query.get(name) for name in _FIELDS}, **more)


def _dropped(asked: Asked) -> tuple[Dropped, ...]:
    given = {name: asked.query[name] for name in _FIELDS if asked.query.get(name)}
    return tuple(
        Dropped(name, shown(value), with_query("/runs", **{key: other for key, other in given.items() if key != name}))
        for name, value in given.items()
    )


def _bulk(asked: Asked, filter: RunFilter, nothing: bool) -> tuple[BulkLink, ...]:
    """The verbs for all runs of this list, whatever page of it is shown."""
    if nothing or asked.site.settings.read_only or filter.searches:
        return ()
    return bulk_links(filter.statuses, {name: asked.query.get(name) for name in _FIELDS})


def _partial(page: RunList, filter: RunFilter) -> str:
    """What a list says that could not look at every run that might be in it."""
    looked_at = page.looked_at
    if page.out_of_time:
        where = "errors" if filter.error is not None else "inputs"
        return f"Partial: {looked_at:,} {where} were searched before the time was over. Look further, or set other filters, too."
    if not looked_at:
        return ""
    if filter.tag is not None:
        return f"Partial: only the newest {looked_at:,} runs with this tag were looked at. Drop the tag or the other filters."
    return f"Partial: only the first {looked_at:,} ids that begin so were looked at. Give more of the id."


def _title(asked: Asked) -> str:
    words = [asked.query.get(name, "") for name in ("status", "workflow", "tag", "q")]
    return " ".join(["runs", *(shown(word) for word in words if word)])
