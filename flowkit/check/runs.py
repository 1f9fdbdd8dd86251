"""`check_runs`: all open runs against new code, grouped by what would hold them."""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowkit.check.effects import Effect
from flowkit.check.lines import Evidence, Proposal, propose
from flowkit.check.names import names_in
from flowkit.check.rehearsal import Rehearsal, TooSlow, rehearse
from flowkit.check.renames import Renamed, renames
from flowkit.check.report import Cause, CauseKind, Frontier, Line, Misfit, Report, Unchecked, WorkflowReport
from flowkit.clock import SystemClock
from flowkit.codec import snapshot
from flowkit.core.run import OPEN
from flowkit.core.trial import Trial, pattern
from flowkit.definitions import Workflow
from flowkit.definitions.manifest import read_manifest
from flowkit.drivers.base import Driver, RunQuery, RunRow, RunView
from flowkit.engine.source import place_of
from flowkit.errors import PayloadError
from flowkit.registry import project_code
from flowkit.runtime.house import House

__all__ = ["SECONDS_PER_RUN", "check_runs"]

SECONDS_PER_RUN = 1.0
_PAGE = 200


def check_runs(
    driver: Driver,
    workflows: Mapping[str, Workflow[..., Any]],
    *,
    limit: int | None = None,
    seconds_per_run: float = SECONDS_PER_RUN,
    seconds: float | None = None,
    on_misfit: Callable[[Misfit], None] = lambda misfit: None,
) -> Report:
    """Try open runs (per workflow the `limit` newest) under the code of `workflows`. No body runs, nothing is written.

    Once it has taken `seconds`, the runs that are left are reported as not checked. `on_misfit` is told of each run that
    does not fit.
    """
    checker = _Checker(driver, seconds_per_run, None if seconds is None else time.monotonic() + seconds, on_misfit)
    try:
        reports = [checker.workflow(workflow, limit) for _, workflow in sorted(workflows.items())]
        unattended = Counter(row.workflow for row in _open_rows(driver, None) if row.workflow not in workflows)
    finally:
        checker.close()
    return Report([report for report in reports if report is not None], dict(unattended))


@dataclass
class _Group:
    """Runs with one cause."""

    location: str
    message: str
    advice: str
    runs: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


