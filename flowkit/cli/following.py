"""Waiting for a run to end, with a live line on a terminal and in silence elsewhere."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.render import STATES, ago, compact
from flowkit.durations import format_seconds
from flowkit.errors import StoreError

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status

    from flowkit.cli.working import Stop
    from flowkit.client import Flowkit, Run
    from flowkit.drivers.base import RunRow

__all__ = ["Outage", "follow", "progress_line"]

_ASKING = "run {id} {asks}: `flowkit resolve {id}` answers"
_PAUSED = "run {id} is paused: `flowkit resume {id}` lets it go on"


def follow(flowkit: Flowkit, run: Run[Any], stop: Stop, fail_fast: float | None = None) -> str | None:
    """Wait until the run has ended or is blocked; its status then, or None if somebody asked to stop.

    Raises:
        Failure: the worker gave up. Unattended: for `fail_fast` seconds nobody has worked on the run.
    """
    from flowkit.cli.working import refuse_fatal
    from flowkit.client.attending import vigil_of
    from flowkit.core.fork import asked_line

    told, outage = False, Outage(flowkit.settings.cli_look, quiet=True)
    vigil = vigil_of(flowkit.desk, run.seq, fail_fast)
    with _spinner() if sys.stderr.isatty() else nullcontext() as spinner:
        while not stop.asked:
            refuse_fatal(flowkit)
            row: str | RunRow | None = None
            with outage:
                row = _ended(flowkit, run)
                if vigil is not None and not isinstance(row, str):
                    vigil.look()
            if isinstance(row, str):
                return row
            if row is None:
                continue
            if row.status == "paused" and not told:
                told = True
                asks = asked_line(row.status, row.error_line)
                click.echo(_ASKING.format(id=run.id, asks=asks) if asks else _PAUSED.format(id=run.id), err=True)
            if spinner is not None:
                spinner.update(progress_line(row, flowkit.house.clock.now()))
    return None


def _ended(flowkit: Flowkit, run: Run[Any]) -> str | RunRow:
    from flowkit.cli.store import row_of
    from flowkit.core.run import TERMINAL
    from flowkit.errors import FlowkitError

    try:
        run.result(timeout=flowkit.settings.cli_look)
    except TimeoutError:
        return row_of(flowkit, run)
    except StoreError:
        raise
    except FlowkitError:  # how it ended, or why it is blocked
        row = row_of(flowkit, run)
        return row.status if row.status in TERMINAL or row.status == "blocked" else row  # somebody let it go on meanwhile
    return "completed"


class Outage:
    """Around each look of whoever follows a run: a database that is away is waited for. It is told once, and so is its end,
    unless this is `quiet` because a worker of this process says the same.
    """

    def __init__(self, pause_seconds: float, *, quiet: bool = False) -> None:
        self._pause_seconds = pause_seconds
        self._quiet = quiet
        self._lasts = False

    def __enter__(self) -> None:
        """Look."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """True if the look is to be repeated: the database may answer again by itself."""
        away = isinstance(error, StoreError) and error.passing
        if away and not self._lasts and not self._quiet:
            click.echo(f"flowkit: {error}", err=True)
        if self._lasts and error is None and not self._quiet:
            click.echo("flowkit: the database answers again", err=True)
        self._lasts = away
        if away:
            threading.Event().wait(self._pause_seconds)
        return away


def progress_line(row: RunRow, now: float) -> str:
    """Where a run is, on one line: ``order-7  ▶ running  charge, 2 attempts  3 entries  12s``."""
    icon = STATES[row.status][0]
    parts = [row.id, f"{icon} {row.status}"]
    if row.waiting:
        names = "any message" if row.waiting == ("*",) else ", ".join(row.waiting)
        until = "" if row.wake_at is None else f", {format_seconds(max(0.0, row.wake_at - now))} at most"
        parts.append(f"waits for {names}{until}")
    elif row.current:
        parts.append(compact(row.current, 50) + (f", {row.attempts} attempts" if row.attempts > 1 else ""))
    if row.status == "sleeping" and not row.waiting and row.wake_at is not None:
        parts.append(f"due {ago(row.wake_at, now)}")
    parts += [f"{row.entries} entries", format_seconds(max(0.0, now - (row.started_at or row.created_at)))]
    return "  ".join(parts)


@contextmanager
def _spinner() -> Iterator[Status]:
    from rich.console import Console
    from rich.markup import escape
    from rich.status import Status

    class Plain(Status):
        def update(self, status: Any = None, **options: Any) -> None:
            super().update(escape(status) if isinstance(status, str) else status, **options)

    with Plain("starting", console=Console(stderr=True, highlight=False)) as spinner:
        yield spinner
