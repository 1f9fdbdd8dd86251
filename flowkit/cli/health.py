"""`health`: whether anybody serves the workflows, and what keeps workers from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.failure import FAILED
from flowkit.cli.options import as_json, database

if TYPE_CHECKING:
    from flowkit.core.health import Report, WorkflowHealth

__all__ = ["health_command"]


@click.command("health", short_help="Say who serves the workflows, and what keeps workers from it.")
@click.argument("workflow", metavar="[WORKFLOW]", required=False)
@database
@as_json
def health_command(workflow: str | None, db: str, as_json: bool) -> None:
    """Say for each workflow, or for one, whether a live worker serves it, and what workers have reported that cannot.

    The exit code is 1 if a workflow with open runs has nobody to serve it, or any worker fails to serve what it should.

    \b
    Example:
      flowkit health --db orders.db
    """
    from flowkit.cli.render import print_json
    from flowkit.cli.store import looking

    with looking(db) as flowkit:
        health, now = flowkit.health(workflow), flowkit.house.clock.now()
    if as_json:
        print_json({"ok": health.ok, "workflows": [_data(each) for each in health.workflows]})
    else:
        for each in health.workflows:
            _print(each, now)
        if not health.workflows:
            click.echo("no workflow has an open run or a worker")
    if not health.ok:
        raise SystemExit(FAILED)


def _data(health: WorkflowHealth) -> dict[str, Any]:
    return {
        "workflow": health.workflow, "status": health.status, "since": health.since, "reason": health.reason,
        "workers": list(health.workers), "failing": list(health.failing), "reports": [_report(each) for each in health.reports],
    }  # fmt: skip


def _report(report: Report) -> dict[str, Any]:
    return {
        "kind": report.kind, "type": report.type, "message": report.line, "place": report.place, "worker": report.source,
        "since": report.since, "last": report.last, "count": report.count,
    }  # fmt: skip


def _print(health: WorkflowHealth, now: float) -> None:
    from flowkit.cli.render import clean, when

    if health.only_misfits:
        workers = clean(", ".join(health.workers + health.failing))
        click.echo(f"{clean(health.workflow)}: served by {workers}, but some runs are held by code")
    elif health.workers:
        click.echo(f"{clean(health.workflow)}: served by {clean(', '.join(health.workers))}")
    else:
        since = "" if health.since is None else f" since {when(health.since, now)}"
        reason = "" if health.reports else f": {health.reason}"
        click.echo(f"{clean(health.workflow)}: nobody runs it{since}{reason}")
    for report in health.reports:
        often = f", {report.count} times since {when(report.since, now)}" if report.count > 1 else ""
        click.echo(f"  {clean(str(report))}{often}")
