"""What state a run or an entry is in: an icon, the status word, a colour group, and the sentence that follows.

The word is the store's own status and never replaced; a detail (exhausted, held by code, retrying) stands beside it. A
run's state is read off its row alone, never guessed from its entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flowkit.client.reader import RunRow, Stop
from flowkit.core.entry import Entry
from flowkit.core.fork import asked_line

from .crew import Mark
from .times import Stamp, ago, clock_text, length, stamp
from .values import shown

__all__ = [
    "Failure",
    "Misfit",
    "Part",
    "Piece",
    "Reason",
    "Sentence",
    "State",
    "entry_state",
    "failure_of",
    "from_whom",
    "held_by_code",
    "hollow",
    "marked",
    "misfit_of",
    "pieces",
    "plain",
    "run_sentence",
    "run_state",
]

Group = Literal["done", "active", "parked", "attention", "bad"]
_QUARANTINE = ("RunConflict", "flowkit.errors.RunConflict")


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
    form: Literal["text", "strong", "code", "clock", "distance", "lasting"] = "text"


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
    location: str = ""


Reason = Failure | Misfit | Stop
"""Why a run does not go on: it failed, is held by code, or was stopped by somebody."""

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


def run_state(row: RunRow, why: Reason | None = None) -> State:
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


def entry_state(entry: Entry, run: RunRow | None = None, *, handled: bool = False) -> State:
    """The state of an entry. One that failed without stopping its `run` is *handled*: hollow, and said so."""
    state = _ENTRY.get(entry.status, _UNKNOWN)
    if entry.status == "retrying" and entry.attempts:
        most = run.attempts_max if run is not None and run.current == entry.location else 0
        count = f"{entry.attempts} of {most}" if most else f"attempt {entry.attempts} failed"
        return State(state.icon, state.word, state.group, count)
    if handled and entry.status in ("failed", "exhausted"):
        return State(f"{state.icon}-hollow", state.word, "parked", "handled")
    return state


def hollow(state: State) -> State:
    """The state of an entry that the code no longer has, or of the placeholder for one: its word stays."""
    return replace(state, icon="removed", group="parked")


def _retries(row: RunRow) -> bool:
    return row.error_line is not None and row.attempts > 0 and row.wake_at is not None


def held_by_code(row: RunRow) -> bool:
    """Whether a blocked run waits for code that fits its history; the other blocked ones are quarantined."""
    if row.status != "blocked":
        return False
    return not row.crashes if row.error_line is None else not row.error_line.startswith(_QUARANTINE)


def failure_of(row: RunRow, error: str, type: str, entry: Entry | None) -> Failure:
    """Why a run failed, from its recorded error and the entry that error came from."""
    kind: Literal["exhausted", "timeout", "failed", "rollback"] = "failed"
    if row.ending:
        kind = "rollback"
    elif entry is not None and entry.status == "exhausted":
        kind = "exhausted"
    elif type.endswith("StepTimeout"):
        kind = "timeout"
    if kind == "rollback":  # the run's error is of the step; what stopped is a handler, which the row names
        return Failure(row.current or "", kind, row.attempts, row.error_line or "", type, 0 if entry is None else entry.seq)
    place = "" if entry is None else entry.location
    attempts = row.attempts if entry is None else entry.attempts
    return Failure(place, kind, attempts, error.partition("\n")[0][:200], type, 0 if entry is None else entry.seq)


def misfit_of(attributes: Mapping[str, object]) -> Misfit | None:
    """What does not fit, from the attributes of the recorded error; None where it names nothing that history has."""
    fields = ("recorded_kind", "recorded_name", "asked_kind", "asked_name")
    kind, name, asked_kind, asked_name = (str(attributes.get(field) or "") for field in fields)
    location = str(attributes.get("location") or "")
    return Misfit(kind, name, asked_kind, asked_name, location) if kind and name else None


# --- sentences ------------------------------------------------------------------------------------------------------


def pieces(sentence: Sentence, now: float) -> tuple[Piece, ...]:
    """The sentence as a template shows it."""
    return tuple(_piece(part, now) for part in sentence if part.text or part.at is not None)


def _piece(part: Part, now: float) -> Piece:
    if part.at is None:
        return Piece(shown(part.text), None, part.form)
    match part.form:
        case "distance":
            text = ago(part.at, now)
        case "lasting":
            text = length(max(0.0, now - part.at))
        case _:
            text = clock_text(part.at, now)
    return Piece(text, stamp(part.at, now), part.form)


def plain(sentence: Sentence) -> str:
    """The words of a sentence without its instants."""
    return "".join(part.text for part in sentence)


def marked(text: str) -> Sentence:
    """A text of the engine's, in which names stand between backticks, with these names as code."""
    return tuple(Part(part, form="code" if n % 2 else "text") for n, part in enumerate(text.split("`")) if part)


