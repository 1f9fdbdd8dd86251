"""The report on a save: how all runs fare under the code, grouped by cause, as a page shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from flowkit.core.verdict import VERDICTS, Addition, Counted, Finding, Replay, Verdict

from ..urls import run_url, with_query
from .banner import Edit
from .states import Part, Piece, Sentence, marked, pieces
from .times import Stamp, stamp
from .values import key_of, shown

__all__ = ["Chosen", "ReplayView", "replay_view"]

_PAGE = "/migrate"
_LOOKS: Mapping[Verdict, tuple[str, str, str]] = {
    "held": ("held", "attention", "Held by code"),
    "does not decode": ("failed", "bad", "Does not decode"),
    "other end": ("unattended", "attention", "Another end"),
    "not checked": ("cancelled", "parked", "Not checked"),
    "goes on": ("running", "active", "Goes on"),
    "same": ("completed", "done", "Same"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What the address asks for; empty: all. `runs` is ``open`` or ``finished``."""

    save: int | None = None
    workflow: str = ""
    verdict: str = ""
    runs: str = ""

    @property
    def any(self) -> bool:
        """Whether anything is left out."""
        return bool(self.workflow or self.verdict or self.runs)


@dataclass(frozen=True, slots=True)
class Linked:
    """A text that leads somewhere; `on`: it is what is shown."""

    text: str
    href: str
    on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveView:
    """One of the reports that are kept."""

    number: int
    code: str
    at: Stamp | None
    href: str
    on: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRow:
    """How many runs of a workflow have which verdict, each with the way to them."""

    workflow: str
    runs: str
    href: str
    cells: tuple[Linked, ...]


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A ``file:line``, and what opens it in the reader's editor."""

    source: str
    editor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """Runs with one verdict for one cause, which `key` names. `more` counts those that are not named."""

    key: str
    title: str
    runs: int
    ended: bool
    said: tuple[Piece, ...]
    places: tuple[PlaceView, ...]
    edits: tuple[Edit, ...]
    imports: str
    advice: tuple[Piece, ...]
    samples: tuple[Linked, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """All findings of one verdict."""

    verdict: str
    title: str
    icon: str
    group: str
    runs: int
    findings: tuple[FindingView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """One report, filtered, and the others that are kept."""

    number: int
    code: str
    at: Stamp | None
    over: bool
    summary: str
    why: str
    saves: tuple[SaveView, ...]
    verdicts: tuple[str, ...]
    counts: tuple[CountRow, ...]
    chosen: tuple[str, ...]
    all_href: str
    sections: tuple[Section, ...]
    warnings: tuple[FindingView, ...]
    leftovers: tuple[Edit, ...]
    undecided: tuple[str, ...]
    unattended: tuple[Linked, ...]
    more: int


def replay_view(
    kept: Sequence[Replay], chosen: Chosen, now: float, editor: Callable[[str], str] = lambda source: ""
) -> ReplayView | None:
    """The report that was asked for, else the newest; None if there is none yet."""
    if not kept:
        return None
    replay = next((each for each in kept if each.number == chosen.save), kept[0])
    paged = _Links(chosen, "" if replay is kept[0] else replay.number)
    findings = [each for each in replay.findings if _fits(each.workflow, each.ended, each.verdict, chosen)]
    counts = replay.counts
    return ReplayView(
        number=replay.number, code=shown(replay.code), at=stamp(replay.at, now), over=replay.over,
        summary=_summary(replay), why=shown(replay.why),
        saves=tuple(_save(each, kept[0], replay, now) for each in kept),
        verdicts=tuple(_LOOKS[verdict][2] for verdict in VERDICTS), counts=_rows(counts, paged),
        chosen=_chosen(chosen), all_href=with_query(_PAGE, save=paged.save),
        sections=tuple(
            _section(verdict, [each for each in findings if each.verdict == verdict], editor)
            for verdict in VERDICTS if any(each.verdict == verdict for each in findings)
        ),
        warnings=tuple(
            _view(
                Finding(
                    workflow=each.workflow, verdict="same", runs=each.runs, samples=each.samples, location=each.location,
                    source=each.source,
                ),
                editor, (Part(each.location, form="code"), Part(" is called with other arguments than recorded")),
            )
            for each in replay.warnings if chosen.workflow in ("", each.workflow) and not (chosen.verdict or chosen.runs)
        ),
        leftovers=tuple(
            Edit(pieces((Part(each.workflow, form="strong"), Part(", "), Part(each.source, form="code")), now), shown(each.code))
            for each in replay.leftovers if chosen.workflow in ("", each.workflow) and not (chosen.verdict or chosen.runs)
        ),
        undecided=tuple(shown(name) for name in replay.undecided if chosen.workflow in ("", name)),
        unattended=tuple(
            Linked(f"{_runs(runs)} of {shown(name)}", with_query("/runs", workflow=name))
            for name, runs in sorted(replay.unattended.items())
        ),
        more=replay.more,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Links:
    """Addresses of this page that change one thing of what was chosen."""

    chosen: Chosen
    save: object

    def only(self, workflow: str = "", verdict: str = "", runs: str = "") -> str:
        return with_query(_PAGE, save=self.save, workflow=workflow, verdict=verdict, runs=runs)


def _fits(workflow: str, ended: bool, verdict: str, chosen: Chosen) -> bool:
    return (
        chosen.workflow in ("", workflow) and chosen.verdict in ("", verdict) and chosen.runs in ("", _side(ended))
    )  # fmt: skip


def _side(ended: bool) -> str:
    return "finished" if ended else "open"


def _chosen(chosen: Chosen) -> tuple[str, ...]:
    found = (chosen.workflow, chosen.verdict, f"{chosen.runs} runs" if chosen.runs else "")
    return tuple(shown(text) for text in found if text)


def _summary(replay: Replay) -> str:
    took = f" in {replay.seconds:.1f} s" if replay.over and replay.seconds else ""
    return f"{_runs(replay.tried)} tried{took if replay.over else ' so far'}"


def _save(replay: Replay, newest: Replay, now_shown: Replay, now: float) -> SaveView:
    note = f"{replay.held:,} held" if replay.held else ""
    if not replay.over:
        note = "under way"
    elif replay.why:
        note = f"{note}, cut short" if note else "cut short"
    href = _PAGE if replay is newest else with_query(_PAGE, save=replay.number)
    return SaveView(
        number=replay.number, code=shown(replay.code), at=stamp(replay.at, now), href=href, on=replay is now_shown, note=note
    )


def _rows(counts: Sequence[Counted], links: _Links) -> tuple[CountRow, ...]:
    found: dict[tuple[str, bool], dict[str, int]] = {}
    for each in counts:
        found.setdefault((each.workflow, each.ended), {})[each.verdict] = each.runs
    chosen = links.chosen
    return tuple(
        CountRow(
            workflow=shown(workflow), runs=_side(ended), href=links.only(workflow),
            cells=tuple(
                Linked(
                    f"{row[verdict]:,}" if verdict in row else "",
                    links.only(workflow, verdict, _side(ended)) if verdict in row else "",
                    chosen.any and _fits(workflow, ended, verdict, chosen),
                )
                for verdict in VERDICTS
            ),
        )
        for (workflow, ended), row in sorted(found.items())
    )  # fmt: skip


def _section(verdict: Verdict, findings: Sequence[Finding], editor: Callable[[str], str]) -> Section:
    icon, group, title = _LOOKS[verdict]
    return Section(
        verdict=verdict, title=title, icon=icon, group=group, runs=sum(each.runs for each in findings),
        findings=tuple(_view(each, editor, _said(each)) for each in findings),
    )  # fmt: skip


def _view(finding: Finding, editor: Callable[[str], str], said: Sentence) -> FindingView:
    advice, imports = _apart(finding.advice)
    sources = dict.fromkeys(place.source for place in finding.places) if finding.places else {finding.source: None}
    return FindingView(
        key=key_of(
            finding.workflow, finding.verdict, str(finding.ended), *(part.text for part in said),
            *(line.text for line in finding.lines),
        ),
        title=f"{_runs(finding.runs, 'finished' if finding.ended else '')} of {shown(finding.workflow)}", runs=finding.runs,
        ended=finding.ended, said=pieces(said, 0.0),
        places=tuple(PlaceView(shown(source), editor(source)) for source in sources if source),
        edits=_edits(finding.lines), imports=shown(imports), advice=pieces(marked(advice), 0.0),
        samples=tuple(Linked(shown(id), run_url(id)) for id in finding.samples),
        more=max(0, finding.runs - len(finding.samples)),
    )  # fmt: skip


def _said(finding: Finding) -> Sentence:
    """The verdict's own sentence."""
    match finding.verdict:
        case "held" if finding.recorded:
            where = Part(finding.location or "the workflow itself", form="code")
            sides = (*marked(finding.recorded), Part(" at "), where, Part(", the code makes "), *marked(finding.made))
            return (Part("history has "), *sides)
        case "does not decode":
            path = (Part(" at "), Part(finding.path, form="code")) if finding.path else ()
            by = (Part(", by the annotation "), Part(finding.annotation, form="code")) if finding.annotation else ()
            return (*marked(finding.recorded), *path, Part(" does not decode"), *by, Part(": "), *marked(finding.why))
        case "other end":
            path = (Part(", first at "), Part(finding.path, form="code")) if finding.path else ()
            return (Part(f"it {finding.recorded}, and now it would be {finding.made}"), *path)
        case "goes on":
            names = [place.location for place in finding.places if place.location]
            if not names:
                return (Part("to the end of the workflow"),)
            listed = [each for name in names for each in (Part(", "), Part(name, form="code"))]
            return (Part("at "), *listed[1:])
        case "same":
            return (Part("the recorded end is reached"),)
    return marked(finding.why)


def _edits(lines: Sequence[Addition]) -> tuple[Edit, ...]:
    def place(line: Addition) -> str:
        return f"`{line.source}`, {line.where} {f'`{line.code}`' if line.code else 'that line'}"

    return tuple(
        Edit(pieces(marked(where), 0.0), "\n".join(shown(line.text) for line in some))
        for where, some in groupby(lines, key=place)
    )


def _apart(advice: str) -> tuple[str, str]:
    """The words of an advice, and the import line at its end, if there is one."""
    words, _, last = advice.rpartition("; ")
    return (words, last) if last.startswith("from ") and " import " in last else (advice, "")


def _runs(count: int, kind: str = "") -> str:
    noun = f"{kind} run" if kind else "run"
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
