"""What state a run or an entry is in: an icon, the status word, a colour group, and the sentence that follows.

The word is the store's own status and never replaced; a detail (exhausted, held by code, retrying) stands beside it. A
run's state is read off its row alone, never guessed from its entries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from flowkit.client.reader import RunRow
from flowkit.core.entry import Entry

from .times import Stamp, ago, clock_text, length, stamp
from .values import shown

__all__ = [
    "UNATTENDED_SECONDS",
    "Failure",
    "Misfit",
    "Part",
    "Piece",
    "Sentence",
    "State",
    "entry_state",
    "failure_of",
    "held_by_code",
    "marked",
    "misfit_of",
    "pieces",
    "plain",
    "run_sentence",
    "run_state",
    "unattended",
]

Group = Literal["done", "active", "parked", "attention", "bad"]
UNATTENDED_SECONDS = 10.0
_DIVERGED = ("HistoryDiverged", "DuplicateName", "EntryInProgress", "flowkit.errors.HistoryDiverged")


@dataclass(frozen=True, slots=True)
class State:
    """How a status looks. `word` is the status; `detail` narrows it down, ``exhausted`` or ``held by code``."""

    icon: str
    word: str
    group: Group
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence: text, or an instant as clock time or as distance."""

    text: str = ""
    at: float | None = None
    form: Literal["text", "strong", "code", "clock", "distance"] = "text"


Sentence = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a sentence as a page shows it."""

    text: str
    at: Stamp | None
    form: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Where and why a run failed, short: `location` of the entry, its attempts, the error's type and first line."""

    location: str
    kind: Literal["exhausted", "timeout", "failed", "rollback"]
    attempts: int
    error: str
    type: str = ""
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Misfit:
    """What history has where a run is held by code, and what the code makes there; no `asked_kind`: nothing."""

    recorded_kind: str
    recorded_name: str
    asked_kind: str = ""
    asked_name: str = ""


_RUN: dict[str, State] = {
    "pending": State("pending", "pending", "active"),
    "running": State("running", "running", "active"),
    "sleeping": State("sleeping", "sleeping", "parked"),
    "rolling_back": State("rolling-back", "rolling_back", "active"),
    "completed": State("completed", "completed", "done"),
    "cancelled": State("cancelled", "cancelled", "parked"),
    "paused": State("paused", "paused", "parked"),
    "failed": State("failed", "failed", "bad"),
    "blocked": State("held", "blocked", "attention", "held by code"),
}
_ENTRY: dict[str, State] = {
    "pending": State("pending", "pending", "active"),
    "running": State("running", "running", "active"),
    "retrying": State("retrying", "retrying", "attention"),
    "completed": State("completed", "completed", "done"),
    "failed": State("failed", "failed", "bad"),
    "exhausted": State("exhausted", "exhausted", "bad"),
    "cancelled": State("cancelled", "cancelled", "parked"),
    "rolled_back": State("rolled-back", "rolled_back", "parked"),
}
_WAITING = State("message", "sleeping", "parked")
_RETRYING = State("retrying", "sleeping", "attention", "retrying")
_QUARANTINED = State("quarantined", "blocked", "bad", "quarantined")
_UNKNOWN = State("pending", "unknown", "attention")


def run_state(row: RunRow, why: Failure | Misfit | None = None) -> State:
    """The state of a run; `why` it failed or is held, where that is known."""
    match row.status:
        case "sleeping" if row.waiting is not None:
            return _WAITING
        case "sleeping" if _retries(row):
            return _RETRYING
        case "blocked" if not held_by_code(row):
            return _QUARANTINED
        case "failed" if row.ending:
            return State("failed", "failed", "bad", "rollback unfinished")
        case "failed" if isinstance(why, Failure) and why.kind == "exhausted":
            return State("exhausted", "failed", "bad", "exhausted")
    return _RUN.get(row.status, _UNKNOWN)