def run_sentence(row: RunRow, now: float, why: Reason | None = None, mark: Mark = "") -> Sentence:
    """What a run is doing, or how it ended; of one that is unattended because of its code, that."""
    if mark == "no code":
        return (Part("no code", form="strong"), Part(": no worker serves "), Part(row.workflow, form="code"))
    match row.status:
        case "pending":
            return _pending(row, now)
        case "running":
            return _running(row, now)
        case "sleeping":
            return _sleeping(row)
        case "rolling_back":
            done = f", {row.undone} of {row.undone + row.owes} done"
            return (Part("undoing "), Part(row.current or "what was done", form="code"), Part(done))
        case "completed":
            return (Part(f"in {length((row.finished_at or now) - (row.started_at or row.created_at))}"),)
        case "cancelled":
            return _cancelled(row, why if isinstance(why, Stop) else Stop())
        case "paused" if asks := asked_line(row.status, row.error_line):
            return marked(asks)
        case "paused":
            return _paused(why if isinstance(why, Stop) else Stop())
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


def _running(row: RunRow, now: float) -> Sentence:
    """Fewer attempts than there may be: the step is under way. Else it is what was done last."""
    lasting = (Part("for "), Part(at=row.updated_at, form="lasting"))
    if row.current is None:
        return lasting
    if row.attempts >= row.attempts_max:
        return (Part("after "), Part(row.current, form="code"), Part(", "), Part(at=row.updated_at, form="distance"))
    tries = f", attempt {row.attempts + 1} of {row.attempts_max}" if row.attempts else ""
    return (Part(row.current, form="code"), Part(f"{tries}, "), *lasting)


def _names(waiting: Sequence[str]) -> Sentence:
    if tuple(waiting) == ("*",):
        return (Part("any message"),)
    parts = [part for name in waiting for part in (Part(" or "), Part(name, form="code"))]
    return tuple(parts[1:])


def _sleeping(row: RunRow) -> Sentence:
    if row.waiting is not None:
        until = () if row.wake_at is None else (Part(" until "), Part(at=row.wake_at, form="clock"))
        return (Part("waits for "), *_names(row.waiting), *until)
    if row.wake_at is None:
        return (Part("until something wakes it"),)
    at = Part(at=row.wake_at, form="clock")
    if _retries(row):
        most = f" of {row.attempts_max}" if row.attempts_max else ""
        head = (Part("retries "), Part(row.current or "", form="code"), Part(" at "))
        return (*head, at, Part(f", attempt {row.attempts}{most} failed"))
    what = (Part(row.current, form="code"), Part(" ")) if row.current else ()
    return (*what, Part("until "), at, Part(", "), Part(at=row.wake_at, form="distance"))


def _cancelled(row: RunRow, stop: Stop) -> Sentence:
    """A run that ended before anything was done says only who ended it."""
    undone = "rolled back" if row.undone and not row.owes else f"{row.undone} of {row.undone + row.owes} undone"
    return (Part(", ".join(text for text in (_from(stop), undone if row.undone or row.owes else "") if text)),)


def _paused(stop: Stop) -> Sentence:
    due = (Part("; next due "), Part(at=stop.due, form="clock")) if stop.due is not None else ()
    return (Part(_from(stop) or "until it is resumed"), *due)


def _from(stop: Stop) -> str:
    return from_whom(stop.who) if stop.who else ""


def from_whom(who: str) -> str:
    """Who steered, as a sentence says it: ``from the inspector``, ``from pid 7``."""
    return f"from {'' if who.startswith('pid ') else 'the '}{shown(who)}"


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
    return row.undone > 0 and not row.ending and not row.owes


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
