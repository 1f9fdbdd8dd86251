"""Runs that are born on the worker of the handle that starts them, and starts that are refused."""

from __future__ import annotations

from typing import Any

import msgspec

from flowkit.definitions import Workflow
from flowkit.drivers.base import Claim, RunRow, RunView, Start, Started
from flowkit.errors import RunConflict
from flowkit.runtime.worker import Worker

__all__ = ["born_here", "first_claim", "id_taken"]


def born_here(op: Start, worker: Worker, workflow: Workflow[..., Any]) -> Start:
    """The start of a run that this worker is to hold from the first."""
    return msgspec.structs.replace(op, worker=worker.id, code=worker.code_of(workflow))


def first_claim(op: Start, started: Started, workflow: Workflow[..., Any]) -> tuple[Claim, Workflow[..., Any], RunView]:
    """The claim and the view of a run that was born owned: there is nothing to load."""
    row = RunRow(
        seq=started.run, id=op.id, workflow=op.workflow, status="running", owner=op.worker, epoch=started.epoch, passes=1,
        tags=tuple(op.tags), code=op.code, start_at=op.start_at,
    )  # fmt: skip
    claim = Claim(
        run=started.run, id=op.id, workflow=op.workflow, epoch=started.epoch, head=0, status="running", code=op.code,
        context=op.context,
    )  # fmt: skip
    return claim, workflow, RunView(row=row, input=op.input)


def id_taken(op: Start, workflow: Workflow[..., Any], other: str, same: bool) -> RunConflict:
    """The error of a start whose id another run has; `same`: by the same workflow with the same input."""
    if same:
        return RunConflict(f'run {op.id!r} exists already, and the start said if_exists="reject"')
    if other != workflow.name:
        return RunConflict(f"run {op.id!r} exists already, as a run of workflow {other!r}. Choose another id.")
    return RunConflict(f"run {op.id!r} exists already, with another input. Choose another id.")
