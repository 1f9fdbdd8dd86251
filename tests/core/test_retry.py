"""Retry arithmetic, as properties."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from flowkit.core.retry import RetryPolicy, next_attempt_at

seconds = st.floats(0, 1e9)
policies = st.builds(RetryPolicy, retries=st.integers(0, 1000), backoff=seconds, backoff_max=seconds, jitter=st.floats(0, 1))


@given(policies, st.integers(1, 2000), st.floats(0, 4e9), st.floats(0, 1, exclude_max=True))
def test_there_is_a_next_attempt_exactly_while_retries_are_left(
    policy: RetryPolicy, attempts: int, failed_at: float, chance: float
) -> None:
    """ST4: retries=N allows N+1 attempts."""
    due = next_attempt_at(policy, attempts, failed_at, chance=chance)

    assert (due is not None) == (attempts <= policy.retries)


@given(policies, st.integers(1, 1000), st.floats(0, 4e9), st.floats(0, 1, exclude_max=True))
def test_the_pause_is_capped_doubled_and_jittered(policy: RetryPolicy, attempts: int, failed_at: float, chance: float) -> None:
    """ST5: min(backoff_max, backoff * 2**k), times 1 ± jitter, from the failure."""
    due = next_attempt_at(policy, min(attempts, max(1, policy.retries)), failed_at, chance=chance)
    pause = min(policy.backoff_max, policy.backoff * 2.0 ** min(attempts, max(1, policy.retries), 64))

    lowest, highest = failed_at + pause * (1 - policy.jitter), failed_at + pause * (1 + policy.jitter)
    assert due is None or lowest - 1e-3 <= due <= highest + 1e-3


@given(policies, st.integers(1, 1000), seconds, st.floats(0, 1, exclude_max=True))
def test_a_chosen_delay_replaces_it_uncapped_and_without_jitter(
    policy: RetryPolicy, attempts: int, delay: float, chance: float
) -> None:
    """ST7: RetryAfter."""
    due = next_attempt_at(policy, attempts, 1000.0, chance=chance, delay=delay)

    assert due is None or due == 1000.0 + delay


def test_the_default_pauses_are_a_fifth_two_fifths_four_fifths() -> None:
    """ST5: 0.2, 0.4, 0.8 by default."""
    policy = RetryPolicy(3, 0.1, 30.0)

    assert [next_attempt_at(policy, k, 0.0) for k in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, None]


def test_a_million_attempts_later_the_pause_is_still_a_number() -> None:
    """ST5: the power does not overflow."""
    policy = RetryPolicy(10**9, 1e300, 30.0, 0.5)

    due = next_attempt_at(policy, 10**8, 0.0, chance=0.999)

    assert due is not None
    assert math.isfinite(due)
