"""Rolling out a version: what a worker does before those of another version make room for it.

Open runs are tried under the new code first. Those that would not fit are blocked before any worker leaves, so that nobody finds
out by a run that stood still; and if there are more of them than were allowed, nothing is drained at all.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import closing, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.failure import FAILED, USAGE, Failure

if TYPE_CHECKING:
    from flowkit.check import Misfit
    from flowkit.definitions import Workflow
    from flowkit.drivers.base import Driver
    from flowkit.runtime.serving import Rollout

__all__ = ["announce", "rollout_of"]

_NAMED = 5


def rollout_of(version: str | None, drain_older: bool, hold_if: int | None) -> Rollout:
    """What was asked for; the version is that of the option, else $FLOWKIT_VERSION.

    Raises:
        Failure: options that do not go together. InvalidName: a version that is empty or holds control characters.
    """
    from flowkit.runtime.serving import Rollout, version_given

    version = version_given(version, "--version", os.environ)
    if version is None and drain_older:
        raise Failure("--drain-older makes workers of another version leave, so say which this is: --version 2.4", USAGE)
    if hold_if is not None and not drain_older:
        raise Failure("--hold-if says when --drain-older is refused; give both.", USAGE)
    return Rollout(version or "", drain_older)


def announce(db: str, workflows: Mapping[str, Workflow[..., Any]], hold_if: int | None) -> None:
    """Try every open run, block those that do not fit, and say so. Those that were held before are not this code's doing.

    Raises:
        Failure: this code would hold more than `hold_if`; nothing was written then.
    """
    from flowkit.check import check_runs
    from flowkit.drivers import open_driver
    from flowkit.settings import in_force

    misfits: list[Misfit] = []
    with closing(open_driver(db, settings=in_force())) as driver:
        with redirect_stdout(io.StringIO()):  # what a workflow prints, it prints again when it really runs
            report = check_runs(driver, workflows, on_misfit=misfits.append)
        untried = sum(len(each.unchecked) for each in report.workflows)
        before = [misfit for misfit in misfits if misfit.row.status == "blocked"]
        new = [misfit for misfit in misfits if misfit.row.status != "blocked"]
        if hold_if is not None and len(new) > hold_if:
            raise Failure(
                f"{_runs(len(new))} would not fit this code, and --hold-if allows {hold_if}: {_named(new)}"
                f"{f'; {untried} more could not be tried' if untried else ''}. "
                f"No worker was asked to leave. `flowkit check` shows the lines that would make them fit.",
                FAILED,
            )
        if misfits:
            _block(driver, misfits, workflows)
    if new:
        click.echo(f"{_runs(len(new))} held, as this code does not fit: {_named(new)}", err=True)
    if before:
        click.echo(f"{_runs(len(before))} held before, and this code does not fit either: {_named(before)}", err=True)
    if untried:
        click.echo(f"{_runs(untried)} could not be tried; each is tried again when it is due", err=True)


def _block(driver: Driver, misfits: list[Misfit], workflows: Mapping[str, Workflow[..., Any]]) -> None:
    from flowkit.check.marking import block_misfits
    from flowkit.clock import SystemClock
    from flowkit.registry import project_sources

    block_misfits(driver, misfits, workflows, project_sources(), SystemClock().now())


def _named(misfits: list[Misfit]) -> str:
    more = f" and {len(misfits) - _NAMED} more" if len(misfits) > _NAMED else ""
    return ", ".join(misfit.row.id for misfit in misfits[:_NAMED]) + more


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
