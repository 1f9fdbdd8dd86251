"""Instants to come: which entry of which run they belong to, and what happens then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.client.across import Due
from flowkit.client.facts import waited_names
from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry

from ..urls import entry_url, run_url, with_query
from .crew import Crew
from .times import Stamp, stamp
from .values import shown

__all__ = ["TimerView", "late_reason", "timers_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerView:
    """An instant, and what is due then. `later`: how many more are due in that run, beyond what the page shows."""

    icon: str
    kind: str
    what: str
    due: Stamp | None
    href: str
    run: str
    run_href: str
    workflow: str
    workflow_href: str
    later: int
    late: str


def timers_of(
    dues: Sequence[Due], now: float, *, since: float = float("-inf"), until: float = float("inf"), late: str = ""
) -> tuple[TimerView, ...]:
    """Every instant of these runs that lies between, soonest first; `late` is why what is overdue has not happened."""
    found: list[tuple[float, TimerView]] = []
    for due in dues:
        opens = [entry for entry in due.entries if entry.due_at is not None and since < entry.due_at]
        inside = [entry for entry in opens if entry.due_at is not None and entry.due_at <= until]
        more = len(opens) - len(inside)
        if not opens and due.run.wake_at is not None and since < due.run.wake_at <= until:
            found.append((due.run.wake_at, _of_run(due.run, now, late)))
        found += [
            (entry.due_at or 0.0, _of_entry(due.run, entry, now, more if entry is inside[-1] else 0, late)) for entry in inside
        ]
    return tuple(view for _, view in sorted(found, key=lambda each: each[0]))


def _of_run(run: RunRow, now: float, late: str) -> TimerView:
    begins = run.status == "pending"
    icon, kind, what = ("pending", "start", "the run starts") if begins else ("running", "wake", "the run goes on")
    return _view(run, icon, kind, what, run.wake_at, run_url(run.id), 0, now, late)


def _of_entry(run: RunRow, entry: Entry, now: float, later: int, late: str) -> TimerView:
    icon, kind, what = _what(entry)
    return _view(run, icon, kind, what, entry.due_at, entry_url(run.id, entry.seq), later, now, late)


def _view(
    run: RunRow, icon: str, kind: str, what: str, due: float | None, href: str, later: int, now: float, late: str
) -> TimerView:
    return TimerView(
        icon=icon, kind=kind, what=shown(what), due=stamp(due, now), href=href, run=shown(run.id), run_href=run_url(run.id),
        workflow=shown(run.workflow), workflow_href=with_query("/timers", workflow=run.workflow), later=later, late=late,
    )  # fmt: skip


def _what(entry: Entry) -> tuple[str, str, str]:
    match entry.kind:
        case "sleep":
            return "sleeping", "sleep", entry.location
        case "message":
            names = " or ".join(waited_names(entry))
            return (
                "message",
                "deadline",
                f"{entry.location}: waits for {names or 'any message'}" if names != entry.location else names,
            )
        case _:
            return "retrying", "retry", f"{entry.location}, attempt {entry.attempts + 1}"


def late_reason(run: RunRow, crew: Crew) -> str:
    """Why a run that is due does not go on."""
    if not crew.alive:
        return "no worker is running"
    return "a worker will take it" if crew.serves(run.workflow) else "no worker serves its workflow"
