"""What a key-value store keeps beside rows, entries and messages."""

from __future__ import annotations

import msgspec

from flowkit.core.entry import Entry

__all__ = ["Archived", "Reply", "Steering"]


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
