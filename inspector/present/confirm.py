"""What the page before a verb says: its exact meaning for this run, by name where something happens again or stays done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from flowkit.client.reader import RunRow
from flowkit.client.undoing import UndoMap
from flowkit.client.verbs import RewindPlan

from .rollback import handler_text, why_it_stays
from .states import held_by_code
from .values import shown

__all__ = ["Confirm", "Names", "confirm_of"]

_MOST = 50
_INLINE = 6
"""So many names stand in their sentence; more of them make a list."""


@dataclass(frozen=True, slots=True)
class Names:
    """A list with its heading; long ones are cut and say so. `notes` stand beside the names, one each, if there are any."""

    title: str
    names: tuple[str, ...]
    more: int = 0
    ordered: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Sentences, lists of names, and why the verb would be refused, if it would. `has_map`: the compensation map says more."""

    sentences: tuple[str, ...]
    lists: tuple[Names, ...] = ()
    has_map: bool = False
    refused: str = ""
    can_roll_back: bool = False


_SIMPLE = {
    "evict": "The pass stops on its worker. Nothing fails and no attempt is counted; any worker goes on with it. "
    "To keep it stopped, pause it.",
    "pause": "The body under way may end and is recorded; nothing new begins. Instants stay as they are; messages still arrive.",
    "wake": "The run is due now, for one pass. That shortens nothing: a sleep or retry whose instant has not come parks again.",
    "send": "A message is put into the run's inbox. The same key again is delivered once.",
}

_FENCED = (
    "This run is a what-if fork: what is equal is taken from the original, and before anything else is run, sent or undone it "
    "pauses and asks."
)


def confirm_of(
    row: RunRow, verb: str, *, plan: RewindPlan | None = None, undo: UndoMap | None = None, location: str = "",
    once: Collection[str] | None = None, handlers: Mapping[str, str] | None = None, fork: bool = False,
) -> Confirm:  # fmt: skip
    """What `verb` would do to this run now. A replay begins at `location`; `once` are the names of the steps that are declared
    `at_most_once`, None where no code is at hand to tell; `handlers` are the rollbacks of the loaded code by step. In a `fork`
    nothing happens unasked.
    """
    if verb == "recover" and plan is not None:
        return _fenced(_recover(plan, undo or UndoMap(), handlers or {}), fork)
    if verb == "replay" and plan is not None:
        return _fenced(_replay(plan, location, once, fork), fork)
    if verb == "cancel" and undo is not None:
        return _fenced(_cancel(row, undo, handlers or {}, fork), fork)
    if verb == "resume":
        return Confirm(sentences=(_resume(row),))
    return Confirm(sentences=(_SIMPLE.get(verb, ""),))


def _fenced(told: Confirm, fork: bool) -> Confirm:
    """What is told of a fork, where whatever has an effect asks first."""
    return replace(told, sentences=(_FENCED, *told.sentences)) if fork else told


def _recover(plan: RewindPlan, undo: UndoMap, handlers: Mapping[str, str]) -> Confirm:
    if plan.refused:
        return Confirm(sentences=("Recover is not possible as things stand. A replay would do:",), refused=shown(plan.refused))
    if plan.rollback:
        where = shown(plan.rollback)
        says = f"The rollback goes on at {where}; the run then ends failed and can be recovered."
        left = _undone("Will be undone, in this order", undo, handlers)
        return Confirm(sentences=(says,), lists=(left,) if left.names else (), has_map=True)
    again, undone = plan.again, plan.undone_again
    sentences = [f"{_steps(again)} fresh attempts{_inline(again)}." if again else "The run goes on where it failed."]
    if undone:
        sentences.append(f"{_steps(undone, 'that was rolled back runs', 'that were rolled back run')} again{_inline(undone)}.")
    if plan.kept:
        sentences.append(f"{plan.kept:,} finished {'one does' if plan.kept == 1 else 'ones do'} not.")
    lists = [_long("Fresh attempts", again), _again(undone, handlers)]
    lists.append(_names("Recorded after the failure, archived", plan.archived))
    return Confirm(sentences=tuple(sentences), lists=tuple(each for each in lists if each.names), has_map=bool(undone))


def _again(undone: Sequence[str], handlers: Mapping[str, str]) -> Names:
    """What was rolled back and is done anew."""
    found = _names("Will be done again", undone)
    texts = (handler_text(place, handlers) for place in undone[:_MOST])
    return _noted(found, [f"was undone{f' by {text}' if text else ''}" for text in texts])


