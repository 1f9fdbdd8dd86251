"""Every error that flowkit raises, and what ends a pass without being one.

::

    FlowkitError
    ├── CriticalError               raise it in a step: no retry
    ├── RollbackError               raise it in a step: no retry, roll the run back
    ├── RetryAfter                  raise it in a step: retry after this delay
    ├── StepFailed
    │   ├── StepExhausted           the attempts are used up
    │   ├── StepTimeout             the body ran longer than its timeout
    │   └── StepInterrupted         an at-most-once body may or may not have run
    ├── JoinError                   branches of a join failed
    ├── RaceError                   all branches of a race failed
    ├── ReceiveTimeout              no message came in time
    ├── MessageNotCompleted         a completable message is still open
    ├── HistoryDiverged             code and history do not fit
    │   ├── DuplicateName           a name is given twice in one scope
    │   ├── EntryInProgress         two operations at once in one scope
    │   └── LimitReached            the run outgrew a limit, and is blocked as it stands
    │       ├── HistoryFull         too many live entries
    │       ├── EndlessLoop         too many turns of a loop without any wait
    │       └── TooManyBranches     too many branches open at once
    ├── DeadlineExceeded            the run was not over by its deadline
    ├── RollbackCheckpointError     a step with a rollback before any checkpoint
    ├── RunNotFound
    ├── RunConflict                 the run exists, but not as the call needs it
    │   └── InboxFull               no more messages may wait in it
    ├── TooManyTags
    ├── RunFailed                   raised by result(): the run failed
    ├── RunCancelled                raised by result(): the run was cancelled
    ├── Unattended                  raised by result(fail_fast=…): nobody works on the run
    ├── RecordedError               stands in for a type that can no longer be imported
    ├── PayloadError                a value that cannot be stored or read back
    │   └── PayloadTooLarge
    ├── InvalidName
    ├── NotInRun                    a primitive outside a run
    ├── WrongColour                 a plain call in async code, or the reverse
    └── StoreError                  the database said no, or did not answer
        ├── StoreBusy               nothing was written
        ├── SchemaTooNew
        └── Fenced                  another worker owns this run now

    BaseException
    └── Suspended                   ends a pass; user code cannot catch it by accident
        ├── Parked
        ├── Evicted
        └── ScopeClosed

The last three are not errors: a pass that waits, is evicted or lost a race unwinds with them, which is why they derive
from ``BaseException``.

Longer than 400 lines because the tree of errors is found in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "CriticalError",
    "DeadlineExceeded",
    "DuplicateName",
    "EndlessLoop",
    "EntryInProgress",
    "ErrorInfo",
    "Evicted",
    "Fenced",
    "FlowkitError",
    "HistoryDiverged",
    "HistoryFull",
    "InboxFull",
    "InvalidName",
    "JoinError",
    "LimitReached",
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
    "RunCancelled",
    "RunConflict",
    "RunFailed",
    "RunNotFound",
    "SchemaTooNew",
    "ScopeClosed",
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
    "WrongColour",
]


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """An error as data: what is stored, shown and sent; never a live exception.

    `type` is the qualified name (``builtins.ValueError`` is written ``ValueError``), `traceback` is text, and `attributes`
    holds those attributes of the exception that could be encoded.
    """

    type: str
    message: str = ""
    traceback: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        name = self.type.rpartition(".")[2]
        return f"{name}: {self.message}" if self.message else name


class FlowkitError(Exception):
    """The root of every error that flowkit raises."""


class CriticalError(FlowkitError):
    """Raise this in a step when trying again cannot help: the step fails at once."""


class RollbackError(FlowkitError):
    """Raise this in a step when the run must be undone: no retry, and no default `attempt` catches it."""


class RetryAfter(FlowkitError):
    """Raise this in a step to choose the delay of its next retry. `delay` is in seconds, `timedelta` or text ("90s")."""

    def __init__(self, delay: Any, message: str = "") -> None:
        super().__init__(message or f"retry after {delay}")
        self.delay = delay


class StepFailed(FlowkitError):
    """A step's terminal failure that flowkit itself raises. `name` is the step's, `attempts` how many were made."""

    def __init__(self, message: str, *, name: str = "", attempts: int = 0) -> None:
        super().__init__(message)
        self.name = name
        self.attempts = attempts


class StepExhausted(StepFailed):
    """All attempts of a step failed. `error` is the last one's, `kind` is ``exhausted`` or ``timeout``."""

    def __init__(
        self,
        message: str,
        *,
        name: str = "",
        attempts: int = 0,
        error: ErrorInfo | None = None,
        kind: Literal["exhausted", "timeout"] = "exhausted",
    ) -> None:
        super().__init__(message, name=name, attempts=attempts)
        self.error = error
        self.kind: Literal["exhausted", "timeout"] = kind


