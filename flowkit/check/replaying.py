"""`replay_runs`: all open runs and the newest finished ones under the code that is loaded, one verdict each.

It may take minutes, so it belongs in a process that nobody waits for and that works on no run. Runs are read one by one and
let go: what is kept does not grow with their number. Misfits are looked into once all open runs of the workflow have been
tried, since what other runs have recorded tells a call that is new from one that moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from flowkit.check.effects import Effect
from flowkit.check.endings import comes_to, undecodable
from flowkit.check.leftovers import Leftovers
from flowkit.check.lines import Evidence, Proposal
from flowkit.check.rehearsal import Rehearsal, TooSlow
from flowkit.check.report import Line
from flowkit.check.tally import Tally
from flowkit.check.trials import Trials, evidence_of, open_rows, untried
from flowkit.core.run import OPEN
from flowkit.core.trial import Trial, pattern
from flowkit.core.verdict import Addition, Finding, Place, Replay
from flowkit.definitions import Workflow
from flowkit.drivers.base import Driver, RunQuery, RunRow, RunView
from flowkit.errors import HistoryDiverged, PayloadError
from flowkit.settings import in_force

__all__ = ["FINISHED", "Progress", "replay_runs"]

FINISHED = 20
"""How many finished runs of each workflow are tried."""

_MOST_COUNTED = 10_000
_ENDED = ("completed", "failed", "cancelled")
_OVER = "the time for the check was over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Told before each `run`; `found` is there about once a second."""

    run: str
    workflow: str
    found: Replay | None = None


