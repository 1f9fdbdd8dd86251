"""A run written out whole: as JSON, as lines of JSON, and (`export_pytest`) as a test.

Everything is read and given away piece by piece, a window of entries and one value at a time, so a run of any length costs the
memory of its largest value. Nothing is held open between the pieces: a run that moves on meanwhile is told as such at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from flowkit.client.masking import Masker
from flowkit.client.record import FORMAT, entry_data, message_data, run_data
from flowkit.core.entry import Entry
from flowkit.definitions.manifest import read_manifest
from flowkit.drivers.base import BodyRef, Driver, RunRow
from flowkit.errors import RunNotFound
from flowkit.registry import project_code

__all__ = ["FORMATS", "Export", "Piece", "exported"]

Format = Literal["json", "ndjson", "py"]
FORMATS: tuple[Format, ...] = ("json", "ndjson", "py")
_WINDOW = 200
_LAST_SEQ = 1 << 62
_BODIES = ("output", "error", "args", "patch")


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of an export. `kind` is ``run``, ``code``, ``message``, ``entry`` or, last, ``end``."""

    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Export:
    """A run to be written out. `made_at` is epoch seconds, `reveals` leaves secrets as they are."""

    driver: Driver
    row: RunRow
    made_at: float
    reveals: bool = False
    masker: Masker = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "masker", Masker(reveals=self.reveals))

    def pieces(self) -> Iterator[Piece]:
        """The run, its code, the messages that wait, its entries in order of seq, and how it ended.

        Raises:
            RunNotFound: the run is gone. PayloadError: a stored checksum does not match.
        """
        yield Piece("run", self._run())
        yield Piece("code", self._code())
        for message in self.driver.inbox(self.row.seq, (), self.driver.limits.inbox):
            yield Piece("message", message_data(message, self.masker))
        count = 0
        for entry in self._entries():
            count += 1
            yield Piece("entry", self._entry(entry))
        now = self.driver.get(self.row.seq)
        moved = now is None or now.head != self.row.head
        yield Piece("end", {"entries": count, "moved": moved, "masked": dict(self.masker.masked), "exported_at": self.made_at})

    def _run(self) -> dict[str, Any]:
        view = self.driver.load(self.row.seq, after=_LAST_SEQ)
        if view is None:
            raise RunNotFound(f"there is no run {self.row.id!r} any more")
        output = self.driver.body(BodyRef(run=self.row.seq, field="output"))
        bodies = {"input": view.input, "output": output, "error": view.error, "state": view.state}
        return run_data(self.row, bodies, view.failed_entry, self.masker)

    def _code(self) -> dict[str, Any]:
        last = project_code(self.row.code)
        manifest = read_manifest(self.driver.manifest(last)) if last else read_manifest(None)
        steps = manifest.workflows.get(self.row.workflow, {})
        place = manifest.places.get(self.row.workflow, "")
        return {"first": project_code(self.driver.first_code(self.row.seq)), "last": last, "place": place, "steps": dict(steps)}

    def _entries(self) -> Iterator[Entry]:
        after = 0
        while page := self.driver.history(self.row.seq, after=after, limit=_WINDOW):
            yield from page
            after = page[-1].seq

    def _entry(self, entry: Entry) -> dict[str, Any]:
        found: dict[str, bytes | None] = {"output": entry.output, "error": entry.error, "by_hand": entry.by_hand}
        if entry.output is None and entry.size:
            found["output"] = self._body(entry, "output")
        if entry.args_crc:
            found["args"] = self._body(entry, "args")
        if entry.kind == "step" and entry.settled:
            found["patch"] = self._body(entry, "patch")
        tried = entry.attempts > 1 or entry.error is not None or entry.rollback
        failures = self.driver.attempts(self.row.seq, entry.seq) if entry.kind == "step" and tried else ()
        return entry_data(entry, found, failures, self.masker)

    def _body(self, entry: Entry, name: Literal["output", "args", "patch"]) -> bytes | None:
        return self.driver.body(BodyRef(run=self.row.seq, field=name, entry=entry.seq))


def exported(export: Export, format: Format) -> Iterator[bytes]:
    """The export as JSON or as lines of JSON, in chunks."""
    return _lines(export) if format == "ndjson" else _document(export)


def _lines(export: Export) -> Iterator[bytes]:
    """Each line says by its `piece` what it is."""
    for piece in export.pieces():
        about = {"format": FORMAT} if piece.kind == "run" else {}
        yield msgspec.json.encode({"piece": piece.kind, **about, **piece.data}) + b"\n"


_PARTS = {"run": b'"run":', "code": b'"code":', "message": b'"messages":[', "entry": b'"entries":[', "end": b'"end":'}
_LISTS = ("message", "entry")


def _document(export: Export) -> Iterator[bytes]:
    yield b'{"format":' + msgspec.json.encode(FORMAT)
    parts = iter(_PARTS)
    open_list = ""
    for piece in export.pieces():
        if piece.kind == open_list:
            yield b",\n" + msgspec.json.encode(piece.data)
            continue
        for part in parts:  # lists that nothing came for are empty, not missing
            yield (b"]" if open_list else b"") + b",\n" + _PARTS[part]
            open_list = part if part in _LISTS else ""
            if part == piece.kind:
                break
        yield msgspec.json.encode(piece.data)
    yield b"}\n"
