"""The read side of a client: rows, windows of a history and single values, for those who show them.

Rows come as the port's own frozen values and bodies as bytes; nothing is decoded into user types, so the code of a run is
not needed to look at it. Every call is bounded: a page, a window, one value. All of it blocks, so async callers use threads.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

import msgspec

from flowkit.client.export import Export
from flowkit.client.facts import plain_error
from flowkit.client.filters import RunFilter, RunList, query_of
from flowkit.client.searching import search
from flowkit.client.tally import Tally
from flowkit.client.undoing import UndoMap, undo_map
from flowkit.client.veil import HIDDEN, veil
from flowkit.codec import describe
from flowkit.core.bulk import Bulk
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.fork import Fork, read_fork
from flowkit.core.graph import Graph
from flowkit.core.health import Report
from flowkit.core.line import BOOK, Line, book_in
from flowkit.core.run import STATUSES
from flowkit.definitions.manifest import Manifest, read_manifest
from flowkit.drivers.base import BodyRef, LineQuery, RunQuery, RunRow, WorkerRow
from flowkit.drivers.survey import Deed, Recorded, Rewound, Stop, Surveyed
from flowkit.errors import ErrorInfo, PayloadError
from flowkit.registry import project_code
from flowkit.runtime.serving import Serving, read_serving

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = [
    "Body", "Count", "Deed", "Reader", "Rewound", "RunEnd", "RunFilter", "RunList", "RunRow", "Serving", "Stop", "WorkerRow",
    "serving_of",
]  # fmt: skip

COUNT_LIMIT = 1_001
"""Beyond this a count is shown as "1,000+"."""

_NEAR = 500
_SLEEPING = 1_000
_LAST_SEQ = 1 << 62
_NEWEST_MESSAGES = 500
_BEGINNING = 8_192

Field = Literal["input", "output", "error", "state", "args"]


@dataclass(frozen=True, slots=True)
class Count:
    """A number of runs; with `more` there are at least that many."""

    number: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """One stored value. `damage` says why it cannot be read, if so: `data` is then what can be shown of it and no value; `size`
    is how large it is where only its beginning is here.
    """

    data: bytes | None
    damage: str = ""
    size: int | None = None

    def plain(self) -> object:
        """The value as plain JSON data, types described and nothing imported."""
        return None if self.data is None or self.damage else describe(self.data)

    def arguments(self) -> dict[str, object]:
        """Of an input, in which each argument is a value of its own: all of them, as `plain`."""
        found = self.plain()
        if not isinstance(found, dict):
            return {}
        return {str(name): describe(msgspec.json.encode(value)) for name, value in found.items()}


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What a run's row does not say of its failure: the error, and the entry it came from."""

    error: ErrorInfo | None
    entry: Entry | None


