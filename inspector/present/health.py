"""Workflows that nobody serves, or that some worker fails to serve, a sentence each: for the home page and the pages of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flowkit.core.health import Report, WorkflowHealth

from ..urls import with_query
from .crew import Crew
from .states import Part, Piece, Sentence, pieces
from .values import shown

__all__ = ["HealthView", "health_view", "health_views"]

_MOST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """A workflow that is not served, or not by all workers that should. `more` counts the reports that are not told."""

    workflow: str
    href: str
    group: Literal["bad", "attention"]
    sentence: tuple[Piece, ...]
    more: int


def health_views(crew: Crew, now: float) -> tuple[HealthView, ...]:
    """Those on which workers have something to report, the ones that nobody serves first."""
    found = [health for health in crew.reported() if health.reports]
    found.sort(key=lambda health: (health.status == "ok", health.workflow))
    return tuple(_view(health, now) for health in found[:_MOST])


def health_view(crew: Crew, workflow: str, now: float) -> HealthView | None:
    """The same for one workflow; None if there is nothing to tell."""
    health = crew.health(workflow)
    return _view(health, now) if health.reports else None


def _view(health: WorkflowHealth, now: float) -> HealthView:
    report = health.reports[0]
    return HealthView(
        workflow=shown(health.workflow), href=with_query("/runs", workflow=health.workflow),
        group="attention" if health.status == "ok" or health.only_misfits else "bad",
        sentence=pieces(_sentence(health, report), now),
        more=len({(each.kind, each.source) for each in health.reports}) - 1,
    )  # fmt: skip


def _sentence(health: WorkflowHealth, report: Report) -> Sentence:
    said = (Part(": "), Part(report.reason), *((Part(": "), Part(report.line, form="code")) if report.line else ()))
    if health.only_misfits:
        workflow = Part(health.workflow, form="code")
        return (Part("some runs of "), workflow, Part(" are held by code since "), Part(at=report.since, form="clock"), *said)
    if health.status == "ok":
        of = f"{len(health.failing)} of {len(health.workers) + len(health.failing)} workers cannot serve "
        return (Part(of), Part(health.workflow, form="code"), Part(" since "), Part(at=report.since, form="clock"), *said)
    since = () if health.since is None else (Part(" since "), Part(at=health.since, form="clock"))
    return (Part("nobody runs "), Part(health.workflow, form="code"), *since, *said)
