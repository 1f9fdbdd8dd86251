"""From a misfit to the line that would make the run fit.

The misfit is classified, the line that this suggests is tried in another frozen pass, and so on until the run fits or no
line helps. A line that was not tried is never shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flowkit.check.places import code_at, spot_of, top_of
from flowkit.check.rehearsal import Rehearsal
from flowkit.check.renames import Renamed
from flowkit.check.report import CauseKind, Line
from flowkit.core.divergence import version_line
from flowkit.core.location import nested, split
from flowkit.core.trial import Called, Trial, pattern
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
            return Proposal(kind, (), advice or _by_hand(kind, first.misfit), gone | trial.removed)
        more, trial = made
        lines += more
        found = attempt(trial)
    if found.misfit is not None or found.error is not None or not _can_stand(lines, found, trial):
        return Proposal(kind, (), advice or _by_hand(kind, first.misfit), gone | trial.removed)
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
        if "#" in misfit.recorded_name:  # whether it comes later or never cannot be read off the code
            return "unknown", (
                f"{_base(misfit.recorded_name)!r} was called more often by then: if the call left the code, put "
                f"{misfit.lines[0]} in its old place; if it comes later now, keep the old order for these runs"
            )
        return "order", (
            f"both orders of {misfit.recorded_name!r} and {misfit.asked_name!r} are in use: keep the old order for these runs, "
            f"as in: if version({f'{_base(misfit.asked_name)}-first'!r}, 2) >= 2: the new order, else: the old one"
        )
    return ("new" if misfit.asked_kind else "unknown"), ""


def _line(found: Rehearsal, evidence: Evidence, trial: Trial) -> tuple[list[Line], Trial] | None:
    """The line that the pass's misfit suggests, two where a variable must be set besides, and the trial that has it too."""
    misfit = found.misfit
    assert misfit is not None
    kind, _ = _kind(misfit, replace(evidence, recorded=set(evidence.recorded) - trial.removed))
    trial = replace(trial, calls=[], skipped=[])
    if kind == "renamed":
        step = evidence.renamed[misfit.recorded_name]
        if step.name in trial.renamed:
            return None
        return [step.line], replace(trial, renamed={**trial.renamed, step.name: misfit.recorded_name})
    if kind in ("kind", "gone"):
        place = pattern(misfit.location)
        line = _placed(misfit.lines[0], found, misfit, evidence)
        if place in trial.removed or line is None:
            return None
        return [line], replace(trial, removed=trial.removed | {place})
    if kind == "new":
        gate = pattern(_asked_at(misfit)), misfit.source
        lines = _gate(misfit, sum(place == gate[0] for place, _ in trial.guarded), evidence)
        if gate in trial.guarded or lines is None:
            return None
        return lines, replace(trial, guarded=trial.guarded | {gate})
    return None


def _gate(misfit: HistoryDiverged, others: int, evidence: Evidence) -> list[Line] | None:
    """A gate around the statement of a call that is new. What it would have set is None for runs that do not pass it.

    `others` is how many calls of this name have a gate already: a gate's name may be given only once. For a statement in a
    Python loop it is asked before the loop, once in the scope: so this is done in the workflow function alone, since another
    one may be called twice.
    """
    spot = spot_of(misfit.source)
    if spot is None or not spot.alone:
        return None
    name = f"{misfit.asked_name}-{others + 1}" if others else misfit.asked_name
    text, code = version_line(name, awaits="await " in misfit.lines[-1]), code_at(spot.before)
    unset = [Line(f"{spot.name} = None", "before", spot.before, code)] if spot.name else []
    if not spot.turns:
        return [*unset, Line(text, "around", spot.before, code)]
    if split(misfit.location)[0] or not evidence.defined.endswith(f":{spot.function}"):
        return None
    is_new = f"{re.sub(r'[^0-9A-Za-z_]+', '_', name).strip('_') or 'it'}_is_new"
    if not is_new.isidentifier():
        is_new = f"call_{is_new}"
    asked = Line(f"{is_new} = {text.removeprefix('if ').removesuffix(':')}", "before", spot.before, code)
    return [*unset, asked, Line(f"if {is_new}:", "around", spot.own, code_at(spot.own))]


def _by_hand(kind: CauseKind, misfit: HistoryDiverged) -> str:
    """Where to look, where no line could be tried. A gate that is asked in a larger statement, or twice, needs a person."""
    if kind != "new":
        return "no line found"
    spot = spot_of(misfit.source)
    if spot is None:
        return f"no line found: `{misfit.asked_name}` is new, at {misfit.source or 'a place that is not known'}"
    often = "the gate must be asked once, before all of its turns" if spot.turns else "the gate must stand around all of it"
    return (
        f"no line found: `{misfit.asked_name}` is new in the statement at {spot.own}, `{code_at(spot.own)}`. Put "
        f"{misfit.lines[-1].removeprefix('if ').removesuffix(' >= 2:')} there by hand: {often}, and older runs need something in "
        "place of what it gives"
    )


def _can_stand(lines: Sequence[Line], found: Rehearsal, trial: Trial) -> bool:
    """Whether each gate is passed once in its scope, and no other call stands behind it. `found` is the pass with all lines.

    What stands in a Python loop is passed in every turn, and its gate was asked before.
    """
    skipped = Counter((call.path, call.source) for call in trial.skipped)
    spots = [(line.place, spot) for line in lines if line.where == "around" and (spot := spot_of(line.place)) is not None]
    in_turns = {source for _, source in trial.guarded if (spot := spot_of(source)) is not None and spot.turns}
    return all(times <= 1 or source in in_turns for (_, source), times in skipped.items()) and not any(
        _is_within(call.source, place, spot.last) and call.source not in in_turns for place, spot in spots for call in found.calls
    )


def _is_within(source: str, place: str, last: int) -> bool:
    (filename, _, number), (other, _, first) = source.rpartition(":"), place.rpartition(":")
    return filename == other and int(first) <= int(number) <= last


def _placed(text: str, found: Rehearsal, misfit: HistoryDiverged, evidence: Evidence) -> Line | None:
    """Before the first call after the missing entry in its scope, else after the scope's last call."""
    scope = split(misfit.location)[0]
    calls = [call for call in found.calls if call.path == scope]
    later = (call.source for call in calls if call.seq is None or (found.missed is not None and call.seq > found.missed))
    source = next(later, misfit.source)
    place = source or (calls[-1].source if calls else "")
    spot = spot_of(place) if place else None
    if spot is None or (spot.inline and scope) or (not spot.turns and _is_passed_again(place, calls)):
        top = "" if scope else top_of(evidence.defined)
        return Line(text, "before", top, code_at(top)) if top else None
    if not source and spot.after:
        return Line(text, "after", spot.after, code_at(spot.after))
    return Line(text, "before", spot.before, code_at(spot.before))


def _is_passed_again(place: str, calls: Sequence[Called]) -> bool:
    """Whether the scope made one call there twice: with no Python loop around it, it is in a function that was called twice."""
    return max(Counter(_base(call.name) for call in calls if call.source == place).values(), default=0) > 1


def _asked_at(misfit: HistoryDiverged) -> str:
    return pattern(nested(split(misfit.location)[0], misfit.asked_name))


def _base(name: str) -> str:
    return name.rpartition("#")[0] or name
