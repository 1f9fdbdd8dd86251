"""From a misfit to the line that would make the run fit.

The misfit is classified, the line that this suggests is tried in another frozen pass, and so on until the run fits or no
line helps. A line that was not tried is never shown.
"""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from flowkit.check.rehearsal import Rehearsal
from flowkit.check.renames import Renamed
from flowkit.check.report import CauseKind, Line
from flowkit.core.divergence import version_line
from flowkit.core.location import nested, split
from flowkit.core.trial import Trial, pattern
from flowkit.errors import DuplicateName, EntryInProgress, HistoryDiverged

__all__ = ["Evidence", "Proposal", "propose"]

MOST_LINES = 8


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the code besides this run: the names it can give, where the workflow is defined (``file:line``), the
    places (patterns) that runs have recorded, and of `removed` and `version` those to import and from where.
    """

    names: Collection[str]
    defined: str
    recorded: Collection[str]
    missing: Collection[str] = ()
    renamed: Mapping[str, Renamed] = field(default_factory=dict)
    """Steps of the code under which the run went before, by their old names."""
    module: str = "flowkit"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The first misfit's kind, and lines that were tried and make the run fit; none if there are none.

    `missing` are the places (patterns) of entries that were found to be no longer made.
    """

    kind: CauseKind
    lines: tuple[Line, ...]
    advice: str
    missing: frozenset[str] = frozenset()


def propose(first: Rehearsal, evidence: Evidence, attempt: Callable[[Trial], Rehearsal]) -> Proposal:
    """What to do about the misfit of the `first` pass; `attempt` makes another with lines taken for granted."""
    proposal = _propose(first, evidence, attempt)
    if not proposal.lines and evidence.renamed:  # where the old name does not do, the step may still be taken out
        return _propose(first, replace(evidence, renamed={}), attempt)
    return proposal


def _propose(first: Rehearsal, evidence: Evidence, attempt: Callable[[Trial], Rehearsal]) -> Proposal:
    assert first.misfit is not None
    kind, advice = _kind(first.misfit, evidence)
    gone = frozenset((pattern(first.misfit.location),)) if kind in ("kind", "gone") else frozenset()
    lines: list[Line] = []
    trial, found = Trial(), first
    while found.misfit is not None and len(lines) < MOST_LINES:
        made = _line(found, evidence, trial)
        if made is None:
            return Proposal(kind, (), advice or "no line found", gone | trial.removed)
        line, trial = made
        lines.append(line)
        found = attempt(trial)
    if found.misfit is not None or found.error is not None:
        return Proposal(kind, (), advice or "no line found", gone | trial.removed)
    needed = [
        name for name in ("removed", "version") if name in evidence.missing and any(f"{name}(" in each.text for each in lines)
    ]
    imports = f"from {evidence.module} import {', '.join(needed)}" if needed else ""
    return Proposal(kind, tuple(lines), "; ".join(part for part in (advice, imports) if part), gone | trial.removed)


def _kind(misfit: HistoryDiverged, evidence: Evidence) -> tuple[CauseKind, str]:
    if isinstance(misfit, DuplicateName | EntryInProgress):
        return "rule", "the code breaks a rule of its own, so no line helps: mend the place that is named"
    if not misfit.lines:
        return ("value" if "stored value" in str(misfit) else "unknown"), "no line helps: mend what is named"
    if misfit.asked_name == misfit.recorded_name:
        return "kind", f"give the new {misfit.asked_kind} another name"
    if misfit.recorded_kind == "step" and misfit.recorded_name in evidence.renamed:
        return "renamed", "write it in place of the decorator that is there: a step keeps its history under its old name"
    if _base(misfit.recorded_name) not in evidence.names:
        return "gone", ""
    if misfit.asked_kind and _asked_at(misfit) in evidence.recorded:
        return "order", (
            f"both orders of {misfit.recorded_name!r} and {misfit.asked_name!r} are in use: keep the old order for these runs, "
            f"as in: if version({f'{_base(misfit.asked_name)}-first'!r}, 2) >= 2: the new order, else: the old one"
        )
    return ("new" if misfit.asked_kind else "unknown"), ""


def _line(found: Rehearsal, evidence: Evidence, trial: Trial) -> tuple[Line, Trial] | None:
    """The line that the pass's misfit suggests, and the trial that has it too."""
    misfit = found.misfit
    assert misfit is not None
    kind, _ = _kind(misfit, replace(evidence, recorded=set(evidence.recorded) - trial.removed))
    if kind == "renamed":
        step = evidence.renamed[misfit.recorded_name]
        if step.name in trial.renamed:
            return None
        return step.line, replace(trial, renamed={**trial.renamed, step.name: misfit.recorded_name}, calls=[])
    if kind in ("kind", "gone"):
        place = pattern(misfit.location)
        if place in trial.removed:
            return None
        return _placed(misfit.lines[0], found, misfit, evidence), replace(trial, removed=trial.removed | {place}, calls=[])
    if kind == "new":
        place = pattern(_asked_at(misfit))
        if place in trial.guarded:
            return None
        line = Line(
            misfit.lines[-1] if len(misfit.lines) > 1 else version_line(misfit.asked_name),
            "around",
            misfit.source,
            _code_at(misfit.source),
        )
        return line, replace(trial, guarded=trial.guarded | {place}, calls=[])
    return None


def _placed(text: str, found: Rehearsal, misfit: HistoryDiverged, evidence: Evidence) -> Line:
    """Before the first call after the missing entry in its scope, else after the scope's last call."""
    scope = split(misfit.location)[0]
    calls = [call for call in found.calls if call.path == scope]
    for call in calls:
        if call.seq is None or (found.missed is not None and call.seq > found.missed):
            return Line(text, "before", call.source, _code_at(call.source))
    if misfit.source:
        return Line(text, "before", misfit.source, _code_at(misfit.source))
    place = calls[-1].source if calls else evidence.defined
    return Line(text, "after", place, _code_at(place))


def _asked_at(misfit: HistoryDiverged) -> str:
    return pattern(nested(split(misfit.location)[0], misfit.asked_name))


def _base(name: str) -> str:
    return name.rpartition("#")[0] or name


def _code_at(source: str) -> str:
    """The user's line at ``file:line``, empty where it cannot be read."""
    filename, _, number = source.rpartition(":")
    return linecache.getline(os.path.abspath(filename), int(number)).strip() if number.isdigit() else ""
