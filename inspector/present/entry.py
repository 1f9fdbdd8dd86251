"""The page of one entry: its attempts one by one, and recorded tracebacks cut into frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flowkit.client.facts import cause_of, plain_error, shown_path
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.resolution import by_hand_of
from flowkit.errors import ErrorInfo

from .times import Stamp, length, stamp
from .values import shown

__all__ = ["AttemptView", "ErrorView", "Frame", "attempts_of", "error_of", "error_view", "frames_of"]

_FRAME = re.compile(r'^  File "(.+?)", line (\d+)(?:, in (.+))?$')
_FOREIGN = re.compile(r"site-packages|dist-packages|/lib/python3|<frozen|\\lib\\")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a recorded traceback with its recorded source lines; the user's own stand open."""

    file: str
    line: int
    name: str
    text: str
    own: bool


@dataclass(frozen=True, slots=True)
class ErrorView:
    """An error: type and message, frames outermost first, and its whole text."""

    type: str
    message: str
    frames: tuple[Frame, ...]
    traceback: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One attempt: what it came to, and how long was waited after it."""

    number: int
    part: str
    round: int
    start: Stamp | None
    took: str
    waited: str
    outcome: str
    error: ErrorView | None = None


def error_of(entry: Entry) -> ErrorView | None:
    """The entry's error as a page shows it."""
    return None if entry.error is None else error_view(plain_error(entry.error))


def error_view(error: ErrorInfo) -> ErrorView:
    """An error; of a step that is exhausted, the error of its last attempt, with a note."""
    cause = cause_of(error)
    told = cause or error
    notes = [shown(str(error).partition("\n")[0])] if cause is not None else []
    if told.type.endswith("StepTimeout"):
        notes.append("If the body is plain, its thread may still be working: only an async body can be ended.")
    return ErrorView(shown(told.type), shown(told.message), frames_of(told.traceback), shown(told.traceback), " · ".join(notes))


def frames_of(traceback: str) -> tuple[Frame, ...]:
    """The frames of a traceback's text, outermost first, at most a hundred."""
    found: list[Frame] = []
    lines: list[str] = []
    head: re.Match[str] | None = None
    for line in [*traceback.splitlines(), ""]:
        begins = _FRAME.match(line)
        if head is not None and (begins is not None or not line.startswith("    ")):
            found.append(_frame(head, lines))
            head, lines = None, []
        if begins is not None:
            head, lines = begins, []
        elif head is not None:
            lines.append(line)
    return tuple(found[:50] + found[50:][-50:])


def _frame(head: re.Match[str], lines: Sequence[str]) -> Frame:
    text = "\n".join(line[4:] for line in lines)
    return Frame(shown(shown_path(head[1])), int(head[2]), shown(head[3] or ""), shown(text), _FOREIGN.search(head[1]) is None)


def attempts_of(entry: Entry, failures: Sequence[FailedAttempt], now: float) -> tuple[AttemptView, ...]:
    """The failed attempts, and the one that succeeded or is under way, in order."""
    views = [_failed(failure, now) for failure in failures]
    mine = [failure for failure in failures if failure.part == "step" and failure.round == entry.round]
    under_way = entry.status == "running" and entry.started_at is not None
    given = by_hand_of(entry)
    ran = given is None or given.how not in ("value", "error")
    if entry.kind == "step" and ran and (entry.status in ("completed", "rolled_back") or under_way):
        done = entry.settled_at
        begun = entry.started_at if entry.started_at is not None else entry.created_at
        if mine:
            begun = max(begun, mine[-1].retry_at or mine[-1].ended_at)
        views.append(
            AttemptView(
                number=len(mine) + 1, part="step", round=entry.round, start=stamp(begun, now), waited="",
                took=length((done if done is not None else now) - begun),
                outcome="under way" if under_way else "completed",
            )
        )  # fmt: skip
    return tuple(views)


def _failed(failure: FailedAttempt, now: float) -> AttemptView:
    waited = "" if failure.retry_at is None else length(failure.retry_at - failure.ended_at)
    return AttemptView(
        number=failure.n, part=failure.part, round=failure.round, start=stamp(failure.started_at, now),
        took=length(failure.ended_at - failure.started_at), waited=waited, outcome="failed",
        error=error_view(plain_error(failure.error)),
    )  # fmt: skip
