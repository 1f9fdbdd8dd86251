"""What `recover()`, `replay()` and `resolve()` change in a history. Pure: a view in, a plan out; nothing is written here.

Both begin with entries that must run again. What lies around such an entry and has settled must be entered again, so it is
*reopened*: a join or race forgets how that branch ended, a loop goes back to that turn. An entry that changes is archived as
it was and added again under the same seq, one round later. Whatever message an archived entry had consumed returns to the
inbox, to its old place.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flowkit.client.resolving import Decision
from flowkit.core.entry import Entry, Message
from flowkit.core.ledger import COMPOSITES
from flowkit.core.location import ROOT, nested, split, turn_of
from flowkit.core.resolution import ByHand, edited_args
from flowkit.drivers.base import Driver, RunView
from flowkit.errors import RunConflict
from flowkit.primitives.branches import read_branches
from flowkit.primitives.loop import read_loop
from flowkit.primitives.messages import requeued

__all__ = ["Rewind", "after_all", "prefix_of", "recovery_of", "replay_of", "resolution_of", "resolvable"]

_FAILED = ("failed", "exhausted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewind:
    """What the write holds. `clears`: output and error go."""

    status: str
    ending: str | None = None
    clears: bool = True
    add: Sequence[Entry] = ()
    set: Sequence[Entry] = ()
    rolled_back: Sequence[int] = ()
    archive: Sequence[int] = ()
    requeue: Sequence[Message] = ()
    owes: int = 0
    state: bytes | None = None


def recovery_of(view: RunView, driver: Driver) -> Rewind | None:
    """The plan by which a failed run goes on, None if it is not failed."""
    if view.row.status != "failed":
        return None
    if view.row.ending:
        return _continued_rollback(view)
    return _forward(view, driver, lambda history, entry: history.restart(entry))


def _forward(view: RunView, driver: Driver, restart: Callable[[_History, Entry], None]) -> Rewind:
    """What failed starts over, each entry by `restart`; what came after it on its path is set aside."""
    history = _History(view.entries)
    culprits = history.culprits(view.failed_entry or 0)
    gone = [later for culprit in culprits for later in history.later_on_path(culprit)]
    for entry in gone:
        history.archive(entry)
    for entry in culprits:
        restart(history, entry)
    done = {entry.seq for entry in culprits}
    for entry in list(history.entries.values()):
        unhandled = entry.status in _FAILED and entry.seq not in done
        if unhandled and not history.went_on(entry) and not history.lost_a_race(entry.location):
            history.restart(entry)
    history.restart_all("rolled_back")
    return history.plan("pending", _requeue(view, gone, driver))


def resolvable(view: RunView) -> list[Entry]:
    """The failed steps that stopped this run, innermost last: those whose outcome a person may give.

    Raises:
        RunConflict: there is none, and why.
    """
    row = view.row
    if row.status != "failed":
        raise RunConflict(f"run {row.id!r} is {row.status}: only a step that stopped a failed run can be resolved")
    if row.ending or row.undone:
        raise RunConflict(f"run {row.id!r} has begun to be rolled back, so none of its steps can be resolved; recover() it")
    found = [each for each in _History(view.entries).culprits(view.failed_entry or 0) if each.kind == "step"]
    found = [each for each in found if each.status in _FAILED]
    if not found:
        raise RunConflict(f"run {row.id!r} was not stopped by a step; recover() or replay() it")
    return found


def resolution_of(view: RunView, decision: Decision, by_hand: ByHand, driver: Driver) -> Rewind:
    """The plan by which a failed run goes on with what a person gave; the rest is as in a recovery.

    Raises:
        ValueError: the step did not stop the run. RunConflict: no step did, or the run's status does not allow it.
    """
    found = resolvable(view)
    if decision.location not in [each.location for each in found]:
        names = ", ".join(repr(each.location) for each in found)
        raise ValueError(f"{decision.location!r} did not stop run {view.row.id!r}: it was stopped by {names}")
    settled_at = after_all(view.entries, by_hand.at)

    def restart(history: _History, entry: Entry) -> None:
        if entry.location != decision.location:
            history.restart(entry)
        elif by_hand.how == "again":
            history.restart(entry)
            again = history.entries[entry.location]
            history.change(again, by_hand=msgspec.structs.replace(by_hand, round=again.round).encode())
        else:
            history.change(
                entry, status="completed" if decision.error is None else "failed", settled_at=settled_at, due_at=None, patch=None,
                output=decision.output, error=decision.error, rollback="owes" if decision.owes else "", by_hand=by_hand.encode(),
            )  # fmt: skip
            history.reopen_around(entry.location)

    return _forward(view, driver, restart)


def after_all(entries: Iterable[Entry], now: float) -> float:
    """`now`, or the next instant after the newest settlement, so that the order of completion is never lost."""
    newest = max((entry.settled_at for entry in entries if entry.settled_at is not None), default=now)
    return now if now > newest else math.nextafter(newest, math.inf)


def _continued_rollback(view: RunView) -> Rewind:
    """The rollback goes on at the handler that was used up, with fresh attempts."""
    history = _History(view.entries)
    tried = {(failure.entry, failure.round) for failure in view.handler_failures}
    for entry in view.entries:
        if entry.rollback == "owes" and (entry.seq, entry.round) in tried:
            history.change(entry)
    return replace(history.plan("rolling_back"), clears=False)


def replay_of(view: RunView, from_step: str | None, driver: Driver) -> Rewind:
    """The plan by which a run starts over from an entry, or from its top.

    Raises:
        ValueError: there is no such entry. RunConflict: the run's status does not allow it.
    """
    row = view.row
    if row.status in ("running", "rolling_back"):
        raise RunConflict(f"run {row.id!r} is {row.status}; pause() or cancel() it before replay()")
    history = _History(view.entries)
    first = history.rewind_target(row.id, from_step).seq if from_step is not None else 0
    gone = history.cut(first)
    for entry in gone:
        history.archive(entry)
    for entry in gone:
        history.reopen_around(entry.location)
    history.restart_all("rolled_back")
    history.restart_all("cancelled")
    return history.plan("pending", _requeue(view, gone, driver))


def _requeue(view: RunView, gone: Sequence[Entry], driver: Driver) -> list[Message]:
    """The messages that these entries consumed; a completable one that is still open has not left the inbox."""
    waiting = {message.seq for message in driver.inbox(view.row.seq, (), driver.limits.inbox)}
    return [message for message in requeued(gone) if message.seq not in waiting]


def prefix_of(view: RunView, seq: int) -> tuple[list[Entry], int]:
    """The history before the entry `seq` as another run can begin with it, and the lowest number that is not in it.

    As in a replay from there, but for what is open, which is begun anew, and what was undone, which had been done by then.
    """
    history = _History(view.entries)
    gone = history.cut(seq)
    for entry in gone:
        history.archive(entry)
    for entry in gone:
        history.reopen_around(entry.location)
    history.hand_over()
    return sorted(history.entries.values(), key=lambda entry: entry.seq), min((e.seq for e in gone), default=seq)


class _History:
    """A history being changed: what is archived, and what is added in its place."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = {entry.location: entry for entry in entries}
        self._archived: set[int] = set()
        self._changed: dict[str, Entry] = {}

    # --- asking -----------------------------------------------------------------------------------------------------

    def culprits(self, seq: int) -> list[Entry]:
        """The entry with this seq, and those from which the branch failures in it came, innermost last."""
        entry = next((entry for entry in self.entries.values() if entry.seq == seq), None)
        if entry is None:
            return []
        found = [entry]
        if entry.kind in ("join", "race"):
            for end in read_branches(entry).done.values():
                if end.error is not msgspec.UNSET:
                    found += self.culprits(end.origin)
        return found

    def cut(self, first: int) -> list[Entry]:
        """The entries from seq `first` on, and what cannot stand without them: a race whose losers are gone, and a loop that
        has left the turn and not kept its starting state, start over whole.
        """
        gone = {entry.location: entry for entry in self.entries.values() if entry.seq >= first}
        for location in list(gone):
            for around, segment in self._composites_around(location):
                if around.location not in gone and _starts_over(around, segment):
                    gone |= {each.location: each for each in self.entries.values() if _within(each.location, around.location)}
        return sorted(gone.values(), key=lambda entry: entry.seq)

    def later_on_path(self, entry: Entry) -> list[Entry]:
        """What was recorded after `entry` in its scope and those around it, with everything below."""
        scopes = _scopes_around(entry.location)
        tops = [
            other.location
            for other in self.entries.values()
            if other.seq > entry.seq
            and not scopes.isdisjoint(self._scopes_of(other.location))
            and not _within(entry.location, other.location)
        ]
        return [other for other in self.entries.values() if any(_within(other.location, top) for top in tops)]

    def went_on(self, entry: Entry) -> bool:
        """Whether the code handled this failure: something later on its path shows that it went on."""
        around = self._composites_around(entry.location)
        return any(_returned(composite, segment) for composite, segment in around) or bool(self.later_on_path(entry))

    def _scopes_of(self, location: str) -> list[str]:
        """The scope an entry counts in; from within attempt blocks it counts in the scopes around them, too."""
        found = [split(location)[0]]
        while found[-1]:
            around = split(found[-1])[0]
            composite = self.entries.get(around)
            if composite is not None and composite.kind in COMPOSITES:
                break
            found.append(around)
        return found

    def rewind_target(self, run_id: str, location: str) -> Entry:
        """The entry from which to start over, for a wish to start from `location`."""
        target = self.entries.get(location)
        if target is None:
            near = difflib.get_close_matches(location, self.entries, n=3, cutoff=0.0)
            hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"run {run_id!r} has no entry {location!r}.{hint}")
        around = self._composites_around(location)
        loops = [(entry, turn) for entry, turn in around if entry.kind == "loop"]
        chosen = [entry for entry, _ in around if entry.kind == "race" and entry.settled]
        if loops:
            elsewhere = [entry for entry, segment in loops if turn_of(segment) != read_loop(entry).turn]
            chosen.append(elsewhere[0] if elsewhere else loops[-1][0])
        return min(chosen, key=lambda entry: entry.seq, default=target)

    def _composites_around(self, location: str) -> list[tuple[Entry, str]]:
        """The joins, races and loops around a location, outermost first, each with the segment of the scope in it."""
        parts = location.split("/")
        found = []
        for end in range(1, len(parts) - 1):
            entry = self.entries.get("/".join(parts[:end]))
            if entry is not None and entry.kind in COMPOSITES:
                found.append((entry, parts[end]))
        return found

    # --- changing ---------------------------------------------------------------------------------------------------

    def archive(self, entry: Entry) -> None:
        """The entry leaves the history."""
        self._archived.add(entry.seq)
        self.entries.pop(entry.location, None)
        self._changed.pop(entry.location, None)

    def change(self, entry: Entry, **fields: Any) -> None:
        """The entry is archived as it was, and added again one round later with these fields."""
        before = self._changed.get(entry.location)
        number = entry.round + 1 if before is None else before.round
        changed = msgspec.structs.replace(entry, round=number, **fields)
        self._archived.add(entry.seq)
        self._changed[entry.location] = self.entries[entry.location] = changed

    def restart(self, entry: Entry) -> None:
        """The entry starts over with no attempts used."""
        if entry.kind in COMPOSITES:
            self._reopen(entry, None)
        else:
            self.change(
                entry, status="pending", attempts=0, started_at=None, settled_at=None, due_at=None, rollback="", output=None,
                error=None, patch=None, by_hand=entry.by_hand if edited_args(entry) else None,
            )  # fmt: skip
        self.reopen_around(entry.location)

    def restart_all(self, status: str) -> None:
        """Entries that were undone, or cut short by a cancel, run again in place, but for those of branches that lost a race."""
        for entry in list(self.entries.values()):
            if entry.status == status and not self.lost_a_race(entry.location):
                self._resume(entry) if status == "cancelled" else self.restart(entry)

    def _resume(self, entry: Entry) -> None:
        """An entry that was open when the run was cancelled is open again: deadline, progress and attempts are kept."""
        waits = entry.kind in ("sleep", "message") or entry.started_at is None
        status = "running" if entry.kind in COMPOSITES else "pending" if waits else "retrying" if entry.due_at else "running"
        self.change(entry, status=status, settled_at=None)

    def hand_over(self) -> None:
        """Leave only what another run can have."""
        for entry in list(self.entries.values()):
            if entry.status == "rolled_back":
                self.change(entry, status="completed", rollback="owes")
            elif self.lost_a_race(entry.location):
                continue
            elif entry.kind in COMPOSITES and entry.status == "cancelled":
                self._resume(entry)
            elif entry.kind not in COMPOSITES and (not entry.settled or entry.status == "cancelled"):
                self.archive(entry)

    def reopen_around(self, location: str) -> None:
        """What settled around a location is entered again, in the scope that leads there."""
        for entry, segment in self._composites_around(location):
            self._reopen(self.entries[entry.location], segment)

    def lost_a_race(self, location: str) -> bool:
        """Whether a location lies in a branch that another one has beaten."""
        for entry, segment in self._composites_around(location):
            if entry.kind == "race" and read_branches(entry).winner not in (None, segment):
                return True
        return False

    def _reopen(self, entry: Entry, segment: str | None) -> None:
        """`segment` is the branch or turn to enter again; None: those that failed."""
        if entry.kind == "loop":
            self._reopen_loop(entry, segment)
            return
        record = read_branches(entry)
        drop = [name for name, end in record.done.items() if end.error is not msgspec.UNSET] if segment is None else [segment]
        done = {name: end for name, end in record.done.items() if name not in drop}
        if entry.settled or len(done) != len(record.done):
            record.done = done
            self.change(entry, status="running", settled_at=None, error=None, output=msgspec.json.encode(record))

    def _reopen_loop(self, entry: Entry, segment: str | None) -> None:
        progress = read_loop(entry)
        turn = turn_of(segment) if segment is not None else None
        back = turn is not None and turn < progress.turn and turn in progress.kept
        if not entry.settled and not back:
            return
        if back and turn is not None:
            progress.turn, progress.state = turn, progress.kept[turn]
        progress.value = msgspec.UNSET
        self.change(
            entry,
            status="running",
            settled_at=None,
            error=None,
            attempts=progress.turn,
            output=msgspec.json.encode(progress),
        )

    def plan(self, status: str, requeue: Sequence[Message] = ()) -> Rewind:
        """The write that makes all this durable."""
        owes = sum(entry.rollback == "owes" for entry in self.entries.values())
        add = sorted(self._changed.values(), key=lambda entry: entry.seq)
        ending = "" if status == "pending" else None
        return Rewind(status=status, ending=ending, add=add, archive=sorted(self._archived), requeue=requeue, owes=owes)


def _returned(composite: Entry, segment: str) -> bool:
    """Whether the code of this turn or branch has returned."""
    if composite.kind == "loop":
        return composite.status == "completed" or turn_of(segment) != read_loop(composite).turn
    end = read_branches(composite).done.get(segment)
    return end is not None and end.value is not msgspec.UNSET


def _starts_over(composite: Entry, segment: str) -> bool:
    """Whether a composite must start from its beginning once something in this scope of it is gone."""
    if composite.kind == "race":
        return composite.settled
    if composite.kind != "loop":
        return False
    progress, turn = read_loop(composite), turn_of(segment)
    return turn != progress.turn and turn not in progress.kept


def _scopes_around(location: str) -> set[str]:
    """The scope of a location and all scopes around it, to the root."""
    found = {ROOT}
    while location:
        location = split(location)[0]
        found.add(location)
    return found


def _within(location: str, top: str) -> bool:
    return location == top or location.startswith(nested(top, ""))
