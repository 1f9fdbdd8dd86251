"""All that a worker knows of one run: its entries by location, what waits to be written, and the fence.

The ledger outlives a pass: when a pass is abandoned at a body's timeout, the next one goes on with the same ledger. It is
pure dictionary work under one lock, and it never forgets what was to be written before the write was acknowledged: `take`
moves it into flight, `landed` forgets it, `restore` puts it back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from flowkit.core.change import Change, Finish, Outgoing, Park, Reply
from flowkit.core.entry import Entry, FailedAttempt
from flowkit.core.location import ROOT, nested, split
from flowkit.core.outcome import Place

__all__ = ["COMPOSITES", "Batch", "Gate", "Ledger"]

COMPOSITES = frozenset(("loop", "join", "race"))
"""Kinds of entries that have scopes of their own below them."""


class Batch(msgspec.Struct, eq=False):
    """What the next commit will hold, as far as it is known.

    What most commits have none of is an empty tuple, the same for all: a step makes a batch, and each list in it would be
    one more thing for the garbage collector to look through.
    """

    adds: dict[int, Entry] = {}
    sets: dict[int, Entry] = {}
    failures: tuple[FailedAttempt, ...] = ()
    forget: tuple[tuple[int, int], ...] = ()
    consume: tuple[int, ...] = ()
    replies: tuple[Reply, ...] = ()
    sends: dict[int, Outgoing] = {}
    rolled_back: tuple[int, ...] = ()
    state: bytes | None = None
    settles: bool = False

    def before(self, later: Batch) -> Batch:
        """This batch, whose write failed, with everything staged since on top of it."""
        for seq, entry in later.sets.items():
            (self.adds if seq in self.adds else self.sets)[seq] = entry
        gone = {seq for first, end in later.forget for seq in range(first, end)} & self.adds.keys()
        for seq in gone:
            del self.adds[seq]
        kept = _ranges(seq for first, end in later.forget for seq in range(first, end) if seq not in gone)
        self.adds.update(later.adds)
        self.failures += later.failures
        self.forget += tuple(kept)
        self.consume += later.consume
        self.replies += later.replies
        self.rolled_back += later.rolled_back
        self.sends.update(later.sends)
        self.state = later.state if later.state is not None else self.state
        self.settles = self.settles or later.settles
        return self


class Gate(Protocol):
    """What may be stopped from staging."""

    stop: BaseException | None


class Ledger:
    """One run's history in memory, and its fence (`epoch`, `head`)."""

    def __init__(
        self,
        *,
        run: int,
        run_id: str,
        epoch: int,
        head: int,
        entries: Iterable[Entry] = (),
        last: int = 0,
        seen: int = 0,
        crashes: int = 0,
        awaits: bool = False,
        latest: float = 0.0,
        context: str = "",
    ) -> None:
        self.run = run
        self.run_id = run_id
        self.epoch = epoch
        self.head = head
        self.last = last
        self.seen = seen
        self.crashes = crashes
        self.awaits = awaits
        """Whether the workflow is async, so that lines to paste can say `await`."""
        self.context = context
        self.owes = 0
        self.version = 0
        self.taken_version = 0
        self.lock = threading.RLock()
        self.entries: dict[str, Entry] = {}
        self.children: dict[str, dict[str, int]] = {}
        self._open: dict[int, Entry] = {}
        self.inner: dict[str, dict[str, None]] = {}
        self.current: str | None = None
        self.attempts = 0
        self.attempts_max = 0
        self.error_line: str | None = None
        self._batch = Batch()
        self._flying: Batch | None = None
        self._latest = latest
        for entry in entries:
            self._place(entry)
            self.last = max(self.last, entry.seq)

    # --- what is there ----------------------------------------------------------------------------------------------

    def below(self, location: str) -> Iterator[Entry]:
        """Every entry under a location, the one at it left out. Without one there, it is an attempt block or a scope."""
        waiting = [location]
        while waiting:
            place = waiting.pop()
            waiting.extend(nested(place, segment) for segment in self.inner.get(place, ()))
            for name in self.children.get(place, ()):
                inside = nested(place, name)
                if (entry := self.entries.get(inside)) is not None:
                    yield entry
                waiting.append(inside)

    def touched_at(self, location: str) -> float:
        """When the entry at a location settled, or began if it is open; for an attempt block the newest of what it holds."""
        entry = self.entries.get(location)
        if entry is not None:
            return entry.settled_at if entry.settled_at is not None else entry.created_at
        return max((self.touched_at(inside.location) for inside in self.below(location)), default=0.0)

    def owing_below(self, location: str) -> bool:
        """Whether anything under a location owes a rollback."""
        return self.owes > 0 and any(entry.rollback == "owes" for entry in self.below(location))

    def in_order(self) -> list[Entry]:
        """All entries by sequence number."""
        return sorted(self.entries.values(), key=lambda entry: entry.seq)

    def open_entries(self) -> list[Entry]:
        """Entries that are recorded or staged and not settled, in no order."""
        return list(self._open.values())

    def parent_of(self, location: str) -> int:
        """The seq of the join, race or loop around a location, 0 at the root."""
        scope, _ = split(location)
        while scope:
            scope, _ = split(scope)
            entry = self.entries.get(scope)
            if entry is not None and entry.kind in COMPOSITES:
                return entry.seq
        return 0

    def _place(self, entry: Entry) -> bool:
        """Put the entry where it belongs; whether there was none."""
        old = self.entries.get(entry.location)
        self.entries[entry.location] = entry
        self.owes += (entry.rollback == "owes") - (old is not None and old.rollback == "owes")
        if entry.settled_at is None:
            self._open[entry.seq] = entry
        else:
            self._open.pop(entry.seq, None)
            self._latest = max(self._latest, entry.settled_at)
        if old is not None:
            return False
        scope, _, name = entry.location.rpartition("/")
        if (siblings := self.children.get(scope)) is not None:
            siblings.setdefault(name, entry.seq)
        else:
            self._first_child(scope, name, entry.seq)
        return True

    def _first_child(self, scope: str, name: str, seq: int) -> None:
        self.children[scope] = {name: seq}
        if scope == ROOT:
            return
        around, segment = split(scope)
        composite = self.entries.get(around)
        if composite is not None and composite.kind in COMPOSITES:
            self.inner.setdefault(around, {})[segment] = None
        elif (siblings := self.children.get(around)) is not None:  # an attempt block: no entry, but a child as soon as it
            siblings.setdefault(segment, seq)  # holds one
        else:
            self._first_child(around, segment, seq)

    def _remove(self, entry: Entry) -> None:
        del self.entries[entry.location]
        self._open.pop(entry.seq, None)
        self.owes -= entry.rollback == "owes"
        self.inner.pop(entry.location, None)
        scope, name = split(entry.location)
        while True:
            siblings = self.children[scope]
            siblings.pop(name, None)
            if siblings or scope == ROOT:
                return
            del self.children[scope]
            around, name = split(scope)
            if (segments := self.inner.get(around)) is not None:
                segments.pop(name, None)
                return
            if around not in self.children:
                return
            scope = around

    # --- what is to be written --------------------------------------------------------------------------------------

    def shows(self, place: Place) -> None:
        """What lists show of the run from the next commit on."""
        self.current, self.attempts = place.location, place.attempts
        self.attempts_max, self.error_line = place.attempts_max, place.error_line

    def next_seq(self) -> int:
        """A sequence number that no entry of the run ever had."""
        with self.lock:
            self.last += 1
            return self.last

    def settle_instant(self, now: float) -> float:
        """`now`, or the next instant after the newest settlement, so that the order of completion is never lost."""
        return now if now > self._latest else math.nextafter(self._latest, math.inf)

    def stage(self, entry: Entry, gate: Gate | None = None) -> Entry:
        """Have `entry` written with the next commit, as new or in place of its open version.

        `gate` is whoever asks: once it is stopped nothing of it is taken, and what stopped it is raised.
        """
        with self.lock:
            if gate is not None and gate.stop is not None:
                raise gate.stop
            new, batch = self._place(entry), self._batch
            if new or entry.seq in batch.adds:
                batch.adds[entry.seq] = entry
            else:
                batch.sets[entry.seq] = entry
            if entry.settled_at is not None:
                batch.settles = True
            self.version += 1
            return entry

    def stage_failure(self, failure: FailedAttempt) -> None:
        """Have a failed attempt written with the next commit."""
        with self.lock:
            self._batch.failures += (failure,)
            self.version += 1

    def stage_message(self, *, consume: int | None = None, reply: Reply | None = None) -> None:
        """Have a message leave the inbox, and its answer written, with the next commit."""
        with self.lock:
            if consume is not None:
                self._batch.consume += (consume,)
            if reply is not None:
                self._batch.replies += (reply,)
            self.version += 1

    def stage_send(self, entry: Entry, outgoing: Outgoing) -> None:
        """Have a message sent with the commit that writes `entry`."""
        with self.lock:
            self._batch.sends[entry.seq] = outgoing
            self.version += 1

    def withdraw_sends(self, to: str) -> list[str]:
        """Take back the staged sends to run `to`, which cannot be delivered, each with its entry: the sender will stage another
        outcome there. Returns their message ids.
        """
        with self.lock:
            gone = {seq: send.message_id for seq, send in self._batch.sends.items() if send.to == to}
            for seq in gone:
                del self._batch.sends[seq]
                self._batch.sets.pop(seq, None)
                if (entry := self._batch.adds.pop(seq, None)) is not None:
                    self._remove(entry)
            return list(gone.values())

    def stage_rolled_back(self, entry: Entry) -> None:
        """Have the end of `entry`'s rollback handler written with the next commit."""
        with self.lock:
            self._place(msgspec.structs.replace(entry, status="rolled_back", rollback="done"))
            self._batch.rolled_back += (entry.seq,)
            self._batch.settles = True
            self.version += 1

    def stage_state(self, base: bytes) -> None:
        """Have a new base of the run's state written with the next commit."""
        with self.lock:
            self._batch.state = base
            self.version += 1

    def forget(self, entries: Sequence[Entry]) -> None:
        """Drop entries: those not written yet at once, the others with the next commit."""
        with self.lock:
            written: list[int] = []
            for entry in entries:
                self._remove(entry)
                self._batch.sets.pop(entry.seq, None)
                self._batch.sends.pop(entry.seq, None)
                if self._batch.adds.pop(entry.seq, None) is None:
                    written.append(entry.seq)
            gone = {entry.seq for entry in entries}
            self._batch.failures = tuple(failure for failure in self._batch.failures if failure.entry not in gone)
            self._batch.forget += tuple(_ranges(written))
            self.version += 1

    # --- commits ----------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether anything waits to be written."""
        batch = self._batch
        return bool(
            batch.adds or batch.sets or batch.failures or batch.forget or batch.consume or batch.replies
            or batch.sends or batch.rolled_back or batch.state is not None
        )  # fmt: skip

    @property
    def staged(self) -> int:
        """How many entries are new or changed since the last commit was taken."""
        return len(self._batch.adds) + len(self._batch.sets)

    def take(
        self,
        *,
        status: str | None = None,
        ending: str | None = None,
        park: Park | None = None,
        finish: Finish | None = None,
        release: bool = False,
        bump: str = "",
        bare: bool = False,
    ) -> Change:
        """All that is staged, as the run's next Change; it is in flight until `landed` or `restore`.

        With `bare` what is staged is dropped instead: nothing of it is to become durable.
        """
        with self.lock:
            if bare:
                self._drop_staged()
            batch, self._batch = self._batch, Batch()
            self._flying = batch
            self.taken_version = self.version
            return Change(
                run=self.run, epoch=self.epoch, head=self.head, bump=bump,
                add=tuple(batch.adds.values()), set=tuple(batch.sets.values()), rolled_back=batch.rolled_back,
                failures=batch.failures, forget=batch.forget, consume=batch.consume, replies=batch.replies,
                sends=tuple(batch.sends.values()), state=batch.state, entries=self.last, seen=self.seen, owes=self.owes,
                status=status, ending=ending, calms=batch.settles or park is not None, park=park, finish=finish,
                release=release, current=self.current, attempts=self.attempts,
                attempts_max=self.attempts_max, error_line=self.error_line, context=self.context if park is not None else "",
            )  # fmt: skip

    def _drop_staged(self) -> None:
        for entry in self._batch.adds.values():
            if entry.location in self.entries:
                self._remove(entry)
        self._batch = Batch()

    def landed(self) -> None:
        """The Change in flight is durable."""
        with self.lock:
            if self._flying is not None and (self._flying.settles or self._flying.adds):
                self.crashes = 0 if self._flying.settles else self.crashes
            self._flying = None
            self.head += 1

    def restore(self) -> None:
        """The Change in flight was refused: what it held is to be written still."""
        with self.lock:
            if self._flying is not None:
                self._batch = self._flying.before(self._batch)
                self._flying = None


def _ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """The half-open ranges that hold exactly `seqs`."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and ranges[-1][1] == seq:
            ranges[-1] = (ranges[-1][0], seq + 1)
        else:
            ranges.append((seq, seq + 1))
    return ranges
