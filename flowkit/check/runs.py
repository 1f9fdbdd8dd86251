"""`check_runs`: open runs against new code, grouped by what would hold them. Quick enough to be waited for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowkit.check.effects import Effect
from flowkit.check.lines import Evidence, Proposal
from flowkit.check.rehearsal import Rehearsal, TooSlow
from flowkit.check.report import Cause, CauseKind, Frontier, Line, Misfit, Report, Unchecked, WorkflowReport
from flowkit.check.trials import Trials, evidence_of, open_rows, untried
from flowkit.codec import snapshot
from flowkit.core.run import OPEN
from flowkit.core.trial import Trial, pattern
from flowkit.definitions import Workflow
from flowkit.drivers.base import Driver, RunRow, RunView
from flowkit.errors import PayloadError
from flowkit.settings import in_force

__all__ = ["check_runs"]

_MOST_COUNTED = 10_000
"""How many open runs are counted that a limited check does not try."""


def check_runs(
    driver: Driver,
    workflows: Mapping[str, Workflow[..., Any]],
    *,
    limit: int | None = None,
    seconds_per_run: float | None = None,
    seconds: float | None = None,
    on_misfit: Callable[[Misfit], None] = lambda misfit: None,
) -> Report:
    """Try open runs (the `limit` newest over all workflows) under the code of `workflows`. No body runs, nothing is written.

    Once it has taken `seconds`, the runs that are left are reported as not checked. `on_misfit` is told of each run that
    does not fit.
    """
    chosen, skipped, unattended = _chosen(open_rows(driver), workflows, limit)
    each = in_force().check_run if seconds_per_run is None else seconds_per_run
    checker = _Checker(driver, each, None if seconds is None else time.monotonic() + seconds, on_misfit)
    try:
        reports = [checker.workflow(workflows[name], chosen[name], skipped[name]) for name in sorted(chosen.keys() | skipped)]
    finally:
        checker.close()
    return Report(reports, dict(unattended))


def _chosen(
    rows: Iterable[RunRow], workflows: Mapping[str, Workflow[..., Any]], limit: int | None
) -> tuple[dict[str, list[RunRow]], Counter[str], Counter[str]]:
    """The rows to try by workflow, how many more each has, and open runs of workflows that the code lacks."""
    chosen: dict[str, list[RunRow]] = {}
    skipped, unattended = Counter[str](), Counter[str]()
    tried = 0
    for row in rows:
        if row.workflow not in workflows:
            unattended[row.workflow] += 1
        elif limit is None or tried < limit:
            chosen.setdefault(row.workflow, []).append(row)
            tried += 1
        else:
            skipped[row.workflow] += 1
        if limit is not None and skipped.total() + unattended.total() >= _MOST_COUNTED:
            break
    return {name: chosen.get(name, []) for name in chosen.keys() | skipped}, skipped, unattended


@dataclass
class _Group:
    """Runs with one cause."""

    location: str
    message: str
    advice: str
    runs: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


class _Checker:
    """One check."""

    def __init__(self, driver: Driver, seconds: float, deadline: float | None, on_misfit: Callable[[Misfit], None]) -> None:
        self._driver = driver
        self._deadline = deadline
        self._on_misfit = on_misfit
        self._trials = Trials(driver, seconds)

    def close(self) -> None:
        """Stop the threads."""
        self._trials.close()

    def workflow(self, workflow: Workflow[..., Any], rows: list[RunRow], skipped: int) -> WorkflowReport:
        """The report on one workflow's runs."""
        unchecked: list[Unchecked] = []
        views = list(self._views(rows, unchecked))
        evidence = evidence_of(workflow, {pattern(entry.location) for view in views for entry in view.entries})
        fit, frontiers, groups = 0, Counter[tuple[str, str]](), dict[tuple[CauseKind, str, tuple[Line, ...]], _Group]()
        for view in views:
            tried = self._tried(workflow, view, evidence)
            if isinstance(tried, Unchecked):
                unchecked.append(tried)
                continue
            found, proposal = tried
            if proposal is None:
                fit += 1
                frontiers.update({(pattern(location), source) for location, source in found.frontiers.items()})
            else:
                assert found.misfit is not None
                self._on_misfit(Misfit(view.row, view.tried, snapshot(found.misfit)))
                _group(groups, found, proposal).runs.append(view.row.id)
        return WorkflowReport(workflow.name, fit, _frontiers(frontiers), _causes(groups), unchecked, skipped)

    def _tried(
        self, workflow: Workflow[..., Any], view: RunView, evidence: Evidence
    ) -> tuple[Rehearsal, Proposal | None] | Unchecked:
        if self._deadline is not None and time.monotonic() > self._deadline:
            return Unchecked(view.row.id, "the time for the check was over")
        try:
            found = self._trials.rehearse(workflow, view, Trial())
            if found.misfit is not None:
                return found, self._trials.propose(workflow, view, found, evidence)
            why = untried(view)
            return Unchecked(view.row.id, why) if why else (found, None)
        except Effect as effect:
            return Unchecked(view.row.id, str(effect))
        except TooSlow:
            return Unchecked(view.row.id, f"its pass took longer than {self._trials.seconds:g} s")

    def _views(self, rows: list[RunRow], unchecked: list[Unchecked]) -> Iterator[RunView]:
        for row in rows:
            try:
                view = self._driver.load(row.seq)
            except PayloadError as error:
                unchecked.append(Unchecked(row.id, f"it cannot be loaded: {error}"))
                continue
            if view is not None and view.row.status in OPEN:
                yield view


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
