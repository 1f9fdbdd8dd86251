"""The read side of a client: rows, windows of a history and single values, for those who show them.

Rows come as the port's own frozen values and bodies as bytes; nothing is decoded into user types, so the code of a run is
not needed to look at it. Every call is bounded: a page, a window, one value. All of it blocks, so async callers use threads.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from flowkit.client.facts import plain_error
from flowkit.codec import describe
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.run import STATUSES
from flowkit.drivers.base import BodyRef, RunQuery, RunRow, WorkerRow
from flowkit.drivers.survey import Deed, Surveyed
from flowkit.errors import ErrorInfo, PayloadError

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["Body", "Count", "Deed", "Reader", "RunEnd", "RunFilter", "RunList", "RunRow", "WorkerRow"]

COUNT_LIMIT = 1_001
"""Beyond this a count is shown as "1,000+"."""

_NEAR = 500
_SLEEPING = 1_000
_LAST_SEQ = 1 << 62
_NEWEST_MESSAGES = 500

Field = Literal["input", "output", "error", "state", "args"]


@dataclass(frozen=True, slots=True)
class Count:
    """A number of runs; with `more` there are at least that many."""

    number: int
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs a list shows; fields left out do not filter."""

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    tag: str | None = None
    since: float | None = None
    until: float | None = None
    id_prefix: str | None = None


