"""Which worker a worker makes room for, when newer code is rolled out.

A worker that was asked to drain older ones says so beside what it serves. Those that joined before it, serve nothing that it does
not serve, and have another version, see that and leave: they claim nothing more, let bodies end and give their runs back.
Whoever joined last wins, whatever its version is called, so that several which join at once settle on the newest, and an
upgrade is undone by starting the old version again. A worker that was taken for dead and joined anew is no newer for it: it
counts from where it joined first.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowkit.drivers.base import WorkerRow
from flowkit.runtime.serving import Serving, read_serving

__all__ = ["successor"]


def successor(worker: int, mine: Serving, rows: Iterable[WorkerRow]) -> WorkerRow | None:
    """The worker that `worker`, which serves `mine`, makes room for; None if it is to stay.

    One that serves nothing yet stays, since any other serves all of that; and so does one under `flowkit dev`, which only a
    save replaces.
    """
    if not mine.workflows or mine.generation:
        return None
    others = [(row, read_serving(row.info)) for row in rows if row.kind == "worker" and row.alive]
    later = [(theirs.first or row.id, row) for row, theirs in others if _replaces(theirs, mine)]
    return max((each for each in later if each[0] > (mine.first or worker)), key=lambda each: each[0], default=(0, None))[1]


def _replaces(theirs: Serving, mine: Serving) -> bool:
    if not theirs.drains_older or theirs.leaving or theirs.version == mine.version:
        return False
    return theirs.workflows is not None and mine.workflows is not None and set(mine.workflows) <= set(theirs.workflows)