class StepTimeout(StepFailed):
    """A step's body ran longer than `timeout` seconds."""

    def __init__(self, message: str, *, name: str = "", attempts: int = 0, timeout: float = 0.0) -> None:
        super().__init__(message, name=name, attempts=attempts)
        self.timeout = timeout


class StepInterrupted(StepFailed):
    """A body declared `at_most_once` was started and its outcome is unknown, so it is not started again."""


class _BranchErrors(FlowkitError):
    def __init__(self, message: str, *, name: str = "", errors: Mapping[str, BaseException] | None = None) -> None:
        super().__init__(message)
        self.name = name
        self.errors: dict[str, BaseException] = dict(errors or {})


class JoinError(_BranchErrors):
    """At least one branch of a join failed. `errors` maps the failed branches to their exceptions."""


class RaceError(_BranchErrors):
    """Every branch of a race failed. `errors` maps all branches to their exceptions."""


class ReceiveTimeout(FlowkitError):
    """No message of these `names` was accepted before the deadline."""

    def __init__(self, message: str, *, names: tuple[str, ...] | list[str] = ()) -> None:
        super().__init__(message)
        self.names = list(names)


class MessageNotCompleted(FlowkitError):
    """A completable message is open somewhere in the run, so nothing else may be received."""


class HistoryDiverged(FlowkitError):
    """Code and history do not fit; the run is blocked and nothing was run, written or undone.

    `location` is where, `recorded_kind` and `recorded_name` what history has there, `asked_kind` and `asked_name` what the
    code makes, `source` the code's ``file:line``. Any of them may be empty. `lines` are those to paste.
    """

    def __init__(
        self,
        message: str,
        *,
        run_id: str = "",
        location: str = "",
        recorded_kind: str = "",
        recorded_name: str = "",
        asked_kind: str = "",
        asked_name: str = "",
        source: str = "",
        lines: tuple[str, ...] | list[str] = (),
    ) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.location = location
        self.recorded_kind = recorded_kind
        self.recorded_name = recorded_name
        self.asked_kind = asked_kind
        self.asked_name = asked_name
        self.source = source
        self.lines = list(lines)


class DuplicateName(HistoryDiverged):
    """An explicit name stands twice in one scope."""


class EntryInProgress(HistoryDiverged):
    """A scope has an open operation already; use `join` to do two things at once."""


class LimitReached(HistoryDiverged):
    """The run outgrew a limit: it is blocked as it stands, and nothing was undone. `setting` names the limit.

    Mend the code, or raise the setting and `resume()` the run.
    """

    def __init__(self, message: str, *, setting: str = "", run_id: str = "", location: str = "", source: str = "") -> None:
        super().__init__(message, run_id=run_id, location=location, source=source)
        self.setting = setting


class HistoryFull(LimitReached):
    """The run has more live entries than the setting `history` allows; `loop()` keeps a history short."""


class EndlessLoop(LimitReached):
    """A `loop` made more turns than the setting `loop_turns` allows without ever waiting."""


class TooManyBranches(LimitReached):
    """A `join` or `race` would open more branches of the run at once than the setting `branches` allows."""


class DeadlineExceeded(FlowkitError):
    """The run was not over by its deadline, `deadline` seconds after its start: it fails, and what can be undone is undone."""

    def __init__(self, message: str, *, deadline: float = 0.0) -> None:
        super().__init__(message)
        self.deadline = deadline


