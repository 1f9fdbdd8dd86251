"""The home page: what needs a human first, then how many runs there are, what wakes next and what is new."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.client.reader import Count, Reader, RunFilter, RunRow
from flowkit.core.fork import asked_line

from ..present.crew import Crew, unattended
from ..present.health import HealthView, health_views
from ..present.runs import CountView, Need, RunItem, count_views, needs, run_item
from ..site import Asked, Page
from .failures import reasons_of

__all__ = ["HomePage", "home", "needy_rows"]

DAY = 86_400.0
_LOOKED_AT = 100
_NEEDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    """Triage."""

    health: tuple[HealthView, ...]
    needs: tuple[Need, ...]
    more_needs: bool
    counts: tuple[CountView, ...]
    total: int
    wakes: tuple[RunItem, ...]
    recent: tuple[RunItem, ...]
    example: bool


def home(asked: Asked) -> Page:
    """GET /."""
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    crew = asked.site.crew()
    rows = needy_rows(asked.reader, asked.now, crew)
    recent = asked.reader.runs(RunFilter(), limit=10).rows
    reasons = reasons_of(asked.reader, [*rows, *recent])
    counts = asked.reader.counts()
    total = sum(count.number for count in counts.values())
    model = HomePage(
        health=health_views(crew, asked.now), needs=needs(rows, reasons, asked.now, crew, _NEEDS), more_needs=len(rows) > _NEEDS,
        counts=count_views(counts), total=total, wakes=_wakes(asked, crew), example=not total,
        recent=tuple(run_item(row, asked.now, reasons.get(row.seq), crew) for row in recent),
    )  # fmt: skip
    title = _title(counts, len(model.needs))
    return Page(template="home.html", title=title, model=model, here="home", token=token, parts={"now": "_home.html"})


def needy_rows(reader: Reader, now: float, crew: Crew) -> list[RunRow]:
    """Runs that are blocked, forks that ask, runs that failed within a day or are looked after by nobody; the newest hundred of
    each kind.
    """
    blocked = reader.runs(RunFilter(statuses=("blocked",)), limit=_LOOKED_AT).rows
    failed = reader.runs(RunFilter(statuses=("failed",)), limit=_LOOKED_AT).rows
    paused = reader.runs(RunFilter(statuses=("paused",)), limit=_LOOKED_AT).rows
    owned = reader.runs(RunFilter(statuses=("running", "rolling_back")), limit=_LOOKED_AT).rows
    due = reader.timers(_LOOKED_AT, workflows=_unserved(reader, crew))  # the others wait for nobody
    return [
        *blocked,
        *(row for row in paused if asked_line(row.status, row.error_line)),
        *(row for row in failed if row.finished_at is None or now - row.finished_at < DAY),
        *(row for row in {row.seq: row for row in (*owned, *due)}.values() if unattended(row, crew, now)),
    ]


def _unserved(reader: Reader, crew: Crew) -> tuple[str, ...]:
    return tuple(name for name in reader.workflows() if not crew.serves(name))


def _wakes(asked: Asked, crew: Crew) -> tuple[RunItem, ...]:
    return tuple(run_item(row, asked.now, None, crew) for row in asked.reader.timers(5, after=asked.now))


def _title(counts: dict[str, Count], needs: int) -> str:
    if needs:
        return f"{needs} need you"
    return f"{counts['running'].number} running"
