"""Trying open runs under the code that was just loaded, in a child, before it may touch one of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from flowkit.check import Cause as CheckCause
from flowkit.check import Report, check_runs
from flowkit.client import livecode
from flowkit.core.run import OPEN
from flowkit.definitions import Workflow
from flowkit.dev.protocol import Checked, Fit, Held
from flowkit.drivers.base import Driver, RunQuery

__all__ = ["MOST_RUNS", "check_open_runs"]

MOST_RUNS = 500
SECONDS_PER_RUN = 0.2
SECONDS = 2.0
_NOTES = 3


def check_open_runs(
    driver: Driver, workflows: Mapping[str, Workflow[..., Any]], begins: Callable[[int], None]
) -> tuple[Checked, list[str]]:
    """What became of the newest open runs, and the ids of those that do not fit. `begins` is told how many are tried."""
    count = len(driver.runs(RunQuery(statuses=OPEN, limit=MOST_RUNS)))
    begins(count)
    if not count:
        return Checked(), []
    before = {row.id for row in driver.runs(RunQuery(statuses=("blocked",), limit=MOST_RUNS)) if row.workflow in workflows}
    with redirect_stdout(io.StringIO()):  # what a workflow prints, it prints again when it really runs
        report = check_runs(driver, workflows, limit=MOST_RUNS, seconds_per_run=SECONDS_PER_RUN, seconds=SECONDS)
    misfits = [run for each in report.workflows for cause in each.causes for run in cause.runs]
    unchecked = {missed.run for each in report.workflows for missed in each.unchecked}
    return _checked(report, len(before - set(misfits) - unchecked)), misfits


def _checked(report: Report, freed: int) -> Checked:
    why = {missed.why: missed.run for each in report.workflows for missed in each.unchecked}
    return Checked(
        fits=tuple(
            Fit(workflow=each.workflow, fits=each.fit, held=each.held, unchecked=len(each.unchecked) + each.skipped)
            for each in report.workflows
        ),
        held=tuple(
            Held(cause=_live(each.workflow, cause), lines=cause.lines) for each in report.workflows for cause in each.causes
        ),
        freed=freed,
        unattended=dict(report.unattended),
        notes=tuple(f"{run} was not checked: {reason}" for reason, run in list(why.items())[:_NOTES]),
    )


def _live(workflow: str, cause: CheckCause) -> livecode.Cause:
    recorded, made = _sides(cause.message)
    return livecode.Cause(
        workflow=workflow, runs=len(cause.runs), recorded=recorded, made=made, location=cause.location,
        source=cause.lines[0].place if cause.lines else "", lines=tuple(line.text for line in cause.lines),
        advice=cause.advice or ("" if cause.lines else cause.message), run_ids=cause.runs[:50],
    )  # fmt: skip


def _sides(message: str) -> tuple[str, str]:
    """What history has and what the code has, out of the message that a pass would give."""
    found = {"history has": "", "the code has": ""}
    for line in message.splitlines():
        for side in found:
            if line.strip().startswith(side):
                found[side] = " ".join(line.strip().removeprefix(side).split())
    return found["history has"], found["the code has"]
