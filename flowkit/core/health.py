"""What keeps workers from serving workflows: the reports on it, when they begin and cease to count, and what follows from them.

A workflow on a worker is failing from the first report on, and well again only after three successes in a row: something that
works every other time does not flicker. What a worker has to say is bounded, and counts for no longer than somebody stands
for it: a report ends with its worker's life, but for those of workers that could not live; and all of them expire.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec.structs import replace

__all__ = [
    "Health", "Kind", "Report", "Served", "Sickness", "Trouble", "WorkflowHealth", "decode_reports", "encode_reports",
    "health_in", "health_of", "standing",
]  # fmt: skip

Kind = Literal["import", "starting", "start", "crash", "misfit", "store", "loop"]
Status = Literal["ok", "failing", "unattended"]

SUCCESSES = 3
"""How many in a row it takes until a trouble is over."""
MOST_REPORTS = 50
MOST_CHARACTERS = 200
START_SECONDS = 10.0
"""How long a worker may take to begin: what it says of that counts only afterwards."""
FADES_SECONDS = 900.0
"""For so long counts what only the next passes of a workflow can show to be over, while there are none."""

_OUTLIVES: frozenset[Kind] = frozenset(("crash",))
"""What a worker reports that its own death proves rather than ends."""
_TEXTS = ("workflow", "type", "line", "place", "source", "origin")
_WORDS: Mapping[Kind, str] = {
    "import": "its code cannot be imported",
    "starting": "it has not got as far as serving",
    "start": "it cannot begin",
    "crash": "its process dies again and again",
    "misfit": "its code does not fit the history of a run",
    "store": "the database does not answer",
    "loop": "the event loop is blocked",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong: the error's type, the first line of its message, and where in the user's code."""

    kind: Kind
    type: str = ""
    line: str = ""
    place: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What keeps a worker from serving a workflow, since when, when last and how often.

    `workflow` is empty where all that the worker would serve is concerned. `source` names the worker (host and process id) and
    `origin` what it was to run where, which its successor runs again; `worker` is its number in the store, 0 if it never had one.
    """

    workflow: str
    kind: Kind
    type: str = ""
    line: str = ""
    place: str = ""
    since: float
    last: float
    count: int = 1
    source: str = ""
    origin: str = ""
    worker: int = 0

    @property
    def outlives(self) -> bool:
        """Whether it counts on when its worker has died."""
        return not self.worker or self.kind in _OUTLIVES

    @property
    def reason(self) -> str:
        """What it says without the error's message: ``ImportError in app.py:3 on worker w-7``."""
        what = self.type.rpartition(".")[2] or _WORDS[self.kind]
        place = f" in {self.place}" if self.place else ""
        return f"{what}{place}" + (f" on worker {self.source}" if self.source else "")

    def __str__(self) -> str:
        return f"{self.reason}: {self.line}" if self.line else self.reason


_reports = msgspec.json.Decoder(list[Report])


def encode_reports(reports: Sequence[Report]) -> bytes:
    """As a store keeps them. Lone surrogates, which a path may have, are escaped."""
    return msgspec.json.encode([_printable(report) for report in reports])


def decode_reports(body: bytes) -> list[Report]:
    """What was stored; nothing, if another version of this program wrote it otherwise."""
    try:
        return _reports.decode(body)
    except msgspec.MsgspecError:
        return []


def _printable(report: Report) -> Report:
    texts = {name: getattr(report, name) for name in _TEXTS}
    return replace(report, **{name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()})


class Sickness:
    """What one worker has to report. It forgets a trouble after three successes in a row, and keeps fifty at most."""

    def __init__(self, source: str, origin: str = "") -> None:
        self.source = source
        self.origin = origin
        self.worker = 0
        self._found: dict[tuple[str, Kind], Report] = {}
        self._good: dict[tuple[str, Kind], int] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def failed(self, workflow: str, trouble: Trouble, now: float) -> None:
        """It went wrong: this very workflow, or with an empty name all of them."""
        key = workflow, trouble.kind
        known = self._found.get(key)
        self._found[key] = Report(
            workflow=workflow, kind=trouble.kind, type=_cut(trouble.type), line=_cut(trouble.line), place=_cut(trouble.place),
            since=known.since if known else now, last=now, count=known.count + 1 if known else 1,
        )  # fmt: skip
        self._good[key] = 0
        while len(self._found) > MOST_REPORTS:
            oldest = min(self._found, key=lambda each: self._found[each].last)
            del self._found[oldest], self._good[oldest]

    def went_well(self, kinds: Collection[str], workflow: str | None = None) -> bool:
        """Troubles of these kinds, of this workflow or of all that is served, did not show this time; whether that ends one."""
        ended = False
        for key in [each for each in self._found if each[1] in kinds and (workflow is None or each[0] in ("", workflow))]:
            self._good[key] += 1
            if self._good[key] >= SUCCESSES:
                del self._found[key], self._good[key]
                ended = True
        return ended

    def ails(self, kind: Kind) -> bool:
        """Whether there is a trouble of this kind."""
        return any(each == kind for _, each in self._found)

    def relapsed(self, kind: Kind) -> None:
        """Troubles of this kind are not over: the successes since do not count."""
        self._good.update((key, 0) for key in self._found if key[1] == kind)

    def fade(self, kinds: Collection[str], now: float) -> bool:
        """Forget troubles of these kinds that have not shown for long; whether there were any."""
        old = [key for key, report in self._found.items() if key[1] in kinds and now - report.last >= FADES_SECONDS]
        for key in old:
            del self._found[key], self._good[key]
        return bool(old)

    def inherit(self, reports: Iterable[Report]) -> None:
        """Go on with what an earlier worker of the same origin reported: its successor has to prove first that it is over."""
        for report in reports:
            key = report.workflow, report.kind
            mine = self._found.get(key)
            if mine is not None:
                report = replace(mine, since=min(mine.since, report.since), count=mine.count + report.count)
            self._found[key] = report
            self._good.setdefault(key, 0)

    def reports(self, *, outliving: bool = False) -> list[Report]:
        """All, or those that are to count on when this worker has gone; newest first."""
        mine = (replace(each, source=self.source, origin=self.origin, worker=self.worker) for each in self._found.values())
        return sorted((each for each in mine if each.outlives or not outliving), key=lambda each: -each.last)


