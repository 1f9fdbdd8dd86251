"""`logs`: what the code of a run logged, read by windows, and followed while the run is open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.following import Outage
from flowkit.cli.options import as_json, database, run_id
from flowkit.cli.store import find_run, looking, row_of

if TYPE_CHECKING:
    from flowkit.client import Flowkit, Run
    from flowkit.core.line import Line

__all__ = ["logs_command"]

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
WINDOW = 500
LATE_LOOKS = 3
"""A run's last lines are written a moment after its end."""


@click.command("logs", short_help="Print what the code of a run logged.")
@run_id
@click.option("--level", type=click.Choice(list(LEVELS), case_sensitive=False), help="Only lines of this level or above.")
@click.option("--step", "step", metavar="LOCATION", help="Only lines of this step, e.g. charge#2 or pack/~3/label.")
@click.option("--follow", is_flag=True, help="Go on printing until the run has ended.")
@database
@as_json
def logs_command(id: str, level: str | None, step: str | None, follow: bool, db: str, as_json: bool) -> None:
    """Print what the code of a run logged, oldest first: time in UTC, level, step and attempt, logger, text.

    With --follow and --json each line is a document of its own.

    \b
    Example:
      flowkit logs order-7 --level warning
    """
    from flowkit.cli.render import print_json
    from flowkit.client.reader import Reader

    least = LEVELS[level.lower()] if level else 0
    with looking(db) as flowkit:
        run = find_run(flowkit, id)
        lines = _lines(flowkit, run, least, step, follow=follow)
        dropped = Reader(flowkit).dropped_lines(row_of(flowkit, run).seq)
        if as_json and not follow:
            print_json({"id": run.id, "dropped": dropped, "lines": [_data(line) for line in lines]})
            return
        if dropped:
            click.echo(f"{dropped:,} older {'line has' if dropped == 1 else 'lines have'} made room for newer ones", err=True)
        some = False
        for line in lines:
            some = True
            click.echo(json.dumps(_data(line)) if as_json else _text(line))
    if not some and not as_json:
        click.echo("no lines match" if level or step else "nothing was logged", err=True)


def _lines(flowkit: Flowkit, run: Run[Any], level: int, step: str | None, *, follow: bool) -> Iterator[Line]:
    """The lines by windows; with `follow`, what comes until the run has ended too."""
    from flowkit.core.run import TERMINAL
    from flowkit.drivers.base import LineQuery

    seq, after = row_of(flowkit, run).seq, 0

    def window() -> list[Line]:
        return flowkit.driver.lines(LineQuery(run=seq, after=after, location=step, level=level, limit=WINDOW))

    late, outage = 0, Outage(flowkit.settings.cli_look) if follow else nullcontext()
    while late <= LATE_LOOKS:
        some, over = [], False
        with outage:
            over = row_of(flowkit, run).status in TERMINAL
            some = window()
        yield from some
        after = some[-1].seq if some else after
        if some:
            continue
        if not follow:
            return
        late += over
        with outage:
            flowkit.driver.wait(flowkit.settings.cli_look)


def _data(line: Line) -> dict[str, Any]:
    return {
        "at": line.at, "level": line.level, "step": line.location, "part": line.part, "attempt": line.attempt,
        "logger": line.logger, "text": line.text.decode("utf-8", "backslashreplace"),
    }  # fmt: skip


def _text(line: Line) -> str:
    from flowkit.cli.render import clean

    level = next((name for name, number in LEVELS.items() if number == line.level), f"level {line.level}")
    place = line.location or "-"
    place += f" ({line.attempt})" if line.attempt > 1 else ""
    place += " rollback" if line.part == "rollback" else ""
    text = clean(line.text.decode("utf-8", "backslashreplace"), lines=True).replace("\n", "\n    ")
    at = datetime.fromtimestamp(line.at, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}Z {level:<8} {clean(place)} {clean(line.logger)}: {text}"
