"""Deleting ended runs on purpose: those whose retention is over, or that ended long enough ago.

It looks over the run list in pages and deletes a slice at a time, so no write waits long for it. A run that goes on again
between the look and the deletion is left alone: the store deletes only what has not been touched since it was read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flowkit.core.run import TERMINAL
from flowkit.drivers.base import Driver, RunQuery, RunRow

__all__ = ["Prunable", "prunable", "prune"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prunable:
    """Which runs: of these statuses (none: all that end a run) and this workflow, and of them those that ended before
    `ended_before`, or without it those whose retention is over at `now`. Instants are epoch seconds.
    """

    now: float
    statuses: Sequence[str] = ()
    workflow: str | None = None
    ended_before: float | None = None

    def matches(self, row: RunRow) -> bool:
        """Whether this run may go."""
        if self.ended_before is None:
            return row.expire_at is not None and row.expire_at <= self.now
        return row.finished_at is not None and row.finished_at <= self.ended_before


def prunable(driver: Driver, wanted: Prunable, size: int) -> Iterator[list[RunRow]]:
    """The runs that may go, `size` or fewer at a time, newest first."""
    after: int | None = None
    statuses = tuple(wanted.statuses) or tuple(TERMINAL)
    began = None if wanted.ended_before is None else math.nextafter(wanted.ended_before, math.inf)  # whatever ended began before
    while True:
        query = RunQuery(statuses=statuses, workflow=wanted.workflow, until=began, after=after, limit=size)
        rows = driver.runs(query)
        if found := [row for row in rows if wanted.matches(row)]:
            yield found
        if len(rows) < size:
            return
        after = rows[-1].seq


def prune(driver: Driver, wanted: Prunable, size: int, *, dry: bool = False) -> Counter[tuple[str, str]]:
    """Delete them, or only count them; how many there were by workflow and status."""
    counts: Counter[tuple[str, str]] = Counter()
    for rows in prunable(driver, wanted, size):
        if not dry:
            removed = driver.remove({row.seq: row.head for row in rows})
            if removed != len(rows):  # some go on again, or another prune was there first: count what is gone
                rows = [row for row in rows if driver.get(row.seq) is None]
        counts.update((row.workflow, row.status) for row in rows)
    return counts
