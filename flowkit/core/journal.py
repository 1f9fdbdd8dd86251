"""What one pass has visited, and what history answers it.

A Journal claims places: a call gets a location in its scope, and history's entry there if it has one. It finds code and
history that do not fit before anything new begins:

* a call that history lacks may only be made once every recorded child of its scope has been visited (the visit would
  otherwise come out of order, or never);
* one that is recorded but open, once every child recorded before it has been;
* a scope may only return once all of its recorded children have been.

Only direct children count: what lies inside a settled join, race or loop is claimed with it. An attempt block has no entry,
but it is a child as soon as it holds one, so what would be the first thing performed in it is judged in the scope around it
as well. In a *frozen* pass nothing new may execute; the journal knows that it is frozen, and no primitive does.
"""

from __future__ import annotations

from collections.abc import Callable

from flowkit.core import divergence
from flowkit.core.entry import Entry
from flowkit.core.ledger import Ledger
from flowkit.core.location import nested
from flowkit.core.trial import Called, Skipped, Trial, pattern
from flowkit.errors import HistoryDiverged

__all__ = ["Journal", "Visits"]

_EXEMPT = frozenset(("version", "removed"))


class Visits:
    """What a pass has visited in one scope: names used, recorded children not met yet, and the call in progress."""

    __slots__ = ("busy", "inside", "numbers", "path", "strays", "used")

    def __init__(self, path: str, recorded: dict[str, int]) -> None:
        self.path = path
        self.inside = nested(path, "")
        """What the locations in this scope begin with."""
        self.strays = dict(recorded)
        self.used: set[str] = set()
        self.numbers: dict[str, int] = {}
        self.busy: str | None = None


