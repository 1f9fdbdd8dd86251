"""`tag`: put tags on a run and take others off it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flowkit.cli.failure import Failure, refusing
from flowkit.cli.options import as_json, database, run_id
from flowkit.cli.store import find_run, row_of, steering

__all__ = ["tag_command"]


@click.command(
    "tag",
    short_help="Change the tags of a run.",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)  # `-old` is a tag here, so no option of one letter may be known
@run_id
@click.argument("changes", metavar="+TAG|-TAG...", nargs=-1, required=True, type=click.UNPROCESSED)
@database
@as_json
def tag_command(id: str, changes: Sequence[str], db: str, as_json: bool) -> None:
    """Put tags on a run (+vip) and take others off it (-old), whatever its status. What a pass under way sees stays the same.

    \b
    Example:
      flowkit tag order-7 +vip -old
    """
    from flowkit.cli.render import clean, print_json

    wrong = [change for change in changes if change[:1] not in ("+", "-") or change.startswith("--")]
    if wrong:
        raise Failure(f"{wrong[0]!r} is no change of a tag: write +TAG to put one on, -TAG to take one off")
    add, remove = ([change[1:] for change in changes if change[0] == sign] for sign in "+-")
    with steering(db) as flowkit, refusing(ValueError, TypeError):
        run = find_run(flowkit, id)
        flowkit.desk.tag(run.id, add, remove)
        tags = row_of(flowkit, run).tags
    if as_json:
        print_json({"id": run.id, "tags": list(tags)})
    else:
        click.echo(f"{run.id}: {clean(', '.join(tags)) or 'no tags'}")
