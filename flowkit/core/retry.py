"""When a failed attempt is made again. Pure arithmetic: the failure's instant and the chance come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RetryPolicy", "next_attempt_at"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` allows one attempt more than itself. `backoff` and `backoff_max` are seconds, `jitter` a share (0.1: ±10 %)."""

    retries: int
    backoff: float
    backoff_max: float
    jitter: float = 0.0


def next_attempt_at(
    policy: RetryPolicy, attempts: int, failed_at: float, *, chance: float = 0.5, delay: float | None = None
) -> float | None:
    """When to try again, in epoch seconds, or None once `policy` is exhausted.

    `attempts` counts the failed one: 1 after the first failure. `chance` in [0, 1) picks the jitter. `delay`, in seconds,
    replaces the computed one, uncapped and without jitter.
    """
    if attempts > policy.retries:
        return None
    if delay is not None:
        return failed_at + delay
    pause = min(policy.backoff_max, policy.backoff * 2.0 ** min(attempts, 64))
    return failed_at + pause * (1.0 + policy.jitter * (2.0 * chance - 1.0))