class Reader:
    """Looks at the database of an open `Flowkit`; writes nothing."""

    def __init__(self, flowkit: Flowkit, *, hides: bool = False) -> None:
        """With `hides`, of errors and values only types and places are given (`veil`)."""
        self._flowkit = flowkit
        self._hides = hides
        self._settings = flowkit.settings
        self._driver = veil(flowkit.driver) if hides else flowkit.driver
        self._survey = self._driver.survey() if isinstance(self._driver, Surveyed) else None
        self._tally = None if self._survey is None else Tally(self._survey.tally, self.token, self._settings.counts_kept)

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
        if asked.searches:
            return self._sought(asked, after, limit)
        query = query_of(asked, after=after, limit=limit + 1)
        rows = self._driver.runs(query)
        next = rows[limit - 1].seq if len(rows) > limit else None
        ordered = asked.id_prefix is None or asked.tag is not None  # the first ids are not the newest runs
        cut = 0 if self._survey is None or (ordered and next is not None) else self._survey.cut(query)
        return RunList(tuple(rows[:limit]), next, cut)

    def _sought(self, asked: RunFilter, after: int | None, limit: int) -> RunList:
        query = query_of(asked, after=after, limit=limit)
        sought = search(self._driver, self._survey, query, error=asked.error, input=asked.input, seconds=self._settings.search)
        if sought.partial:
            return RunList(sought.rows, sought.next, sought.looked_at, out_of_time=True)
        cut = 0 if self._survey is None or sought.next is not None else self._survey.cut(query)
        return RunList(sought.rows, sought.next, cut)

    def newer(self, asked: RunFilter, top: int, limit: int = 100) -> Count:
        """How many runs that `asked` lets through are newer than the one with seq `top`."""
        query = query_of(asked, newer_than=top, limit=limit)
        if asked.searches:
            found = len(
                search(
                    self._driver, self._survey, query, error=asked.error, input=asked.input, seconds=self._settings.search
                ).rows
            )
        else:
            found = len(self._driver.runs(query))
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
        """Runs by status, each counted up to a thousand; beyond that by the last exact count, which is made in the background."""
        found = {status: _capped(self._count(status)) for status in STATUSES}
        if self._tally is None or not any(count.more for count in found.values()):
            return found
        exact = self._tally.last()
        return {
            name: Count(max(exact[name], count.number)) if count.more and name in exact else count
            for name, count in found.items()
        }

    def _count(self, status: str) -> int:
        if self._survey is not None:
            return self._survey.count(status, COUNT_LIMIT)
        return len(self._driver.runs(RunQuery(statuses=(status,), limit=COUNT_LIMIT)))

    def timers(self, limit: int, *, after: float = 0.0, workflows: Collection[str] | None = None) -> tuple[RunRow, ...]:
        """The waiting runs, of these workflows or of all, that are due next after this instant, soonest first; by default the
        overdue ones come first.
        """
        if self._survey is not None:
            found = self._survey.timers(limit, after, workflows)
        else:
            sleeping = self._driver.runs(RunQuery(statuses=("sleeping", "pending"), limit=_SLEEPING))
            due = [row for row in sleeping if row.wake_at is not None and row.wake_at > after and row.owner is None]
            due = [row for row in due if workflows is None or row.workflow in workflows]
            found = sorted(due, key=lambda row: row.wake_at or 0.0)[:limit]
        return tuple(found)

    def workflows(self, limit: int = 200) -> tuple[str, ...]:
        """The names of the workflows that have runs."""
        if self._survey is not None:
            return tuple(self._survey.workflows(limit))
        return tuple(sorted({row.workflow for row in self._driver.runs(RunQuery(limit=_SLEEPING))}))[:limit]

    def last_code(self, row: RunRow) -> str:
        """The project's code under which a run had its last pass; empty if it had none."""
        return project_code(row.code)

    def first_code(self, run: int) -> str:
        """The project's code under which a run began; empty if it has not."""
        return project_code(self._driver.first_code(run))

    def manifest(self, code: str) -> Manifest:
        """What a project's code consists of, as far as a worker has told."""
        return read_manifest(self._driver.manifest(code))

    def graph(self, code: str, workflow: str) -> Graph | None:
        """What this workflow's code can do, as a worker read it; None if none has told."""
        return self.manifest(code).graphs.get(workflow)

    def short_code(self, code: str) -> str:
        """The project's code in what a program that loads it calls it."""
        return project_code(code)

    def workers(self) -> tuple[WorkerRow, ...]:
        """Those that execute runs, dead ones included."""
        return tuple(worker for worker in self._driver.workers() if worker.kind == "worker")

    def reports(self) -> tuple[Report, ...]:
        """What keeps workers from serving, as they have told."""
        return tuple(self._driver.reports(self.now()))

    def stop(self, row: RunRow) -> Stop:
        """Who stopped a run that is paused or cancelled, and when it would be due, as far as the store tells."""
        return Stop() if self._survey is None else self._survey.stop(row.seq)

    def deed(self, op: str) -> Deed | None:
        """The verb that was carried out under this op, as far as the store tells."""
        if self._survey is not None:
            return self._survey.deed(op)
        return self._driver.deed(op) if isinstance(self._driver, Recorded) else None

    def bulk(self, seq: int) -> Bulk | None:
        """The bulk with this number."""
        return self._driver.bulk(seq)

    def bulks(self, limit: int = 50, *, before: int | None = None) -> tuple[Bulk, ...]:
        """Bulks, newest first, with a number below `before`."""
        return tuple(self._driver.bulks(limit, before=before))

    # --- a run's history --------------------------------------------------------------------------------------------

    def window(self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200) -> tuple[Entry, ...]:
        """Entries in order of seq; with `before` the last ones below it, else the first ones above `after`."""
        return tuple(self._driver.history(run, after=after, before=before, limit=limit))

    def last(self, run: int, limit: int = 200) -> tuple[Entry, ...]:
        """The newest entries, in order of seq."""
        return self.window(run, before=_LAST_SEQ, limit=limit)

    def entry(self, run: int, seq: int, *, archived: int | None = None) -> Entry | None:
        """The entry with this seq, without its arguments; with `archived` the one that this rewind set aside."""
        after = seq - 1
        found = (
            self.window(run, after=after, limit=1) if archived is None else self.set_aside(run, archived, after=after, limit=1)
        )
        return found[0] if found and found[0].seq == seq else None

    def rewinds(self, run: int, limit: int = 50) -> tuple[Rewound, ...]:
        """What set entries aside, newest first. A store without a survey cannot tell them apart: there they are one, 1."""
        if self._survey is not None:
            return tuple(self._survey.rewinds(run, limit))
        found = self._driver.history(run, limit=COUNT_LIMIT, archived=True)
        return (Rewound(head=1, at=0.0, why="", entries=len(found)),) if found else ()

    def set_aside(
        self, run: int, rewind: int, *, after: int = 0, before: int | None = None, limit: int = 200
    ) -> tuple[Entry, ...]:
        """The entries that the rewind with this head set aside; `after` and `before` as in `window`."""
        if self._survey is not None:
            return tuple(self._survey.set_aside(run, rewind, after, before, limit))
        return tuple(self._driver.history(run, after=after, before=before, limit=limit, archived=True))

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

    def undoing(self, row: RunRow) -> UndoMap:
        """What a rollback of the run would undo, and what stays done.

        Raises:
            PayloadError: a stored checksum does not match.
        """
        view = self._driver.load(row.seq)
        return UndoMap() if view is None else undo_map(view)

    def export(self, row: RunRow, *, reveals: bool = False) -> Export:
        """The whole run, to be written out piece by piece; secrets are masked unless it `reveals` them."""
        return Export(self._driver, row, self.now(), reveals)

    def body(
        self, run: int, field: Field, entry: int | None = None, *, archived: int | None = None, most: int | None = None
    ) -> Body:
        """One stored value of any size; damage is told, never raised. `archived` is as in `entry`.

        Of a value of more than `most` bytes the beginning may come alone, and unchecked.
        """
        ref = BodyRef(run=run, field=field, entry=entry)
        try:
            if most is not None and archived is None and self._survey is not None:
                begun = self._survey.beginning(ref, most, _BEGINNING)
                if begun is not None:
                    return Body(begun[0], size=begun[1])
            if archived is not None and self._survey is not None:
                found = self._survey.body_aside(ref, archived)
            else:
                found = self._driver.body(ref)
            return Body(None, HIDDEN) if self._hides and found is not None and field != "error" else Body(found)
        except PayloadError as error:
            begun = None if self._survey is None or archived is not None else self._survey.beginning(ref, 0, _BEGINNING)
            return Body(None, str(error)) if begun is None else Body(begun[0], str(error), begun[1])

    def end(self, run: int) -> RunEnd:
        """Why a run failed or is blocked."""
        return self.ends((run,)).get(run, RunEnd(None, None))

    def ends(self, runs: Sequence[int]) -> dict[int, RunEnd]:
        """Why each of these runs failed or is blocked; what is damaged is left out."""
        if self._survey is not None:
            return {
                each.run: RunEnd(None if each.error is None else plain_error(each.error), each.entry)
                for each in self._survey.endings(runs)
            }
        return {run: end for run in runs if (end := self._loaded_end(run)) is not None}

    def _loaded_end(self, run: int) -> RunEnd | None:
        try:
            view = self._driver.load(run, after=_LAST_SEQ)
        except PayloadError:
            return None
        if view is None:
            return None
        entry = self.entry(run, view.failed_entry) if view.failed_entry else None
        return RunEnd(None if view.error is None else plain_error(view.error), entry)

    def inbox(self, run: int, limit: int = _NEWEST_MESSAGES) -> tuple[Message, ...]:
        """The messages that wait in a run's inbox, oldest first."""
        try:
            return tuple(self._driver.inbox(run, (), limit))
        except PayloadError:
            return ()

    def fork(self, run: int) -> Fork | None:
        """What makes a run a fork. Raises PayloadError if that is damaged."""
        return read_fork(self._driver.body(BodyRef(run=run, field="fork")))

    # --- the log ----------------------------------------------------------------------------------------------------

    def lines(
        self, run: int, *, after: int = 0, before: int | None = None, location: str | None = None,
        level: int = 0, limit: int = 200,
    ) -> tuple[Line, ...]:  # fmt: skip
        """What a run logged, in order; `after` and `before` are as in `window`. Of one location, of no lower level, if asked."""
        query = LineQuery(run=run, after=max(after, BOOK), before=before, location=location, level=level, limit=limit)
        return tuple(self._driver.lines(query))

    def dropped_lines(self, run: int) -> int:
        """How many of a run's oldest lines have made room for newer ones."""
        found = self._driver.lines(LineQuery(run=run, after=BOOK - 1, before=BOOK + 1, limit=1))
        return book_in(found[0] if found else None).dropped

    def newest_line(self, run: int) -> int:
        """The number of the newest line, 0 if there is none."""
        found = self.lines(run, before=_LAST_SEQ, limit=1)
        return found[0].seq if found else 0

    def last_lines(self, run: int, *, location: str | None = None, level: int = 0, limit: int = 200) -> tuple[Line, ...]:
        """The newest lines, in order."""
        return self.lines(run, before=_LAST_SEQ, location=location, level=level, limit=limit)


def _capped(number: int) -> Count:
    return Count(number - 1, True) if number >= COUNT_LIMIT else Count(number)


def serving_of(worker: WorkerRow) -> Serving:
    """What this worker has told that it serves."""
    return read_serving(worker.info)