def replay_runs(
    driver: Driver,
    workflows: Mapping[str, Workflow[..., Any]],
    *,
    limit: int | None = None,
    finished: int = FINISHED,
    seconds_per_run: float | None = None,
    seconds: float | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Replay:
    """Try the open runs (the `limit` newest of them), then of each workflow the last `finished` ones that have ended.

    No body runs and nothing is written. After `seconds` what is left counts as not checked.

    Raises:
        StoreError: the store did not answer.
    """
    began = time.monotonic()
    each = in_force().check_run if seconds_per_run is None else seconds_per_run
    replaying = _Replaying(driver, workflows, each, None if seconds is None else began + seconds, tell)
    try:
        replaying.open_runs(limit)
        replaying.finished_runs(finished)
    finally:
        replaying.close()
    return replaying.tally.replay(seconds=round(time.monotonic() - began, 3))


class _Replaying:
    """One replay of all that is to be tried."""

    def __init__(
        self, driver: Driver, workflows: Mapping[str, Workflow[..., Any]], seconds: float, deadline: float | None,
        tell: Callable[[Progress], None],
    ) -> None:  # fmt: skip
        self.tally = Tally()
        self._driver = driver
        self._workflows = workflows
        self._deadline = deadline
        self._tell = tell
        self._told = time.monotonic()
        self._tell_every = in_force().check_tell
        self._trials = Trials(driver, seconds)
        self._recorded: dict[str, set[str]] = {name: set() for name in workflows}
        self._leftovers = {name: Leftovers(workflow) for name, workflow in workflows.items()}

    def close(self) -> None:
        """Stop the threads."""
        self._trials.close()

    def open_runs(self, limit: int | None) -> None:
        """All of them, newest first; then those that do not fit once more, for the lines that would help."""
        misfits: list[int] = []
        for row in self._chosen(limit):
            if self._is_over():
                self.tally.add(Finding(workflow=row.workflow, verdict="not checked", why=_OVER), "", key=_OVER)
            elif self._first_look(row):
                misfits.append(row.seq)
        self._look_again(misfits)
        for name in sorted(self._workflows):
            self._name_leftovers(name)

    def finished_runs(self, most: int) -> None:
        """The last ones of each workflow, by when they were started."""
        for name in sorted(self._workflows):
            query = RunQuery(statuses=_ENDED, workflow=name, limit=most)
            rows = self._driver.runs(query) if most else []
            misfits: list[int] = []
            for row in rows:
                if self._is_over():
                    found = Finding(workflow=name, verdict="not checked", ended=True, why=_OVER)
                    self.tally.add(found, "", key=_OVER)
                elif self._first_look(row):
                    misfits.append(row.seq)
            self._look_again(misfits)

    # --- one run ----------------------------------------------------------------------------------------------------

    def _first_look(self, row: RunRow) -> bool:
        """Try a run; whether it does not fit, and is to be looked into."""
        workflow, ended = self._workflows[row.workflow], row.status not in OPEN
        self._say(row)
        view = self._load(row, ended)
        if view is None:
            return False
        if not ended:
            self._recorded[row.workflow].update(pattern(entry.location) for entry in view.entries)
        found = self._rehearsed(view, Trial())
        if isinstance(found, Finding):
            self.tally.add(found, row.id)
            return False
        if found.misfit is not None:
            return True
        self._warn(view, found)
        if not ended:
            self._leftovers[row.workflow].judge(view, found, lambda trial: self._rehearsed(view, trial))
        self.tally.add(self._going(workflow, view, found, ended), row.id)
        return False

    def _going(self, workflow: Workflow[..., Any], view: RunView, found: Rehearsal, ended: bool) -> Finding:
        """The verdict on a run that fits."""
        if not ended and (why := untried(view)):
            return Finding(workflow=workflow.name, verdict="not checked", why=why)
        reached = list(found.frontiers) == [""]
        if ended and (reached or view.row.status == "cancelled"):
            other = comes_to(self._driver, workflow, view, found)
            return other or Finding(workflow=workflow.name, verdict="same", ended=True)
        places = sorted({Place(pattern(location), source) for location, source in found.frontiers.items()}, key=_by_location)
        return Finding(workflow=workflow.name, verdict="goes on", ended=ended, places=tuple(places))

    def _warn(self, view: RunView, found: Rehearsal) -> None:
        sources = {f"{call.path}/{call.name}".lstrip("/"): call.source for call in found.calls}
        for place in dict.fromkeys((pattern(location), sources.get(location, "")) for location in found.moved):
            self.tally.warn(view.row.workflow, *place, view.row.id)

    def _look_again(self, misfits: list[int]) -> None:
        """Why runs do not fit, and the lines that would make them."""
        evidence: dict[str, Evidence] = {}
        for seq in misfits:
            row = self._driver.get(seq)
            if row is None:
                continue
            ended = row.status not in OPEN
            name = row.workflow
            if self._is_over():
                self.tally.add(Finding(workflow=name, verdict="not checked", ended=ended, why=_OVER), "", key=_OVER)
                continue
            self._say(row)
            if (view := self._load(row, ended)) is None:
                continue
            if name not in evidence:
                evidence[name] = evidence_of(self._workflows[name], frozenset(self._recorded[name]))
            self._explain(view, evidence[name], ended)

    def _explain(self, view: RunView, evidence: Evidence, ended: bool) -> None:
        workflow = self._workflows[view.row.workflow]
        found = self._rehearsed(view, Trial())
        if isinstance(found, Finding):
            return self.tally.add(found, view.row.id)
        if found.misfit is None:  # it has gone on meanwhile
            return self.tally.add(self._going(workflow, view, found, ended), view.row.id)
        unreadable = undecodable(workflow, found.misfit)
        if unreadable is not None:
            place = pattern(unreadable.location)
            same = place, unreadable.path, unreadable.annotation
            return self.tally.add(replace(unreadable, ended=ended, location=place), view.row.id, key=same)
        try:
            proposal = self._trials.propose(workflow, view, found, evidence)
        except (Effect, TooSlow) as error:
            return self.tally.add(self._unchecked(view.row, error), view.row.id)
        finding = _held(workflow.name, found.misfit, proposal, ended)
        key = proposal.kind, proposal.lines, "" if proposal.lines else (finding.location, finding.made, finding.source)
        return self.tally.add(finding, view.row.id, key=key)

    # --- tools ------------------------------------------------------------------------------------------------------

    def _chosen(self, limit: int | None) -> Iterator[RunRow]:
        """The open rows to try. Those of workflows that the code lacks are counted, and so are those beyond the limit."""
        tried = beyond = 0
        for row in open_rows(self._driver):
            if row.workflow not in self._workflows:
                self.tally.unattended[row.workflow] += 1
            elif limit is None or tried < limit:
                tried += 1
                yield row
            else:
                why = f"only the newest {limit:,} were to be checked"
                self.tally.add(Finding(workflow=row.workflow, verdict="not checked", why=why), "", key=why)
            beyond += limit is not None and tried >= limit
            if beyond >= _MOST_COUNTED or (self._is_over() and (beyond := beyond + 1) >= _MOST_COUNTED):
                return

    def _is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _say(self, row: RunRow) -> None:
        found = None
        if time.monotonic() - self._told > self._tell_every:
            found, self._told = self.tally.replay(over=False), time.monotonic()
        self._tell(Progress(run=row.id, workflow=row.workflow, found=found))

    def _load(self, row: RunRow, ended: bool) -> RunView | None:
        """The run as it is now; None, and that is told, if it cannot be read or has changed sides meanwhile."""
        try:
            view = self._driver.load(row.seq)
        except PayloadError as error:
            why = f"it cannot be loaded: {error}"
            self.tally.add(Finding(workflow=row.workflow, verdict="not checked", ended=ended, why=why), row.id)
            return None
        return view if view is not None and (view.row.status not in OPEN) == ended else None

    def _rehearsed(self, view: RunView, trial: Trial) -> Rehearsal | Finding:
        try:
            return self._trials.rehearse(self._workflows[view.row.workflow], view, trial)
        except (Effect, TooSlow) as error:
            return self._unchecked(view.row, error)

    def _unchecked(self, row: RunRow, error: Effect | TooSlow) -> Finding:
        why = str(error) if isinstance(error, Effect) else f"its pass took longer than {self._trials.seconds:g} s"
        return Finding(workflow=row.workflow, verdict="not checked", ended=row.status not in OPEN, why=why)

    def _name_leftovers(self, name: str) -> None:
        leftovers = self._leftovers[name]
        if not leftovers.lines:
            return
        if any(self.tally.of(name, verdict) for verdict in ("held", "does not decode", "not checked")):
            self.tally.undecided.append(name)
        else:
            self.tally.leftovers += leftovers.found()


def _held(workflow: str, misfit: HistoryDiverged, proposal: Proposal, ended: bool) -> Finding:
    recorded = f"{misfit.recorded_kind} `{misfit.recorded_name}`" if misfit.recorded_kind else ""
    made = f"{misfit.asked_kind} `{misfit.asked_name}`" if misfit.asked_kind else "nothing more there"
    return Finding(
        workflow=workflow, verdict="held", ended=ended, location=pattern(misfit.location), source=misfit.source,
        recorded=recorded, made=made if recorded else "", lines=tuple(_addition(line) for line in proposal.lines),
        advice=proposal.advice, why="" if recorded else _reason(misfit),
    )  # fmt: skip


def _reason(misfit: HistoryDiverged) -> str:
    """What the message says besides which run it is about and what becomes of that."""
    lines = str(misfit).splitlines()
    inner = [line.strip() for line in lines[1:-1]]
    return " ".join(inner) or lines[0]


def _addition(line: Line) -> Addition:
    return Addition(line.text, line.where, line.place, line.code)


def _by_location(place: Place) -> tuple[str, str]:
    return place.location, place.source
