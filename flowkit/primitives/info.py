"""What code may ask about the run it is in: `run_info`, `stopping`, `run_state`. None of them makes an entry."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from flowkit.engine.scope import current_body, in_run
from flowkit.engine.source import caller
from flowkit.errors import NotInRun

__all__ = ["RunInfo", "run_info", "run_state", "stopping"]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The run that this code belongs to. `started_at` (epoch seconds) is the same on every pass, `pass_number` is not."""

    id: str
    workflow: str
    started_at: float
    pass_number: int
    tags: tuple[str, ...]


def run_info() -> RunInfo:
    """The run that this workflow or step belongs to.

    Raises:
        NotInRun: outside a run.
    """
    body = current_body()
    scope = body.scope if body is not None else in_run()
    if scope is None:
        raise NotInRun(f"run_info() was called outside a run, {caller()}. To try a workflow out, use flowkit.testing.Lab.")
    facts = scope.running.facts
    return RunInfo(facts.id, facts.workflow, facts.started_at, facts.pass_number, facts.tags)


def stopping(wait: float = 0) -> bool:
    """Whether this step or branch should end: evicted, cancelled, timed out, or another branch won.

    Waits up to `wait` seconds for that to happen; give none in async code, it would block the loop.

    Raises:
        NotInRun: outside a run.
    """
    body = current_body()
    if body is not None:
        return body.live.asked_to_stop(float(wait))
    scope = in_run()
    if scope is None:
        raise NotInRun(f"stopping() was called outside a run, {caller()}. To try a workflow out, use flowkit.testing.Lab.")
    return scope.asked_to_stop(float(wait))


def run_state() -> MutableMapping[str, Any]:
    """The run's own durable state, inside a step's body: what a body that succeeds changes is committed with its result.

    Raises:
        NotInRun: in workflow code, since a replay could not repeat the read, or outside a run.
    """
    body = current_body()
    if body is not None:
        return body.state.open()
    inside = in_run() is not None
    raise NotInRun(
        f"run_state() was called {'in workflow code' if inside else 'outside a run'}, {caller()}. State is for step bodies, "
        "since a replay could not repeat a read of it: read or change it inside a @step."
        + ("" if inside else " To try a workflow out, use flowkit.testing.Lab.")
    )
