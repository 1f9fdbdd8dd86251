"""A fork beside its original, row by row: pure, so everything is given."""

from __future__ import annotations

from typing import Any

import msgspec

from flowkit.core.entry import Entry
from flowkit.core.fork import Fork
from flowkit.core.resolution import ByHand
from tests.inspector.given import module

forks = module("fork")
BY_HAND = ByHand(how="real", reason="a test account", at=1.0, who="me")
CHANGED = Fork(origin="o", run=1, at=1, first=1, location="s-1", kind="step", output=msgspec.Raw(b"7"), by_hand=BY_HAND)


def entry(number: int, output: bytes | None = b"1", **fields: Any) -> Entry:
    given: dict[str, Any] = {"kind": "step", "status": "completed", "settled_at": 1.0, "output": output}
    return Entry(seq=number, location=f"s-{number}", **(given | fields))


def beside(there: list[Entry], here: list[Entry], *, ended: bool = False) -> Any:
    return forks.beside(CHANGED, there, here, (), ("o", "f"), more=False, ended=ended)


def test_what_the_fork_has_not_come_to_is_not_said_to_be_left_out() -> None:
    there = [entry(1), entry(2), entry(3)]
    here = [entry(1, b"7"), entry(2, None, status="pending", settled_at=None)]

    told = [pair.told for pair in beside(there, here).pairs]
    at_the_end = [pair.told for pair in beside(there, here[:1], ended=True).pairs]

    assert told == ["changed by hand", "still open in the fork", "not in the fork yet"]
    assert at_the_end == ["changed by hand", "not in the fork", "not in the fork"]


def test_long_stretches_of_the_same_are_counted_and_short_ones_are_shown() -> None:
    there = [entry(number) for number in range(1, 13)]
    here = [entry(number, b"7" if number in (1, 5, 10) else b"1") for number in range(1, 13)]

    found = beside(there, here)

    assert [(pair.location, pair.skipped) for pair in found.pairs] == [
        ("s-1", 0), ("s-2", 0), ("s-3", 0), ("s-4", 0), ("s-5", 0), ("s-10", 4), ("s-11", 0), ("s-12", 0),
    ]  # fmt: skip
    assert (found.same, found.rest) == (0, 0)
    assert beside([*there, entry(13), entry(14)], [*here, entry(13), entry(14)]).rest == 4


def test_what_is_too_large_to_be_compared_is_not_said_to_be_the_same_where_it_was_run_again() -> None:
    large: dict[str, Any] = {"output": None, "size": 50_000}
    there = [entry(1), entry(2, **large), entry(3, **large)]
    here = [entry(1, b"7"), entry(2, **large), entry(3, **large, by_hand=BY_HAND.encode())]

    told = [pair.told for pair in beside(there, here).pairs]

    assert told == ["changed by hand", "the same", "of the same size, too large to compare here"]


def windows(there: list[Entry], here: list[Entry], limit: int) -> list[tuple[list[int], list[int]]]:
    """What each page has of both, until none follows."""
    after: tuple[int, int] | None = (0, 0)
    found: list[tuple[list[int], list[int]]] = []
    while after is not None:
        left = [each for each in there if each.seq > after[0]][: limit + 1]
        right = [each for each in here if each.seq > after[1]][: limit + 1]
        shown = forks.cut(left, right, after, limit)
        found.append(([each.seq for each in shown.there], [each.seq for each in shown.here]))
        after = shown.next
    return found


def test_windows_end_where_both_have_an_entry_so_that_no_pair_is_torn_apart() -> None:
    there = [entry(number) for number in range(1, 10)]
    here = [entry(number) for number in (1, 2, 20, 21, 4, 5, 6, 9)]
    here = [msgspec.structs.replace(each, seq=place) for place, each in enumerate(here, 1)]

    assert windows(there, here, 4) == [([1, 2], [1, 2]), ([3, 4, 5], [3, 4, 5, 6]), ([6, 7, 8, 9], [7, 8])]


def test_windows_of_a_short_fork_go_on_through_the_original() -> None:
    there, here = [entry(number) for number in range(1, 10)], [entry(1), entry(2)]

    assert windows(there, here, 4) == [([1, 2], [1, 2]), ([3, 4, 5, 6], []), ([7, 8, 9], [])]


def test_one_window_that_holds_both_is_all_there_is() -> None:
    both = [entry(number) for number in range(1, 4)]

    assert windows(both, both[:2], 4) == [([1, 2, 3], [1, 2])]
