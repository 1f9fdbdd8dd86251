"""Where the reports of the last saves are kept: a file beside the database, so that a restart of `dev` still shows them.

A report is about one working copy of the code and of use to nobody but its author, so it is no business of the database's. The
file is written whole and put in place at once; one that cannot be read (another version wrote it, a disk was full) counts as
empty, since the next save makes a report anew. Only the `dev` that works on the database writes it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from flowkit.core.verdict import Replay
from flowkit.dev.protocol import encode

__all__ = ["MOST", "Shelf", "shelf_file"]

MOST = 20
"""How many reports are kept. Each is bounded, so the file is a few megabytes at most."""

_decoder = msgspec.json.Decoder(tuple[Replay, ...])


def shelf_file(database: str | Path) -> Path:
    """The file beside a database."""
    path = Path(database)
    return path.with_name(f"{path.name}-checks.json")


class Shelf:
    """The newest `MOST` reports, in `file` if there is one; else they last as long as this process."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._kept = _read(file)

    def all(self) -> tuple[Replay, ...]:
        """Newest first."""
        return self._kept

    def next_number(self) -> int:
        """Reports are numbered over all restarts."""
        return self._kept[0].number + 1 if self._kept else 1

    def put(self, replay: Replay) -> None:
        """Keep this one, and let the oldest go. A file that cannot be written is no reason to stop working."""
        self._kept = (replay, *self._kept)[:MOST]
        if self._file is None:
            return
        beside = self._file.with_name(f"{self._file.name}.{os.getpid()}.tmp")
        try:
            beside.write_bytes(encode(self._kept))
            beside.replace(self._file)
        except OSError:
            with suppress(OSError):
                beside.unlink()


def _read(file: Path | None) -> tuple[Replay, ...]:
    if file is None:
        return ()
    try:
        return _decoder.decode(file.read_bytes())[:MOST]
    except (OSError, msgspec.MsgspecError):
        return ()
