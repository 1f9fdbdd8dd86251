"""`prune`: deletes ended runs with all that belongs to them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import click

from flowkit.cli.failure import refusing
from flowkit.cli.options import as_json, database
from flowkit.cli.store import looking, steering

__all__ = ["prune_command"]

_ENDS = ("completed", "failed", "cancelled")


@click.command("prune", short_help="Delete ended runs.")
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(_ENDS), help="Only these; may be repeated.")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--older-than", metavar="DURATION", help="What ended longer ago than this, e.g. 30d, whatever its retention.")
@database
@as_json
def prune_command(
    dry_run: bool, statuses: tuple[str, ...], workflow: str | None, older_than: str | None, db: str, as_json: bool
) -> None:
    """Delete runs that have ended, with their histories, messages and logs: those whose retention is over, or with --older-than
    those that ended longer ago than that. Workers do the former by themselves, a slice at a time. It cannot be undone; what
    goes on again meanwhile is left alone.

    \b
    Example:
      flowkit prune --status completed --older-than 30d --dry-run
    """
    from flowkit.cli.render import print_json
    from flowkit.client.pruning import Prunable, prune
    from flowkit.durations import seconds

    with (looking if dry_run else steering)(db) as flowkit:
        now = flowkit.house.clock.now()
        with refusing(ValueError):
            before = None if older_than is None else now - seconds(older_than, "--older-than")
        wanted = Prunable(now=now, statuses=statuses, workflow=workflow, ended_before=before)
        counts = prune(flowkit.driver, wanted, flowkit.settings.purge_slice, dry=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "runs": counts.total(), "counts": _data(counts)})
    else:
        _print(counts, dry_run)


def _data(counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"workflow": name, "status": status, "runs": count} for (name, status), count in sorted(counts.items())]


def _print(counts: Counter[tuple[str, str]], dry_run: bool) -> None:
    from flowkit.cli.render import clean

    if not counts:
        click.echo("nothing to prune")
        return
    total = counts.total()
    click.echo(f"{'would delete' if dry_run else 'deleted'} {total:,} run{'s' if total > 1 else ''}")
    for (name, status), count in sorted(counts.items()):
        click.echo(f"  {clean(name)}  {status}  {count:,}")
