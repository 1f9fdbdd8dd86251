"""`run` and `start`: beginning a run from the shell, and for `run` seeing it through.

`run` works on it in this very process, and on other due runs of the same workflow as any worker would. It may be killed at
any moment: the id is all that is needed to go on, so it is told whenever the run is left unfinished.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.app import one_workflow
from flowkit.cli.arguments import arguments_of
from flowkit.cli.failure import FAILED, Failure, refusing
from flowkit.cli.options import DATABASE, as_json, database, show_traceback
from flowkit.cli.store import steering

if TYPE_CHECKING:
    from flowkit.client import Flowkit, Run
    from flowkit.definitions import Workflow
    from flowkit.errors import ErrorInfo

__all__ = ["run_command", "start_command"]

INTERRUPTED = 130


@click.command("run", short_help="Start a run, wait for it and print its output.")
@click.argument("app", metavar="APP:WORKFLOW")
@click.argument("args", metavar="[ARGS as JSON]...", nargs=-1)
@click.option("--arg", "named", metavar="NAME=JSON", multiple=True, help="An argument by its name; may be repeated.")
@click.option("--id", metavar="ID", help="The run's id. A run that exists goes on; without one, an id is made up.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="A tag for the run; may be repeated.")
@database
@as_json
@show_traceback
def run_command(
    app: str, args: tuple[str, ...], named: tuple[str, ...], id: str | None, tags: tuple[str, ...], db: str, as_json: bool,
    traceback: bool,
) -> None:  # fmt: skip
    """Start a run, wait for it and print its output as JSON.

    Each of ARGS is one argument of the workflow, as JSON, and becomes what its annotation says: a dataclass from an object, a
    datetime from text. A run with this --id that exists goes on where it stood, which needs the same ARGS or none at all.

    \b
    Example:
      flowkit run app.py:checkout '{"id": 7, "cents": 4200}' --id order-7
      flowkit run app.py:greet '"Ada"' --arg times=3
    """
    from flowkit.cli.following import follow
    from flowkit.cli.working import open_worker

    workflow = one_workflow(app, traceback=traceback)
    values, keywords = arguments_of(workflow, args, named) if args or named or id is None else ((), {})
    with open_worker(db, {workflow.name: workflow}) as flowkit:
        run = _begin(flowkit, workflow, id, tags, values, keywords, resumes=not args and not named)
        again = f"flowkit run {shlex.quote(app)} --id {shlex.quote(run.id)}{'' if db == DATABASE else f' --db {shlex.quote(db)}'}"
        try:
            with redirect_stdout(sys.stderr):  # what the code prints must not mix with the output
                status = follow(flowkit, run)
        except KeyboardInterrupt:
            click.echo(f"\nstopping run {run.id}; a second Ctrl-C stops at once", err=True)
            click.echo(f"it goes on where it stood with:\n  {again}", err=True)
            raise SystemExit(INTERRUPTED) from None
        _print_result(flowkit, run, status, as_json=as_json, traceback=traceback)


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
    values, keywords = arguments_of(workflow, args, named)
    with refusing(ValueError, TypeError):
        workflow = workflow.options(delay=delay, if_exists="reject" if reject else "return")
    with steering(db, create=True) as flowkit:
        run = _begin(flowkit, workflow, id, tags, values, keywords)
        status = run.status()
    if as_json:
        print_json({"id": run.id, "workflow": workflow.name, "created": run.created, "status": status})
    else:
        click.echo(run.id)
        if not run.created:
            click.echo(f"run {run.id} existed already, with the same input; it is {status}", err=True)


def _begin(
    flowkit: Flowkit, workflow: Workflow[..., Any], id: str | None, tags: tuple[str, ...],
    values: tuple[Any, ...], keywords: dict[str, Any], *, resumes: bool = False,
) -> Run[Any]:  # fmt: skip
    with refusing(ValueError, TypeError):
        if resumes and id is not None and (known := _known(flowkit, workflow, id)) is not None:
            return known
        if tags:
            workflow = workflow.options(tags=(*workflow.launch.tags, *tags))
        if resumes:
            values, keywords = arguments_of(workflow, (), ())
        return flowkit.start(id, workflow, *values, **keywords)


def _known(flowkit: Flowkit, workflow: Workflow[..., Any], id: str) -> Run[Any] | None:
    """The run with this id if it is one of this workflow."""
    row = flowkit.driver.get(id)
    return flowkit.get(id) if row is not None and row.workflow == workflow.name else None


def _print_result(flowkit: Flowkit, run: Run[Any], status: str, *, as_json: bool, traceback: bool) -> None:
    from flowkit.cli.render import error_data, print_json, to_data

    error = None if status == "completed" else run.error()
    output = to_data(run.output()) if status == "completed" else None
    if as_json:
        print_json({"id": run.id, "status": status, "output": output, "error": error_data(error)})
    elif status == "completed":
        print_json(output)
    if status != "completed":
        raise Failure(_ending(run.id, status, error, traceback), FAILED)


def _ending(id: str, status: str, error: ErrorInfo | None, traceback: bool) -> str:
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
