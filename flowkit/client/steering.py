"""`recover`, `replay` and `resolve`: computed from a read, and written only if nothing moved meanwhile."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import msgspec

from flowkit.client.answering import answer_of, questions
from flowkit.client.resolving import Decision
from flowkit.client.rewind import Rewind, recovery_of, replay_of, resolution_of
from flowkit.core.change import Change, Finish
from flowkit.core.entry import Entry
from flowkit.core.resolution import ByHand
from flowkit.drivers.base import BodyRef, Driver, Lost, Moved, Result, RunView
from flowkit.drivers.writer import Writer
from flowkit.errors import RunConflict, RunNotFound

__all__ = ["recover_run", "replay_run", "resolve_run"]

_TRIES = 100


def recover_run(
    driver: Driver, writer: Writer, run_id: str, who: str, *, op: str | None = None, head: int | None = None
) -> Result | None:
    """A failed run goes on; on any other this does nothing.

    `op` names the wish, so that a repeated one is answered as the first was. With `head` the run must still have that head;
    `Moved` says that it has not.
    """
    return _rewind(driver, writer, run_id, who, "recover", lambda view: recovery_of(view, driver), op, head)


def replay_run(
    driver: Driver,
    writer: Writer,
    run_id: str,
    from_step: str | None,
    who: str,
    *,
    op: str | None = None,
    head: int | None = None,
) -> Result | None:
    """A run starts over from an entry, or from its top; `op` and `head` as in `recover_run`."""
    return _rewind(driver, writer, run_id, who, "replay", lambda view: replay_of(view, from_step, driver), op, head)


def resolve_run(
    driver: Driver,
    writer: Writer,
    run_id: str,
    decision: Decision,
    who: str,
    now: float,
    *,
    op: str | None = None,
    head: int | None = None,
) -> Result | None:
    """A failed run goes on with what a person gave for the step that stopped it, or a fork with the answer to what it asks; `op`
    and `head` as in `recover_run`.
    """
    given = decision.output is not None, decision.error is not None
    by_hand = ByHand(
        how="value" if given[0] else "error" if given[1] else "again", reason=decision.reason, at=now, who=who,
        args=decision.args, unchecked=decision.unchecked,
    )  # fmt: skip

    def plan(view: RunView) -> Rewind:
        if questions(view):
            return answer_of(view, decision, by_hand)
        return resolution_of(view, decision, by_hand, driver)

    return _rewind(driver, writer, run_id, who, "resolve", plan, op, head)


def _rewind(
    driver: Driver, writer: Writer, run_id: str, who: str, bump: str, plan: Callable[[RunView], Rewind | None],
    op: str | None, head: int | None,
) -> Result | None:  # fmt: skip
    op = op or uuid.uuid4().hex
    for _ in range(_TRIES):
        row = driver.get(run_id)
        view = None if row is None else driver.load(row.seq)
        if view is None:
            raise RunNotFound(f"there is no run {run_id!r}")
        if head is not None and view.row.head != head:
            return Moved(head=view.row.head)
        rewind = plan(view)
        if rewind is None:
            return None
        rewind = replace(rewind, add=[_with_args(driver, view, entry) for entry in rewind.add])
        result = writer.write(_change(view, rewind, bump, op, who))
        if not isinstance(result, Lost):
            return result
    raise RunConflict(f"run {run_id!r} changed {_TRIES} times while {bump}() looked at it; pause() it first")


def _with_args(driver: Driver, view: RunView, entry: Entry) -> Entry:
    """A view comes without recorded arguments; an entry that is added again keeps them."""
    if not entry.args_crc:
        return entry
    return msgspec.structs.replace(entry, args=driver.body(BodyRef(run=view.row.seq, field="args", entry=entry.seq)))


def _change(view: RunView, rewind: Rewind, bump: str, op: str, who: str) -> Change:
    row = view.row
    return Change(
        run=row.seq, epoch=row.epoch, head=row.head, bump=bump, op=op, who=who, add=rewind.add, archive=rewind.archive,
        set=rewind.set, rolled_back=rewind.rolled_back,
        requeue=rewind.requeue, entries=row.entries, seen=0, owes=rewind.owes, status=rewind.status, ending=rewind.ending,
        calms=True, finish=Finish() if rewind.clears else None, state=rewind.state,
        current=None if rewind.clears else row.current, error_line=None if rewind.clears else row.error_line,
    )  # fmt: skip
