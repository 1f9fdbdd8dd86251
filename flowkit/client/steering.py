"""`recover` and `replay`: computed from a read, and written only if nothing moved meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flowkit.client.rewind import Rewind, recovery_of, replay_of
from flowkit.core.change import Change, Finish
from flowkit.drivers.base import Driver, Lost, RunView
from flowkit.drivers.writer import Writer
from flowkit.errors import RunConflict, RunNotFound

__all__ = ["recover_run", "replay_run"]

_TRIES = 100


def recover_run(driver: Driver, writer: Writer, run_id: str, who: str) -> None:
    """A failed run goes on; on any other this does nothing."""
    _rewind(driver, writer, run_id, who, "recover", recovery_of)


def replay_run(driver: Driver, writer: Writer, run_id: str, from_step: str | None, who: str) -> None:
    """A run starts over from an entry, or from its top."""
    _rewind(driver, writer, run_id, who, "replay", lambda view: replay_of(view, from_step, driver))


def _rewind(driver: Driver, writer: Writer, run_id: str, who: str, bump: str, plan: Callable[[RunView], Rewind | None]) -> None:
    op = uuid.uuid4().hex
    for _ in range(_TRIES):
        row = driver.get(run_id)
        view = None if row is None else driver.load(row.seq)
        if view is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        rewind = plan(view)
        if rewind is None:
            return
        if not isinstance(writer.write(_change(view, rewind, bump, op, who)), Lost):
            return
    raise RunConflict(f"run {run_id!r} changed {_TRIES} times while {bump}() looked at it; pause() it first")


def _change(view: RunView, rewind: Rewind, bump: str, op: str, who: str) -> Change:
    row = view.row
    return Change(
        run=row.seq, epoch=row.epoch, head=row.head, bump=bump, op=op, who=who, add=rewind.add, archive=rewind.archive,
        requeue=rewind.requeue, entries=row.entries, seen=0, owes=rewind.owes, status=rewind.status, ending=rewind.ending,
        calms=True, finish=Finish() if rewind.clears else None, state=rewind.state,
        error_line=None if rewind.clears else row.error_line,
    )  # fmt: skip
