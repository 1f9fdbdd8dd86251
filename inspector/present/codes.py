"""Two codes of one workflow compared step by step: added, removed, renamed, moved, body changed.

A step is the same under another name if its body leaves no doubt. Moved are the fewest steps that must be taken out so that the
others stand in one order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .values import shown

__all__ = ["Difference", "StepChange", "changes_of", "summary"]

Difference = Literal["same", "added", "removed", "renamed", "moved", "body changed"]


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step then and now; an empty name: it did not exist. `differences` may be several."""

    before: str
    now: str
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether nothing about it has changed."""
        return self.differences == ("same",)


def changes_of(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[StepChange, ...]:
    """The steps in the order that they have now, each removed one behind the step that it followed; name → hash of its body."""
    renamed = _renamed(before, now)
    old_of = {name: name for name in now if name in before} | {new: old for old, new in renamed.items()}
    moved = _moved([list(before).index(old_of[name]) for name in now if name in old_of])
    kept = [name for name in now if name in old_of]
    moved_names = {kept[place] for place in moved}
    rows = [_row(before, now, old_of.get(name), name, name in moved_names) for name in now]
    gone = [name for name in before if name not in old_of.values()]
    for name in gone:
        rows.insert(_place_of(name, list(before), rows), StepChange(shown(name), "", ("removed",)))
    return tuple(rows)


def _row(before: Mapping[str, str], now: Mapping[str, str], old: str | None, name: str, moved: bool) -> StepChange:
    if old is None:
        return StepChange("", shown(name), ("added",))
    found: list[Difference] = []
    if old != name:
        found.append("renamed")
    if moved:
        found.append("moved")
    if before[old] != now[name]:
        found.append("body changed")
    return StepChange(shown(old), shown(name), tuple(found) or ("same",))


def _renamed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Old name → new one, where one name has left, one has come, and no other step has that body."""
    left = {name: body for name, body in before.items() if name not in now}
    came = {name: body for name, body in now.items() if name not in before}
    found = {}
    for old, body in left.items():
        names = [name for name, each in came.items() if each == body]
        if len(names) == 1 and list(left.values()).count(body) == 1:
            found[old] = names[0]
    return found


def _moved(places: Sequence[int]) -> set[int]:
    """The indices that do not belong to the longest rising sequence of `places`."""
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, place in enumerate(places):
        at = bisect_left(tails, place)
        previous.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(place)
            ends.append(index)
        else:
            tails[at], ends[at] = place, index
    kept, index = set(), ends[-1] if ends else -1
    while index >= 0:
        kept.add(index)
        index = previous[index]
    return set(range(len(places))) - kept


def _place_of(name: str, before: Sequence[str], rows: Sequence[StepChange]) -> int:
    """Behind the row of the nearest earlier step that is still shown; at the top if there is none."""
    known = {row.before: place for place, row in enumerate(rows) if row.before}
    for earlier in reversed(before[: before.index(name)]):
        if shown(earlier) in known:
            return known[shown(earlier)] + 1
    return 0


def summary(changes: Sequence[StepChange]) -> str:
    """How many steps differ, and in what; nothing where none does."""
    counts: dict[str, int] = {}
    for change in changes:
        for difference in change.differences:
            if difference != "same":
                counts[difference] = counts.get(difference, 0) + 1
    return ", ".join(f"{count} {difference}" for difference, count in counts.items())
