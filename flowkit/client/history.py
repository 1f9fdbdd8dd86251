"""Entries as people read them: values decoded, errors as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from flowkit.codec import coder, decode_error, describe
from flowkit.core.entry import Entry
from flowkit.core.resolution import by_hand_of
from flowkit.drivers.base import BodyRef, Driver
from flowkit.errors import ErrorInfo, PayloadError
from flowkit.primitives.branches import Winner, read_branches
from flowkit.primitives.loop import read_loop
from flowkit.primitives.messages import decode_messages
from flowkit.primitives.migrate import VersionAnswer

__all__ = ["HistoryEntry", "Snapshot", "entry_error", "history_of", "read_entry", "read_error"]

PAGE = 500
_tagged = coder()


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One recorded operation. Instants are epoch seconds; `args` are those of a step, by name.

    `by_hand` is there if a person resolved the entry: `how` (``value``, ``error`` or ``again``), `reason`, `at`, `who`,
    `unchecked` (no code was at hand to check it), and `args`, those that were changed.
    """

    location: str
    kind: str
    status: str
    attempts: int
    args: Any
    output: Any
    error: ErrorInfo | None
    seq: int
    created_at: float
    settled_at: float | None
    due_at: float | None = None
    source: str = ""
    by_hand: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run after a change: its status, and the entries that are new or differ from the snapshot before."""

    status: str
    entries: list[HistoryEntry]


def history_of(driver: Driver, run: int, *, archived: bool = False, after: int = 0) -> list[HistoryEntry]:
    """All entries in order of seq, values included."""
    found: list[HistoryEntry] = []
    while True:
        page = driver.history(run, after=after, limit=PAGE, archived=archived)
        found += [read_entry(driver, run, entry, archived=archived) for entry in page]
        if len(page) < PAGE:
            return found
        after = page[-1].seq


def read_entry(driver: Driver, run: int, entry: Entry, *, archived: bool = False) -> HistoryEntry:
    """One stored entry with its values. What is archived has only what its row brings."""
    if not archived and entry.size and entry.output is None and entry.error is None:
        entry = msgspec.structs.replace(entry, output=driver.body(BodyRef(run=run, field="output", entry=entry.seq)))
    args = entry.args
    if args is None and entry.args_crc and not archived:
        args = driver.body(BodyRef(run=run, field="args", entry=entry.seq))
    return HistoryEntry(
        location=entry.location, kind=entry.kind, status=entry.status, attempts=entry.attempts,
        args=None if args is None else _value(args), output=_output(entry), error=entry_error(entry), seq=entry.seq,
        created_at=entry.created_at, settled_at=entry.settled_at, due_at=entry.due_at, source=entry.source,
        by_hand=_by_hand(entry),
    )  # fmt: skip


def entry_error(entry: Entry) -> ErrorInfo | None:
    """The entry's error: of a retrying one its last attempt's."""
    return None if entry.error is None else read_error(entry.error)


def read_error(body: bytes) -> ErrorInfo:
    """A stored error; attributes whose classes cannot be imported here are left out."""
    try:
        return decode_error(body)
    except PayloadError:
        shown = describe(body)
        known = shown if isinstance(shown, dict) else {"type": "PayloadError", "message": str(shown)}
        kind, message, traceback = (str(known.get(name, "")) for name in ("type", "message", "traceback"))
        return ErrorInfo(kind, message, traceback)


def _by_hand(entry: Entry) -> dict[str, Any] | None:
    given = by_hand_of(entry)
    if given is None:
        return None
    args = {name: _value(bytes(raw)) for name, raw in given.args.items()}
    return {
        "how": given.how, "reason": given.reason, "at": given.at, "who": given.who, "unchecked": given.unchecked, "args": args,
    }  # fmt: skip


def _value(body: bytes) -> Any:
    """A stored value, or plain data where the code that it was made by cannot be imported: who looks need not have it."""
    try:
        return _tagged.decode(body)
    except PayloadError:
        return describe(body)


def _output(entry: Entry) -> Any:
    if not entry.settled or entry.output is None or entry.status in ("failed", "cancelled"):
        return None
    try:
        return _decoded(entry)
    except (PayloadError, msgspec.MsgspecError):  # written by other code: shown as data, never a failed page
        return describe(entry.output)


def _decoded(entry: Entry) -> Any:
    assert entry.output is not None
    match entry.kind:
        case "message":
            messages = decode_messages(entry.output)
            return messages[0] if len(messages) == 1 else messages
        case "loop":
            value = read_loop(entry).value
            return None if value is msgspec.UNSET else _tagged.decode(bytes(value))
        case "join":
            ends = read_branches(entry).done
            return {name: _tagged.decode(bytes(end.value)) for name, end in ends.items() if end.value is not msgspec.UNSET}
        case "race":
            record = read_branches(entry)
            end = record.done.get(record.winner or "")
            value = end.value if end is not None else msgspec.UNSET
            return None if value is msgspec.UNSET else Winner(record.winner or "", _tagged.decode(bytes(value)))
        case "version":
            return msgspec.json.decode(entry.output, type=VersionAnswer).answer
        case "step":
            return _tagged.decode(entry.output)
        case _:
            return None