class _Checker:
    """One check. The house gives threads and a loop to the passes; one that hangs keeps it, and the others get a new one."""

    def __init__(self, driver: Driver, seconds: float, deadline: float | None, on_misfit: Callable[[Misfit], None]) -> None:
        self._driver = driver
        self._seconds = seconds
        self._deadline = deadline
        self._on_misfit = on_misfit
        self._house = House(driver, SystemClock())
        self._renames: dict[tuple[str, str, str], Mapping[str, Renamed]] = {}

    def close(self) -> None:
        """Stop the threads."""
        self._house.close()

    def workflow(self, workflow: Workflow[..., Any], limit: int | None) -> WorkflowReport | None:
        """The report on one workflow's runs, None if none is open."""
        rows = list(_open_rows(self._driver, workflow.name))
        if not rows:
            return None
        unchecked: list[Unchecked] = []
        views = list(self._views(rows[:limit], unchecked))
        evidence = _evidence(workflow, views)
        fit, frontiers, groups = 0, Counter[tuple[str, str]](), dict[tuple[CauseKind, str, tuple[Line, ...]], _Group]()
        for view in views:
            if self._deadline is not None and time.monotonic() > self._deadline:
                unchecked.append(Unchecked(view.row.id, "the time for the check was over"))
                continue
            try:
                found = self._rehearse(workflow, view, Trial())
                proposal = None if found.misfit is None else self._propose(workflow, view, found, evidence)
            except Effect as effect:
                unchecked.append(Unchecked(view.row.id, str(effect)))
                continue
            except TooSlow:
                unchecked.append(Unchecked(view.row.id, f"its pass took longer than {self._seconds:g} s"))
                continue
            if proposal is None:
                fit += 1
                frontiers.update({(pattern(location), source) for location, source in found.frontiers.items()})
            else:
                assert found.misfit is not None
                self._on_misfit(Misfit(view.row, view.tried, snapshot(found.misfit)))
                _group(groups, found, proposal).runs.append(view.row.id)
        return WorkflowReport(
            workflow.name, fit, _frontiers(frontiers), _causes(groups), unchecked, skipped=len(rows) - len(rows[:limit])
        )

    def _views(self, rows: list[RunRow], unchecked: list[Unchecked]) -> Iterator[RunView]:
        for row in rows:
            try:
                view = self._driver.load(row.seq)
            except PayloadError as error:
                unchecked.append(Unchecked(row.id, f"it cannot be loaded: {error}"))
                continue
            if view is not None and view.row.status in OPEN:
                yield view

    def _rehearse(self, workflow: Workflow[..., Any], view: RunView, trial: Trial) -> Rehearsal:
        try:
            return rehearse(self._house, workflow, view, trial, self._seconds)
        except TooSlow:
            hung, self._house = self._house, House(self._driver, SystemClock())
            threading.Thread(target=hung.close, name="flowkit-hung", daemon=True).start()  # it may wait for user code for ever
            raise

    def _propose(self, workflow: Workflow[..., Any], view: RunView, found: Rehearsal, evidence: Evidence) -> Proposal:
        attempt: Callable[[Trial], Rehearsal] = lambda trial: self._rehearse(workflow, view, trial)  # noqa: E731
        return propose(found, replace(evidence, renamed=self._renamed(workflow, view)), attempt)

    def _renamed(self, workflow: Workflow[..., Any], view: RunView) -> Mapping[str, Renamed]:
        """The steps that got another name since the run's last pass, or since it began: a run that is held by code that does
        not fit has had a pass under that.
        """
        codes = project_code(self._driver.first_code(view.row.seq)), project_code(view.row.code)
        if (workflow.name, *codes) not in self._renames:
            found: dict[str, Renamed] = {}
            for code in codes:
                bodies = read_manifest(self._driver.manifest(code)).workflows.get(workflow.name)
                found |= renames(bodies, workflow) if bodies is not None else {}
            self._renames[workflow.name, *codes] = found
        return self._renames[workflow.name, *codes]


def _evidence(workflow: Workflow[..., Any], views: Sequence[RunView]) -> Evidence:
    known = getattr(inspect.unwrap(workflow.function), "__globals__", {})
    return Evidence(
        names=names_in(workflow), defined=place_of(workflow.function),
        recorded={pattern(entry.location) for view in views for entry in view.entries},
        missing=[name for name in ("removed", "version") if name not in known],
        module="flowkit.aio" if workflow.awaits else "flowkit",
    )  # fmt: skip


def _open_rows(driver: Driver, workflow: str | None) -> Iterator[RunRow]:
    """Newest first."""
    after: int | None = None
    while True:
        page = driver.runs(RunQuery(statuses=OPEN, workflow=workflow, after=after, limit=_PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].seq


def _group(groups: dict[tuple[CauseKind, str, tuple[Line, ...]], _Group], found: Rehearsal, proposal: Proposal) -> _Group:
    misfit = found.misfit
    assert misfit is not None
    place = pattern(misfit.location)
    key = (proposal.kind, "" if proposal.lines else f"{place} {misfit.source}", proposal.lines)
    group = groups.setdefault(key, _Group(place, str(misfit), proposal.advice))
    group.missing |= proposal.missing
    return group


def _causes(groups: Mapping[tuple[CauseKind, str, tuple[Line, ...]], _Group]) -> list[Cause]:
    made = [
        Cause(kind, group.location, group.message, lines, group.advice, tuple(group.runs), tuple(sorted(group.missing)))
        for (kind, _, lines), group in groups.items()
    ]
    return sorted(made, key=lambda cause: len(cause.runs), reverse=True)


def _frontiers(counted: Mapping[tuple[str, str], int]) -> list[Frontier]:
    return [Frontier(*place, runs) for place, runs in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