def _cut(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…"


# --- what follows from them -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """A worker that claims runs; `workflows` None: it has not said which it serves."""

    id: int
    name: str
    alive: bool
    seen_at: float
    workflows: frozenset[str] | None = None

    def serves(self, workflow: str) -> bool:
        """Whether it would take up a run of this workflow."""
        return self.workflows is None or workflow in self.workflows


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowHealth:
    """Whether anybody serves a workflow. Instants are epoch seconds.

    `status` is ``ok`` if a live worker serves it and is not failing, ``failing`` if all that do or would are, ``unattended`` if
    there is none. `workers` are those that serve it well, `failing` those that do not, `reports` says why not. `since` is known
    where nobody serves it: since then.
    """

    workflow: str
    status: Status
    since: float | None = None
    reason: str = ""
    workers: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    reports: tuple[Report, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether somebody serves it, and nobody fails to."""
        return self.status == "ok" and not self.reports

    @property
    def only_misfits(self) -> bool:
        """Whether all there is to report is that some runs are held by code: the others are served as ever."""
        return bool(self.reports) and all(each.kind == "misfit" for each in self.reports)


@dataclass(frozen=True, slots=True)
class Health:
    """The health of some workflows, by name. `reports` are all that count, those of no known workflow included."""

    workflows: tuple[WorkflowHealth, ...]
    reports: tuple[Report, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything is served, and nobody has anything to report."""
        return not self.reports and all(each.ok for each in self.workflows)

    def __getitem__(self, workflow: str) -> WorkflowHealth:
        return next((each for each in self.workflows if each.workflow == workflow), _unknown(workflow))


def _unknown(workflow: str, since: float | None = None) -> WorkflowHealth:
    return WorkflowHealth(workflow=workflow, status="unattended", since=since, reason="no live worker serves it")


def standing(reports: Iterable[Report], workers: Iterable[Served], now: float) -> list[Report]:
    """The reports that count: those of the living, and those that outlive their worker. Newest first, a mere beginning last."""
    alive = {worker.id for worker in workers if worker.alive}
    found = [
        each for each in reports
        if (each.outlives or each.worker in alive) and (each.kind != "starting" or now - each.since >= START_SECONDS)
    ]  # fmt: skip
    return sorted(found, key=lambda each: (each.kind == "starting", -each.last))


def health_of(names: Collection[str], workers: Sequence[Served], reports: Sequence[Report], now: float) -> Health:
    """The health of these workflows, and of those that a live worker serves or a report names."""
    counting = standing(reports, workers, now)
    served = {name for worker in workers if worker.alive for name in worker.workflows or ()}
    known = {*names, *served, *(each.workflow for each in counting if each.workflow)}
    return Health(tuple(health_in(name, workers, counting) for name in sorted(known)), tuple(counting))


def health_in(workflow: str, workers: Iterable[Served], reports: Sequence[Report]) -> WorkflowHealth:
    """The health of one workflow; the `reports` are those that count.

    Who could not even import the code says so with an empty name where it does not know what it would have served. That is
    taken for the reason only if nobody serves the workflow: most likely it is, and nothing else is known.
    """
    everyone = list(workers)
    serving = [worker for worker in everyone if worker.alive and worker.serves(workflow)]
    ids = {worker.id for worker in serving}
    named = [each for each in reports if each.workflow == workflow or (not each.workflow and each.worker in ids)]
    sick = {each.worker for each in named}
    well = [worker.name for worker in serving if worker.id not in sick]
    found = named if serving or named else [each for each in reports if not each.workflow]
    failing = tuple(dict.fromkeys(each.source for each in found))
    if well:
        return WorkflowHealth(
            workflow=workflow, status="ok", workers=tuple(well), failing=failing, reports=tuple(found),
            reason=found[0].reason if found else "",
        )  # fmt: skip
    if not found:
        seen = [worker.seen_at for worker in everyone if worker.workflows is not None and workflow in worker.workflows]
        return _unknown(workflow, max(seen, default=None))
    since = min(each.since for each in found)
    return WorkflowHealth(
        workflow=workflow, status="failing", since=since, reason=found[0].reason, failing=failing, reports=tuple(found)
    )