class Journal:
    """One pass over a ledger."""

    def __init__(self, ledger: Ledger, *, frozen: bool = False, trial: Trial | None = None) -> None:
        self.ledger = ledger
        self.frozen = frozen
        self.trial = trial
        self._barred: dict[str, HistoryDiverged] = {}
        """Attempt blocks in which nothing may be performed, with the reason."""

    def visit(self, path: str) -> Visits:
        """Begin with the scope at `path`, from its top."""
        with self.ledger.lock:
            visits = Visits(path, self.ledger.children.get(path, {}))
            if self.trial is not None:
                for name in [name for name in visits.strays if pattern(nested(path, name)) in self.trial.removed]:
                    del visits.strays[name]
            return visits

    def claim(self, visits: Visits, kind: str, name: str, explicit: bool, where: Callable[[], str]) -> tuple[str, Entry | None]:
        """The location of this call and history's entry there, None if it is new.

        Raises:
            DuplicateName, HistoryDiverged: code and history do not fit, or the code breaks a rule of its own.
        """
        with self.ledger.lock:
            if self.trial is not None:
                if kind in _EXEMPT and self.trial.without and where() in self.trial.without:
                    raise Skipped
                if kind == "step" and name in self.trial.renamed:
                    name, explicit = self.trial.renamed[name], True
            if name in visits.used:
                name = self._number(visits, kind, name, explicit, where)
            visits.used.add(name)
            location = visits.inside + name
            entry = self.ledger.entries.get(location)
            if visits.strays:
                visits.strays.pop(name, None)
            if self.trial is not None:
                entry = self._try(self.trial, visits, kind, name, entry, where())
            if entry is None:
                if location in self.ledger.children and kind != "removed" and location not in self.ledger.entries:
                    raise divergence.other_kind(self.ledger, location, kind, name, where())
                if visits.strays and kind not in _EXEMPT:
                    raise divergence.unvisited(self.ledger, visits, kind, name, where())
                if self._barred:
                    self._check_block(visits, kind)
                return location, None
            if entry.kind != kind and not _stands_in(kind):
                raise divergence.other_kind(self.ledger, location, kind, name, where())
            if entry.settled_at is None:
                if visits.strays and kind not in _EXEMPT and min(visits.strays.values()) < entry.seq:
                    raise divergence.unvisited(self.ledger, visits, kind, name, where())
                if self._barred:
                    self._check_block(visits, kind)
            return location, entry

    def claim_block(self, visits: Visits, name: str, explicit: bool, where: Callable[[], str]) -> str:
        """The scope of an attempt block: it takes a name but has no entry of its own."""
        with self.ledger.lock:
            if name in visits.used:
                name = self._number(visits, "attempt", name, explicit, where)
            visits.used.add(name)
            recorded = visits.strays.pop(name, None)
            location = visits.inside + name
            if self.trial is not None:
                self._note_call(self.trial, visits, name, recorded, location not in self.ledger.children, where())
            if location in self.ledger.entries:
                raise divergence.other_kind(self.ledger, location, "attempt", name, where())
            if visits.strays and (recorded is None or min(visits.strays.values()) < recorded):
                self._barred[location] = divergence.unvisited(self.ledger, visits, "attempt", name, where())
            elif visits.path in self._barred:
                self._barred[location] = self._barred[visits.path]
            return location

    def leave(self, visits: Visits, error: BaseException | None = None, settled_at: float | None = None) -> None:
        """The scope is over. `settled_at` is that of the entry `error` came from, if it came from one.

        Raises:
            HistoryDiverged: recorded children were not visited.
        """
        with self.ledger.lock:
            if not visits.strays:
                return
            if error is None:
                raise divergence.left_over(self.ledger, visits)
            newest = max(self.ledger.touched_at(nested(visits.path, name)) for name in visits.strays)
            if settled_at is None or newest >= settled_at:
                raise divergence.left_over(self.ledger, visits)

    def unvisited(self, visits: Visits) -> bool:
        """Whether the scope has recorded children that this pass has not met."""
        return bool(visits.strays)

    def begins_numbers(self, location: str) -> bool:
        """Whether it is the first of calls that are told apart by number. A check alone asks: no other pass has time for it."""
        return self.trial is not None and f"{location}#2" in self.ledger.entries

    def notes_moved(self, location: str) -> bool:
        """Whether a check is told that this call got other arguments than were recorded, and not the log."""
        if self.trial is not None:
            self.trial.moved.append(location)
        return self.trial is not None

    def _number(self, visits: Visits, kind: str, name: str, explicit: bool, where: Callable[[], str]) -> str:
        """What a call goes by whose name is taken."""
        if explicit:
            raise divergence.duplicate(self.ledger, visits.path, kind, name, where())
        number = visits.numbers.get(name, 2)
        while f"{name}#{number}" in visits.used:
            number += 1
        visits.numbers[name] = number + 1
        return f"{name}#{number}"

    def _try(self, trial: Trial, visits: Visits, kind: str, name: str, entry: Entry | None, source: str) -> Entry | None:
        """History's entry as it would be with the lines that are tried."""
        location = nested(visits.path, name)
        if entry is not None and kind != "removed" and pattern(location) in trial.removed:
            if entry.kind == kind:
                raise divergence.duplicate(self.ledger, visits.path, kind, name, source)
            entry = None  # the new one is to get another name
        passed_by = entry is None and kind not in _EXEMPT
        self._note_call(trial, visits, name, None if entry is None else entry.seq, passed_by, source)
        return entry

    def _note_call(self, trial: Trial, visits: Visits, name: str, seq: int | None, new: bool, source: str) -> None:
        if new and visits.strays and (pattern(nested(visits.path, name)), source) in trial.guarded:
            trial.skipped.append(Called(visits.path, name, seq, source))
            visits.used.discard(name)
            visits.numbers.clear()
            raise Skipped
        trial.calls.append(Called(visits.path, name, seq, source))

    def _check_block(self, visits: Visits, kind: str) -> None:
        if kind not in _EXEMPT and (error := self._barred.get(visits.path)) is not None:
            raise error


def _stands_in(kind: str) -> bool:
    """`removed()` may meet any entry: it says itself which kinds it accepts."""
    return kind == "removed"