@dataclass(frozen=True, slots=True)
class RunList:
    """A page of runs, newest first. `next` is the seq after which the next page begins."""

    rows: tuple[RunRow, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class Body:
    """One stored value. `damage` says why it cannot be read, if so."""

    data: bytes | None
    damage: str = ""

    def plain(self) -> object:
        """The value as plain JSON data, types described and nothing imported."""
        return None if self.data is None else describe(self.data)


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a run's row does not say of its failure: the error, and the seq of the entry it came from (0: none)."""

    error: ErrorInfo | None
    entry: int


class Reader:
    """Looks at the database of an open `Flowkit`; writes nothing."""

    def __init__(self, flowkit: Flowkit) -> None:
        self._flowkit = flowkit
        self._driver = flowkit.driver
        self._survey = flowkit.driver.survey() if isinstance(flowkit.driver, Surveyed) else None

    def now(self) -> float:
        """The client's clock, epoch seconds."""
        return self._flowkit.house.clock.now()

    def token(self) -> int:
        """A number that differs when anything may have changed."""
        return self._driver.token()

    # --- runs -------------------------------------------------------------------------------------------------------

    def run(self, id: str) -> RunRow | None:
        """The run's row as it stands now."""
        return self._driver.get(id)

    def runs(self, asked: RunFilter, *, after: int | None = None, limit: int = 50) -> RunList:
        """A page of the runs that `asked` lets through."""
        rows = self._driver.runs(
            RunQuery(
                statuses=asked.statuses, workflow=asked.workflow, tag=asked.tag, since=asked.since, until=asked.until,
                id_prefix=asked.id_prefix, after=after, limit=limit + 1,
            )
        )  # fmt: skip
        return RunList(tuple(rows[:limit]), rows[limit - 1].seq if len(rows) > limit else None)

    def newer(self, asked: RunFilter, top: int, limit: int = 100) -> Count:
        """How many runs that `asked` lets through are newer than the one with seq `top`."""
        found = sum(row.seq > top for row in self.runs(asked, limit=limit).rows)
        return Count(found, found == limit)

    def near(self, id: str, limit: int = 5) -> tuple[str, ...]:
        """Known ids that resemble `id`: those that begin like it, then similar ones among the newest."""
        found: list[str] = []
        for length in range(len(id), 0, -1):
            found = [row.id for row in self._driver.runs(RunQuery(id_prefix=id[:length], limit=limit))]
            if found:
                break
        newest = [row.id for row in self._driver.runs(RunQuery(limit=_NEAR))]
        return tuple(dict.fromkeys([*found, *get_close_matches(id, newest, n=limit)]))[:limit]

    def counts(self) -> dict[str, Count]:
        """Runs by status, each counted up to a thousand."""
        return {status: _capped(self._count(status)) for status in STATUSES}

    def _count(self, status: str) -> int:
        if self._survey is not None:
            return self._survey.count(status, COUNT_LIMIT)
        return len(self._driver.runs(RunQuery(statuses=(status,), limit=COUNT_LIMIT)))

    def timers(self, limit: int) -> tuple[RunRow, ...]:
        """The waiting runs that are due next, soonest first."""
        if self._survey is not None:
            found = self._survey.timers(limit)
        else:
            sleeping = self._driver.runs(RunQuery(statuses=("sleeping", "pending"), limit=_SLEEPING))
            due = [row for row in sleeping if row.wake_at is not None and row.owner is None]
            found = sorted(due, key=lambda row: row.wake_at or 0.0)[:limit]
        return tuple(found)

    def workflows(self, limit: int = 200) -> tuple[str, ...]:
        """The names of the workflows that have runs."""
        if self._survey is not None:
            return tuple(self._survey.workflows(limit))
        return tuple(sorted({row.workflow for row in self._driver.runs(RunQuery(limit=_SLEEPING))}))[:limit]

    def first_code(self, run: int) -> str:
        """The fingerprint of the code under which a run began, as far as the store tells."""
        return "" if self._survey is None else self._survey.first_code(run)

    def workers(self) -> tuple[WorkerRow, ...]:
        """Those that execute runs, dead ones included."""
        return tuple(worker for worker in self._driver.workers() if worker.kind == "worker")

    def deed(self, op: str) -> Deed | None:
        """The verb that was carried out under this op, as far as the store tells."""
        return None if self._survey is None else self._survey.deed(op)

    # --- a run's history --------------------------------------------------------------------------------------------

    def window(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> tuple[Entry, ...]:
        """Entries in order of seq; with `before` the last ones below it, else the first ones above `after`."""
        return tuple(self._driver.history(run, after=after, before=before, limit=limit, archived=archived))

    def last(self, run: int, limit: int = 200) -> tuple[Entry, ...]:
        """The newest entries, in order of seq."""
        return self.window(run, before=_LAST_SEQ, limit=limit)

    def entry(self, run: int, seq: int, *, archived: bool = False) -> Entry | None:
        """The entry with this seq, without its arguments."""
        found = self._driver.history(run, after=seq - 1, limit=1, archived=archived)
        return found[0] if found and found[0].seq == seq else None

    def around(self, run: int, entries: Collection[Entry]) -> tuple[Entry, ...]:
        """The joins, races and loops that stand around these entries and are not among them."""
        known = {entry.seq for entry in entries}
        wanted = {entry.parent for entry in entries} - known - {0}
        found: dict[int, Entry] = {}
        while wanted:
            seq = wanted.pop()
            entry = self.entry(run, seq)
            if entry is None:
                continue
            found[seq] = entry
            if entry.parent and entry.parent not in known and entry.parent not in found:
                wanted.add(entry.parent)
        return tuple(found[seq] for seq in sorted(found))

    def attempts(self, run: int, entry: int | None = None) -> tuple[FailedAttempt, ...]:
        """The failed attempts of an entry, oldest first."""
        return tuple(self._driver.attempts(run, entry))

    # --- values -----------------------------------------------------------------------------------------------------

    def body(self, run: int, field: Field, entry: int | None = None) -> Body:
        """One stored value of any size; damage is told, never raised."""
        try:
            return Body(self._driver.body(BodyRef(run=run, field=field, entry=entry)))
        except PayloadError as error:
            return Body(None, str(error))

    def end(self, run: int) -> RunEnd:
        """Why a run failed or is blocked."""
        try:
            view = self._driver.load(run, after=_LAST_SEQ)
        except PayloadError:
            view = None
        if view is None:
            return RunEnd(None, 0)
        return RunEnd(None if view.error is None else plain_error(view.error), view.failed_entry or 0)

    def inbox(self, run: int, limit: int = _NEWEST_MESSAGES) -> tuple[Message, ...]:
        """The messages that wait in a run's inbox, oldest first."""
        try:
            return tuple(self._driver.inbox(run, (), limit))
        except PayloadError:
            return ()


def _capped(number: int) -> Count:
    return Count(number - 1, True) if number >= COUNT_LIMIT else Count(number)
