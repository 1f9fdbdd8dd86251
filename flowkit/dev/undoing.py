"""A rollback tried for a page, in the child that has the code."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

from flowkit.check.undoing import try_undoing
from flowkit.client import Flowkit
from flowkit.client.livecode import TriedStep, UndoTrial
from flowkit.clock import SystemClock
from flowkit.definitions import Workflow
from flowkit.dev.settings import IN_FORCE
from flowkit.errors import FlowkitError
from flowkit.runtime.house import House

__all__ = ["try_as_wished"]

SECONDS = IN_FORCE.dev_undo


def try_as_wished(flowkit: Flowkit, workflows: Mapping[str, Workflow[..., Any]], run_id: str) -> UndoTrial:
    """What a rollback of this run would find now."""
    driver = flowkit.driver
    try:
        row = driver.get(run_id)
        view = None if row is None else driver.load(row.seq)
    except FlowkitError as error:
        return UndoTrial(problem=str(error))
    if row is None or view is None:
        return UndoTrial(problem=f"there is no run {run_id!r} any more")
    workflow = workflows.get(row.workflow)
    if workflow is None:
        return UndoTrial(problem=f"the loaded code has no workflow {row.workflow!r}")
    house = House(driver, SystemClock())  # not the worker's: workflow code that never comes back would keep its loop
    try:
        with redirect_stdout(io.StringIO()):  # what a workflow prints, it prints again when it really runs
            found = try_undoing(house, workflow, view, SECONDS)
    finally:
        threading.Thread(target=house.close, name="flowkit-tried", daemon=True).start()
    steps = (
        TriedStep(location=step.location, handler=step.handler, source=step.source, problem=step.problem) for step in found.steps
    )
    return UndoTrial(problem=found.problem, steps=tuple(steps))
