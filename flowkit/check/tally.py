"""Counting verdicts: runs of one verdict and cause are one finding, with some of their ids. Bounded, whatever the runs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowkit.core.verdict import SAMPLES, VERDICTS, Counted, Finding, Leftover, Moved, Replay, Verdict

__all__ = ["MOST_FINDINGS", "Tally"]

MOST_FINDINGS = 60
"""How many findings and how many warnings are listed. Each is some kilobytes at most."""

_LONGEST = 500


@dataclass(slots=True)
class _Group:
    finding: Finding
    runs: int = 0
    samples: list[str] = field(default_factory=list)


class Tally:
    """What has been found so far."""

    def __init__(self) -> None:
        self.tried = 0
        self.leftovers: list[Leftover] = []
        self.undecided: list[str] = []
        self.unattended = Counter[str]()
        self._groups: dict[Hashable, _Group] = {}
        self._counts = Counter[tuple[str, bool, Verdict]]()
        self._moved: dict[tuple[str, str, str], _Group] = {}
        self._more = 0

    def add(self, finding: Finding, run: str, *, key: Hashable = None, runs: int = 1) -> None:
        """Count a run, or several that have no name. What has the same `key`, or else is equal, is one finding."""
        self.tried += runs if run else 0
        self._counts[finding.workflow, finding.ended, finding.verdict] += runs
        cause = (finding.workflow, finding.ended, finding.verdict, finding if key is None else key)
        group = self._groups.get(cause)
        if group is None:
            if len(self._groups) >= MOST_FINDINGS:
                self._more += runs
                return
            group = self._groups[cause] = _Group(_clipped(finding))
        group.runs += runs
        if run and len(group.samples) < SAMPLES:
            group.samples.append(run)

    def warn(self, workflow: str, location: str, source: str, run: str) -> None:
        """A numbered entry of this run is called with other arguments than recorded."""
        group = self._moved.get((workflow, location, source))
        if group is None:
            if len(self._moved) >= MOST_FINDINGS:
                return
            group = self._moved[workflow, location, source] = _Group(Finding(workflow=workflow, verdict="same"))
        group.runs += 1
        if len(group.samples) < SAMPLES:
            group.samples.append(run)

    def of(self, workflow: str, verdict: Verdict) -> int:
        """How many open runs of a workflow have this verdict."""
        return self._counts[workflow, False, verdict]

    def replay(self, **fields: Any) -> Replay:
        """As it stands. `fields` are those of a `Replay` that the tally does not know."""
        return Replay(
            tried=self.tried, findings=_sorted(self._groups), warnings=tuple(
                Moved(workflow=workflow, location=location, source=source, runs=group.runs, samples=tuple(group.samples))
                for (workflow, location, source), group in sorted(self._moved.items())
            ),
            leftovers=tuple(self.leftovers), undecided=tuple(self.undecided), unattended=dict(self.unattended), more=self._more,
            counts=tuple(
                Counted(workflow=workflow, verdict=verdict, ended=ended, runs=runs)
                for (workflow, ended, verdict), runs in sorted(self._counts.items(), key=lambda item: _order(*item[0]))
            ),
            **fields,
        )  # fmt: skip


def _sorted(groups: Mapping[Hashable, _Group]) -> tuple[Finding, ...]:
    """What needs somebody first, within that the many before the few."""
    found: Sequence[Finding] = [
        replace(group.finding, runs=group.runs, samples=tuple(group.samples)) for group in groups.values()
    ]
    return tuple(sorted(found, key=lambda each: (each.ended, VERDICTS.index(each.verdict), -each.runs, each.workflow)))


def _order(workflow: str, ended: bool, verdict: Verdict) -> tuple[str, bool, int]:
    return workflow, ended, VERDICTS.index(verdict)


def _clipped(finding: Finding) -> Finding:
    """Without what a report has no room for."""
    texts = ("location", "source", "recorded", "made", "advice", "path", "annotation", "why")
    long = {name: text[: _LONGEST - 1] + "…" for name in texts if len(text := getattr(finding, name)) > _LONGEST}
    return replace(finding, **long)
