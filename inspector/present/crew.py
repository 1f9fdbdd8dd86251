"""Who works on runs, and what that means for one of them: whether anybody looks after it, and what it waits for.

*Unattended* is a mark and never a status. It has three causes: the worker that holds the run is dead; the run has been due
for ten seconds and no worker lives; it is due, and no worker that lives serves its workflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from flowkit.client.attending import served_by
from flowkit.client.reader import RunRow, WorkerRow, serving_of
from flowkit.core.health import Report, Served, WorkflowHealth, health_in, standing

__all__ = ["NOBODY", "UNATTENDED_SECONDS", "Crew", "Mark", "crew_of", "outlook", "unattended"]

UNATTENDED_SECONDS = 10.0
Mark = Literal["", "dead worker", "no worker", "no code"]
_ACTIVE = ("pending", "running", "sleeping", "rolling_back")


@dataclass(frozen=True, slots=True)
class Crew:
    """The ids of the workers that live, and the workflows that they serve; None: one of them has not said which.

    `reports` are those that count on what keeps workers from serving.
    """

    alive: frozenset[int] = frozenset()
    served: frozenset[str] | None = frozenset()
    workers: tuple[Served, ...] = ()
    reports: tuple[Report, ...] = ()

    def serves(self, workflow: str) -> bool:
        """Whether a run of this workflow would be taken up."""
        return bool(self.alive) and (self.served is None or workflow in self.served)

    def health(self, workflow: str) -> WorkflowHealth:
        """How this workflow is served."""
        return health_in(workflow, self.workers, self.reports)

    def reported(self) -> tuple[WorkflowHealth, ...]:
        """The health of the workflows on which there is a report."""
        return tuple(self.health(name) for name in sorted({report.workflow for report in self.reports if report.workflow}))


NOBODY = Crew()


def crew_of(workers: Iterable[WorkerRow], reports: Iterable[Report] = (), now: float = 0.0) -> Crew:
    """Those of these workers that live, and what of the reports counts now."""
    workers = tuple(workers)
    living = [worker for worker in workers if worker.alive]
    told = [serving_of(worker).workflows for worker in living]
    served = None if None in told else frozenset(name for names in told for name in names or ())
    known = tuple(served_by(workers))
    return Crew(frozenset(worker.id for worker in living), served, known, tuple(standing(reports, known, now)))


def unattended(row: RunRow, crew: Crew, now: float) -> Mark:
    """Why nobody looks after a run that something should happen to; empty if somebody does, or nothing should."""
    if row.status not in _ACTIVE:
        return ""
    if row.owner is not None:
        return "" if row.owner in crew.alive else "dead worker"
    if row.wake_at is None or row.wake_at > now:
        return ""
    if crew.alive:
        return "" if crew.serves(row.workflow) else "no code"
    return "no worker" if now - row.wake_at > UNATTENDED_SECONDS else ""


def outlook(row: RunRow, crew: Crew, now: float) -> str:
    """What must come before an open run goes on, where a worker is missing; empty where none is, or none would help."""
    if row.status not in _ACTIVE or row.owner in crew.alive or crew.serves(row.workflow):
        return ""
    missing = "No worker is running" if not crew.alive else "No worker that is running serves its workflow"
    if row.status == "sleeping" and row.owner is None and (row.wake_at is None or row.wake_at > now):
        return f"{missing}. It sleeps on, and goes on once it is due and a worker serves it."
    return f"{missing}. It goes on once a worker serves it."
