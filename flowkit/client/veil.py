"""What readers may see of errors and values where these are hidden: types and locations, and nothing that user code made.

The one home of that rule. It stands around a driver that is only read through, and around what tells of loaded code, so that
no page can forget it: whatever asks a veiled driver gets rows without messages, errors without text and bodies without value.
What is not named here is not passed on. Names stay, of runs, steps, messages and tags, and so do instants and counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace as replace_data
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from flowkit.client.facts import cause_of, plain_error
from flowkit.client.livecode import (
    Answer,
    CodeInfo,
    CodeState,
    Decides,
    Decision,
    LoadError,
    ResolveWish,
    StartAnswer,
    StartWish,
    TriesUndoing,
    UndoTrial,
)
from flowkit.codec import encode_error
from flowkit.core.bulk import Bulk
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.fork import read_fork
from flowkit.core.health import Report
from flowkit.core.line import BOOK, Line
from flowkit.drivers.across import Across, Kept, SeenAcross, StoreFacts
from flowkit.drivers.base import BodyRef, Driver, LineQuery, RunQuery, RunRow, RunView
from flowkit.drivers.survey import Deed, Ending, Recorded, Rewound, Stop, Survey, Surveyed
from flowkit.errors import ErrorInfo

__all__ = ["HIDDEN", "VeiledDriver", "hidden_row", "veil", "veil_code"]

HIDDEN = "hidden: this inspector shows types and places only (--hide-errors)"
"""What stands where a value would."""

_BODY = b'"hidden"'
_RAW = msgspec.Raw(_BODY)
_PASSED_ON = frozenset(("limits", "token", "workers", "manifest", "first_code"))
_DIVERGED = ("recorded_kind", "recorded_name", "asked_kind", "asked_name", "location", "source")
_ASKS = "asks: "


# --- what is left of each thing ---------------------------------------------------------------------------------------


def hidden_row(row: RunRow) -> RunRow:
    """A run's row, of its error only the type."""
    line = row.error_line
    return row if line is None or line.startswith(_ASKS) else replace(row, error_line=line.partition(":")[0])


def hidden_error(body: bytes | None) -> bytes | None:
    """A stored error, of it and of what caused it only the types."""
    return None if body is None else encode_error(_error(plain_error(body)))


def _error(error: ErrorInfo) -> ErrorInfo:
    """What does not fit between code and history is named, not valued: that stays."""
    ours = error.type.startswith("flowkit.errors.")
    kept = {name: error.attributes[name] for name in _DIVERGED if name in error.attributes} if ours else {}
    cause = cause_of(error)
    return ErrorInfo(error.type, "", "", kept if cause is None else {**kept, "error": _error(cause)})


def hidden_entry(entry: Entry) -> Entry:
    """An entry without values; what flowkit itself keeps in it stays: turns, branches, message names."""
    return replace(
        entry, output=_output(entry), error=hidden_error(entry.error), patch=_body(entry.patch), args=_body(entry.args),
        by_hand=_by_hand(entry.by_hand),
    )  # fmt: skip


def _body(body: bytes | None) -> bytes | None:
    return None if body is None else _BODY


def _output(entry: Entry) -> bytes | None:
    if entry.output is None or entry.kind in ("version", "removed"):
        return entry.output
    if entry.kind not in ("message", "loop", "join", "race"):
        return _BODY
    try:
        return msgspec.json.encode(_own(entry.kind, msgspec.json.decode(entry.output)))
    except msgspec.MsgspecError:
        return _BODY


def _own(kind: str, shown: Any) -> Any:
    """What flowkit itself stored, the user's values in it hidden."""
    match kind, shown:
        case "message", list():
            return [{**each, "data": _RAW} for each in shown]
        case "message", {"names": names}:
            return {"names": names, "count": shown.get("count", 0)}
        case "loop", dict():
            kept = {name: shown[name] for name in ("turn", "pruned") if name in shown}
            return {**kept, **{name: _RAW for name in ("state", "value") if name in shown}}
        case "join" | "race", dict():
            done = shown.get("done", {})
            return {
                "names": shown.get("names", []), "winner": shown.get("winner"),
                "done": {name: _branch(end) for name, end in done.items()},
            }  # fmt: skip
        case _:
            return "hidden"


def _branch(end: dict[str, Any]) -> dict[str, Any]:
    """How a branch ended: its keys say so, their values do not show."""
    shown = {"value": _RAW} if "value" in end else {}
    return {**shown, **({"error": _raw_error(end["error"])} if "error" in end else {}), "origin": end.get("origin", 0)}


def _raw_error(shown: Any) -> msgspec.Raw:
    return msgspec.Raw(hidden_error(msgspec.json.encode(shown)) or b"null")


