"""What a key-value store keeps beside rows, entries and messages."""

from __future__ import annotations

from zlib import crc32

import msgspec
from msgspec.structs import replace

from flowkit.core.entry import Entry

__all__ = ["Archived", "Reply", "Steering", "sized"]


class Steering(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a verb did, under its operation id."""

    at: float
    run: int
    verb: str
    who: str
    result: str


class Archived(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An entry that no pass reads any more."""

    entry: Entry
    at: float
    why: str
    head: int


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a `request()`."""

    run: int
    at: float
    body: bytes


def sized(entry: Entry) -> Entry:
    """`entry` with what a driver fills in."""
    size = len(entry.output or b"") + len(entry.error or b"") + len(entry.args or b"")
    args_crc = entry.args_crc if entry.args is None else entry.args_crc or crc32(entry.args)
    if size == entry.size and args_crc == entry.args_crc:
        return entry
    return replace(entry, size=size, args_crc=args_crc)
