"""`fork`: a new run with another one's history before an entry, and that entry changed. It is fenced: it asks before it acts.

With `--app` the step's code decides whether a value fits; without it JSON is taken as it is, and the record says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.app import workflows_of
from flowkit.cli.failure import NOT_FOUND, Failure, refusing
from flowkit.cli.options import as_json, database, run_id, show_traceback
from flowkit.cli.store import find_run, row_of, steering

if TYPE_CHECKING:
    from flowkit.client.forking import ForkForm

__all__ = ["fork_command"]


@click.command("fork", short_help="Try what a run would do if one thing were different.")
@run_id
@click.argument("at", metavar="ENTRY")
@click.option("--value", metavar="JSON", help="What the step gave instead.")
@click.option("--nothing", is_flag=True, help="The step gave nothing (None).")
@click.option("--raise", "error", metavar="TYPE", help="The step failed with this exception.")
@click.option("--text", metavar="TEXT", default="", help="The text of the exception.")
@click.option("--message", metavar="JSON", help="The data of the message that was received instead.")
@click.option("--name", metavar="NAME", help="The message's name, where none came or another is meant.")
@click.option("--id", "new_id", metavar="NEW", help="The id of the fork.")
@click.option("--reason", metavar="TEXT", help="Why; kept in the history.")
@click.option("--app", metavar="APP", help="The code by which the value is checked.")
@database
@as_json
@show_traceback
def fork_command(
    id: str, at: str, value: str | None, nothing: bool, error: str | None, text: str, message: str | None, name: str | None,
    new_id: str | None, reason: str | None, app: str | None, db: str, as_json: bool, traceback: bool,
) -> None:  # fmt: skip
    """Make a new run with the history of run ID before ENTRY (a location or a number, as `flowkit history` shows them), and that
    entry changed. Exactly one of --value, --nothing, --raise and --message says how.

    The fork takes from the original what is equal. Where it would do anything else it pauses and asks: answer it with
    `flowkit resolve`. The original stays as it is.

    \b
    Example:
      flowkit fork order-7 price --value 250 --app app.py
      flowkit fork order-7 41 --raise CardDeclined --text "no credit"
      flowkit fork order-7 address --message '"Oslo"' --id order-7-to-oslo
    """
    from flowkit.cli.render import STATES, print_json
    from flowkit.client.forking import changed_outside

    form = _form(value, nothing, error, text, message, name, reason)
    known = workflows_of(app, traceback=traceback) if app is not None else {}
    with steering(db) as flowkit, refusing(ValueError, TypeError):
        run = find_run(flowkit, id)
        for workflow in known.values():
            flowkit.desk.meet(workflow)
        workflow_name = row_of(flowkit, run).workflow
        if app is not None and flowkit.desk.workflow_named(workflow_name) is None:
            raise Failure(f"{app} has no workflow {workflow_name!r}", NOT_FOUND)
        most, now = flowkit.settings.max_payload, flowkit.house.clock.now()
        place: str | int = int(at) if at.isascii() and at.isdigit() and len(at) < 19 else at
        made, _ = flowkit.desk.fork(run.id, place, lambda entry, step: changed_outside(entry, step, form, now, most), id=new_id)
        status = flowkit.get(made).status()
    if as_json:
        print_json({"id": made, "fork_of": run.id, "at": at, "status": status})
    else:
        click.echo(f"{made}: {STATES[status][0]} {status}, a fork of {run.id} at {at}")


def _form(
    value: str | None, nothing: bool, error: str | None, text: str, message: str | None, name: str | None, reason: str | None
) -> ForkForm:
    from flowkit.cli.arguments import read_json
    from flowkit.client.forking import DEFAULT_REASON, ForkForm

    given = {"value": value is not None, "nothing": nothing, "error": error is not None, "message": message is not None}
    ways = [how for how, chosen in given.items() if chosen]
    if len(ways) != 1:
        raise Failure("give exactly one of --value, --nothing, --raise and --message")
    if text and error is None:
        raise Failure("--text goes with --raise: it is the text of the exception")
    if name is not None and message is None:
        raise Failure("--name goes with --message: it is the name of that message")
    what: Any = None
    if value is not None:
        what = read_json(value, "the value")
    elif message is not None:
        what = read_json(message, "the message")
    return ForkForm(
        how=ways[0], reason=DEFAULT_REASON if reason is None else reason, value=what, type=error or "", text=text, name=name
    )
