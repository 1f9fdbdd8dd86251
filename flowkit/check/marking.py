"""Marking runs that do not fit as blocked, before the code that they do not fit may claim one of them.

A pass under that code would find the same misfit and write the same; but a run that sleeps for a week would make that pass in
a week, and until then look as if nothing were wrong. The fence decides what may be marked: only a run whose head and epoch are
those that were checked, so that one which anybody has claimed, moved or steered to its end since is left to its first pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowkit.check.report import Misfit
from flowkit.codec import encode_error
from flowkit.core.change import Change, Finish
from flowkit.core.events import RunError
from flowkit.definitions import Workflow
from flowkit.drivers.base import Done, Driver, Lost, Result
from flowkit.engine.failures import error_line
from flowkit.errors import StoreError
from flowkit.registry import fingerprint

__all__ = ["block_misfits"]

_TRIES = 3
_UNOWNED = ("pending", "sleeping", "rolling_back", "blocked")


def block_misfits(
    driver: Driver, misfits: Sequence[Misfit], workflows: Mapping[str, Workflow[..., Any]], sources: str, now: float
) -> list[RunError]:
    """Block each run that is still as it was checked, all in one transaction; for each that was not blocked before, what to
    tell the hooks. `sources` is the digest of the code's files.

    Raises:
        StoreError: the store did not answer.
    """
    codes = {name: fingerprint(workflow, sources) for name, workflow in workflows.items()}
    chosen = [misfit for misfit in misfits if _is_to_be_marked(misfit, workflows, codes)]
    told: list[RunError] = []
    for first in range(0, len(chosen), driver.limits.batch):
        some = chosen[first : first + driver.limits.batch]
        results = _written(driver, [_blocking(misfit, codes[misfit.row.workflow]) for misfit in some], now)
        told += [
            RunError(run_id=misfit.row.id, workflow=misfit.row.workflow, error=misfit.error)
            for misfit, result in zip(some, results, strict=True)
            if isinstance(result, Done) and result.status == "blocked" and misfit.row.status != "blocked"
        ]
    return told


def _is_to_be_marked(misfit: Misfit, workflows: Mapping[str, Workflow[..., Any]], codes: Mapping[str, str]) -> bool:
    """An owner finds out by itself, and so does whoever quarantines a run; what is marked alike already stays as it is."""
    row = misfit.row
    if row.owner is not None or row.status not in _UNOWNED:
        return False
    if row.status == "blocked":
        return codes[row.workflow] not in misfit.tried or row.error_line != error_line(misfit.error)
    return row.crashes < workflows[row.workflow].max_crashes


def _blocking(misfit: Misfit, code: str) -> Change:
    row = misfit.row
    return Change(
        run=row.seq, epoch=row.epoch, head=row.head, bump="block", code=code, status="blocked",
        entries=row.entries, seen=row.seen, owes=row.owes,
        current=row.current, attempts=row.attempts, attempts_max=row.attempts_max,
        error_line=error_line(misfit.error), finish=Finish(error=encode_error(misfit.error)), calms=row.status == "blocked",
    )  # fmt: skip


def _written(driver: Driver, changes: Sequence[Change], now: float) -> list[Result]:
    """Given again after an error, since it may have landed all the same: then the fence has moved by just this write."""
    failures = 0
    while True:
        try:
            results = driver.write(changes, now)
        except StoreError:
            failures += 1
            if failures == _TRIES:
                raise
        else:
            return [_settled(driver, change, result) for change, result in zip(changes, results, strict=True)]


def _settled(driver: Driver, change: Change, result: Result) -> Result:
    if not isinstance(result, Lost) or (result.epoch, result.head) != (change.epoch + 1, change.head + 1):
        return result
    row = driver.get(change.run)
    return result if row is None or row.status != "blocked" else Done(inbox=row.inbox, status=row.status)