def entry_state(entry: Entry, *, handled: bool = False) -> State:
    """The state of an entry. One that failed without stopping its run is *handled*: hollow, and said so."""
    state = _ENTRY.get(entry.status, _UNKNOWN)
    if entry.status == "retrying" and entry.attempts:
        return State(state.icon, state.word, state.group, f"attempt {entry.attempts} failed")
    if handled and entry.status in ("failed", "exhausted"):
        return State(f"{state.icon}-hollow", state.word, "parked", "handled")
    return state


def unattended(row: RunRow, alive: Collection[int], now: float) -> bool:
    """Whether nobody looks after a run that something should happen to: its owner is dead, or it is overdue."""
    if row.status not in ("pending", "running", "sleeping", "rolling_back"):
        return False
    if row.owner is not None:
        return row.owner not in alive
    return not alive and row.wake_at is not None and now - row.wake_at > UNATTENDED_SECONDS


def _retries(row: RunRow) -> bool:
    return row.error_line is not None and row.attempts > 0 and row.wake_at is not None


def held_by_code(row: RunRow) -> bool:
    """Whether a blocked run waits for code that fits its history; the other blocked ones are quarantined."""
    return row.status == "blocked" and (not row.crashes or (row.error_line or "").startswith(_DIVERGED))


def failure_of(row: RunRow, error: str, type: str, entry: Entry | None) -> Failure:
    """Why a run failed, from its recorded error and the entry that error came from."""
    kind: Literal["exhausted", "timeout", "failed", "rollback"] = "failed"
    if row.ending:
        kind = "rollback"
    elif entry is not None and entry.status == "exhausted":
        kind = "exhausted"
    elif type.endswith("StepTimeout"):
        kind = "timeout"
    place = row.current or "" if entry is None and row.ending else "" if entry is None else entry.location
    attempts = row.attempts if entry is None else entry.attempts
    return Failure(place, kind, attempts, error.partition("\n")[0][:200], type, 0 if entry is None else entry.seq)


def misfit_of(attributes: Mapping[str, object]) -> Misfit | None:
    """What does not fit, from the attributes of the recorded error; None where it names nothing that history has."""
    fields = ("recorded_kind", "recorded_name", "asked_kind", "asked_name")
    kind, name, asked_kind, asked_name = (str(attributes.get(field) or "") for field in fields)
    return Misfit(kind, name, asked_kind, asked_name) if kind and name else None


# --- sentences ------------------------------------------------------------------------------------------------------


def pieces(sentence: Sentence, now: float) -> tuple[Piece, ...]:
    """The sentence as a template shows it."""
    return tuple(_piece(part, now) for part in sentence if part.text or part.at is not None)


def _piece(part: Part, now: float) -> Piece:
    if part.at is None:
        return Piece(shown(part.text), None, part.form)
    return Piece(ago(part.at, now) if part.form == "distance" else clock_text(part.at, now), stamp(part.at, now), part.form)


def plain(sentence: Sentence) -> str:
    """The words of a sentence without its instants."""
    return "".join(part.text for part in sentence)


def marked(text: str) -> Sentence:
    """A text of the engine's, in which names stand between backticks, with these names as code."""
    return tuple(Part(part, form="code" if n % 2 else "text") for n, part in enumerate(text.split("`")) if part)


def run_sentence(row: RunRow, now: float, why: Failure | Misfit | None = None) -> Sentence:
    """What a run is doing, or how it ended."""
    match row.status:
        case "pending":
            return _pending(row, now)
        case "running":
            return _running(row)
        case "sleeping":
            return _sleeping(row)
        case "rolling_back":
            return (Part("undoing "), Part(row.current or "what was done", form="code"), Part(f", {row.owes} to go"))
        case "completed":
            return (Part(f"in {length((row.finished_at or now) - (row.started_at or row.created_at))}"),)
        case "cancelled":
            undone = "rolled back" if not row.owes and row.current else "nothing was undone" if row.owes else ""
            return (Part(undone),)
        case "paused":
            return (Part("by an operator; goes on when resumed"),)
        case "failed":
            return _failed(row, why if isinstance(why, Failure) else None)
        case "blocked":
            return _blocked(row, why if isinstance(why, Misfit) else None)
        case _:
            return ()


