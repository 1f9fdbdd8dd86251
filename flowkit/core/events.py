"""What error hooks are told. Events are sent once, after the failure is durable."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.errors import ErrorInfo

__all__ = ["ErrorEvent", "RollbackFailed", "RunError", "StepError"]


@dataclass(frozen=True, slots=True)
class StepError:
    """An attempt of a step failed. `retry_delay` is seconds, `retry_at` epoch seconds; both None if it was the last."""

    run_id: str
    step_name: str
    attempt: int
    max_retries: int
    remaining_retries: int
    will_retry: bool
    retry_delay: float | None
    retry_at: float | None
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class RollbackFailed:
    """A rollback handler used up its attempts: the run's rollback is unfinished."""

    run_id: str
    step_name: str
    attempts: int
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class RunError:
    """A run failed with an error that no step reported, or was blocked."""

    run_id: str
    workflow: str
    error: ErrorInfo


ErrorEvent = StepError | RollbackFailed | RunError
