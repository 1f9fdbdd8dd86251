"""Whether anybody serves workflows: the health of them all, and for one who waits for a run whether waiting makes sense.

The rule is in `core.health`; here it is asked with what the store tells of workers and reports. A `Vigil` has no timer and
no thread: whoever waits asks it when he wakes anyway, and at the latest when `is_due` says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flowkit.core.health import Health, Report, Served, WorkflowHealth, health_in, health_of, standing
from flowkit.core.run import OPEN
from flowkit.drivers.base import Driver, RunQuery, RunRow, WorkerRow
from flowkit.drivers.survey import Surveyed
from flowkit.durations import seconds
from flowkit.errors import PayloadError, StoreError, Unattended
from flowkit.runtime.serving import read_serving

if TYPE_CHECKING:
    from datetime import timedelta

    from flowkit.client.desk import Desk

__all__ = ["Retrial", "Vigil", "health_now", "served_by", "vigil_of"]

_WORKFLOWS = 200
_NEWEST = 1_000


def served_by(workers: Iterable[WorkerRow]) -> list[Served]:
    """The workers among these, with what they have told that they serve."""
    return [
        Served(worker.id, worker.name, worker.alive, worker.seen_at, None if told is None else frozenset(told))
        for worker in workers
        if worker.kind == "worker"
        for told in (read_serving(worker.info).workflows,)
    ]


def health_now(driver: Driver, now: float, workflow: str | None = None, own: Iterable[Report] = ()) -> Health:
    """The health of all workflows that are served, reported on, or have open runs; or of one. `own` has not been written yet."""
    reports = {(each.source, each.worker, each.workflow, each.kind): each for each in (*driver.reports(now), *own)}
    workers = served_by(driver.workers())
    if workflow is None:
        return health_of(_wanted(driver), workers, list(reports.values()), now)
    one = health_in(workflow, workers, standing(reports.values(), workers, now))
    return Health((one,), one.reports)


def _wanted(driver: Driver) -> list[str]:
    if isinstance(driver, Surveyed):
        names: Iterable[str] = driver.survey().workflows(_WORKFLOWS)
    else:
        names = {row.workflow for row in driver.runs(RunQuery(limit=_NEWEST))}
    return [name for name in names if driver.runs(RunQuery(workflow=name, statuses=tuple(OPEN), limit=1))]


class Vigil:
    """Whether anybody looks after a run that somebody waits for. Belongs to one wait."""

    def __init__(self, desk: Desk, run: int, patience_seconds: float) -> None:
        self._desk = desk
        self._run = run
        self._patience = patience_seconds
        self._breath = desk.settings.vigil_look
        self._since: float | None = None
        self._not_before = 0.0
        self._due = 0.0

    def is_due(self) -> bool:
        """Whether to look even if nothing seems to have happened: who is killed writes nothing."""
        return time.monotonic() >= self._due

    def look(self) -> None:
        """Look at workers and reports, unless that was done a moment ago.

        Raises:
            Unattended: nobody has served the run's workflow for as long as is to be waited.
        """
        now = time.monotonic()
        if now < self._not_before:
            return
        self._not_before = now + self._breath
        health = self._trouble()
        if health is None:
            self._since, self._due = None, now + max(self._patience / 2, self._breath)
            return
        self._since = now if self._since is None else self._since
        if now - self._since >= self._patience:
            raise self._unattended(health)
        self._due = max(self._since + self._patience, self._not_before)

    def _trouble(self) -> WorkflowHealth | None:
        """How the run's workflow fares, if nobody serves it well. A run that a live worker holds is looked after.

        A misfit is its own run's trouble, which is blocked by it: others are served.
        """
        driver, now = self._desk.driver, self._desk.clock.now()
        row = driver.get(self._run)
        if row is None or row.status not in OPEN or row.status == "blocked":
            return None
        workers = served_by(driver.workers())
        if any(worker.alive and worker.id == row.owner for worker in workers):
            return None
        reports = [each for each in standing(driver.reports(now), workers, now) if each.kind != "misfit"]
        health = health_in(row.workflow, workers, reports)
        return None if health.status == "ok" else health

    def _unattended(self, health: WorkflowHealth) -> Unattended:
        row = self._desk.driver.get(self._run)
        id = "" if row is None else row.id
        reason = str(health.reports[0]) if health.reports else health.reason
        return Unattended(
            f"nobody works on run {id!r} of workflow {health.workflow!r}: {reason}. "
            f"The run stays, and goes on once a worker serves it; `flowkit health` shows who would.",
            run_id=id, workflow=health.workflow, reason=reason,
        )  # fmt: skip


class Retrial:
    """Whether a blocked run is about to be tried by the handle's own worker: what other code came to is not the last word then.

    Belongs to one wait. What was tried is read with the whole run, so it is asked once for each state of the run.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: tuple[int, int, str] | None = None
        self._answer = False

    def comes(self, row: RunRow) -> bool:
        """Whether it is. A run that cannot be read is not waited for: whoever tries it finds the same.

        Raises:
            StoreError: the store is away.
        """
        code = self._desk.code_here(row.workflow)
        if not code or row.code == code:
            return False
        if self._asked != (row.epoch, row.head, code):
            self._answer = self._is_untried(row, code)
            self._asked = (row.epoch, row.head, code)
        return self._answer

    def _is_untried(self, row: RunRow, code: str) -> bool:
        try:
            view = self._desk.driver.load(row.seq)
        except (PayloadError, StoreError) as error:
            if isinstance(error, StoreError) and error.passing:
                raise
            return False
        return view is not None and code not in view.tried


def vigil_of(desk: Desk, run: int, fail_fast: float | timedelta | str | None) -> Vigil | None:
    """A vigil that is over after `fail_fast`; None: wait, whoever serves."""
    return None if fail_fast is None else Vigil(desk, run, seconds(fail_fast, "fail_fast"))