def _pending(row: RunRow, now: float) -> Sentence:
    if row.wake_at is not None and row.wake_at > now:
        return (Part("starts at "), Part(at=row.wake_at, form="clock"), Part(", "), Part(at=row.wake_at, form="distance"))
    return (Part("starts when a worker is free" if not row.passes else "goes on when a worker is free"),)


def _running(row: RunRow) -> Sentence:
    if row.current is None:
        return (Part("for ", row.updated_at, "distance"),) if row.passes else ()
    tries = f", attempt {row.attempts + 1}" if row.attempts and row.error_line else ""
    return (
        Part("after " if not tries else ""),
        Part(row.current, form="code"),
        Part(f"{tries}, "),
        Part(at=row.updated_at, form="distance"),
    )


def _sleeping(row: RunRow) -> Sentence:
    if row.waiting is not None:
        names = "any message" if row.waiting == ("*",) else " or ".join(row.waiting)
        until = () if row.wake_at is None else (Part(" until "), Part(at=row.wake_at, form="clock"))
        return (Part("waits for "), Part(names, form="code"), *until)
    if row.wake_at is None:
        return (Part("until something wakes it"),)
    due = (Part(at=row.wake_at, form="clock"), Part(", "), Part(at=row.wake_at, form="distance"))
    if _retries(row):
        head = (Part("retries "), Part(row.current or "", form="code"), Part(" at "))
        return (*head, *due, Part(f", attempt {row.attempts} failed"))
    after = (Part(", after "), Part(row.current, form="code")) if row.current else ()
    return (Part("until "), *due, *after)


def _failed(row: RunRow, failure: Failure | None) -> Sentence:
    if failure is None:
        return (Part(row.error_line or "", form="code"),)
    lead: Sentence = (Part("at "),)
    if failure.kind == "rollback":
        lead = (Part("rollback unfinished", form="strong"), Part(" at "))
    elif failure.kind == "exhausted":
        lead = (Part("exhausted", form="strong"), Part(" at "))
    tries = f" after {failure.attempts} attempts" if failure.kind == "exhausted" and failure.attempts > 1 else ""
    where = (*lead, Part(failure.location or "the workflow itself", form="code"), Part(tries))
    when = () if row.finished_at is None else (Part(", "), Part(at=row.finished_at, form="distance"))
    undone = ", rolled back" if _rolled_back(row) else ""
    return (*where, *when, Part(": "), Part(failure.error, form="code"), Part(undone))


def _rolled_back(row: RunRow) -> bool:
    """A run that fails keeps its error's line; only a rollback that went through leaves none behind."""
    return not row.ending and not row.owes and row.current is not None and row.error_line is None


def _blocked(row: RunRow, misfit: Misfit | None) -> Sentence:
    if not held_by_code(row):
        at = (Part(" at "), Part(row.current, form="code")) if row.current else ()
        return (Part("quarantined", form="strong"), Part(f" after {row.crashes} crashes"), *at)
    if misfit is not None:
        return (Part("held by code", form="strong"), Part(": "), *_misfit(misfit))
    line = (row.error_line or "").partition(": ")[2] or (row.error_line or "the code does not fit its history")
    line = line.removeprefix(f"run {row.id} is blocked: ")
    return (Part("held by code", form="strong"), Part(": "), *marked(line))


def _misfit(misfit: Misfit) -> Sentence:
    has = (Part(f"history has {misfit.recorded_kind} "), Part(misfit.recorded_name, form="code"))
    asked = (Part(f"{misfit.asked_kind} "), Part(misfit.asked_name, form="code"))
    if not misfit.asked_kind:
        return (*has, Part(", the code does not"))
    if misfit.asked_name == misfit.recorded_name:
        return (*has, Part(", the code makes "), *asked)
    return (*has, Part(", the code does not: it makes "), *asked, Part(" there"))
