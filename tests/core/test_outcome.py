"""How the ends of branches fold into one, as properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowkit.core.outcome import Done, Failed, Wake, decisive, merge_wakes, unwrap
from flowkit.errors import (
    CriticalError,
    EntryInProgress,
    Evicted,
    HistoryDiverged,
    Parked,
    RollbackCheckpointError,
    ScopeClosed,
)

RANKED = [
    {Evicted, ScopeClosed},
    {HistoryDiverged, EntryInProgress},
    {RollbackCheckpointError},
    {Parked},
    {ValueError, CriticalError, KeyError},
]
kinds: Any = st.sampled_from([kind for rank in RANKED for kind in rank])
errors = st.lists(kinds.map(lambda kind: kind("x")), max_size=8)


def rank(error: BaseException) -> int:
    """Its place in the order."""
    return next(n for n, rank in enumerate(RANKED) if type(error) in rank)


@given(errors)
def test_what_ends_a_pass_beats_branch_failures(ends: list[BaseException]) -> None:
    """JN5: evict, then divergence, then RollbackCheckpointError, then waiting, then failures."""
    chosen = decisive(ends)

    best = min(map(rank, ends), default=4)
    assert (chosen is None) == (best == 4)
    assert chosen is None or chosen is next(e for e in ends if rank(e) == best)


wakes = st.lists(
    st.builds(
        Wake,
        at=st.none() | st.floats(0, 4e9),
        names=st.none() | st.lists(st.sampled_from(["a", "b", "c", "*"]), min_size=1).map(tuple),
    ),
    max_size=6,
)


@given(wakes)
def test_a_run_waits_for_the_earliest_instant_and_all_the_names(each: list[Wake]) -> None:
    """SL7, JN4: the earliest deadline and the union of the names."""
    merged = merge_wakes(each)

    names = {name for wake in each for name in wake.names or ()}
    assert merged.at == min((wake.at for wake in each if wake.at is not None), default=None)
    assert merged.names == (None if not names else ("*",) if "*" in names else tuple(sorted(names)))


@given(wakes, wakes)
def test_merging_is_the_same_in_any_grouping(first: list[Wake], second: list[Wake]) -> None:
    """SL7: branches of branches wait for the same."""
    assert merge_wakes([merge_wakes(first), merge_wakes(second)]) == merge_wakes(first + second)


def test_an_outcome_is_a_value_or_raises() -> None:
    """An outcome gives back what it was made of."""
    error = ValueError("x")

    assert unwrap(Done(None)) is None
    with pytest.raises(ValueError, match="x") as caught:
        unwrap(Failed(error))
    assert caught.value is error
