"""`check`: how all runs fare under the code of an APP, and the lines that would make those fit that do not."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from itertools import count, groupby
from typing import TYPE_CHECKING

import click

from flowkit.cli.app import workflows_of
from flowkit.cli.failure import FAILED
from flowkit.cli.options import as_json, database, show_traceback
from flowkit.cli.store import looking
from flowkit.definitions.options import LARGEST

if TYPE_CHECKING:
    from flowkit.check import Progress
    from flowkit.core.verdict import Finding, Replay

__all__ = ["check_command"]

_FINISHED = 20


def _a_number(context: click.Context, option: click.Parameter, value: float) -> float:
    """Not a number is in no range, and yet outside of none."""
    if math.isnan(value):
        raise click.BadParameter("nan is not a number of seconds", context, option)
    return value


@click.command("check", short_help="Try all runs under new code.")
@click.argument("app", metavar="APP")
@click.option("--limit", type=click.IntRange(1, LARGEST), metavar="N", help="Only the N newest open runs (default: all).")
@click.option(
    "--finished", type=click.IntRange(0, LARGEST), metavar="N", default=_FINISHED, show_default=True,
    help="How many finished runs of each workflow.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0.001, 86_400), default=1.0, show_default=True, callback=_a_number,
    help="Time for one run.",
)  # fmt: skip
@database
@as_json
@show_traceback
def check_command(app: str, limit: int | None, finished: int, seconds: float, db: str, as_json: bool, traceback: bool) -> None:
    """Try every open run under the code of APP, then the last finished ones of each workflow: one verdict a run, and for
    those that would be held the line to paste and where.

    No step runs and nothing is written; the lines that are shown have been tried. What a workflow prints meanwhile is
    dropped. The exit code is 1 if an open run would be held; a finished one holds up nobody.

    \b
    Example:
      flowkit check app.py --db orders.db
    """
    from flowkit.check import replay_runs
    from flowkit.cli.render import print_json

    workflows = workflows_of(app, traceback=traceback)
    with looking(db) as flowkit, _progress() as tell, redirect_stdout(io.StringIO()):
        replay = replay_runs(flowkit.driver, workflows, limit=limit, finished=finished, seconds_per_run=seconds, tell=tell)
    if as_json:
        print_json({"held": replay.held, **asdict(replay)})
    else:
        _print(replay)
    if replay.held:
        raise SystemExit(FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Says on a terminal how many runs have been tried; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    tried = count(1)
    yield lambda progress: click.echo(f"\r{next(tried):,} runs tried\x1b[K", nl=False, err=True)
    click.echo("\r\x1b[K", nl=False, err=True)


def _print(replay: Replay) -> None:
    if not replay.counts and not replay.unattended:
        click.echo("no runs")
    for (workflow, ended), counts in groupby(replay.counts, key=lambda each: (each.workflow, each.ended)):
        listed = [*counts]
        parts = ", ".join(f"{each.runs:,} {each.verdict}" for each in listed)
        total = sum(each.runs for each in listed)
        _say(f"{workflow}  {_runs(total)} {'finished' if ended else 'open'}: {parts}")
        for finding in replay.findings:
            if (finding.workflow, finding.ended) == (workflow, ended) and finding.verdict != "same":
                _print_finding(finding)
    for name, runs in replay.unattended.items():
        _say(f"{name}  {_runs(runs)} open, and no code for it here: they would be left alone")
    if replay.more:
        _say(f"and {_runs(replay.more)} whose causes were too many to list")
    _print_warnings(replay)


def _print_finding(found: Finding) -> None:
    if found.verdict == "goes on":
        for place in found.places:
            where = f"{place.location}  {place.source}" if place.location else "the end of the workflow"
            _say(f"  {found.runs:>6} would go on at {where}")
        return
    word = "HELD" if found.verdict == "held" and not found.ended else found.verdict
    _say(f"\n{word}  {_runs(found.runs)} of {found.workflow}{_listed(found.samples, found.runs)}")
    for line in _why(found):
        _say(f"    {line}")
    for added in found.lines:
        _say(f"  {added.where} {added.source}  {added.code}".rstrip())
        _say(f"      {added.text}")
    if found.advice:
        _say(f"  {found.advice}")


def _why(found: Finding) -> Iterable[str]:
    match found.verdict:
        case "held" if found.recorded:
            yield f"at {found.location or 'the workflow itself'}"
            yield f"history has   {found.recorded}"
            yield f"the code has  {found.made}    {found.source}".rstrip()
        case "does not decode":
            by = f", annotated {found.annotation}" if found.annotation else ""
            yield f"{found.recorded} at {found.path}{by}: {found.why}"
        case "other end":
            at = f", first at {found.path}" if found.path else ""
            yield f"it {found.recorded}, and would now be {found.made}{at}"
        case _:
            yield from found.why.splitlines()


def _print_warnings(replay: Replay) -> None:
    for moved in replay.warnings:
        where = f"{moved.location}  {moved.source}".rstrip()
        _say(
            f"\nwarning  {moved.workflow}: {where} is called with other arguments than recorded"
            f"{_listed(moved.samples, moved.runs)}"
        )
    for left in replay.leftovers:
        _say(f"\nleftover  {left.workflow}: no open run needs this line any more, {left.source}")
        _say(f"      {left.code or f'{left.kind}({left.name!r}, …)'}")


def _say(text: str) -> None:
    from flowkit.cli.render import clean

    click.echo("\n".join(clean(line) for line in text.split("\n")))


def _listed(runs: Sequence[str], total: int) -> str:
    if not runs:
        return ""
    more = f" and {total - len(runs):,} more" if total > len(runs) else ""
    return f": {', '.join(runs)}{more}"


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"
