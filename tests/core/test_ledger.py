"""The ledger against a store that sometimes refuses: whatever is staged, in whatever order, all of it is written in the end."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from flowkit.core.change import Change
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.ledger import Ledger
from flowkit.core.location import nested

COMPOSITES = ("loop", "loop/~1/deep")
PLACES = [
    "a", "b", "loop", "loop/~0/a", "loop/~0/b", "loop/~1/a", "loop/~10/a", "loop/~1/deep", "loop/~1/deep/~0/x", "block/a",
    "block/inner/a",
]  # fmt: skip


def kind_of(place: str) -> str:
    """A loop or a step."""
    return "loop" if place in COMPOSITES else "step"


class Store:
    """A run's entries as a database holds them, refusing what a database refuses."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.failures: list[FailedAttempt] = []
        self.settled: dict[int, Entry] = {}
        self.head = 0
        self.last = 0

    def apply(self, change: Change) -> None:
        """Write it."""
        assert change.head == self.head
        assert not {entry.seq for entry in change.add} & self.entries.keys()
        assert all(entry.seq > self.last for entry in change.add)
        assert all(not self.entries[entry.seq].settled for entry in change.set)
        assert not {entry.seq for entry in change.add} & {entry.seq for entry in change.set}
        self.entries.update({entry.seq: entry for entry in [*change.add, *change.set]})
        for first, end in change.forget:
            for seq in range(first, end):
                del self.entries[seq]
        self.failures += change.failures
        self.last = change.entries
        self.head += 1


class Writing(RuleBasedStateMachine):
    """Stage, forget, take, land and refuse, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(run=1, run_id="r", epoch=1, head=0)
        self.store = Store()
        self.flying: Change | None = None
        self.now = 0.0
        self.failed: list[FailedAttempt] = []

    @rule(place=st.sampled_from(PLACES), settled=st.booleans())
    def record(self, place: str, settled: bool) -> None:
        """A new entry, or the next version of an open one."""
        self.now += 1
        old = self.ledger.entries.get(place)
        around = [top for top in COMPOSITES if place.startswith(top + "/")]
        if (old is not None and old.settled) or any(top not in self.ledger.entries for top in around):
            return  # nothing is recorded before the loop it lies in
        entry = old or Entry(
            seq=self.ledger.next_seq(), location=place, kind=kind_of(place),
            status="running", parent=self.ledger.parent_of(place), created_at=self.now,
        )  # fmt: skip
        changed = {"status": "completed", "settled_at": self.now} if settled else {"attempts": entry.attempts + 1}
        self.ledger.stage(msgspec.structs.replace(entry, **changed))

    @rule(place=st.sampled_from(PLACES))
    def fail(self, place: str) -> None:
        """A failed attempt of an entry."""
        entry = self.ledger.entries.get(place)
        if entry is None or entry.settled:
            return
        failure = FailedAttempt(entry=entry.seq, n=1, started_at=0.0, ended_at=self.now, error=b"{}")
        self.now += 1
        self.failed.append(failure)
        self.ledger.stage_failure(failure)

    @rule(scope=st.sampled_from(["loop/~0", "loop/~1", "loop/~10", "block", "loop"]))
    def forget(self, scope: str) -> None:
        """All below a place."""
        gone = list(self.ledger.below(scope))
        self.failed = [failure for failure in self.failed if failure.entry not in {entry.seq for entry in gone}]
        self.ledger.forget(gone)

    @precondition(lambda self: self.flying is None)
    @rule()
    def take(self) -> None:
        """A Change goes off."""
        self.flying = self.ledger.take()

    @precondition(lambda self: self.flying is not None)
    @rule()
    def land(self) -> None:
        """The store has it."""
        assert self.flying is not None
        self.store.apply(self.flying)
        self.ledger.landed()
        self.flying = None

    @precondition(lambda self: self.flying is not None)
    @rule()
    def refuse(self) -> None:
        """The store said no: memory is as it was, and what was to be written still is (DB3)."""
        self.ledger.restore()
        self.flying = None

    @invariant()
    def a_location_occurs_once(self) -> None:
        """I11, and the ledger's own indexes agree with its entries."""
        entries = list(self.ledger.entries.values())
        assert len({entry.seq for entry in entries}) == len(entries)
        assert {entry.seq for entry in self.ledger.open_entries()} == {entry.seq for entry in entries if not entry.settled}

    @invariant()
    def a_parent_has_a_lower_number(self) -> None:
        """DB4: than its children."""
        assert all(entry.parent < entry.seq for entry in self.ledger.entries.values())

    def teardown(self) -> None:
        """In the end all of it lands, and the store holds what memory holds."""
        if self.flying is not None:
            self.refuse()
        self.take()
        self.land()
        assert self.store.entries == {entry.seq: entry for entry in self.ledger.entries.values()}
        assert not self.ledger.pending
        mine = {entry.seq for entry in self.ledger.entries.values()}
        assert [f for f in self.store.failures if f.entry in mine] == [f for f in self.failed if f.entry in mine]


