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
from flowkit.cli.reporting import reporting

if TYPE_CHECKING:
    from flowkit.client import Flowkit
    from flowkit.definitions import Workflow

__all__ = ["worker_command"]


@click.command("worker", short_help="Work on runs until SIGTERM or Ctrl-C.")
@click.argument("apps", metavar="APP...", nargs=-1, required=True)
@click.option(
    "--concurrency", metavar="N", type=click.IntRange(min=1), default=None, help="Runs in memory. Default: the setting."
)
@click.option("--grace", metavar="DURATION", default=None, help="Time for steps to end. Default: the setting.")
@click.option("--no-logs", is_flag=True, help="Keep nothing of what runs log.")
@click.option("--version", metavar="V", help="The version of this code; else $FLOWKIT_VERSION.")
@click.option("--drain-older", is_flag=True, help="Workers of another version that joined before are to leave.")
@click.option("--hold-if", metavar="N", type=click.IntRange(min=0), help="Drain nobody if this code would hold more than N runs.")
@click.option("--metrics", metavar="[HOST:]PORT", help="Serve figures for Prometheus there, under /metrics.")
@database
@as_json
@show_traceback
def worker_command(
    apps: tuple[str, ...], concurrency: int | None, grace: str | None, no_logs: bool, metrics: str | None, db: str, as_json: bool,
    traceback: bool, version: str | None, drain_older: bool, hold_if: int | None,
) -> None:  # fmt: skip
    """Work on the runs of all workflows of these APPs, or of the one that APP:WORKFLOW names.

    The first SIGTERM or Ctrl-C drains: nothing new begins, steps have --grace to end, and all runs are given back for other
    workers. The second stops at once; what was not recorded is done again by the next worker. With --json a line is printed
    once the worker is ready. --metrics listens on this machine alone unless a HOST is given.

    With --drain-older, workers of these workflows that have another version and joined before are made to drain likewise and
    to exit. Open runs that do not fit this code are held and named first.

    \b
    Example:
      flowkit worker app.py shop.orders:checkout --concurrency 20
    """
    from flowkit.cli.metrics import metrics_at
    from flowkit.cli.observing import observers
    from flowkit.cli.rollout import announce, rollout_of
    from flowkit.cli.working import open_worker, until_stopped
    from flowkit.durations import seconds
    from flowkit.settings import Settings, in_force

    with refusing(ValueError):
        settings = in_force()
        length = settings.grace if grace is None else seconds(grace, "--grace")
        places = settings.concurrency if concurrency is None else Settings(concurrency=concurrency).concurrency
    rollout = rollout_of(version, drain_older, hold_if)
    with reporting(db, apps):
        workflows = _served(apps, traceback)
    kept = None if no_logs else logging.INFO
    looking_on = observers(metrics=metrics is not None)
    with metrics_at(metrics) as server:  # before anything is held or drained: a port in use is refused with nothing done
        if rollout.drains_older:
            announce(db, workflows, hold_if)
        _print_warnings()
        with open_worker(
            db,
            workflows,
            concurrency=places,
            grace=length,
            capture_logs=kept,
            apps=apps,
            looking_on=looking_on,
            rollout=rollout,
        ) as (flowkit, stop):
            if server is not None:
                server.serve(flowkit.metrics)
                click.echo(f"metrics at {server.url}", err=True)
            ready = {"pid": os.getpid(), "db": db, "workflows": sorted(workflows), "concurrency": places}
            _say_ready(ready if server is None else {**ready, "metrics": server.url}, as_json=as_json)
            until_stopped(flowkit, stop)
            _say_leaving(flowkit, length)
    click.echo(f"worker {os.getpid()} has stopped", err=True)


def _say_ready(ready: dict[str, Any], *, as_json: bool) -> None:
    from flowkit.cli.render import print_json

    names = ", ".join(ready["workflows"])
    click.echo(f"worker {ready['pid']} serves {names} in {ready['db']}; Ctrl-C drains and stops it", err=True)
    if as_json:
        print_json(ready, indent=None)
        sys.stdout.flush()


def _say_leaving(flowkit: Flowkit, grace: float) -> None:
    if newer := flowkit.relieved:
        click.echo(f"worker {os.getpid()} makes room for {newer}", err=True)
    held = 0 if flowkit.worker is None else flowkit.worker.held()
    if held:
        click.echo(f"worker {os.getpid()} drains {held} runs, up to {grace:g} s; a second signal stops at once", err=True)


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
