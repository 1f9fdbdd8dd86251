"""What a rollback of a run would undo, in the order in which it would, and what stays done. Pure: a view in, a map out.

No code of the user's is needed: whether a step owes a rollback stands in its entry. Which handler would be called, and whether it
is there at all, only the code can tell (`flowkit.check.undoing`). What is not recorded any more is named as far as that is known:
a list of what cannot be undone must not be short in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flowkit.client.facts import branch_facts, loop_facts, plain_error
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.drivers.base import RunView
from flowkit.engine.failures import error_line
from flowkit.errors import ErrorInfo

__all__ = ["StaysDone", "UndoMap", "UndoStep", "undo_map"]

UndoState = Literal["owes", "running", "retrying", "rolled_back", "stopped", "left"]
_ENDED_IN_DOUBT = ("StepTimeout", "StepInterrupted")


@dataclass(frozen=True, slots=True)
class UndoStep:
    """A completed step with a rollback. `state`: it ``owes`` it, the handler is ``running``, ``retrying`` or ``stopped`` the
    rollback, it is ``rolled_back``, or it was ``left`` by a cancel. `attempts` and `error` are the handler's failures.
    """

    seq: int
    location: str
    state: UndoState
    completed_at: float
    attempts: int = 0
    error: ErrorInfo | None = None
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class StaysDone:
    """What no handler undoes: a completed ``step`` or ``send``, or a ``doubtful`` body that was abandoned and may have done
    something.
    """

    seq: int
    location: str
    why: Literal["step", "send", "doubtful"]
    error: str = ""


@dataclass(frozen=True, slots=True)
class UndoMap:
    """`steps` in the order of undoing. `pruned` are loops with the number of turns of which nothing is recorded any more,
    `races` those whose losing branches were forgotten.
    """

    steps: tuple[UndoStep, ...] = ()
    staying: tuple[StaysDone, ...] = ()
    pruned: tuple[tuple[str, int], ...] = ()
    races: tuple[str, ...] = ()

    @property
    def owing(self) -> tuple[UndoStep, ...]:
        """Those whose handler has not finished."""
        return tuple(step for step in self.steps if step.state != "rolled_back")


def undo_map(view: RunView) -> UndoMap:
    """The map of a run as it stands. Once it has completed nothing is owed: then all that it did stays."""
    over = view.row.status == "completed"
    with_rollback = [] if over else [entry for entry in view.entries if entry.rollback]
    newest_first = sorted(with_rollback, key=lambda entry: (entry.settled_at or 0.0, entry.seq), reverse=True)
    first = next((entry.seq for entry in newest_first if entry.rollback == "owes"), 0)
    return UndoMap(
        steps=tuple(_step(view, entry, next_up=entry.seq == first) for entry in newest_first),
        staying=tuple(_staying(view, over)),
        pruned=tuple((entry.location, turns) for entry in view.entries if entry.kind == "loop" and (turns := _pruned(entry))),
        races=tuple(entry.location for entry in view.entries if entry.kind == "race" and _forgot(entry)),
    )


def _step(view: RunView, entry: Entry, *, next_up: bool) -> UndoStep:
    failures = _failures(view, entry)
    last = failures[-1] if failures else None
    return UndoStep(
        seq=entry.seq, location=entry.location, state=_state(view, entry, last, next_up=next_up),
        completed_at=entry.settled_at or 0.0, attempts=len(failures), error=None if last is None else plain_error(last.error),
        retry_at=None if last is None else last.retry_at,
    )  # fmt: skip


def _state(view: RunView, entry: Entry, last: FailedAttempt | None, *, next_up: bool) -> UndoState:
    row = view.row
    if entry.rollback == "done":
        return "rolled_back"
    if row.status == "cancelled":
        return "left"
    if row.status == "failed":
        return "stopped" if last is not None else "owes"
    if row.status == "rolling_back" and next_up:
        return "running" if last is None else "retrying"
    return "owes"


def _failures(view: RunView, entry: Entry) -> list[FailedAttempt]:
    mine = (failure for failure in view.handler_failures if (failure.entry, failure.round) == (entry.seq, entry.round))
    return sorted(mine, key=lambda failure: failure.n)


def _staying(view: RunView, over: bool) -> Iterator[StaysDone]:
    for entry in view.entries:
        if entry.kind == "send" and entry.status == "completed":
            yield StaysDone(entry.seq, entry.location, "send")
        elif entry.kind == "step" and entry.status == "completed" and (over or not entry.rollback):
            yield StaysDone(entry.seq, entry.location, "step")
        elif entry.kind == "step" and entry.error is not None and entry.status in ("failed", "exhausted"):
            error = plain_error(entry.error)
            if error.type.rpartition(".")[2] in _ENDED_IN_DOUBT:
                yield StaysDone(entry.seq, entry.location, "doubtful", error_line(error))


def _pruned(loop: Entry) -> int:
    return loop_facts(loop).pruned


def _forgot(race: Entry) -> bool:
    facts = branch_facts(race)
    return facts.winner is not None and len(facts.names) > 1
