"""What the second answer to an operation of unknown outcome says about its first try."""

from __future__ import annotations

from flowkit.core.change import Change
from flowkit.drivers.base import Done, Driver, Duplicate, Lost, Op, Result, Send, Sent, Steer, Steered, Tag

__all__ = ["settled"]


def settled(driver: Driver, op: Op, result: Result) -> Result:
    """What became of `op`, whose repetition was answered with `result`."""
    match result:
        case Lost() if isinstance(op, Change):
            return _landed_before(driver, op, result)
        case Duplicate() if isinstance(op, Change):
            row = driver.get(op.run)
            return result if row is None else Done(inbox=row.inbox, status=row.status, request=row.request)
        case Duplicate() if isinstance(op, Steer | Tag):
            return Steered(status=result.first)
        case Duplicate() if isinstance(op, Send) and result.first == op.message_id:
            return Sent(number=0)
    return result


def _landed_before(driver: Driver, change: Change, lost: Lost) -> Result:
    """A run has one Change under way at a time, so its epoch with a head one higher means that this one has landed."""
    if lost.head != change.head + 1 or lost.epoch != change.epoch + bool(change.bump):
        return lost
    row = driver.get(change.run)
    if row is None or (change.bump and row.status != change.status):
        return lost
    return Done(inbox=row.inbox, status=row.status, request=row.request)
