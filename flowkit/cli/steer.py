"""`send`, `wake`, `cancel`, `evict`, `pause`, `resume`, `recover` and `replay`: one verb of `Run` each.

Each is durable when the command returns, and says what the run's status is then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.failure import NOT_FOUND, refusing
from flowkit.cli.options import as_json, database, run_id
from flowkit.cli.store import find_run, steering

if TYPE_CHECKING:
    from flowkit.client import Run

__all__ = [
    "cancel_command",
    "evict_command",
    "pause_command",
    "recover_command",
    "replay_command",
    "resume_command",
    "send_command",
    "wake_command",
]


@click.command("send", short_help="Send a message to a run.")
@run_id
@click.argument("name", metavar="NAME")
@click.argument("data", metavar="[JSON]", required=False)
@click.option("--key", metavar="KEY", help="The same key to the same run is delivered once.")
@database
@as_json
def send_command(id: str, name: str, data: str | None, key: str | None, db: str, as_json: bool) -> None:
    """Send a message to a run, with JSON as its data.

    \b
    Example:
      flowkit send order-7 shipment-confirmed '{"tracking": "1Z"}' --key shipment-1
    """
    from flowkit.cli.arguments import read_json
    from flowkit.cli.render import print_json

    value = None if data is None else read_json(data, "the message")
    with steering(db) as flowkit, refusing(ValueError, TypeError):
        run = find_run(flowkit, id)
        run.send(name, value, key=key)
        status = run.status()
    if as_json:
        print_json({"id": run.id, "sent": name, "key": key, "status": status})
    else:
        click.echo(f"sent {name} to {run.id}")


def _steer(id: str, db: str, as_json: bool, verb: Callable[[Run[Any]], None]) -> None:
    """Do `verb` to the run and say what became of it."""
    from flowkit.cli.render import STATES, print_json

    with steering(db) as flowkit:
        run = find_run(flowkit, id)
        before = run.status()
        verb(run)
        status = run.status()
    if as_json:
        print_json({"id": run.id, "before": before, "status": status})
    else:
        click.echo(f"{run.id}: {STATES[status][0]} {status}{'' if before == status else f' (was {before})'}")


@click.command("wake", short_help="Make a waiting run due now.")
@run_id
@database
@as_json
def wake_command(id: str, db: str, as_json: bool) -> None:
    """Make a waiting run due now. What is not due in it goes back to waiting.

    \b
    Example:
      flowkit wake order-7
    """
    _steer(id, db, as_json, lambda run: run.wake())


@click.command("cancel", short_help="End a run.")
@run_id
@click.option("--rollback", is_flag=True, help="Undo what was done first: the rollbacks run, newest first.")
@database
@as_json
def cancel_command(id: str, rollback: bool, db: str, as_json: bool) -> None:
    """End a run: after this, no write of it can land. One that has ended stays as it is.

    \b
    Example:
      flowkit cancel order-7 --rollback
    """
    _steer(id, db, as_json, lambda run: run.cancel(rollback=rollback))


@click.command("evict", short_help="Take a run off its worker.")
@run_id
@database
@as_json
def evict_command(id: str, db: str, as_json: bool) -> None:
    """Stop a run on its worker without failing it; any worker goes on with it.

    \b
    Example:
      flowkit evict order-7
    """
    _steer(id, db, as_json, lambda run: run.evict())


@click.command("pause", short_help="Let nothing new begin in a run.")
@run_id
@database
@as_json
def pause_command(id: str, db: str, as_json: bool) -> None:
    """Let nothing new begin in a run until `flowkit resume`.

    \b
    Example:
      flowkit pause order-7
    """
    _steer(id, db, as_json, lambda run: run.pause())


@click.command("resume", short_help="Let a paused or blocked run go on.")
@run_id
@database
@as_json
def resume_command(id: str, db: str, as_json: bool) -> None:
    """Let a paused or blocked run go on. On any other this does nothing.

    \b
    Example:
      flowkit resume order-7
    """
    _steer(id, db, as_json, lambda run: run.resume())


@click.command("recover", short_help="Let a failed run go on where it failed.")
@run_id
@database
@as_json
def recover_command(id: str, db: str, as_json: bool) -> None:
    """Let a failed run go on: what failed starts over with fresh attempts. On any other this does nothing.

    \b
    Example:
      flowkit recover order-7
    """
    _steer(id, db, as_json, lambda run: run.recover())


@click.command("replay", short_help="Let a run start over, or from one entry on.")
@run_id
@click.option("--from", "from_step", metavar="STEP", help="The location to start over from, as `flowkit history` shows it.")
@database
@as_json
def replay_command(id: str, from_step: str | None, db: str, as_json: bool) -> None:
    """Let a run start over from its top, or from one entry: that and all later ones are set aside and done again.

    \b
    Example:
      flowkit replay order-7 --from notify
    """
    with refusing(ValueError, code=NOT_FOUND):
        _steer(id, db, as_json, lambda run: run.replay(from_step))