def _by_hand(body: bytes | None) -> bytes | None:
    """What a person decided: the arguments that were given are values."""
    if body is None:
        return None
    shown = msgspec.json.decode(body)
    return msgspec.json.encode({**shown, "args": dict.fromkeys(shown["args"], "hidden")} if "args" in shown else shown)


def _fork(body: bytes | None) -> bytes | None:
    fork = read_fork(body)
    if fork is None or body is None:
        return body
    shown = msgspec.json.decode(body)
    hidden = {name: _RAW for name in ("output",) if name in shown}
    by_hand = msgspec.json.decode(_by_hand(msgspec.json.encode(shown["by_hand"])) or b"{}")
    error = {"error": _raw_error(shown["error"])} if "error" in shown else {}
    return msgspec.json.encode({**shown, **hidden, **error, "by_hand": by_hand})


def _attempt(failure: FailedAttempt) -> FailedAttempt:
    return replace(failure, error=hidden_error(failure.error) or b"")


def _message(message: Message) -> Message:
    return replace(message, body=_BODY)


def _bulk(bulk: Bulk) -> Bulk:
    return replace(bulk, body=_body(bulk.body), reasons=tuple((run, "hidden") for run, _ in bulk.reasons))


# --- around a driver --------------------------------------------------------------------------------------------------


class VeiledDriver:
    """A driver to read through. It cannot write: what was read here must never be stored."""

    def __init__(self, inner: Driver) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if name in _PASSED_ON:
            return getattr(self._inner, name)
        raise AttributeError(f"a driver whose values are hidden has no {name!r}")

    def get(self, run: int | str) -> RunRow | None:
        """As `Driver.get`."""
        row = self._inner.get(run)
        return None if row is None else hidden_row(row)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        """As `Driver.outcome`: whether there is an output."""
        found = self._inner.outcome(run)
        return None if found is None else (hidden_row(found[0]), _body(found[1]))

    def runs(self, query: RunQuery) -> list[RunRow]:
        """As `Driver.runs`; what an error says cannot be searched."""
        rows = [hidden_row(row) for row in self._inner.runs(query)]
        return rows if query.error is None else [row for row in rows if query.error.lower() in (row.error_line or "").lower()]

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        """As `Driver.load`."""
        view = self._inner.load(run, after=after)
        if view is None:
            return None
        return replace(
            view, row=hidden_row(view.row), input=_BODY, state=_body(view.state), error=hidden_error(view.error),
            fork=_fork(view.fork), entries=[hidden_entry(entry) for entry in view.entries],
            messages=[_message(message) for message in view.messages],
            handler_failures=[_attempt(failure) for failure in view.handler_failures],
        )  # fmt: skip

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """As `Driver.inbox`."""
        return [_message(message) for message in self._inner.inbox(run, names, limit)]

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        """As `Driver.history`."""
        found = self._inner.history(run, after=after, before=before, limit=limit, archived=archived)
        return [hidden_entry(entry) for entry in found]

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        """As `Driver.attempts`."""
        return [_attempt(failure) for failure in self._inner.attempts(run, entry)]

    def lines(self, query: LineQuery) -> list[Line]:
        """As `Driver.lines`; what was logged may say anything."""
        return [line if line.seq == BOOK else replace(line, text=b"hidden") for line in self._inner.lines(query)]

    def body(self, ref: BodyRef) -> bytes | None:
        """As `Driver.body`: whether there is one."""
        found = self._inner.body(ref)
        if ref.field == "fork":
            return _fork(found)
        return hidden_error(found) if ref.field == "error" else _body(found)

    def bulk(self, bulk: int | str) -> Bulk | None:
        """As `Driver.bulk`."""
        found = self._inner.bulk(bulk)
        return None if found is None else _bulk(found)

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        """As `Driver.bulks`."""
        return [_bulk(bulk) for bulk in self._inner.bulks(limit, before=before, unfinished=unfinished)]

    def reports(self, now: float) -> list[Report]:
        """As `Driver.reports`."""
        return [replace(report, line="") for report in self._inner.reports(now)]


class _Recorded(VeiledDriver):
    def deed(self, op: str) -> Deed | None:
        assert isinstance(self._inner, Recorded)
        return self._inner.deed(op)


class _Wide(VeiledDriver):
    """Around a driver that can be asked for more than the port."""

    def survey(self) -> Survey:
        assert isinstance(self._inner, Surveyed)
        return _Survey(self._inner.survey())


class _Across(_Wide):
    def across(self) -> Across:
        assert isinstance(self._inner, SeenAcross)
        return _AcrossRuns(self._inner.across())


