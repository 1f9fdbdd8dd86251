"""The read side of a client over all runs: instants to come, messages kept, verbs carried out, the store itself.

Beside the `Reader`, for pages that no single run owns. Stores that do not offer `Across` answer by the port as far as it goes:
timers of the newest thousand sleeping runs; messages and verbs they cannot tell of, and then the answer is None.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowkit.client.veil import veil
from flowkit.core.entry import Entry
from flowkit.drivers.across import Kept, SeenAcross, StoreFacts
from flowkit.drivers.base import Limits, RunQuery, RunRow
from flowkit.drivers.statements import Statement, Statements, TimesReads
from flowkit.drivers.survey import Deed
from flowkit.registry import project_code

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["AcrossReader", "Deed", "Due", "Kept", "Sample", "Statement", "StoreFacts"]

_SLEEPING = 1_000
_OPEN = 500
_EACH = 20
_NEWEST = 60
_OF_AN_HOUR = 6
_HOURS, _HOUR = 24, 3_600.0
_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is due at an instant, and those of its open entries that are, soonest first."""

    run: RunRow
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Some runs of a workflow, newest first, and by seq the first entries of each. `whole`: it has no others."""

    runs: tuple[RunRow, ...]
    entries: dict[int, tuple[Entry, ...]]
    whole: bool

    def code(self, run: RunRow) -> str:
        """The project's code under which a run had its last pass; empty if it had none."""
        return project_code(run.code)


class AcrossReader:
    """Looks at all runs of an open `Flowkit`; writes nothing. Every call is bounded, and blocks."""

    def __init__(self, flowkit: Flowkit, *, hides: bool = False) -> None:
        self._driver = veil(flowkit.driver) if hides else flowkit.driver
        self._across = self._driver.across() if isinstance(self._driver, SeenAcross) else None
        self._store, self._now = flowkit.driver, flowkit.house.clock.now
        self._statements: Statements | None = None

    def time_reads(self) -> None:
        """Measure what the store is asked in this process from here on, where it can."""
        if isinstance(self._store, TimesReads):
            self._statements = self._store.time_reads(self._now)

    def slowest(self, limit: int) -> tuple[Statement, ...] | None:
        """The slowest reads of this process; None: nobody measures them."""
        return None if self._statements is None else self._statements.slowest(limit)

    @property
    def limits(self) -> Limits:
        """What the store can hold."""
        return self._driver.limits

    def due(
        self, limit: int, *, after: tuple[float, int] = (0.0, 0), workflows: Collection[str] | None = None
    ) -> tuple[Due, ...]:
        """Runs that nobody holds and that are due next, soonest first, after this instant and seq."""
        if self._across is not None:
            rows = self._across.due(after, limit, workflows)
        else:
            found = self._driver.runs(RunQuery(statuses=("sleeping", "pending"), limit=_SLEEPING))
            waiting = [row for row in found if row.wake_at is not None and (row.wake_at, row.seq) > after and row.owner is None]
            waiting = [row for row in waiting if workflows is None or row.workflow in workflows]
            rows = sorted(waiting, key=lambda row: (row.wake_at or 0.0, row.seq))[:limit]
        return self._with_entries(rows)

    def held(self, limit: int) -> tuple[Due, ...]:
        """The newest runs that a worker holds, with what in them is due all the same."""
        return self._with_entries(self._driver.runs(RunQuery(statuses=("running", "rolling_back"), limit=limit)))

    def _with_entries(self, rows: Sequence[RunRow]) -> tuple[Due, ...]:
        entries: dict[int, list[Entry]] = {row.seq: [] for row in rows}
        if self._across is not None:
            for run, entry in self._across.waits([row.seq for row in rows if row.entries], _EACH):
                entries[run].append(entry)
        else:
            for row in rows:
                found = self._driver.history(row.seq, before=1 << 62, limit=_OPEN)
                opens = [entry for entry in found if not entry.settled and entry.due_at is not None]
                entries[row.seq] = sorted(opens, key=lambda entry: entry.due_at or 0.0)[:_EACH]
        return tuple(Due(row, tuple(entries[row.seq])) for row in rows)

    def kept(self, limit: int, *, after: int = 0) -> tuple[Kept, ...] | None:
        """The messages beyond that place in the inboxes of all runs, oldest first; None: this store cannot tell."""
        return None if self._across is None else tuple(self._across.kept(after, limit))

    def row(self, run: int) -> RunRow | None:
        """The row of a run by its seq."""
        return self._driver.get(run)

    def waiting(self, workflow: str, limit: int) -> tuple[RunRow, ...]:
        """Of the newest sleeping and running runs of a workflow, as many as `limit` says: those that wait for a message."""
        rows = self._driver.runs(RunQuery(workflow=workflow, statuses=("sleeping", "running"), limit=limit))
        return tuple(row for row in rows if row.waiting is not None)

    def sample(self, workflow: str, now: float) -> Sample:
        """Some runs of a workflow with the first entries of each: the newest ones, and some of every hour of the last day."""
        newest = self._driver.runs(RunQuery(workflow=workflow, limit=_NEWEST + 1))
        rows = {row.seq: row for row in newest[:_NEWEST]}
        oldest = min((row.created_at for row in rows.values()), default=now)
        if len(newest) > _NEWEST:
            for hour in range(_HOURS):
                since, until = now - (hour + 1) * _HOUR, now - hour * _HOUR
                if since < oldest:
                    found = self._driver.runs(RunQuery(workflow=workflow, since=since, until=until, limit=_OF_AN_HOUR))
                    rows |= {row.seq: row for row in found}
        runs = tuple(rows[seq] for seq in sorted(rows, reverse=True))
        entries = {row.seq: tuple(self._driver.history(row.seq, limit=_ENTRIES)) for row in runs if row.entries}
        return Sample(runs, entries, len(newest) <= _NEWEST)

    def deeds(self, limit: int, *, before: tuple[float, str] | None = None) -> tuple[Deed, ...] | None:
        """Verbs as they were carried out, newest first; None: this store cannot tell."""
        return None if self._across is None else tuple(self._across.deeds(before, limit))

    def facts(self) -> StoreFacts | None:
        """Where the store keeps its data; None: it does not tell."""
        return None if self._across is None else self._across.facts()
