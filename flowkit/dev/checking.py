"""Trying open runs under the code that was just loaded, in a child, before it may touch one of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

from flowkit.check import Cause as CheckCause
from flowkit.check import Line, Misfit, Report, check_runs
from flowkit.client import livecode
from flowkit.core.run import OPEN
from flowkit.definitions import Workflow
from flowkit.dev.protocol import Checked, Fit, Held
from flowkit.dev.settings import IN_FORCE
from flowkit.drivers.base import Driver, RunQuery

__all__ = ["MOST_RUNS", "check_open_runs"]

MOST_RUNS = 500
SECONDS_PER_RUN = IN_FORCE.dev_check_run
SECONDS = IN_FORCE.dev_check_runs
_NOTES = 3
_HISTORY, _CODE = "history has", "the code has"


def check_open_runs(
    driver: Driver, workflows: Mapping[str, Workflow[..., Any]], begins: Callable[[int], None]
) -> tuple[Checked, list[Misfit]]:
    """What became of the newest open runs, and those that do not fit. `begins` is told how many are tried."""
    count = len(driver.runs(RunQuery(statuses=OPEN, limit=MOST_RUNS)))
    begins(count)
    if not count:
        return Checked(), []
    before = {row.id for row in driver.runs(RunQuery(statuses=("blocked",), limit=MOST_RUNS)) if row.workflow in workflows}
    misfits: list[Misfit] = []
    with redirect_stdout(io.StringIO()):  # what a workflow prints, it prints again when it really runs
        report = check_runs(
            driver, workflows, limit=MOST_RUNS, seconds_per_run=SECONDS_PER_RUN, seconds=SECONDS, on_misfit=misfits.append
        )
    unchecked = {missed.run for each in report.workflows for missed in each.unchecked}
    return _checked(report, len(before - {misfit.row.id for misfit in misfits} - unchecked)), misfits


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
    recorded, made, place = _sides(cause.message)
    if place and not cause.lines:
        made = f"{made} at {place}"  # else the lines say where
    return livecode.Cause(
        workflow=workflow, runs=len(cause.runs), recorded=recorded, made=made, location=cause.location,
        source=cause.lines[0].place if cause.lines else "", lines=tuple(line.text for line in cause.lines),
        advice=cause.advice or ("" if cause.lines else cause.message), run_ids=cause.runs,
        missing=cause.missing, places=tuple(map(_place, cause.lines)),
    )  # fmt: skip


def _place(line: Line) -> str:
    beside = f"`{line.code}`" if line.code else "that line"
    return f"`{line.place}`, {line.where} {beside}"


def _sides(message: str) -> tuple[str, str, str]:
    """What history has, what the code makes and where, out of the message that a pass would give; kind and name only."""
    recorded = made = place = ""
    for line in map(str.strip, message.splitlines()):
        if line.startswith(_HISTORY):
            recorded = _named(line.removeprefix(_HISTORY))[0]
        elif line.startswith(_CODE):
            made, place = _named(line.removeprefix(_CODE))
    return recorded, made, place


def _named(side: str) -> tuple[str, str]:
    """``step `charge`    app.py:7`` in its two parts."""
    head, tick, rest = side.strip().rpartition("`")
    return head + tick or rest, rest.strip() if tick else ""