def _undone(title: str, undo: UndoMap, handlers: Mapping[str, str]) -> Names:
    """What owes, with what would undo it."""
    places = [step.location for step in undo.owing]
    texts = (handler_text(place, handlers) for place in places[:_MOST])
    return replace(_noted(_names(title, places), [f"by {text}" if text else "" for text in texts]), ordered=True)


def _noted(names: Names, notes: Sequence[str]) -> Names:
    return replace(names, notes=tuple(notes) if any(notes) else ())


def _steps(names: Sequence[str], one: str = "gets", many: str = "get") -> str:
    return f"1 step {one}" if len(names) == 1 else f"{len(names)} steps {many}"


def _inline(names: Sequence[str]) -> str:
    return f": {', '.join(map(shown, names))}" if len(names) <= _INLINE else ""


def _long(title: str, names: Sequence[str]) -> Names:
    return _names(title, names if len(names) > _INLINE else ())


def _replay(plan: RewindPlan, location: str, once: Collection[str] | None, fork: bool) -> Confirm:
    if plan.refused:
        return Confirm(sentences=("Replay is not possible as things stand.",), refused=shown(plan.refused))
    entries = "1 entry is" if len(plan.archived) == 1 else f"{len(plan.archived):,} entries are"
    back = {0: "", 1: " 1 message returns to the inbox."}.get(plan.messages, f" {plan.messages:,} messages return to the inbox.")
    sentences = [f"{entries} archived: never deleted, and still to be seen.{back}"]
    if location and plan.archived and plan.archived[0] != location:
        sentences.append(f"It goes back to {shown(plan.archived[0])}: what lies around {shown(location)} starts over with it.")
    if fork:
        return Confirm(
            sentences=tuple(sentences), lists=tuple(each for each in (_names("Answered anew", plan.effects),) if each.names)
        )
    sentences.append("The effects of the steps below will happen again." if plan.effects else "No step runs again.")
    sentences += [f"So will what {turns:,} pruned turns of {shown(place)} did, of which nothing is recorded any more."
                  for place, turns in plan.pruned]  # fmt: skip
    if plan.effects and once is None:
        sentences.append("No code is loaded here, so this page cannot tell which of them are declared at_most_once.")
    first = [place for place in plan.effects if _name_of(place) in (once or ())]
    rest = [place for place in plan.effects if place not in first]
    lists = (_names("Declared at_most_once, and yet will happen again", first), _names("Will happen again", rest))
    return Confirm(sentences=tuple(sentences), lists=tuple(each for each in lists if each.names))


def _name_of(location: str) -> str:
    """The name that the code gives: ``charge`` of ``pack/~3/charge#2``."""
    name = location.rpartition("/")[2]
    return name.rpartition("#")[0] or name


def _cancel(row: RunRow, undo: UndoMap, handlers: Mapping[str, str], fork: bool) -> Confirm:
    sentences = ["Cancel: no later write of the run lands, and no handler runs."]
    can_roll_back = bool(undo.owing) and row.status not in ("blocked", "rolling_back")
    if row.status == "rolling_back":
        sentences.append("The run is being rolled back: what is not undone yet stays done. Type its id to go on.")
    elif can_roll_back:
        first = "first it asks for each handler" if fork else "the handlers run first"
        sentences.append(f"Cancel and roll back: {first}, in this order; then it is cancelled.")
    elif undo.owing:
        sentences.append("It cannot be rolled back while it is held by code.")
    else:
        sentences.append("No finished step of it has a rollback to run.")
    title = "Would be undone, in this order" if can_roll_back else "Is not undone"
    undone = replace(_undone(title, undo, handlers), ordered=can_roll_back)
    stays = _names("Stays done either way", [each.location for each in undo.staying])
    doubts = [why_it_stays(each) if each.why == "doubtful" else "" for each in undo.staying[:_MOST]]
    lists = (undone, _noted(stays, doubts))
    return Confirm(
        sentences=tuple(sentences), lists=tuple(each for each in lists if each.names), can_roll_back=can_roll_back,
        has_map=bool(undo.steps or undo.staying),
    )  # fmt: skip


def _resume(row: RunRow) -> str:
    if row.status == "blocked":
        return (
            "It is checked again now, and stays held if it does not fit."
            if held_by_code(row)
            else "The crash count starts anew and the run goes on."
        )
    return "The run goes on. What fell due meanwhile happens now, once."


def _names(title: str, names: Sequence[str]) -> Names:
    return Names(title, tuple(shown(name) for name in names[:_MOST]), max(0, len(names) - _MOST))
