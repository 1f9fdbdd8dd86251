"""`worker`: serves the workflows of some APPs until it is asked to stop."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.app import workflows_of
from flowkit.cli.failure import USAGE, Failure, refusing
from flowkit.cli.options import as_json, database, show_traceback
from flowkit.cli.working import GRACE_SECONDS

if TYPE_CHECKING:
    from flowkit.definitions import Workflow

__all__ = ["worker_command"]


@click.command("worker", short_help="Work on runs until SIGTERM or Ctrl-C.")
@click.argument("apps", metavar="APP...", nargs=-1, required=True)
@click.option("--concurrency", metavar="N", type=click.IntRange(min=1), default=100, show_default=True, help="Runs in memory.")
@click.option("--grace", metavar="DURATION", default=f"{GRACE_SECONDS:g}s", show_default=True, help="Time for steps to end.")
@click.option("--no-logs", is_flag=True, help="Keep nothing of what runs log.")
@database
@as_json
@show_traceback
def worker_command(
    apps: tuple[str, ...], concurrency: int, grace: str, no_logs: bool, db: str, as_json: bool, traceback: bool
) -> None:
    """Work on the runs of all workflows of these APPs, or of the one that APP:WORKFLOW names.

    The first SIGTERM or Ctrl-C drains: nothing new begins, steps have --grace to end, and all runs are given back for other
    workers. The second stops at once; what was not recorded is done again by the next worker. With --json a line is printed
    once the worker is ready.

    \b
    Example:
      flowkit worker app.py shop.orders:checkout --concurrency 20
    """
    from flowkit.cli.render import print_json
    from flowkit.cli.working import open_worker, until_stopped
    from flowkit.durations import seconds

    with refusing(ValueError):
        length = seconds(grace, "--grace")
    workflows = _served(apps, traceback)
    _print_warnings()
    names = ", ".join(sorted(workflows))
    kept = None if no_logs else logging.INFO
    with open_worker(db, workflows, concurrency=concurrency, grace=length, capture_logs=kept) as (flowkit, stop):
        click.echo(f"worker {os.getpid()} serves {names} in {db}; Ctrl-C drains and stops it", err=True)
        if as_json:
            print_json({"pid": os.getpid(), "db": db, "workflows": sorted(workflows), "concurrency": concurrency}, indent=None)
            sys.stdout.flush()
        until_stopped(flowkit, stop)
        held = 0 if flowkit.worker is None else flowkit.worker.held()
        if held:
            click.echo(f"worker {os.getpid()} drains {held} runs, up to {length:g} s; a second signal stops at once", err=True)
    click.echo(f"worker {os.getpid()} has stopped", err=True)


def _print_warnings() -> None:
    """Unless the APPs say how their records are printed. Records of INFO are made all the same: they are kept with their runs."""
    printing = logging.StreamHandler(sys.stderr)
    printing.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[printing])


def _served(apps: tuple[str, ...], traceback: bool) -> dict[str, Workflow[..., Any]]:
    served: dict[str, Workflow[..., Any]] = {}
    for app in apps:
        for name, workflow in workflows_of(app, traceback=traceback).items():
            if served.get(name, workflow) is not workflow:
                raise Failure(f"two workflows are named {name!r}, one of them in {app}. Give one another name=.", USAGE)
            served[name] = workflow
    return served