class TooManyTags(FlowkitError, ValueError):
    """A run would have more tags than the setting `tags` allows."""


class RollbackCheckpointError(FlowkitError):
    """A step with a rollback was reached before any `checkpoint`, so the run could not be undone as a whole."""


class RunNotFound(FlowkitError):
    """No run has this id."""


class RunConflict(FlowkitError):
    """The run exists, but not as the call needs it: other workflow, other input, or a status that does not allow it."""


class InboxFull(RunConflict):
    """As many messages wait in the run as the setting `inbox` allows; nothing was sent."""


class RunFailed(FlowkitError):
    """`result()` of a run that failed. `error` is what was recorded; its `type`, `message` and `traceback` are here, too."""

    def __init__(self, message: str, *, run_id: str = "", error: ErrorInfo | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.error = error
        self.type = "" if error is None else error.type
        self.message = "" if error is None else error.message
        self.traceback = "" if error is None else error.traceback


class RunCancelled(FlowkitError):
    """`result()` of a run that was cancelled."""


class Unattended(FlowkitError):
    """Nobody works on a run that somebody waits for: no live worker serves its `workflow` well, and `reason` says why.

    The run stays as it is, and goes on once somebody serves it.
    """

    def __init__(self, message: str, *, run_id: str = "", workflow: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.run_id = run_id
        self.workflow = workflow
        self.reason = reason


class RecordedError(FlowkitError):
    """A recorded exception whose type can no longer be imported; `type_name` keeps its name."""

    def __init__(self, message: str = "", *, type_name: str = "") -> None:
        super().__init__(message)
        self.type_name = type_name


class PayloadError(FlowkitError):
    """A value that cannot be stored, or a stored one that cannot be read back. `path` leads to it (``$.items[3].when``)."""

    def __init__(self, message: str, *, path: str = "$") -> None:
        super().__init__(message)
        self.path = path


class PayloadTooLarge(PayloadError):
    """A value whose encoding is larger than `max_payload`; `size` and `limit` are bytes."""

    def __init__(self, message: str, *, path: str = "$", size: int = 0, limit: int = 0) -> None:
        super().__init__(message, path=path)
        self.size = size
        self.limit = limit


class InvalidName(FlowkitError, ValueError):
    """A name or run id that is empty, too long, or holds a character that names cannot have."""


class NotInRun(FlowkitError):
    """A primitive was called outside a run, or inside a step's body. To try workflows out: `flowkit.testing.Lab`."""


class WrongColour(FlowkitError):
    """A plain call in async workflow code or an awaitable one in plain code; the text names the right import."""


class StoreError(FlowkitError):
    """The store refused or did not answer.

    `outcome` is ``"no"`` when nothing was written, and ``"unknown"`` when it may have been: the same call with the same id,
    key or operation may then be made again. `passing` says that the store may well answer again by itself: its server is
    away, or somebody holds its lock.
    """

    def __init__(self, message: str, *, outcome: Literal["no", "unknown"] = "no", passing: bool = False) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.passing = passing


class StoreBusy(StoreError):
    """The store's lock was not had in time. Nothing was written; call again."""

    def __init__(self, message: str, *, outcome: Literal["no", "unknown"] = "no", passing: bool = True) -> None:
        super().__init__(message, outcome=outcome, passing=passing)


class SchemaTooNew(StoreError):
    """The database was written by a newer flowkit. `found` and `supported` are schema versions."""

    def __init__(self, message: str, *, found: int = 0, supported: int = 0) -> None:
        super().__init__(message, outcome="no")
        self.found = found
        self.supported = supported


class Fenced(StoreError):
    """This worker, or its hold on one run, was retired: its writes change nothing any more."""


class Suspended(BaseException):
    """A pass ends here without an outcome. Not an error, and not for user code to catch."""


class Parked(Suspended):
    """The run waits: its place is stored and its thread and memory are given up."""


class Evicted(Suspended):
    """The run leaves this worker and goes on elsewhere or later."""


class ScopeClosed(Suspended):
    """This code belongs to an attempt, branch or pass that has ended; nothing it does is recorded."""
