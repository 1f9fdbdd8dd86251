"""What happens next, over all runs: every sleep, retry and deadline, soonest first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flowkit.client.across import Due

from ..present.timers import TimerView, late_reason, timers_of
from ..present.values import shown
from ..site import Asked, Page
from ..urls import with_query

__all__ = ["TimersPage", "timers"]

PAGE = 30
_LATE = 10
_HELD = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TimersPage:
    """The instants that come next. `late` are those that have passed."""

    late: tuple[TimerView, ...]
    more_late: bool
    timers: tuple[TimerView, ...]
    workflow: str
    workflows: tuple[str, ...]
    all_href: str
    next_href: str
    first_href: str
    rows_href: str


def timers(asked: Asked) -> Page:
    """GET /timers."""
    token = asked.site.pulse.token()
    if asked.is_current(token):
        return Page(same=True)
    workflow = asked.query.get("workflow", "")
    names = (workflow,) if workflow else None
    after = _place(asked.query.get("after", ""))
    late = asked.site.across.due(_LATE + 1, workflows=names) if after is None else ()
    overdue = [due for due in late if (due.run.wake_at or 0.0) <= asked.now]
    found = asked.site.across.due(PAGE + 1, after=after or (asked.now, 1 << 62), workflows=names)
    rows = found[:PAGE]
    until = rows[-1].run.wake_at or 0.0 if len(found) > PAGE else float("inf")
    since = after[0] if after is not None else asked.now
    held = [due for due in asked.site.across.held(_HELD) if not workflow or due.run.workflow == workflow]
    model = TimersPage(
        late=_late(asked, overdue[:_LATE]), more_late=len(overdue) > _LATE,
        timers=_coming(asked, rows, held, since, until), workflow=shown(workflow),
        workflows=tuple(name for name in asked.reader.workflows() if shown(name) == name), all_href="/timers",
        next_href=_next(rows, workflow) if len(found) > PAGE else "", first_href=_href(workflow) if after is not None else "",
        rows_href=_href(workflow, after=asked.query.get("after"), part="now", as_of=token),
    )  # fmt: skip
    title = f"{len(model.timers)}{'+' if model.next_href else ''} timers"
    return Page(template="timers.html", title=title, model=model, here="timers", token=token, parts={"now": "_timers.html"})


def _coming(asked: Asked, rows: tuple[Due, ...], held: list[Due], since: float, until: float) -> tuple[TimerView, ...]:
    """Those of runs that nobody holds, and of runs that a worker holds, where another branch of theirs is at work.

    Runs come in the order of their first instant, so up to the last run's first one the page is complete: what is due later in
    them is left to their own pages.
    """
    ours = timers_of(rows, asked.now, since=math.nextafter(since, 0), until=until)  # the page before may have ended at it
    theirs = timers_of([due for due in held if due.entries], asked.now, since=max(since, asked.now), until=until)
    return tuple(sorted([*ours, *theirs], key=lambda timer: timer.due.at if timer.due is not None else 0.0))


def _late(asked: Asked, overdue: list[Due]) -> tuple[TimerView, ...]:
    crew = asked.site.crew()
    return tuple(
        view for due in overdue for view in timers_of([due], asked.now, until=asked.now, late=late_reason(due.run, crew))[:1]
    )


def _next(rows: tuple[Due, ...], workflow: str) -> str:
    last = rows[-1].run
    return _href(workflow, after=f"{last.wake_at!r}_{last.seq}")


def _href(workflow: str, **more: object) -> str:
    return with_query("/timers", workflow=workflow, **more)


def _place(text: str) -> tuple[float, int] | None:
    """Where a page goes on: the instant and the seq of the last run of the one before; None for anything else."""
    at, _, seq = text.partition("_")
    try:
        found = float(at), int(seq)
    except ValueError:
        return None
    return found if abs(found[0]) < 1e12 and 0 <= found[1] < 1 << 62 else None
