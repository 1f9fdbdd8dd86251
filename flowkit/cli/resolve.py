"""`resolve`: give the outcome of the step that stopped a failed run, by hand.

With `--app` the step's code decides whether a value fits; without it JSON is taken as it is, and the record says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flowkit.cli.app import workflows_of
from flowkit.cli.failure import NOT_FOUND, Failure, refusing
from flowkit.cli.options import as_json, database, run_id, show_traceback
from flowkit.cli.store import find_run, row_of, steering

if TYPE_CHECKING:
    from flowkit.client.resolving import Form

__all__ = ["resolve_command"]


@click.command("resolve", short_help="Give the outcome of the step that stopped a run, or that a fork asks for.")
@run_id
@click.argument("step", metavar="[STEP]", required=False)
@click.option("--value", metavar="JSON", help="What the step gave.")
@click.option("--nothing", is_flag=True, help="The step gave nothing (None).")
@click.option("--raise", "error", metavar="TYPE", help="The step failed with this exception.")
@click.option("--text", metavar="TEXT", default="", help="The text of the exception.")
@click.option("--again", is_flag=True, help="Try the step again.")
@click.option("--real", is_flag=True, help="Run for real what a fork asks for.")
@click.option("--arg", "args", metavar="NAME=JSON", multiple=True, help="Try again with this argument in place of the code's.")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the history.")
@click.option("--no-rollback", is_flag=True, help="Do not give the value to the step's rollback.")
@click.option("--app", metavar="APP", help="The code by which the value is checked.")
@database
@as_json
@show_traceback
def resolve_command(
    id: str, step: str | None, value: str | None, nothing: bool, error: str | None, text: str, again: bool, real: bool,
    args: Sequence[str], reason: str, no_rollback: bool, app: str | None, db: str, as_json: bool, traceback: bool,
) -> None:  # fmt: skip
    """Give the outcome of the step that stopped a failed run, and let the run go on. STEP is its location, needed only where
    several steps stopped the run. Exactly one of --value, --nothing, --raise and --again (or --arg) says what it was.

    For a fork: answer what it asks. --real runs the step (or send, or rollback) for real; otherwise the fork goes on with what
    you give.

    \b
    Example:
      flowkit resolve order-7 --value '{"receipt": "by phone"}' --reason "charged by phone" --app app.py
      flowkit resolve order-7 --raise CardDeclined --text "the bank said no" --reason "asked the bank"
      flowkit resolve order-7 --arg cents=400 --reason "a discount was agreed"
      flowkit resolve order-7-fork-1a2b3c4d charge --real --reason "a test account"
    """
    from flowkit.cli.render import STATES, print_json
    from flowkit.client.resolving import decided_outside

    form = _form(value, nothing, error, text, again or real, args, reason, not no_rollback)
    known = workflows_of(app, traceback=traceback) if app is not None else {}
    with steering(db) as flowkit, refusing(ValueError, TypeError):
        run = find_run(flowkit, id)
        for workflow in known.values():
            flowkit.desk.meet(workflow)
        name = row_of(flowkit, run).workflow
        if app is not None and flowkit.desk.workflow_named(name) is None:
            raise Failure(f"{app} has no workflow {name!r}", NOT_FOUND)
        before, most = run.status(), flowkit.settings.max_payload
        flowkit.desk.resolve(run.id, step, lambda location, code: decided_outside(location, code, form, most))
        status = run.status()
    if as_json:
        print_json({"id": run.id, "before": before, "status": status})
    else:
        click.echo(f"{run.id}: {STATES[status][0]} {status} (was {before})")


def _form(
    value: str | None, nothing: bool, error: str | None, text: str, again: bool, args: Sequence[str], reason: str, rollback: bool
) -> Form:
    from flowkit.cli.arguments import read_json
    from flowkit.client.resolving import Form

    given = {"value": value is not None, "nothing": nothing, "error": error is not None, "again": again or bool(args)}
    ways = [how for how, chosen in given.items() if chosen]
    if len(ways) != 1:
        raise Failure("give exactly one of --value, --nothing, --raise, and --again (--real) or --arg")
    if text and error is None:
        raise Failure("--text goes with --raise: it is the text of the exception")
    changed = {}
    for pair in args:
        name, equals, document = pair.partition("=")
        if not equals:
            raise Failure(f"--arg {pair!r} is not NAME=JSON")
        changed[name] = read_json(document, f"the argument {name}")
    return Form(
        how=ways[0], reason=reason, value=None if value is None else read_json(value, "the value"), type=error or "", text=text,
        args=changed, rollback=rollback,
    )  # fmt: skip
