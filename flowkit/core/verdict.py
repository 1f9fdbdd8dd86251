"""What a replay of runs under new code found, as plain values: one verdict a run, and runs of one verdict and cause together.

Whoever tries the runs makes these, a reload server keeps them and a page shows them; nothing here is decoded or executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["SAMPLES", "VERDICTS", "Addition", "Counted", "Finding", "Leftover", "Moved", "Place", "Replay", "Verdict"]

Verdict = Literal["held", "does not decode", "other end", "not checked", "goes on", "same"]
"""Code and history do not fit; a stored value cannot be read; a finished run comes to another end than it did; nothing can be
said; it would do something new; a finished run reaches its recorded end."""

VERDICTS: tuple[Verdict, ...] = ("held", "does not decode", "other end", "not checked", "goes on", "same")
"""What needs somebody comes first."""

SAMPLES = 5
"""How many ids of a finding's runs are named."""


@dataclass(frozen=True, slots=True)
class Place:
    """A location, turns without their numbers, and the ``file:line`` of its call; empty: the end of the workflow."""

    location: str
    source: str


@dataclass(frozen=True, slots=True)
class Addition:
    """A line to add, and where it goes: ``before``, ``after``, ``around`` or ``in place of`` what stands at `source`."""

    text: str
    where: str
    source: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Runs of one workflow that have one verdict for one cause; `ended`: they were finished, and nothing of them runs.

    `places` say where they go on. `recorded` and `made` are the two sides that differ: what history has and what the code
    makes, or the recorded end and the one that is come to now. Of a value that does not decode `path` and `annotation` say
    more, and `location` is empty for the run's input. `why` is the reason in words.
    """

    workflow: str
    verdict: Verdict
    ended: bool = False
    runs: int = 0
    samples: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    location: str = ""
    source: str = ""
    recorded: str = ""
    made: str = ""
    lines: tuple[Addition, ...] = ()
    advice: str = ""
    path: str = ""
    annotation: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A warning: this numbered entry is called with other arguments than were recorded for it, in these runs."""

    workflow: str
    location: str
    source: str
    runs: int = 0
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A `removed` or `version` line that no open run needs any more: it was tried without."""

    workflow: str
    kind: str
    name: str
    source: str
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many runs of a workflow have a verdict."""

    workflow: str
    verdict: Verdict
    ended: bool
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one load of code came to. `at` is when, in epoch seconds; `over`: no more will be found.

    `why` says what cut it short. `undecided` names workflows of which open runs are held or were not checked, so that no line
    of theirs can be called a leftover; `unattended` counts open runs whose workflow the code does not have. `more` counts
    runs whose findings were too many to list.
    """

    number: int = 0
    code: str = ""
    at: float = 0.0
    seconds: float = 0.0
    tried: int = 0
    over: bool = True
    why: str = ""
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Moved, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    undecided: tuple[str, ...] = ()
    unattended: Mapping[str, int] = field(default_factory=dict)
    counts: tuple[Counted, ...] = ()
    more: int = 0

    @property
    def held(self) -> int:
        """How many open runs would be blocked."""
        return sum(each.runs for each in self.counts if not each.ended and each.verdict in ("held", "does not decode"))
