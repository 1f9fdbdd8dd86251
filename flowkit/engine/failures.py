"""Failures as recorded outcomes: written once, raised alike on the first pass and on every later one."""

from __future__ import annotations

from flowkit.codec import decode_error, encode_error, rebuild, snapshot
from flowkit.core.entry import Entry
from flowkit.core.fields import OwnLog
from flowkit.core.ledger import Ledger
from flowkit.core.location import split
from flowkit.core.origin import FailureKind, FailureSource, Origin, mark
from flowkit.core.outcome import Place
from flowkit.durations import seconds
from flowkit.errors import ErrorInfo, JoinError, RaceError, RetryAfter, RollbackError, StepExhausted, StepTimeout

__all__ = [
    "chosen_delay", "error_line", "failed_place", "failure_kind", "holds_rollback", "info_bytes", "raised_again",
    "recorded_failure",
]  # fmt: skip

_LINE = 200


def info_bytes(error: BaseException) -> tuple[ErrorInfo, bytes]:
    """An exception as data, and that encoded."""
    info = snapshot(error)
    return info, encode_error(info)


def error_line(info: ErrorInfo) -> str:
    """The first line of an error, for lists. Stores keep it as text, so lone surrogates, as in odd file names, are escaped."""
    line = str(info).partition("\n")[0][:_LINE]
    return line.encode("utf-8", "backslashreplace").decode()


def failed_place(ledger: Ledger, failed_entry: int | None, info: ErrorInfo) -> Place:
    """The entry that a run's error came from; no location if the workflow itself raised it."""
    entry = next((entry for entry in ledger.entries.values() if entry.seq == failed_entry), None)
    if entry is None:
        return Place(error_line=error_line(info))
    return Place(entry.location, entry.attempts, entry.attempts if entry.status == "exhausted" else 0, error_line(info))


def recorded_failure(entry: Entry, source: FailureSource = "step") -> BaseException:
    """The exception that a settled, failed entry stands for, with its recorded type, message, attributes and traceback."""
    assert entry.error is not None
    return raised_again(entry, decode_error(entry.error), source)


def raised_again(entry: Entry, info: ErrorInfo, source: FailureSource) -> BaseException:
    """`info` as an exception that knows which entry it came from."""
    error = rebuild(info)
    last = error.error if isinstance(error, StepExhausted) and error.error is not None else info
    attempts = entry.attempts if source == "step" else 0
    return mark(
        error,
        Origin(
            kind=failure_kind(error),
            source=source,
            name=split(entry.location)[1],
            attempts=attempts,
            error=last,
            seq=entry.seq,
            settled_at=entry.settled_at,
        ),
    )


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of a terminal failure, read off the exception that stands for it."""
    if isinstance(error, StepExhausted):
        return error.kind
    if isinstance(error, StepTimeout):
        return "timeout"
    return "rollback" if holds_rollback(error) else "critical"


def holds_rollback(error: BaseException) -> bool:
    """Whether an error, or one of the branch errors in it, asks for the run to be rolled back."""
    if isinstance(error, JoinError | RaceError):
        return any(holds_rollback(each) for each in error.errors.values())
    return isinstance(error, RollbackError)


def chosen_delay(error: BaseException, log: OwnLog, step: str, attempt: int) -> float | None:
    """Seconds until the retry, if the body chose them; a choice that cannot be is none."""
    if not isinstance(error, RetryAfter):
        return None
    try:
        return seconds(error.delay, "RetryAfter delay")
    except (TypeError, ValueError) as unreadable:
        log.warning(
            "a step raised RetryAfter with a delay that cannot be, and the step's own backoff is used: %s",
            unreadable,
            extra={"step": step, "attempt": attempt},
        )
        return None
