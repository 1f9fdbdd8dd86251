"""Passes made for a check: threads for them, another set where one hangs, and what is known of the code besides.

A pass runs workflow code, which may never come back. It is then asked to end where it stands, so that it does not keep a
processor from the others, and whether it does or not the next pass gets threads and a loop of its own.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from flowkit.check.lines import Evidence, Proposal, propose
from flowkit.check.names import names_in
from flowkit.check.rehearsal import Rehearsal, TooSlow, rehearse
from flowkit.check.renames import Renamed, renames
from flowkit.clock import SystemClock
from flowkit.core.fork import read_fork
from flowkit.core.run import OPEN
from flowkit.core.trial import Trial
from flowkit.definitions import Workflow
from flowkit.definitions.manifest import read_manifest
from flowkit.drivers.base import Driver, RunQuery, RunRow, RunView
from flowkit.engine.source import place_of
from flowkit.errors import PayloadError
from flowkit.registry import project_code
from flowkit.runtime.house import House

__all__ = ["Trials", "evidence_of", "open_rows", "untried"]

_PAGE = 200


class Trials:
    """One check's passes, of at most `seconds` each."""

    def __init__(self, driver: Driver, seconds: float) -> None:
        self.seconds = seconds
        self._driver = driver
        self._house = House(driver, SystemClock())
        self._renames: dict[tuple[str, str, str], Mapping[str, Renamed]] = {}

    def close(self) -> None:
        """Stop the threads."""
        self._house.close()

    def rehearse(self, workflow: Workflow[..., Any], view: RunView, trial: Trial) -> Rehearsal:
        """One frozen pass.

        Raises:
            TooSlow, Effect: as `rehearsal.rehearse`.
        """
        try:
            return rehearse(self._house, workflow, view, trial, self.seconds)
        except TooSlow:
            hung, self._house = self._house, House(self._driver, SystemClock())
            threading.Thread(target=hung.close, name="flowkit-hung", daemon=True).start()  # it may wait for user code for ever
            raise

    def propose(self, workflow: Workflow[..., Any], view: RunView, found: Rehearsal, evidence: Evidence) -> Proposal:
        """What to do about the misfit that a pass found."""
        attempt: Callable[[Trial], Rehearsal] = lambda trial: self.rehearse(workflow, view, trial)  # noqa: E731
        return propose(found, replace(evidence, renamed=self._renamed(workflow, view)), attempt)

    def _renamed(self, workflow: Workflow[..., Any], view: RunView) -> Mapping[str, Renamed]:
        """The steps that got another name since the run's last pass, or since it began: a run that is held by code that does
        not fit has had a pass under that.
        """
        codes = project_code(self._driver.first_code(view.row.seq)), project_code(view.row.code)
        if (workflow.name, *codes) not in self._renames:
            found: dict[str, Renamed] = {}
            for code in codes:
                bodies = read_manifest(self._driver.manifest(code)).workflows.get(workflow.name)
                found |= renames(bodies, workflow) if bodies is not None else {}
            self._renames[workflow.name, *codes] = found
        return self._renames[workflow.name, *codes]


def evidence_of(workflow: Workflow[..., Any], recorded: Collection[str]) -> Evidence:
    """What is known of a workflow's code; `recorded` are the places that its runs have recorded."""
    known = getattr(inspect.unwrap(workflow.function), "__globals__", {})
    return Evidence(
        names=names_in(workflow), defined=place_of(workflow.function), recorded=recorded,
        missing=[name for name in ("removed", "version") if name not in known],
        module="flowkit.aio" if workflow.awaits else "flowkit",
    )  # fmt: skip


def open_rows(driver: Driver, workflow: str | None = None) -> Iterator[RunRow]:
    """All open runs, newest first."""
    after: int | None = None
    while True:
        page = driver.runs(RunQuery(statuses=OPEN, workflow=workflow, after=after, limit=_PAGE))
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].seq


def untried(view: RunView) -> str:
    """Why nothing can be said of how an open run goes on although its history fits; empty if something can."""
    try:
        read_fork(view.fork)
    except PayloadError as error:
        return f"it would be blocked: {error}"
    return ""
