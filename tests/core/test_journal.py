"""The journal as properties: what was recorded is answered, a cut replays to its own end, and what does not fit is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowkit.core.entry import Entry
from flowkit.core.journal import Journal
from flowkit.core.ledger import Ledger
from flowkit.errors import DuplicateName, HistoryDiverged

Call = tuple[str, str]
"""A kind and a default name."""

calls = st.tuples(st.sampled_from(["step", "sleep", "send", "checkpoint"]), st.sampled_from(["a", "b", "c"]))
programs = st.lists(calls, max_size=12)
distinct = st.integers(0, 10).map(lambda size: [("step", f"s{n}") for n in range(size)])


def nowhere() -> str:
    """A place in no file."""
    return "flow.py:1"


def ledger(entries: Sequence[Entry] = ()) -> Ledger:
    """One with these entries."""
    return Ledger(run=1, run_id="r", epoch=1, head=0, entries=entries)


def replay(history: Ledger, program: Sequence[Call], record: Callable[[Entry], object] | None = None) -> list[str]:
    """Claim each call in one scope, recording what is new; whether each was recalled, by location."""
    journal = Journal(history)
    visits = journal.visit("")
    told = []
    for kind, name in program:
        location, entry = journal.claim(visits, kind, name, False, nowhere)
        told.append(f"{'recalled' if entry is not None else 'new'} {location}")
        if entry is None:
            made = Entry(seq=history.next_seq(), location=location, kind=kind, status="completed", settled_at=1.0)
            history.stage(made)
            if record is not None:
                record(made)
    journal.leave(visits)
    return told


def recorded(program: Sequence[Call]) -> list[Entry]:
    """The history of a program."""
    entries: list[Entry] = []
    replay(ledger(), program, entries.append)
    return entries


@given(programs)
def test_what_was_recorded_is_recalled(program: list[Call]) -> None:
    """I12: at every location, and nothing is new."""
    entries = recorded(program)

    told = replay(ledger(entries), program)

    assert told == [f"recalled {entry.location}" for entry in entries]


@given(programs, st.data())
def test_any_cut_replays_to_its_own_end_and_then_goes_on_alike(program: list[Call], data: st.DataObject) -> None:
    """A crash after any commit: what is durable is answered, the rest gets the same places as without the crash."""
    entries = recorded(program)
    cut = data.draw(st.integers(0, len(entries)))

    told = replay(ledger(entries[:cut]), program)

    assert told == [f"{'recalled' if n < cut else 'new'} {entry.location}" for n, entry in enumerate(entries)]


@given(programs)
def test_names_are_unique_and_take_the_lowest_free_number(program: list[Call]) -> None:
    """ST26: over all kinds."""
    locations = [entry.location for entry in recorded(program)]

    counts: dict[str, int] = {}
    expected = []
    for _, name in program:
        counts[name] = counts.get(name, 0) + 1
        expected.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    assert locations == expected


@given(distinct.filter(bool), st.data())
def test_a_call_that_left_the_code_is_always_found(program: list[Call], data: st.DataObject) -> None:
    """CH2, CH4: before anything new, at the latest when the scope returns."""
    entries = recorded(program)
    gone = data.draw(st.integers(0, len(program) - 1))
    fresh = data.draw(st.lists(st.just(("step", "new")), max_size=1))

    with pytest.raises(HistoryDiverged) as caught:
        replay(ledger(entries), program[:gone] + program[gone + 1 :] + fresh)

    assert caught.value.recorded_name == program[gone][1]


@given(distinct.filter(bool), st.data())
def test_a_new_call_before_the_frontier_is_always_found(program: list[Call], data: st.DataObject) -> None:
    """CH2: before it is performed."""
    entries = recorded(program)
    place = data.draw(st.integers(0, len(program) - 1))
    made: list[Entry] = []

    with pytest.raises(HistoryDiverged) as caught:
        replay(ledger(entries), [*program[:place], ("step", "new"), *program[place:]], made.append)

    assert (caught.value.asked_name, made) == ("new", [])


@given(distinct.filter(bool), st.data())
def test_another_kind_at_a_place_is_always_found(program: list[Call], data: st.DataObject) -> None:
    """CH1: naming both kinds."""
    entries = recorded(program)
    place = data.draw(st.integers(0, len(program) - 1))
    program = [("sleep", name) if n == place else (kind, name) for n, (kind, name) in enumerate(program)]

    with pytest.raises(HistoryDiverged) as caught:
        replay(ledger(entries), program)

    assert (caught.value.recorded_kind, caught.value.asked_kind) == ("step", "sleep")


@given(distinct, st.randoms(use_true_random=False))
def test_settled_entries_may_be_met_in_any_order(program: list[Call], random: object) -> None:
    """CH7: as long as each is met before anything new."""
    entries = recorded(program)
    shuffled = sorted(program, key=lambda call: hash((call, str(random))))

    told = replay(ledger(entries), [*shuffled, ("step", "new")])

    assert told == [*[f"recalled {name}" for _, name in shuffled], "new new"]


@given(programs, calls)
def test_an_explicit_name_that_is_taken_is_refused(program: list[Call], again: Call) -> None:
    """ST27: whichever kind holds it."""
    history = ledger()
    journal = Journal(history)
    visits = journal.visit("")
    for kind, name in [*program, again]:
        journal.claim(visits, kind, name, False, nowhere)

    with pytest.raises(DuplicateName):
        journal.claim(visits, "step", again[1], True, nowhere)


@given(programs)
def test_a_second_pass_over_the_same_memory_equals_a_pass_after_a_crash(program: list[Call]) -> None:
    """The ledger outlives a pass: an abandoned pass goes on over it as it would over the store."""
    history = ledger()
    entries: list[Entry] = []
    replay(history, program, entries.append)

    assert replay(history, program) == replay(ledger(entries), program)
