"""The errors of code and history that do not fit, with what to paste. Pure: called with the ledger's lock held."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flowkit.core.entry import Entry
from flowkit.core.location import MAX_NAME, nested, split
from flowkit.durations import utc_text
from flowkit.errors import DuplicateName, EntryInProgress, HistoryDiverged, LimitReached, PayloadError

if TYPE_CHECKING:
    from flowkit.core.journal import Visits
    from flowkit.core.ledger import Ledger

__all__ = [
    "cancelled",
    "duplicate",
    "in_progress",
    "left_over",
    "left_running",
    "never_awaited",
    "other_kind",
    "outgrown",
    "refused",
    "removed_line",
    "too_late",
    "unreadable",
    "unvisited",
    "version_line",
]

L = TypeVar("L", bound=LimitReached)

_CALLS = {
    "step": "step", "sleep": "sleep", "message": "receive", "send": "send", "loop": "loop", "join": "join",
    "race": "race", "checkpoint": "checkpoint", "removed": "removed", "version": "version", "attempt": "attempt",
}  # fmt: skip


def unvisited(ledger: Ledger, visits: Visits, kind: str, name: str, source: str) -> HistoryDiverged:
    """The code makes something new while recorded children were passed by."""
    stray, recorded = _first_stray(ledger, visits)
    return _diverged(ledger, visits.path, stray, recorded, kind, name, source)


def left_over(ledger: Ledger, visits: Visits) -> HistoryDiverged:
    """The code of a scope is over and recorded children were never met."""
    stray, recorded = _first_stray(ledger, visits)
    return _diverged(ledger, visits.path, stray, recorded, "", "", "")


def other_kind(ledger: Ledger, location: str, kind: str, name: str, source: str) -> HistoryDiverged:
    """History has another kind of entry under this name; without an entry there, an attempt block."""
    return _diverged(ledger, split(location)[0], name, ledger.entries.get(location), kind, name, source)


def refused(ledger: Ledger, location: str, what: str, source: str) -> HistoryDiverged:
    """Code and history do not fit in a way that no line to paste would mend; `what` says how."""
    return HistoryDiverged(
        f"run {ledger.run_id} is blocked: code and history do not fit at `{location}`\n  {what}"
        + (f", {source}" if source else "")
        + f"\n{_PROMISE}",
        run_id=ledger.run_id,
        location=location,
        source=source,
    )


def outgrown(kind: type[L], ledger: Ledger, location: str, what: str, setting: str, source: str) -> L:
    """The run is at a limit; `what` says at which, `setting` how it is called."""
    return kind(
        f"run {ledger.run_id} is blocked at `{location}`: {what}" + (f", {source}" if source else "") + "\n"
        f"Mend the code, or raise the setting {setting} and resume() the run; it goes on where it stands. Nothing was undone.",
        setting=setting, run_id=ledger.run_id, location=location, source=source,
    )  # fmt: skip


def unreadable(run_id: str, location: str, error: PayloadError, source: str) -> HistoryDiverged:
    """A stored value cannot be read by today's annotations; `location` is empty for the run's input."""
    place = f"at `{location}`, {source}" if location else "in the run's input"
    return HistoryDiverged(
        f"run {run_id} is blocked: a stored value does not fit today's code {place}\n  {error.path}: {error}\n"
        f"Load code whose annotations can read it.\n{_PROMISE}",
        run_id=run_id,
        location=location,
        source=source,
    )


def duplicate(ledger: Ledger, path: str, kind: str, name: str, source: str) -> DuplicateName:
    """An explicit name is used a second time in its scope."""
    return DuplicateName(
        f"run {ledger.run_id} is blocked: the name {name!r} is given twice in {_scope_words(path)}, the second time to a "
        f"{_CALLS[kind]} at {source}\nGive one of them another name, or leave name= out and it is numbered.\n{_PROMISE}",
        run_id=ledger.run_id,
        location=nested(path, name),
        asked_kind=kind,
        asked_name=name,
        source=source,
    )


def in_progress(ledger: Ledger, path: str, first: str, second: str, source: str) -> EntryInProgress:
    """Two calls at once in one scope."""
    one, other = _branch(first), _branch(second)
    return EntryInProgress(
        f"run {ledger.run_id} is blocked: `{second}` was called while `{first}` is still in progress in "
        f"{_scope_words(path)}, {source}\nA scope does one thing at a time; to do both at once, use "
        f"join({one}=…, {f'{other}_2' if one == other else other}=…).\n{_PROMISE}",
        run_id=ledger.run_id,
        location=path,
        asked_name=second,
        source=source,
    )


def too_late(ledger: Ledger, path: str, name: str, source: str) -> EntryInProgress:
    """A task that outlives the scope it was started in makes a call there."""
    return EntryInProgress(
        f"run {ledger.run_id} is blocked: `{name}` was called after {_scope_words(path)} had ended, {source}\n"
        f"A replay would not repeat that. Await the task in the code that starts it; to do two things at once, use "
        f"join(…).\n{_PROMISE}",
        run_id=ledger.run_id,
        location=nested(path, name),
        asked_name=name,
        source=source,
    )


def left_running(ledger: Ledger, path: str, location: str) -> EntryInProgress:
    """The code of a scope is over while a call it made is still under way."""
    return EntryInProgress(
        f"run {ledger.run_id} is blocked: `{location}` was still in progress when {_scope_words(path)} ended\n"
        f"A replay could not tell how far it came. Await it; to do two things at once, use join(…).\n{_PROMISE}",
        run_id=ledger.run_id,
        location=location,
    )


def never_awaited(ledger: Ledger, path: str, name: str, source: str) -> EntryInProgress:
    """An async call was made and dropped."""
    return EntryInProgress(
        f"run {ledger.run_id} is blocked: `{name}` was called at {source} but never awaited before "
        f"{_scope_words(path)} ended\nWrite `await` before the call.\n{_PROMISE}",
        run_id=ledger.run_id,
        location=path,
        asked_name=name,
        source=source,
    )


def cancelled(ledger: Ledger, location: str, source: str) -> EntryInProgress:
    """A primitive was cancelled from outside, which a replay could not repeat."""
    return EntryInProgress(
        f"run {ledger.run_id} is blocked: `{location}` was cancelled from outside, {source}\n"
        f"A replay could not repeat that. Use the step's timeout= or a race with a sleep instead of asyncio.timeout() or "
        f"task.cancel().\n{_PROMISE}",
        run_id=ledger.run_id,
        location=location,
        source=source,
    )


def removed_line(name: str, kind: str, *, awaits: bool = False) -> str:
    """What to paste where code no longer makes the entry `name`."""
    return f"{'await ' if awaits else ''}removed({_quoted(name)}, {_quoted(kind)})"


def version_line(name: str, *, awaits: bool = False) -> str:
    """What to paste around a call that is new. A number (``charge#2``) cannot stand in a version's name."""
    gate = _quoted(f"add-{name}".replace("#", "-")[:MAX_NAME])
    return f"if {'await ' if awaits else ''}version({gate}, 2) >= 2:"


def _quoted(text: str) -> str:
    return f'"{text}"' if '"' not in text and "\\" not in text else repr(text)


_PROMISE = "Nothing was run, written or undone. The run goes on by itself when code that fits is loaded."


def _diverged(
    ledger: Ledger, path: str, stray: str, recorded: Entry | None, kind: str, name: str, source: str
) -> HistoryDiverged:
    recorded_kind = recorded.kind if recorded is not None else "attempt"
    lines = [removed_line(stray, recorded_kind, awaits=ledger.awaits)]
    rows = [
        f"run {ledger.run_id} is blocked: code and history do not fit in {_scope_words(path)}",
        f"  history has   {recorded_kind} `{stray}`    {_fate(recorded)}",
        f"  the code has  {kind} `{name}`    {source}" if kind else "  the code has  nothing more there",
        f"if `{stray}` left the code, put this in its old place:          {lines[0]}",
    ]
    if kind == "removed":
        rows.append("A removed() names the kind that history has, so write that one.")
    elif kind and name != stray:
        lines.append(version_line(name, awaits=ledger.awaits))
        rows.append(f"if `{name}` is new and only for runs that come by later:       {lines[1]}")
    elif kind:
        rows.append(f"and give the new {kind} another name.")
    return HistoryDiverged(
        "\n".join([*rows, _PROMISE]),
        run_id=ledger.run_id,
        location=nested(path, stray),
        recorded_kind=recorded_kind,
        recorded_name=stray,
        asked_kind=kind,
        asked_name=name,
        source=source,
        lines=lines,
    )


def _first_stray(ledger: Ledger, visits: Visits) -> tuple[str, Entry | None]:
    name = min(visits.strays, key=lambda stray: visits.strays[stray])
    return name, ledger.entries.get(nested(visits.path, name))


def _fate(entry: Entry | None) -> str:
    if entry is None:
        return "a block with recorded entries"
    instant = entry.settled_at if entry.settled_at is not None else entry.created_at
    return f"{entry.status} {utc_text(instant)}, entry {entry.seq}"


def _scope_words(path: str) -> str:
    return f"`{path}`" if path else "the workflow itself"


def _branch(name: str) -> str:
    word = name.rpartition("/")[2].replace("-", "_").partition("#")[0]
    return word if word.isidentifier() else "branch"
