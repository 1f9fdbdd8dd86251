"""The banner on top of every page: what became of the newest code."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Literal

from flowkit.client.livecode import Cause, CodeState, LoadError, Pending, SourceLine

from ..urls import with_query
from .states import Part, Piece, Sentence, marked, pieces
from .times import length
from .values import key_of, shown

__all__ = ["Banner", "CauseView", "Edit", "banner_of", "causes_of"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines to add in one place, and which that is."""

    place: tuple[Piece, ...]
    lines: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseView:
    """Why some runs do not fit, and what to write where. `imports` is an import line that the lines need besides.

    `key` tells it from the others, whatever their number and order.
    """

    key: str
    title: str
    said: tuple[Piece, ...]
    edits: tuple[Edit, ...]
    imports: str
    advice: tuple[Piece, ...]
    runs_href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """What a page says of the code. `role` alert: a screen reader says it at once."""

    tone: Literal["chip", "note", "held", "broken"]
    role: Literal["status", "alert"]
    title: str
    detail: str = ""
    source: str = ""
    code: tuple[SourceLine, ...] = ()
    frames: tuple[str, ...] = ()
    hint: str = ""
    causes: tuple[CauseView, ...] = ()
    can_kill: bool = False
    asks: str = ""
    """The code that a word is asked for."""


def banner_of(state: CodeState | None) -> Banner | None:
    """The banner for what is loaded, None where there is no code to load."""
    if state is None:
        return None
    if state.pending is not None:
        return _pending(state, state.pending)
    match state.status:
        case "loading":
            return Banner(tone="chip", role="status", title=f"Loading {shown(state.app)}…", detail=_keeps(state))
        case "stuck":
            return _failed(state, "Import still running", state.error)
        case "dead":
            return _failed(state, "The worker process died", state.error)
        case "broken":
            return _failed(state, "The code does not load", state.error)
    return _loaded(state)


def _pending(state: CodeState, pending: Pending) -> Banner:
    """What the code that waits would do, as it was when it was checked."""
    runs = pending.fits + pending.held + pending.unchecked
    fate = f"{pending.fits} of {runs} open runs fit" if runs != 1 else f"{pending.fits} of 1 open run fits"
    fate += f", {pending.held} would be held" if pending.held else ""
    fate += f", {pending.unchecked} not checked" if pending.unchecked else ""
    parts = [", ".join(map(shown, pending.changes)), fate if runs else "no open run is touched", *map(shown, pending.notes)]
    return Banner(
        tone="chip" if pending.held_back else "held", role="status",
        title=f"Code {pending.code[:6]} {'is held back' if pending.held_back else 'waits for your word'}",
        detail=" · ".join([*filter(None, parts), _keeps(state)]), causes=_causes(pending.causes), asks=pending.code,
    )  # fmt: skip


def _loaded(state: CodeState) -> Banner:
    open_runs = state.fits + state.held + state.unchecked
    if state.held:
        are = "is" if state.held == 1 else "are"
        return Banner(
            tone="held", role="status", title=f"{state.held} of {open_runs} open runs {are} held by code",
            detail=f"Code {state.code[:6]} serves the others. Nothing of the held ones runs, is written or undone.",
            causes=causes_of(state),
        )  # fmt: skip
    parts = [", ".join(shown(change) for change in state.changes)] if state.changes else []
    if state.checking:
        parts.append(f"checking {state.checking} open run{'' if state.checking == 1 else 's'}")
    elif state.changes:
        parts.append(
            f"{state.fits} open run{' fits' if state.fits == 1 else 's fit'}"
            + (f", {state.unchecked} not checked" if state.unchecked else "")
        )
    took = f", {length(state.seconds)}" if state.seconds else ""
    tone: Literal["chip", "note"] = "note" if state.changes or state.notes else "chip"
    detail = " · ".join([*parts, *(shown(note) for note in state.notes)])
    return Banner(tone=tone, role="status", title=f"Code {state.code[:6]}{took}", detail=detail)


def _failed(state: CodeState, title: str, error: LoadError | None) -> Banner:
    if error is None:
        return Banner(tone="broken", role="alert", title=title, detail=_keeps(state), can_kill=state.can_kill)
    told = f"{title}: {shown(error.type)}" if error.type else title
    frames = tuple(shown(frame) for frame in (*error.frames, *error.output))
    return Banner(
        tone="broken", role="alert", title=f"{told}: {shown(error.message)}" if error.message else told,
        source=shown(error.source), hint=shown(error.hint), frames=frames, detail=_keeps(state), can_kill=state.can_kill,
        code=tuple(SourceLine(number=line.number, text=shown(line.text), marked=line.marked) for line in error.lines),
    )  # fmt: skip


def _keeps(state: CodeState) -> str:
    return f"Code {state.running[:6]} keeps running." if state.running else "No code is running yet."


def causes_of(state: CodeState) -> tuple[CauseView, ...]:
    """Each distinct reason, the one with the most runs first."""
    return _causes(state.causes)


def _causes(causes: tuple[Cause, ...]) -> tuple[CauseView, ...]:
    return tuple(_cause(cause) for cause in sorted(causes, key=lambda cause: -cause.runs))


def _cause(cause: Cause) -> CauseView:
    runs = "1 run" if cause.runs == 1 else f"{cause.runs:,} runs"
    advice, imports = _apart(cause.advice)
    return CauseView(
        key=key_of(cause.workflow, cause.location, cause.recorded, cause.made, cause.source, *cause.lines),
        title=f"{runs} of {shown(cause.workflow)}",
        said=pieces(_said(cause), 0.0), edits=_edits(cause),
        imports=shown(imports), advice=pieces(marked(advice), 0.0),
        runs_href=with_query("/runs", status="blocked", workflow=cause.workflow),
    )  # fmt: skip


def _edits(cause: Cause) -> tuple[Edit, ...]:
    placed = zip_longest(cause.places or (f"`{cause.source}`",) * len(cause.lines), cause.lines, fillvalue="")
    return tuple(
        Edit(pieces(marked(place), 0.0), "\n".join(shown(line) for _, line in lines))
        for place, lines in groupby(placed, key=lambda each: each[0])
    )


def _said(cause: Cause) -> Sentence:
    place = Part(cause.location or "the workflow itself", form="code")
    if not cause.recorded:
        return (Part("code and history do not fit at "), place)
    makes = marked(cause.made or "nothing")
    return (Part("history has "), *marked(cause.recorded), Part(" at "), place, Part(", the code makes "), *makes)


def _apart(advice: str) -> tuple[str, str]:
    """The words of an advice, and the import line at its end, if there is one."""
    words, _, last = advice.rpartition("; ")
    return (words, last) if last.startswith("from ") and " import " in last else (advice, "")
