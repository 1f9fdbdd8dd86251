"""What one atomic write of a run holds. The engine builds a `Change`, a driver applies it whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flowkit.core.entry import Entry, FailedAttempt, Message

__all__ = ["REWINDS", "Change", "Finish", "Outgoing", "Park", "Reply"]

REWINDS: frozenset[str] = frozenset(("recover", "replay", "resolve"))
"""The bumps of verbs that rewrite a history. They apply to a paused run, too."""


class Park(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The run is given up until `wake_at` (epoch seconds, None: no instant) or a message.

    `waiting` is None if no message can wake it, ``("*",)`` for any message, else the names awaited. If the inbox has grown
    past the Change's `seen` and `waiting` is not None, the run is due at once.
    """

    wake_at: float | None
    waiting: Sequence[str] | None = None


class Finish(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The run's result fields: sets output, error and the entry the error came from; ``Finish()`` clears them all."""

    output: bytes | None = None
    error: bytes | None = None
    failed_entry: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a `request()`, kept a day under the message's id."""

    message_id: str
    body: bytes


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message from this run to the run with id `to`. `message_id` makes a repeated write harmless, `key` a repeated send."""

    to: str
    message_id: str
    name: str
    body: bytes
    key: str | None = None
    sender: str = ""
    context: str = ""
    """The trace that it was sent in, as the tracer of its sender wrote it."""


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one commit of a run writes.

    `run`, `epoch` and `head` are the fence: the write is refused unless the row has exactly these; afterwards its head is
    ``head + 1``. Fields that are None leave the column alone unless said otherwise.
    """

    run: int
    epoch: int
    head: int
    bump: str = ""
    """One of `REWINDS` or ``"block"``: epoch + 1 and no owner afterwards; replay is counted in the row, and block
    adds `code` to `tried`. Empty for an ordinary commit of the owner."""
    code: str = ""
    """With `bump` ``"block"``: the fingerprint of the code that does not fit, where a check found that out and no pass under
    it was made; empty: the row's `code`."""
    op: str = ""
    """Id of a recover, replay or resolve: its row in `steering`, in the same transaction; a used one is answered `Duplicate`."""
    who: str = ""
    add: Sequence[Entry] = ()
    """New entries; an existing (run, seq) aborts the write."""
    set: Sequence[Entry] = ()
    """Entries that are open in the store; a settled or missing one aborts the write. `args` None keeps the stored args."""
    rolled_back: Sequence[int] = ()
    """Settled entries whose handler has finished: status ``rolled_back``, rollback ``done``."""
    failures: Sequence[FailedAttempt] = ()
    forget: Sequence[tuple[int, int]] = ()
    """Half-open ranges of entry seq, deleted."""
    archive: Sequence[int] = ()
    """Entries moved to the archive, before `add`."""
    consume: Sequence[int] = ()
    """Inbox numbers taken; one that is not there aborts the write."""
    requeue: Sequence[Message] = ()
    """Messages put back under their old numbers."""
    replies: Sequence[Reply] = ()
    sends: Sequence[Outgoing] = ()
    entries: int
    """Highest entry seq given out so far."""
    seen: int
    """Inbox number that this pass has looked at."""
    owes: int
    """Number of completed steps that owe a rollback."""
    status: str | None = None
    ending: str | None = None
    """What a run that rolls back becomes (``"failed"``, ``"cancelled"``); ``""`` clears it."""
    calms: bool = False
    """True when an entry settles or the run parks: the crash count returns to 0."""
    current: str | None = None
    """Location being worked on, for lists; always written."""
    attempts: int = 0
    """Attempts of that location; always written."""
    attempts_max: int = 0
    """How many it is allowed, 0 where that is not known; always written."""
    error_line: str | None = None
    """First line of the newest error, for lists; always written, None clears it."""
    wake_at: float | None = None
    """For a Change that neither parks nor finishes: None clears the bell; with `bump`, the instant at which the run is due."""
    state: bytes | None = None
    """New base of the run's state, when patches of pruned entries were folded into it."""
    park: Park | None = None
    finish: Finish | None = None
    release: bool = False
    """Give the lease up: no owner afterwards. Implied by `park` and `bump`; used with a final status or an evict."""
    context: str = ""
    """What the next claim brings along for the tracer, in place of what this one brought; empty: the same."""
