"""A piece of a bulk: its verb done to some runs, each once however often the piece is done.

A run whose status no longer allows the verb is skipped, unless the verb was done to it under this very wish before; so that is
asked first. The status is looked at once more here, since a run may have gone on since it was planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from flowkit.client.bulk import ALLOWED
from flowkit.client.steering import recover_run, replay_run
from flowkit.core.bulk import Bulk, op_of
from flowkit.core.fork import asked_line
from flowkit.core.run import TERMINAL
from flowkit.drivers.base import (
    Duplicate,
    Full,
    GuardFailed,
    Result,
    RunRow,
    Send,
    Sent,
    Steer,
    Steered,
    Verb,
)
from flowkit.errors import PayloadError, RunConflict, RunNotFound

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["Outcome", "do_piece"]

_NO_HEAD = -1
"""No run has this head, so a verb that demands it does nothing, and is answered if it was done before."""

_CANCELS = ("cancel", "cancel_rollback")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the verb on one run; a `reason` of why it failed."""

    id: str
    kind: Literal["done", "failed", "skipped"]
    reason: str = ""


def do_piece(flowkit: Flowkit, bulk: Bulk, runs: Sequence[int]) -> list[Outcome]:
    """Do the bulk's verb to these runs (seqs), and say what became of each.

    Raises:
        StoreError: the store failed. Some may be done; doing the piece again does the others.
    """
    found = {run: flowkit.driver.get(run) for run in runs}
    rows = [row for row in found.values() if row is not None]
    gone = [Outcome(f"number {run}", "skipped") for run, row in found.items() if row is None]
    if bulk.verb in ("recover", "replay"):
        done = [_rewound(flowkit, bulk, row) for row in rows]
    else:
        wish = _message if bulk.verb == "send" else _steer
        results = flowkit.desk.writer.write_many([wish(bulk, row) for row in rows])
        done = [_judged(bulk, row, result) for row, result in zip(rows, results, strict=True)]
    for row, outcome in zip(rows, done, strict=True):
        if outcome.kind == "done":
            flowkit.desk.bulletin.post(row.seq)
    return [*done, *gone]


def _steer(bulk: Bulk, row: RunRow) -> Steer:
    op = op_of(bulk.id, row.seq)
    asks = bulk.verb == "resume" and asked_line(row.status, row.error_line)  # resumed, it would only ask again
    if asks or row.status not in ALLOWED[bulk.verb]:
        return Steer(run=row.id, verb="wake", op=op, who=bulk.signature, head=_NO_HEAD)
    return Steer(run=row.id, verb=cast(Verb, bulk.verb), op=op, who=bulk.signature)


def _message(bulk: Bulk, row: RunRow) -> Send:
    """A key of the bulk's own is kept as long as the run, so that not even a piece repeated after days sends twice."""
    return Send(
        to=row.id, message_id=op_of(bulk.id, row.seq), name=bulk.name or "", body=bulk.body or b"", sender=bulk.signature,
        key=bulk.key or f"bulk-{bulk.id}",
    )  # fmt: skip


def _judged(bulk: Bulk, row: RunRow, result: Result) -> Outcome:
    match result:
        case Sent():
            return Outcome(row.id, "done")
        case Duplicate() if bulk.verb == "send":
            return Outcome(row.id, "done")
        case Steered(status=status) | Duplicate(first=status):
            # The record of a verb that found its run ended holds how it had ended.
            late = status in TERMINAL and not (status == "cancelled" and bulk.verb in _CANCELS)
            return Outcome(row.id, "skipped" if late else "done")
        case Full(size=size):
            return Outcome(row.id, "failed", f"its inbox is full with {size:,} messages")
        case _:
            return Outcome(row.id, "skipped")


def _rewound(flowkit: Flowkit, bulk: Bulk, row: RunRow) -> Outcome:
    driver, writer, op = flowkit.driver, flowkit.desk.writer, op_of(bulk.id, row.seq)
    before = writer.write(Steer(run=row.id, verb="wake", op=op, who=bulk.signature, head=_NO_HEAD))
    if isinstance(before, Duplicate | Steered):
        return Outcome(row.id, "done")
    if row.status not in ALLOWED[bulk.verb]:
        return Outcome(row.id, "skipped")
    try:
        if bulk.verb == "recover":
            result = recover_run(driver, writer, row.id, bulk.signature, op=op)
        else:
            result = replay_run(driver, writer, row.id, bulk.step, bulk.signature, op=op)
    except RunNotFound:
        return Outcome(row.id, "skipped")
    except (RunConflict, PayloadError, GuardFailed, ValueError) as error:
        return Outcome(row.id, "failed", _line(error))
    return Outcome(row.id, "skipped" if result is None else "done")


def _line(error: Exception) -> str:
    """The first line of why, as any text column can hold it."""
    return str(error).partition("\n")[0][:300].encode("utf-8", "backslashreplace").decode()
