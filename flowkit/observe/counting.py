"""What a process has counted of its runs: steps, attempts, commits, passes. Plain numbers; whoever shows them comes by and reads.

Counting is done group by group, by the thread that has just committed: a writer has one group after the other, so nothing
here takes a lock, and a step costs some dictionary work and no call. That also makes it exact: what is counted is
durable, once, and what a pass only recalls is not in a group.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Done, Lost, Send, Sent, Start, Started
from flowkit.drivers.rules import FINAL
from flowkit.engine.observer import Held, Observer

__all__ = ["GROUP_BOUNDS", "MOST_SERIES", "MOST_WORKFLOWS", "OTHER", "SECONDS_BOUNDS", "Counters", "Histogram", "StepSeries"]

MOST_SERIES = 200
"""How many pairs of workflow and step name are told apart."""

MOST_WORKFLOWS = 100
_MOST_SEGMENTS = 1_000
OTHER = "other"

SECONDS_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
GROUP_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Histogram:
    """How many values fell below each of `bounds`, the last place being for what is above them all, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class StepSeries:
    """The attempts of a step in one workflow, in seconds, and how often it failed for good."""

    __slots__ = ("completed", "failed", "failures")

    def __init__(self) -> None:
        self.completed = Histogram(SECONDS_BOUNDS)
        self.failed = Histogram(SECONDS_BOUNDS)
        self.failures = 0


class Counters(Observer):
    """Counts for one handle. Only the thread that commits writes the numbers of `wrote`; others may read at any time."""

    def __init__(self) -> None:
        self.steps: dict[tuple[str, str], StepSeries] = {}
        self.started: Counter[str] = Counter()
        self.passes: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.undone: Counter[str] = Counter()
        self.undo_failures: Counter[str] = Counter()
        self.commit_seconds = Histogram(SECONDS_BOUNDS)
        self.group_sizes = Histogram(GROUP_BOUNDS)
        self.lateness = Histogram(SECONDS_BOUNDS)
        self.sent = 0
        self.fenced = 0
        self.died = 0
        self._lock = threading.Lock()
        self._held: dict[int, tuple[int, str]] = {}
        self._segments: dict[str, dict[str, StepSeries]] = {}
        self._workflows: set[str] = set()

    # --- passes, each told in its own thread

    def begins(self, held: Held) -> str:
        """See `Observer.begins`."""
        with self._lock:
            workflow = self._label(held.workflow)
            self._held[held.run] = (held.epoch, workflow)
            self.passes[workflow] += 1
        return ""

    def ends(self, held: Held, status: str, started_at: float) -> None:
        """See `Observer.ends`."""
        with self._lock:
            if self._held.get(held.run, (0, ""))[0] == held.epoch:  # else it has been claimed again here, and that pass counts
                del self._held[held.run]

    def loses(self) -> None:
        """See `Observer.loses`."""
        self.died += 1

    # --- groups, one after the other

    def wrote(self, ops: Sequence[object], results: Sequence[object], seconds: float) -> None:
        """See `Observer.wrote`."""
        self.group_sizes.add(len(ops))
        self.commit_seconds.add(seconds)
        for op, result in zip(ops, results, strict=True):
            kind = type(op)
            if kind is Change:
                if type(result) is Done:
                    self._landed(op)  # type: ignore[arg-type]  # `kind` is its type: isinstance() costs more
                elif type(result) is Lost:
                    self.fenced += 1
            elif kind is Start:
                if type(result) is Started:
                    self.started[self._label(op.workflow)] += 1  # type: ignore[attr-defined]  # as above
            elif kind is Send and type(result) is Sent:
                self.sent += 1

    def _landed(self, change: Change) -> None:
        held = self._held.get(change.run)
        if held is None:
            return  # a verb's
        workflow = held[1]
        segments = self._segments.get(workflow)
        if segments is None:
            segments = self._segments[workflow] = {}
        for entries in (change.add, change.set):
            for entry in entries:
                if entry.settled_at is None:
                    continue
                if entry.kind == "step":
                    location = entry.location
                    segment = location[location.rfind("/") + 1 :]
                    series = segments.get(segment)
                    if series is None:
                        series = self._series(workflow, segment)
                    if entry.status == "completed":
                        if entry.started_at is not None:
                            value = max(0.0, entry.settled_at - entry.started_at)
                            histogram = series.completed
                            histogram.counts[bisect_left(SECONDS_BOUNDS, value)] += 1
                            histogram.total += value
                    else:
                        series.failures += 1
                elif entry.kind == "sleep" and entry.due_at is not None and entry.status == "completed":
                    self.lateness.add(max(0.0, entry.settled_at - entry.due_at))
        if change.failures or change.rolled_back or change.sends or change.status in FINAL:
            self._rare(workflow, change)

    def _rare(self, workflow: str, change: Change) -> None:
        """What most Changes have none of."""
        self.sent += len(change.sends)
        self.undone[workflow] += len(change.rolled_back)
        if change.status in FINAL and change.status is not None:
            self.ended[workflow, change.status] += 1
        entries: dict[int, Entry] = {}
        if change.failures:
            entries = {entry.seq: entry for entry in (*change.add, *change.set)}
        for failure in change.failures:
            if failure.part == "rollback":
                self.undo_failures[workflow] += 1
                continue
            entry = entries.get(failure.entry)
            segment = OTHER if entry is None else entry.location[entry.location.rfind("/") + 1 :]
            self._series(workflow, segment).failed.add(max(0.0, failure.ended_at - failure.started_at))

    # --- names

    def _label(self, workflow: str) -> str:
        """A workflow's name, or that of all there is no room for."""
        if workflow in self._workflows:
            return workflow
        if len(self._workflows) >= MOST_WORKFLOWS:
            return OTHER
        self._workflows.add(workflow)
        return workflow

    def _series(self, workflow: str, segment: str) -> StepSeries:
        """The series of a step by the last part of its location: `charge#2` is `charge`."""
        name = segment.partition("#")[0]
        found = self.steps.get((workflow, name))
        if found is None:
            if len(self.steps) >= MOST_SERIES:
                return self.steps.setdefault((workflow, OTHER), StepSeries())
            found = self.steps[workflow, name] = StepSeries()
        known = self._segments.setdefault(workflow, {})
        if len(known) < _MOST_SEGMENTS:
            known[segment] = found
        return found
