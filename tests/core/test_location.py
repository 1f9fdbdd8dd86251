"""Names and locations, as properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowkit.core.location import check_name, check_run_id, nested, split, turn_of, turn_segment
from flowkit.errors import InvalidName

anything = st.text(max_size=210)
FORBIDDEN = set("/#") | {chr(n) for n in [*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)]}


def allowed(name: str) -> bool:
    """What the contract says of names."""
    return 1 <= len(name) <= 200 and not (set(name) & FORBIDDEN) and not name.startswith("~")


names = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/#"), min_size=1, max_size=20).filter(allowed)


@given(anything)
def test_a_name_is_refused_exactly_for_what_it_may_not_hold(name: str) -> None:
    """1–200 characters, any Unicode but control characters, `/`, `#` and a leading `~`; DB6 for lone surrogates."""
    try:
        accepted = check_name(name) == name
    except InvalidName:
        accepted = False

    assert accepted == allowed(name)


@given(anything)
def test_run_ids_may_hold_slashes_and_hashes(name: str) -> None:
    """The same, with `/` and `#` allowed."""
    try:
        accepted = check_run_id(name) == name
    except InvalidName:
        accepted = False

    assert accepted == allowed(name.replace("/", "x").replace("#", "x"))


@pytest.mark.parametrize("odd", [None, 3, b"x", ("a",)])
def test_only_text_is_a_name(odd: object) -> None:
    """InvalidName, and a ValueError at that."""
    with pytest.raises(InvalidName):
        check_name(odd)
    with pytest.raises(ValueError, match="text"):
        check_run_id(odd)


@given(st.lists(names, min_size=1, max_size=5), st.lists(names, min_size=1, max_size=5))
def test_no_character_in_a_name_makes_two_places_one(first: list[str], second: list[str]) -> None:
    """I11: locations are equal exactly if their segments are."""
    assert (joined(first) == joined(second)) == (first == second)


def joined(segments: list[str]) -> str:
    """The location of these segments."""
    place = ""
    for segment in segments:
        place = nested(place, segment)
    return place


@given(st.lists(names, max_size=4), names)
def test_splitting_undoes_nesting(scope: list[str], name: str) -> None:
    """A location is its scope and its last segment."""
    assert split(nested(joined(scope), name)) == (joined(scope), name)


@given(st.integers(0, 10**9))
def test_a_turn_segment_tells_its_turn(turn: int) -> None:
    """`~3` is the fourth turn."""
    assert turn_of(turn_segment(turn)) == turn


@given(names)
def test_no_name_is_taken_for_a_turn(name: str) -> None:
    """Names do not begin with `~`."""
    assert turn_of(name) is None
