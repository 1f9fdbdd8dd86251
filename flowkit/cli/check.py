"""`check`: whether the runs that are open fit the code of an APP, and the lines that would make them fit."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from flowkit.cli.app import workflows_of
from flowkit.cli.failure import FAILED
from flowkit.cli.options import as_json, database, show_traceback
from flowkit.cli.store import looking

if TYPE_CHECKING:
    from flowkit.check import Cause, Report, WorkflowReport

__all__ = ["check_command"]

_SHOWN = 5


@click.command("check", short_help="Try open runs under new code.")
@click.argument("app", metavar="APP")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Check the N newest open runs of each workflow (default: all)."
)
@click.option("--seconds", type=click.FloatRange(min=0.001), default=1.0, show_default=True, help="Time for one run.")
@database
@as_json
@show_traceback
def check_command(app: str, limit: int | None, seconds: float, db: str, as_json: bool, traceback: bool) -> None:
    """Try every open run under the code of APP: how many fit, and for the others the line to paste and where.

    No step runs and nothing is written; the lines that are shown have been tried. What a workflow prints meanwhile is
    dropped. The exit code is 1 if a run would be held.

    \b
    Example:
      flowkit check app.py --db orders.db
    """
    from flowkit.check import check_runs
    from flowkit.cli.render import print_json

    workflows = workflows_of(app, traceback=traceback)
    with looking(db) as flowkit, redirect_stdout(io.StringIO()):
        report = check_runs(flowkit.driver, workflows, limit=limit, seconds_per_run=seconds)
    if as_json:
        print_json({"held": report.held, **asdict(report)})
    else:
        _print(report)
    if report.held:
        raise SystemExit(FAILED)


def _print(report: Report) -> None:
    if not report.workflows and not report.unattended:
        click.echo("no open runs")
    for each in report.workflows:
        _print_workflow(each)
    for name, runs in report.unattended.items():
        click.echo(f"{name}  {_runs(runs)} open, and no code for it here: they would be left alone")


def _print_workflow(report: WorkflowReport) -> None:
    held = f", {report.held} held" if report.held else ""
    total = report.fit + report.held + len(report.unchecked)
    click.echo(f"{report.workflow}  {_runs(total)} open: {report.fit} fit{held}")
    for frontier in report.frontiers:
        place = f"{frontier.location}  {frontier.source}" if frontier.location else "the end of the workflow"
        click.echo(f"  {frontier.runs:>6} would go on at {place}")
    for cause in report.causes:
        _print_cause(report.workflow, cause)
    for missed in report.unchecked:
        click.echo(f"  not checked: {missed.run}, {missed.why}")
    if report.skipped:
        click.echo(f"  not checked: {report.skipped} older runs")


def _print_cause(workflow: str, cause: Cause) -> None:
    from flowkit.cli.render import clean

    click.echo(f"\nHELD  {_runs(len(cause.runs))} of {workflow}: {_listed(cause.runs)}")
    _, *rows = cause.message.splitlines()
    for row in rows:
        if row.startswith("  "):
            click.echo(clean(f"    {row.strip()}"))
    for line in cause.lines:
        click.echo(clean(f"  {line.where} {line.place}  {line.code}".rstrip()))
        click.echo(clean(f"      {line.text}"))
    if cause.advice:
        click.echo(clean(f"  {cause.advice}"))


def _listed(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(runs[:_SHOWN]) + more


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
