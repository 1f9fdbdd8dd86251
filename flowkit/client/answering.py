"""What a paused fork asks, and what a person's answer changes. Pure: a view in, a plan out; nothing is written here.

An answer to a step or a send goes into its open entry: the outcome, or that it may be done for real. A rollback's question stands
at a settled entry, which no owner may touch; so that one is archived and added again, as a recovery does.
"""

from __future__ import annotations

import msgspec

from flowkit.client.resolving import Decision
from flowkit.client.rewind import Rewind, after_all
from flowkit.core.entry import Entry
from flowkit.core.fork import asked_line, asks_for
from flowkit.core.resolution import ByHand, by_hand_of
from flowkit.drivers.base import Driver, RunRow, RunView
from flowkit.errors import RunConflict

__all__ = ["answer_of", "open_question", "questions"]


def questions(view: RunView) -> list[Entry]:
    """The entries for which this run asks a person; none unless it is a paused fork."""
    row = view.row
    return [] if view.fork is None else asks_for(view.entries, row.status, row.ending, row.current)


def open_question(driver: Driver, row: RunRow | None) -> str:
    """Why this run is not to be resumed, on a line: it is a fork that asks, and resumed it would only ask again. Else empty."""
    if row is None or not asked_line(row.status, row.error_line):
        return ""
    view = driver.load(row.seq)
    found = ", ".join(repr(entry.location) for entry in questions(view)) if view is not None else ""
    return f"run {row.id!r} asks for {found}: answer with resolve(), for resumed it would only ask again" if found else ""


def answer_of(view: RunView, decision: Decision, by_hand: ByHand) -> Rewind:
    """The plan by which a fork goes on with what a person said.

    Raises:
        ValueError: the fork asks for something else, or this is no answer to it. RunConflict: it asks for nothing.
    """
    found = {entry.location: entry for entry in questions(view)}
    if not found:
        raise RunConflict(f"run {view.row.id!r} is {view.row.status} and asks for nothing")
    entry = found.get(decision.location)
    if entry is None:
        raise ValueError(f"run {view.row.id!r} asks for {', '.join(map(repr, found))}, not for {decision.location!r}")
    return _undone(view, entry, decision, by_hand) if view.row.ending else _answered(view, entry, decision, by_hand)


def _answered(view: RunView, entry: Entry, decision: Decision, by_hand: ByHand) -> Rewind:
    if decision.output is None and decision.error is None:
        given = msgspec.structs.replace(by_hand, how="real", round=entry.round)
        return _forward(view, msgspec.structs.replace(entry, by_hand=given.encode()))
    given = msgspec.structs.replace(by_hand, round=entry.round)
    sent = entry.kind == "send"
    return _forward(
        view,
        msgspec.structs.replace(
            entry, status="completed" if decision.error is None else "failed", due_at=None, error=decision.error,
            output=None if sent else decision.output, settled_at=after_all(view.entries, by_hand.at),
            rollback="owes" if decision.owes and not sent else "", by_hand=given.encode(),
        ),
    )  # fmt: skip


def _forward(view: RunView, changed: Entry) -> Rewind:
    owes = sum(entry.rollback == "owes" for entry in view.entries) + (changed.rollback == "owes")
    return Rewind(status="pending", set=[changed], owes=owes)


def _undone(view: RunView, entry: Entry, decision: Decision, by_hand: ByHand) -> Rewind:
    """What was decided for the step before stays in the record, but for how, why, when and by whom."""
    if decision.error is not None:
        raise ValueError(f"the rollback of {entry.location!r} is called for real or taken for done; it cannot be given a failure")
    real = decision.output is None
    before = by_hand_of(entry) or by_hand
    given = msgspec.structs.replace(
        before, how="undo" if real else "undone", reason=by_hand.reason, at=by_hand.at, who=by_hand.who, round=entry.round + 1
    )
    changed = msgspec.structs.replace(entry, round=entry.round + 1, by_hand=given.encode())
    if not real:
        changed = msgspec.structs.replace(changed, status="rolled_back", rollback="done")
    owes = sum(each.rollback == "owes" for each in view.entries) - (not real)
    return Rewind(
        status="rolling_back", clears=False, add=[changed], archive=[entry.seq], owes=owes,
        rolled_back=[] if real else [entry.seq],
    )  # fmt: skip
