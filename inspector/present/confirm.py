"""What the page before a verb says: its exact meaning for this run, by name where something happens again or stays done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.client.reader import RunRow
from flowkit.client.verbs import RewindPlan, Undo

from .values import shown

__all__ = ["Confirm", "Names", "confirm_of"]

_MOST = 50


@dataclass(frozen=True, slots=True)
class Names:
    """A list with its heading; long ones are cut and say so."""

    title: str
    names: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Sentences, lists of names, and why the verb would be refused, if it would."""

    sentences: tuple[str, ...]
    lists: tuple[Names, ...] = ()
    refused: str = ""
    can_roll_back: bool = False


_SIMPLE = {
    "evict": "The pass stops on its worker. Nothing fails and no attempt is counted; any worker goes on with it. "
    "To keep it stopped, pause it.",
    "pause": "The body under way may end and is recorded; nothing new begins. Instants stay as they are; messages still arrive.",
    "wake": "The run is due now, for one pass. That shortens nothing: a sleep or retry whose instant has not come parks again.",
    "send": "A message is put into the run's inbox. The same key again is delivered once.",
}


def confirm_of(row: RunRow, verb: str, *, plan: RewindPlan | None = None, undo: Undo | None = None) -> Confirm:
    """What `verb` would do to this run now."""
    if verb == "recover" and plan is not None:
        return _recover(plan)
    if verb == "replay" and plan is not None:
        return _replay(plan)
    if verb == "cancel" and undo is not None:
        return _cancel(row, undo)
    if verb == "resume":
        return Confirm(sentences=(_resume(row),))
    return Confirm(sentences=(_SIMPLE.get(verb, ""),))


def _recover(plan: RewindPlan) -> Confirm:
    if plan.refused:
        return Confirm(sentences=("Recover is not possible as things stand. A replay may be.",), refused=shown(plan.refused))
    if plan.rollback:
        where = shown(plan.rollback)
        return Confirm(sentences=(f"The rollback goes on at {where}; the run then ends failed and can be recovered.",))
    sentences = [f"{_steps(plan.again)} fresh attempts." if plan.again else "The run goes on where it failed."]
    if plan.undone_again:
        sentences.append(f"{_steps(plan.undone_again, 'that was rolled back runs', 'that were rolled back run')} again.")
    sentences.append(f"{plan.kept} finished {'one does' if plan.kept == 1 else 'ones do'} not.")
    lists = [_names("Fresh attempts", plan.again), _names("Rolled back, so they run again", plan.undone_again)]
    lists.append(_names("Recorded after the failure, archived", plan.archived))
    return Confirm(sentences=tuple(sentences), lists=tuple(each for each in lists if each.names))


def _steps(names: Sequence[str], one: str = "gets", many: str = "get") -> str:
    return f"1 step {one}" if len(names) == 1 else f"{len(names)} steps {many}"


def _replay(plan: RewindPlan) -> Confirm:
    if plan.refused:
        return Confirm(sentences=("Replay is not possible as things stand.",), refused=shown(plan.refused))
    messages = f" {plan.messages} messages return to the inbox." if plan.messages else ""
    sentences = (
        f"{len(plan.archived)} entries are archived: never deleted, and still to be seen.{messages}",
        "The effects of the steps below will happen again." if plan.effects else "No step runs again.",
    )
    lists = (_names("Will happen again", plan.effects),)
    return Confirm(sentences=sentences, lists=tuple(each for each in lists if each.names))


def _cancel(row: RunRow, undo: Undo) -> Confirm:
    sentences = ["Cancel: no later write of the run lands, and no handler runs."]
    can_roll_back = bool(undo.owing) and row.status not in ("blocked", "rolling_back")
    if row.status == "rolling_back":
        sentences.append("The run is being rolled back: what is not undone yet stays done. Type its id to go on.")
    elif can_roll_back:
        sentences.append("Cancel and roll back: the handlers run first, in this order; then it is cancelled.")
    elif undo.owing:
        sentences.append("It cannot be rolled back while it is held by code.")
    else:
        sentences.append("No step of it has a rollback.")
    lists = (_names("Would be undone, in this order", undo.owing), _names("Stays done either way", undo.staying))
    return Confirm(sentences=tuple(sentences), lists=tuple(each for each in lists if each.names), can_roll_back=can_roll_back)


def _resume(row: RunRow) -> str:
    if row.status == "blocked":
        return (
            "The crash count starts anew and the run goes on."
            if row.crashes
            else "It is checked again now, and stays held if it does not fit."
        )
    return "The run goes on. What fell due meanwhile happens now, once."


def _names(title: str, names: Sequence[str]) -> Names:
    return Names(title, tuple(shown(name) for name in names[:_MOST]), max(0, len(names) - _MOST))