class _Survey:
    def __init__(self, inner: Survey) -> None:
        self._inner = inner

    def count(self, status: str, limit: int) -> int:
        return self._inner.count(status, limit)

    def tally(self) -> dict[str, int]:
        return self._inner.tally()

    def timers(self, limit: int, after: float, workflows: Collection[str] | None) -> list[RunRow]:
        return [hidden_row(row) for row in self._inner.timers(limit, after, workflows)]

    def endings(self, runs: Sequence[int]) -> list[Ending]:
        return [
            replace(each, error=hidden_error(each.error), entry=None if each.entry is None else hidden_entry(each.entry))
            for each in self._inner.endings(runs)
        ]

    def cut(self, query: RunQuery) -> int:
        return self._inner.cut(query)

    def holding(self, runs: Sequence[int], text: str, seconds: float) -> Collection[int] | None:
        return ()

    def workflows(self, limit: int) -> list[str]:
        return self._inner.workflows(limit)

    def deed(self, op: str) -> Deed | None:
        return self._inner.deed(op)

    def stop(self, run: int) -> Stop:
        return self._inner.stop(run)

    def rewinds(self, run: int, limit: int) -> list[Rewound]:
        return self._inner.rewinds(run, limit)

    def set_aside(self, run: int, head: int, after: int, before: int | None, limit: int) -> list[Entry]:
        return [hidden_entry(entry) for entry in self._inner.set_aside(run, head, after, before, limit)]

    def beginning(self, ref: BodyRef, most: int, length: int) -> tuple[bytes, int] | None:
        return None

    def body_aside(self, ref: BodyRef, head: int) -> bytes | None:
        found = self._inner.body_aside(ref, head)
        return hidden_error(found) if ref.field == "error" else _body(found)


class _AcrossRuns:
    def __init__(self, inner: Across) -> None:
        self._inner = inner

    def due(self, after: tuple[float, int], limit: int, workflows: Collection[str] | None) -> list[RunRow]:
        return [hidden_row(row) for row in self._inner.due(after, limit, workflows)]

    def waits(self, runs: Sequence[int], most: int) -> list[tuple[int, Entry]]:
        return [(run, hidden_entry(entry)) for run, entry in self._inner.waits(runs, most)]

    def kept(self, after: int, limit: int) -> list[Kept]:
        return self._inner.kept(after, limit)

    def deeds(self, before: tuple[float, str] | None, limit: int) -> list[Deed]:
        return self._inner.deeds(before, limit)

    def facts(self) -> StoreFacts:
        return self._inner.facts()


def veil(driver: Driver) -> Driver:
    """`driver`, to be read without errors' texts and values; it offers beyond the port what the driver itself offers."""
    if isinstance(driver, SeenAcross) and isinstance(driver, Surveyed):
        return cast(Driver, _Across(driver))
    if isinstance(driver, Surveyed):
        return cast(Driver, _Wide(driver))
    return cast(Driver, _Recorded(driver) if isinstance(driver, Recorded) else VeiledDriver(driver))


# --- around loaded code -----------------------------------------------------------------------------------------------


class _Code:
    """A `CodeInfo` that says of what is wrong with the code its type and place."""

    def __init__(self, inner: CodeInfo) -> None:
        self._inner = inner

    def state(self) -> CodeState:
        state = self._inner.state()
        error = None if state.error is None else LoadError(type=state.error.type, message="", source=state.error.source)
        pending = None if state.pending is None else replace_data(state.pending, notes=())
        return replace_data(state, error=error, notes=(), replays=(), pending=pending)

    def start(self, wish: StartWish) -> StartAnswer:
        return self._inner.start(wish)

    def resolve(self, wish: ResolveWish) -> Answer:
        return self._inner.resolve(wish)

    def kill(self) -> None:
        self._inner.kill()


class _Trying(_Code):
    def try_undoing(self, run_id: str) -> UndoTrial:
        assert isinstance(self._inner, TriesUndoing)
        trial = self._inner.try_undoing(run_id)
        steps = tuple(replace_data(step, problem=HIDDEN if step.problem else "") for step in trial.steps)
        return UndoTrial(problem=HIDDEN if trial.problem else "", steps=steps)


class _Deciding(_Code):
    def decide(self, decision: Decision) -> Answer:
        assert isinstance(self._inner, Decides)
        return self._inner.decide(decision)


def veil_code(code: CodeInfo) -> CodeInfo:
    """`code`, without what an error in it says; it can do what the code itself can."""
    can = [*((_Trying,) if isinstance(code, TriesUndoing) else ()), *((_Deciding,) if isinstance(code, Decides) else ())]
    made: CodeInfo = type("VeiledCode", tuple(can) or (_Code,), {})(code)
    return made
