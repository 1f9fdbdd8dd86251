"""`run` and `start`: beginning a run from the shell, and for `run` seeing it through.

`run` works on it in this very process, and on other due runs of the same workflow as any worker would. It may be killed at
any moment: the id is all that is needed to go on, so it is told whenever the run is left unfinished.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.app import one_workflow
from flowkit.cli.failure import FAILED, Failure, refusing
from flowkit.cli.options import DATABASE, as_json, database, show_traceback
from flowkit.cli.starting import wish
from flowkit.cli.store import described, file_of, steering

if TYPE_CHECKING:
    from flowkit.cli.working import Stop
    from flowkit.client import Flowkit, Run
    from flowkit.errors import ErrorInfo

__all__ = ["run_command", "start_command"]

INTERRUPTED = 130


@click.command("run", short_help="Start a run, wait for it and print its output.")
@click.argument("app", metavar="APP:WORKFLOW")
@click.argument("args", metavar="[ARGS as JSON]...", nargs=-1)
@click.option("--arg", "named", metavar="NAME=JSON", multiple=True, help="An argument by its name; may be repeated.")
@click.option("--id", metavar="ID", help="The run's id. A run that exists goes on; without one, an id is made up.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag for the run; may be repeated.")
@click.option(
    "--fail-fast",
    metavar="DURATION|off",
    default="3s",
    show_default=True,
    help="Stop waiting when nobody has been able to work on the run for this long; it stays.",
)
@database
@as_json
@show_traceback
def run_command(
    app: str, args: tuple[str, ...], named: tuple[str, ...], id: str | None, tags: tuple[str, ...], fail_fast: str, db: str,
    as_json: bool, traceback: bool,
) -> None:  # fmt: skip
    """Start a run, wait for it and print its output as JSON.

    Each of ARGS is one argument of the workflow, as JSON, and becomes what its annotation says: a dataclass from an object, a
    datetime from text. A run with this --id that exists goes on where it stood, which needs the same ARGS or none at all.

    \b
    Example:
      flowkit run app.py:checkout '{"id": 7, "cents": 4200}' --id order-7
      flowkit run app.py:greet '"Ada"' --arg times=3
    """
    from flowkit.cli.working import open_worker
    from flowkit.durations import seconds

    with refusing(ValueError):
        patience = None if fail_fast == "off" else seconds(fail_fast, "--fail-fast")
    with redirect_stdout(sys.stderr):  # what the code prints must not mix with the output
        workflow = one_workflow(app, traceback=traceback)
        asked = wish(workflow, id, args, named, tags, resumes=True)
        if asked.lacks is not None and (file := file_of(db)) is not None and not file.exists():
            raise asked.lacks
        with open_worker(db, {workflow.name: workflow}) as (flowkit, stop):
            run = asked.begin(flowkit)
            again = ["flowkit", "run", app, "--id", run.id, *([] if db == DATABASE else ["--db", db])]
            ending = _see_through(flowkit, run, stop, shlex.join(again), patience)
    _print_ending(run.id, ending, as_json=as_json, traceback=traceback)


@click.command("start", short_help="Start a run for a worker to work on.")
@click.argument("app", metavar="APP:WORKFLOW")
@click.argument("args", metavar="[ARGS as JSON]...", nargs=-1)
@click.option("--arg", "named", metavar="NAME=JSON", multiple=True, help="An argument by its name; may be repeated.")
@click.option("--id", metavar="ID", help="The run's id; without one, an id is made up.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag for the run; may be repeated.")
@click.option("--delay", metavar="DURATION", default="0s", help='How long the run waits before it begins, e.g. "90s" or "2h".')
@click.option("--reject", is_flag=True, help="Refuse an id that exists, the same input or not.")
@database
@as_json
@show_traceback
def start_command(
    app: str, args: tuple[str, ...], named: tuple[str, ...], id: str | None, tags: tuple[str, ...], delay: str, reject: bool,
    db: str, as_json: bool, traceback: bool,
) -> None:  # fmt: skip
    """Start a run and print its id; `flowkit worker` works on it.

    Starting the same id with the same input again changes nothing.

    \b
    Example:
      flowkit start app.py:checkout '{"id": 7, "cents": 4200}' --id order-7 --delay 2h
    """
    from flowkit.cli.render import print_json

    workflow = one_workflow(app, traceback=traceback)
    with refusing(ValueError, TypeError):
        workflow = workflow.options(delay=delay, if_exists="reject" if reject else "return")
    asked = wish(workflow, id, args, named, tags)
    with steering(db, create=True) as flowkit:
        run = asked.begin(flowkit)
        status = run.status()
    if as_json:
        print_json({"id": run.id, "workflow": workflow.name, "created": run.created, "status": status})
    else:
        click.echo(run.id)
        if not run.created:
            click.echo(f"run {run.id} existed already, with the same input; it is {status}", err=True)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a run ended; `output` is plain data."""

    status: str
    output: object
    error: ErrorInfo | None


def _see_through(flowkit: Flowkit, run: Run[Any], stop: Stop, again: str, fail_fast: float | None) -> _Ending:
    """Wait for the end of the run. Whoever interrupts is told with which command it goes on."""
    from flowkit.cli.following import follow

    status = follow(flowkit, run, stop, fail_fast)
    if status is None:
        click.echo(f"\nstopping run {run.id}; a second Ctrl-C stops at once", err=True)
        click.echo(f"it goes on where it stood with:\n  {again}", err=True)
        raise SystemExit(INTERRUPTED)
    if status == "completed":
        return _Ending(status, described(flowkit, run, "output"), None)
    return _Ending(status, None, run.error())


def _print_ending(id: str, ending: _Ending, *, as_json: bool, traceback: bool) -> None:
    from flowkit.cli.render import error_data, print_json

    if as_json:
        print_json({"id": id, "status": ending.status, "output": ending.output, "error": error_data(ending.error)})
    elif ending.status == "completed":
        print_json(ending.output)
    if ending.status != "completed":
        raise Failure(_ending_text(id, ending.status, ending.error, traceback), FAILED)


def _ending_text(id: str, status: str, error: ErrorInfo | None, traceback: bool) -> str:
    from flowkit.cli.render import cause_of, error_place

    reason = {"cancelled": "was cancelled", "blocked": "is blocked"}.get(status, "failed")
    text = f"run {id} {reason}{f': {error}' if error is not None else ''}"
    if error is not None and (line := error_place(error)):
        text += f" ({line})"
    if error is not None and traceback:
        text += f"\n{(cause_of(error) or error).traceback.rstrip()}"
    if status == "failed":
        text += f"\n  flowkit history {shlex.quote(id)}   shows what happened"
        text += f"\n  flowkit recover {shlex.quote(id)}   lets it go on where it failed"
    return text
