"""One recorded operation of a run, as stored.

Bodies (`output`, `error`, `patch`, `args`) are encoded bytes; nothing here decodes them. While an entry is open, `output`
holds the progress its kind needs to go on (a loop's turn and state, a join's finished branches); once settled, its outcome.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["KINDS", "SETTLED", "Entry", "EntryKind", "EntryStatus", "FailedAttempt", "Message"]

EntryKind = Literal["step", "sleep", "message", "send", "loop", "join", "race", "checkpoint", "removed", "version"]
EntryStatus = Literal["pending", "running", "retrying", "completed", "failed", "exhausted", "cancelled", "rolled_back"]

KINDS: frozenset[str] = frozenset(
    ("step", "sleep", "message", "send", "loop", "join", "race", "checkpoint", "removed", "version")
)
SETTLED: frozenset[str] = frozenset(("completed", "failed", "exhausted", "cancelled", "rolled_back"))


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of the history. `seq` orders it within its run, `parent` is the seq of the join, race or loop around it or 0.

    Instants are epoch seconds. `settled_at` is set exactly when the status is final. `rollback` is ``""``, ``"owes"`` or
    ``"done"``. `round` counts recoveries. `source` is ``file:line`` of the call. `due_at` is the deadline of a sleep or a
    receive, or the instant of the next retry. `size` is that of `output`, `error` and `args` together,
    filled by the driver; `args_crc` is the crc32 of `args`, which a pass compares without loading them. `by_hand` is the record
    of what a person decided in place of the code (`core.resolution`), None for nearly all.
    """

    seq: int
    location: str
    kind: str
    status: str
    parent: int = 0
    attempts: int = 0
    round: int = 0
    created_at: float = 0.0
    started_at: float | None = None
    settled_at: float | None = None
    due_at: float | None = None
    rollback: str = ""
    source: str = ""
    size: int = 0
    args_crc: int = 0
    output: bytes | None = None
    error: bytes | None = None
    patch: bytes | None = None
    args: bytes | None = None
    by_hand: bytes | None = None

    @property
    def settled(self) -> bool:
        """Whether the outcome is final."""
        return self.settled_at is not None


class FailedAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One failed attempt of a step's body or of its rollback handler; append-only. `n` counts from 1 within `round`."""

    entry: int
    part: Literal["step", "rollback"] = "step"
    round: int = 0
    n: int
    started_at: float
    ended_at: float
    retry_at: float | None = None
    error: bytes


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message in a run's inbox. `seq` is its place there; `reply` says that the sender waits for an answer; `context` is the
    trace it was sent in.
    """

    seq: int
    id: str
    name: str
    sent_at: float
    body: bytes
    sender: str = ""
    key: str | None = None
    reply: bool = False
    context: str = ""
