"""Telling the store why `flowkit worker` cannot begin: it has no worker there yet that could, and will have none.

Before the code is imported a note is left that this has begun; a process that dies in it, whatever kills it, leaves the note
behind. Whoever looks at the health of workflows takes it for a failure once it is ten seconds old.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import click

from flowkit.cli.failure import NOT_FOUND, Failure
from flowkit.cli.store import file_of

if TYPE_CHECKING:
    from flowkit.core.health import Trouble
    from flowkit.drivers.base import Driver

__all__ = ["reporting"]


@contextmanager
def reporting(db: str, apps: Sequence[str]) -> Iterator[None]:
    """Around importing these APPs: what comes of it is told in the database, if there is one."""
    from flowkit.core.health import Trouble

    _tell(db, apps, Trouble("starting", line=f"it began to import {', '.join(apps)}, and has not come through"))
    try:
        yield
    except Failure as failure:
        cause = failure.__cause__
        if failure.exit_code == NOT_FOUND:
            _tell(db, apps, None)  # no such file, or no workflow in it: the command was mistyped
        else:
            said = _tell(db, apps, _trouble(failure, cause), cause)
            if said:
                click.echo(f"flowkit: {said}", err=True)
        raise
    except BaseException:  # interrupted by hand: nothing is wrong with the code
        _tell(db, apps, None)
        raise


def _trouble(failure: Failure, cause: BaseException | None) -> Trouble:
    from flowkit.cli.app import your_code
    from flowkit.core.health import Trouble
    from flowkit.engine.source import shown_path

    if cause is None:
        return Trouble("start", "Failure", failure.message)
    if isinstance(cause, SyntaxError) and cause.filename:
        return Trouble("import", type(cause).__qualname__, cause.msg, f"{shown_path(cause.filename)}:{cause.lineno or 0}")
    file, _, line = your_code(cause.__traceback__).rpartition(":")
    return Trouble("import", type(cause).__qualname__, str(cause), f"{shown_path(file)}:{line}" if file else "")


def _tell(db: str, apps: Sequence[str], trouble: Trouble | None, cause: BaseException | None = None) -> str:
    """Report it, or take back what was reported; why that was not possible."""
    from flowkit.clock import SystemClock
    from flowkit.drivers import open_driver
    from flowkit.errors import FlowkitError
    from flowkit.settings import in_force

    file = file_of(db)
    if file is not None and not file.is_file():
        return ""
    try:
        with closing(open_driver(db, busy_seconds=in_force().report_patience, settings=in_force())) as driver:
            _write(driver, apps, trouble, cause, SystemClock().now())
    except FlowkitError as error:  # opening the database for work says the same, where it comes to that
        return f"this could not be reported to those who wait for runs: {error}"
    return ""


def _write(driver: Driver, apps: Sequence[str], trouble: Trouble | None, cause: BaseException | None, now: float) -> None:
    from flowkit.core.health import Sickness
    from flowkit.runtime.reporter import file_report, forerunners, origin_of, source_key, source_name
    from flowkit.runtime.scouting import files_of, workflows_in_files
    from flowkit.settings import in_force

    sick = Sickness(source_name(), origin_of(*apps))
    old = forerunners(driver, sick.origin, now)
    if trouble is not None:
        sick.inherit(each for each in old if each.kind == trouble.kind or (trouble.kind == "starting" and each.outlives))
        files = [file for app in apps for file in files_of(app, cause)]
        for workflow in ("", *workflows_in_files(files)):
            sick.failed(workflow, trouble, now)
    file_report(driver, sick, now, in_force().report_stays)
    for key in {source_key(each.source, each.worker) for each in old} - {source_key(sick.source, 0)}:
        driver.report(key, [], now, now)
