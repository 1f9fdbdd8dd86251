"""flowkit makes plain Python functions durable: a crash, a restart or a deploy resumes a run where it stood.

A module that defines workflows needs decorators and primitives. What opens a database, and the awaitable twins in `aio`,
are imported when they are first asked for: they are a third of the time that all of it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowkit.calls import DEFAULT_PRUNE_EVERY
from flowkit.core.events import RollbackFailed, RunError, StepError
from flowkit.core.health import Health, WorkflowHealth
from flowkit.definitions import (
    DEFAULT_BACKOFF,
    DEFAULT_BACKOFF_MAX,
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT,
    Step,
    Workflow,
    step,
    workflow,
)
from flowkit.errors import (
    CriticalError,
    DeadlineExceeded,
    DuplicateName,
    EndlessLoop,
    EntryInProgress,
    ErrorInfo,
    Evicted,
    Fenced,
    FlowkitError,
    HistoryDiverged,
    HistoryFull,
    InboxFull,
    InvalidName,
    JoinError,
    LimitReached,
    MessageNotCompleted,
    NotInRun,
    Parked,
    PayloadError,
    PayloadTooLarge,
    RaceError,
    ReceiveTimeout,
    RecordedError,
    RetryAfter,
    RollbackCheckpointError,
    RollbackError,
    RunCancelled,
    RunConflict,
    RunFailed,
    RunNotFound,
    SchemaTooNew,
    ScopeClosed,
    StepExhausted,
    StepFailed,
    StepInterrupted,
    StepTimeout,
    StoreBusy,
    StoreError,
    Suspended,
    TooManyBranches,
    TooManyTags,
    Unattended,
    WrongColour,
)
from flowkit.plain import (
    attempt,
    checkpoint,
    join,
    loop,
    race,
    receive,
    receive_batch,
    removed,
    send,
    sleep,
    sleep_until,
    version,
)
from flowkit.primitives.block import Attempt, Failure
from flowkit.primitives.branches import Winner
from flowkit.primitives.info import RunInfo, run_info, run_state, stopping
from flowkit.primitives.loop import Break, Continue
from flowkit.primitives.messages import Message

if TYPE_CHECKING:
    from flowkit import aio as aio
    from flowkit.client import Flowkit, HistoryEntry, Run, RunItem, RunPage, Snapshot
    from flowkit.client import open_flowkit as open
    from flowkit.settings import Settings

__all__ = [
    "DEFAULT_BACKOFF",
    "DEFAULT_BACKOFF_MAX",
    "DEFAULT_PRUNE_EVERY",
    "DEFAULT_RETRIES",
    "DEFAULT_TIMEOUT",
    "Attempt",
    "Break",
    "Continue",
    "CriticalError",
    "DeadlineExceeded",
    "DuplicateName",
    "EndlessLoop",
    "EntryInProgress",
    "ErrorInfo",
    "Evicted",
    "Failure",
    "Fenced",
    "Flowkit",
    "FlowkitError",
    "Health",
    "HistoryDiverged",
    "HistoryEntry",
    "HistoryFull",
    "InboxFull",
    "InvalidName",
    "JoinError",
    "LimitReached",
    "Message",
    "MessageNotCompleted",
    "NotInRun",
    "Parked",
    "PayloadError",
    "PayloadTooLarge",
    "RaceError",
    "ReceiveTimeout",
    "RecordedError",
    "RetryAfter",
    "RollbackCheckpointError",
    "RollbackError",
    "RollbackFailed",
    "Run",
    "RunCancelled",
    "RunConflict",
    "RunError",
    "RunFailed",
    "RunInfo",
    "RunItem",
    "RunNotFound",
    "RunPage",
    "SchemaTooNew",
    "ScopeClosed",
    "Settings",
    "Snapshot",
    "Step",
    "StepError",
    "StepExhausted",
    "StepFailed",
    "StepInterrupted",
    "StepTimeout",
    "StoreBusy",
    "StoreError",
    "Suspended",
    "TooManyBranches",
    "TooManyTags",
    "Unattended",
    "Winner",
    "Workflow",
    "WorkflowHealth",
    "WrongColour",
    "attempt",
    "checkpoint",
    "join",
    "loop",
    "open",
    "race",
    "receive",
    "receive_batch",
    "removed",
    "run_info",
    "run_state",
    "send",
    "sleep",
    "sleep_until",
    "step",
    "stopping",
    "version",
    "workflow",
]

_CLIENT = {name: name for name in ("Flowkit", "HistoryEntry", "Run", "RunItem", "RunPage", "Snapshot")} | {"open": "open_flowkit"}

del TYPE_CHECKING  # what is public here is what `__all__` lists


def __getattr__(name: str) -> object:
    """What is imported late, when it is first asked for."""
    if name == "aio":
        import flowkit.aio

        return flowkit.aio
    if name == "Settings":
        from flowkit.settings import Settings

        globals()[name] = Settings
        return Settings
    if name not in _CLIENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from flowkit import client

    found: object = getattr(client, _CLIENT[name])
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """All names, those that are imported late among them."""
    return sorted({*globals(), *_CLIENT, "Settings", "aio"})
