"""What a check found out, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from flowkit.drivers.base import RunRow
from flowkit.errors import ErrorInfo

__all__ = ["Cause", "CauseKind", "Frontier", "Line", "Misfit", "Report", "Unchecked", "WorkflowReport"]

CauseKind = Literal["kind", "renamed", "gone", "new", "order", "value", "rule", "unknown"]
"""Another kind under one name; a step whose body stands under a new name; an entry that the code no longer makes; a call that
is new; both orders under one code; a stored value that does not decode; a rule that the code itself breaks; none of these."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line to paste. `place` is the ``file:line`` it belongs to: before it, after it, around that call, or in its place."""

    text: str
    where: Literal["before", "after", "around", "in place of"]
    place: str
    code: str = ""
    """That line of the user's file, where it can be read."""

    def __str__(self) -> str:
        return f"{self.text}    {self.where} {self.place}" + (f"  {self.code}" if self.code else "")


@dataclass(frozen=True, slots=True)
class Frontier:
    """Where runs would go on: `location` without the numbers of turns ("" when the workflow returns or raises)."""

    location: str
    source: str
    runs: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Why runs would be held, the same for all `runs` (ids).

    `lines` have been tried: with all of them these runs fit. They are empty where no such line was found; `message` is what
    the first of the runs would be blocked with. `advice` is what to do besides, or instead.
    """

    kind: CauseKind
    location: str
    message: str
    lines: tuple[Line, ...]
    advice: str
    runs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Where entries of these runs stand that the code no longer makes, turns without their numbers."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A run that does not fit: its row as it was when it was tried, the code that was `tried` on it before, and the error that
    a pass would block it with.
    """

    row: RunRow
    tried: tuple[str, ...]
    error: ErrorInfo


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A run that could not be checked, and why. It meets the same rule at its next pass."""

    run: str
    why: str


@dataclass(frozen=True, slots=True)
class WorkflowReport:
    """What became of one workflow's open runs. `skipped` runs are older than the `limit` newest."""

    workflow: str
    fit: int
    frontiers: Sequence[Frontier]
    causes: Sequence[Cause]
    unchecked: Sequence[Unchecked]
    skipped: int = 0

    @property
    def held(self) -> int:
        """How many runs would be blocked."""
        return sum(len(cause.runs) for cause in self.causes)


@dataclass(frozen=True, slots=True)
class Report:
    """All workflows that have open runs. `unattended` counts open runs of workflows that the code does not have."""

    workflows: Sequence[WorkflowReport]
    unattended: Mapping[str, int] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """How many runs would be blocked, over all workflows."""
        return sum(each.held for each in self.workflows)