Writing.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestWriting = Writing.TestCase


@given(st.lists(st.sampled_from(PLACES), unique=True), st.integers(0, 10))
def test_loading_a_cut_of_a_history_gives_the_same_tree_as_recording_it(places: list[str], cut: int) -> None:
    """A ledger made of stored entries answers as the one that recorded them."""
    recorded = Ledger(run=1, run_id="r", epoch=1, head=0)
    entries = []
    for place in sorted(places)[:cut]:
        entry = Entry(
            seq=recorded.next_seq(), location=place, kind=kind_of(place), status="completed",
            settled_at=1.0, parent=recorded.parent_of(place),
        )  # fmt: skip
        entries.append(recorded.stage(entry))

    loaded = Ledger(run=1, run_id="r", epoch=1, head=0, entries=entries)

    assert loaded.entries == recorded.entries
    assert loaded.children == recorded.children
    assert loaded.inner == recorded.inner
    assert loaded.next_seq() == recorded.next_seq()


@given(st.lists(st.sampled_from(PLACES), unique=True), st.sampled_from(PLACES))
def test_below_is_what_the_location_says(places: list[str], top: str) -> None:
    """DB5: everything under a place, and nothing else: turn 1 is not turn 10."""
    ledger = Ledger(
        run=1, run_id="r", epoch=1, head=0,
        entries=[
            Entry(seq=n, location=place, kind=kind_of(place), status="running")
            for n, place in enumerate(sorted(places), 1)
        ],
    )  # fmt: skip

    found = {entry.location for entry in ledger.below(top)}

    assert found == {place for place in places if place.startswith(top + "/")} or top not in ledger.entries


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_forgotten_ranges_hold_exactly_the_forgotten(all_of: set[int], gone: set[int]) -> None:
    """DB5: half-open ranges of sequence numbers that hold nothing else."""
    entries = {n: Entry(seq=n, location=nested("loop/~0", f"s{n}"), kind="step", status="running") for n in all_of}
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0, entries=entries.values())

    ledger.forget([entries[n] for n in sorted(gone & all_of)])

    ranges = ledger.take().forget
    covered = [n for first, end in ranges for n in range(first, end)]
    assert sorted(covered) == sorted(gone & all_of)
    assert all(later[0] > earlier[1] for earlier, later in itertools.pairwise(ranges))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_settlements_are_in_order_whatever_the_clock_says(clock: list[float]) -> None:
    """RB11 needs it: the order of completion is never lost to a clock that stands still or jumps back."""
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)
    instants = []
    for n, now in enumerate(clock):
        instants.append(ledger.settle_instant(now))
        ledger.stage(Entry(seq=ledger.next_seq(), location=f"s{n}", kind="step", status="completed", settled_at=instants[-1]))

    assert instants == sorted(set(instants))
    assert all(instant >= now for instant, now in zip(instants, clock, strict=True))


def test_a_failed_commit_leaves_memory_as_it_was() -> None:
    """DB3: what was to be written still is, with what was staged since on top of it."""
    ledger = Ledger(run=1, run_id="r", epoch=1, head=7)
    first = ledger.stage(Entry(seq=ledger.next_seq(), location="a", kind="step", status="running"))
    refused = ledger.take()
    settled = ledger.stage(msgspec.structs.replace(first, status="completed", settled_at=1.0))
    second = ledger.stage(Entry(seq=ledger.next_seq(), location="b", kind="step", status="running"))

    ledger.restore()

    again = ledger.take()
    assert (list(refused.add), refused.head) == ([first], 7)
    assert (list(again.add), list(again.set), again.head) == ([settled, second], [], 7)
    assert ledger.entries == {"a": settled, "b": second}


def test_a_stopped_strand_stages_nothing() -> None:
    """ST15: what stopped it is raised, and nothing of it is taken."""

    class Stopped:
        stop: BaseException | None = LookupError("over")

    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)

    with pytest.raises(LookupError):
        ledger.stage(Entry(seq=ledger.next_seq(), location="a", kind="step", status="running"), Stopped())

    assert (ledger.entries, ledger.pending) == ({}, False)
