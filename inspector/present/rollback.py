"""The compensation map of a run: what would be undone, in which order and by what, and what stays done.

The entries say what is owed, the loaded code says by which handler; a trial says whether each would be found. Code and trial
may be missing, and the page says so rather than guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowkit.client.livecode import StepInfo, TriedStep, UndoTrial
from flowkit.client.reader import RunRow
from flowkit.client.undoing import StaysDone, UndoMap, UndoStep

from ..urls import entry_url
from .states import State
from .times import Stamp, stamp
from .values import shown

__all__ = ["MOST", "StayingRow", "UndoRow", "Undoing", "handler_text", "handlers_of", "undoing_of", "why_it_stays"]

MOST = 200
_ERROR = 200

_STATES: dict[str, State] = {
    "owes": State("pending", "owes", "active"),
    "running": State("rolling-back", "running", "active"),
    "retrying": State("retrying", "retrying", "attention"),
    "rolled_back": State("rolled-back", "rolled_back", "parked"),
    "stopped": State("exhausted", "stopped", "bad"),
    "left": State("cancelled", "left undone", "parked"),
}
_WHY = {
    "step": "has no rollback",
    "send": "a message cannot be taken back",
    "doubtful": "was abandoned: nobody knows what it did, and it owes nothing",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoRow:
    """A step, its handler as far as code is known, and how far it is."""

    number: int
    location: str
    href: str
    handler: str
    state: State
    completed: Stamp | None
    attempts: int
    error: str
    retry: Stamp | None
    tried: str = ""
    """What the trial found: empty before it, ``found``, or what is wrong."""

    @property
    def found(self) -> bool:
        """Whether the trial found the handler and could read what it is given."""
        return self.tried == "found"


@dataclass(frozen=True, slots=True)
class StayingRow:
    """What stays done, and why."""

    location: str
    href: str
    why: str
    doubtful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """The map. `sentence` says what a rollback would do as things stand, `verdict` what a trial came to."""

    sentence: str
    rows: tuple[UndoRow, ...]
    more: int
    staying: tuple[StayingRow, ...]
    staying_more: int
    notes: tuple[str, ...]
    verdict: str = ""
    verdict_good: bool = False


def undoing_of(row: RunRow, found: UndoMap, now: float, handlers: Mapping[str, str], trial: UndoTrial | None) -> Undoing:
    """The map as a page shows it. `handlers` are those of the loaded code by step, `trial` what a try of them came to."""
    tried = {} if trial is None else {step.location: step for step in trial.steps}
    rows = [_row(row, number, step, now, handlers, tried) for number, step in enumerate(found.steps[:MOST], 1)]
    verdict, good = _verdict(found, trial)
    return Undoing(
        sentence=_sentence(row, found), rows=tuple(rows), more=max(0, len(found.steps) - MOST),
        staying=tuple(_staying(row, each, over=row.status == "completed") for each in found.staying[:MOST]),
        staying_more=max(0, len(found.staying) - MOST), notes=tuple(_notes(found)), verdict=verdict, verdict_good=good,
    )  # fmt: skip


def handlers_of(steps: Sequence[StepInfo]) -> dict[str, str]:
    """The rollback of each step that has one."""
    return {step.name: step.handler for step in steps if step.handler}


def handler_text(location: str, handlers: Mapping[str, str]) -> str:
    """What the loaded code would undo this step with, and where that is; nothing where it does not say."""
    name = location.rpartition("/")[2]
    return shown(handlers.get(name, "") or handlers.get(name.rpartition("#")[0], ""))


def why_it_stays(each: StaysDone) -> str:
    """Why nothing undoes it."""
    return _WHY[each.why]


def _row(
    row: RunRow, number: int, step: UndoStep, now: float, handlers: Mapping[str, str], tried: Mapping[str, TriedStep]
) -> UndoRow:
    trial = tried.get(step.location)
    handler = handler_text(step.location, handlers)
    if trial is not None and trial.handler:
        handler = shown(f"{trial.handler}, {trial.source}")
    return UndoRow(
        number=number, location=shown(step.location), href=entry_url(row.id, step.seq), handler=handler,
        state=_STATES[step.state], completed=stamp(step.completed_at or None, now), attempts=step.attempts,
        error="" if step.error is None else shown(str(step.error).partition("\n")[0][:_ERROR]), retry=stamp(step.retry_at, now),
        tried="" if trial is None else shown(trial.problem) or "found",
    )  # fmt: skip


def _staying(row: RunRow, each: StaysDone, *, over: bool) -> StayingRow:
    why = "the run completed, so it is kept" if over and each.why == "step" else why_it_stays(each)
    return StayingRow(shown(each.location), entry_url(row.id, each.seq), why, each.why == "doubtful")


def _sentence(row: RunRow, found: UndoMap) -> str:
    owing, all_steps = len(found.owing), len(found.steps)
    done = all_steps - owing
    match row.status:
        case "completed":
            return "The run completed: nothing is owed any more, and nothing will be undone."
        case _ if not all_steps:
            return "No step of this run that has completed has a rollback: nothing would be undone."
        case "rolling_back":
            return f"The run is being rolled back: {done} of {all_steps} done."
        case "cancelled":
            return f"The run was cancelled: {done} of {all_steps} were undone, {owing} stay done."
        case "failed" if owing:
            return f"The rollback is unfinished: {done} of {all_steps} done. Recover goes on with it."
        case "failed":
            return f"The run failed and was rolled back: all {all_steps} are undone. Recover will do them again."
        case "blocked":
            return f"{_steps(owing)} a rollback. Nothing is undone while the run is held."
        case _:
            return f"{_steps(owing)} a rollback: if the run fails, or is cancelled with rollback, it is done in this order."


def _steps(count: int) -> str:
    return "1 step owes" if count == 1 else f"{count:,} steps owe"


def _notes(found: UndoMap) -> list[str]:
    """What is not in the lists since it is recorded no more."""
    pruned = [
        f"{turns:,} finished turns of {shown(place)} are pruned: none of them owes a rollback, and whatever they did stays done."
        for place, turns in found.pruned
    ]
    raced = [
        f"What the losing branches of {shown(place)} did is forgotten where it owes nothing, and stays done."
        for place in found.races
    ]
    return [*pruned, *raced]


def _verdict(found: UndoMap, trial: UndoTrial | None) -> tuple[str, bool]:
    if trial is None:
        return "", False
    if trial.problem:
        return f"Nothing could be undone now: {shown(trial.problem)}", False
    bad = [step.location for step in trial.steps if step.problem]
    if bad:
        return f"A rollback would not begin: {len(bad)} of {len(trial.steps)} could not be undone with the loaded code.", False
    if len(trial.steps) == 1:
        return "The step that owes was found, and its recorded output can be read. Nothing was called.", True
    return f"All {len(trial.steps)} that owe were found, and their recorded outputs can be read. Nothing was called.", True
