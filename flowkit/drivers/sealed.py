"""A driver whose bodies pass through a user's codec: encrypted or compressed before they reach the store.

It stands around any other driver, so no driver and no caller knows of it. What is not a body stays as it is: ids, names,
locations, statuses and instants. Of an error only the type is left in the lists.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from zlib import crc32

from msgspec.structs import replace

from flowkit.codec import Codec
from flowkit.core.bulk import Bulk
from flowkit.core.change import Change
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.health import Report
from flowkit.core.line import BOOK, Line
from flowkit.drivers.base import (
    BodyRef,
    Claim,
    Claimed,
    Copied,
    Driver,
    LineQuery,
    Log,
    Op,
    Result,
    RunRow,
    RunView,
    SaveBulk,
    Send,
    Start,
)

__all__ = ["SealedDriver"]


class SealedDriver:
    """`inner`, with every body sealed by `codec`. What is not here is the inner driver's own."""

    def __init__(self, inner: Driver, codec: Codec) -> None:
        self.inner = inner
        self.limits = inner.limits
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # --- in

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        """As `Driver.write`."""
        return self.inner.write([self._sealed_op(op) for op in ops], now)

    def _sealed_op(self, op: Op) -> Op:
        match op:
            case Start():
                return replace(op, input=self._codec.encode(op.input), copied=self._sealed_copy(op.copied))
            case Send():
                return replace(op, body=self._codec.encode(op.body))
            case Change():
                return self._sealed_change(op)
            case SaveBulk(bulk=bulk):
                return replace(op, bulk=replace(bulk, body=self._seal(bulk.body)))
            case Log():
                return replace(op, lines=[replace(line, text=self._codec.encode(line.text)) for line in op.lines])
            case _:
                return op

    def _sealed_copy(self, copied: Copied | None) -> Copied | None:
        if copied is None:
            return None
        entries = [self._sealed_entry(entry) for entry in copied.entries]
        return replace(copied, fork=self._codec.encode(copied.fork), entries=entries, state=self._seal(copied.state))

    def _sealed_change(self, change: Change) -> Change:
        finish = change.finish
        if finish is not None:
            finish = replace(finish, output=self._seal(finish.output), error=self._seal(finish.error))
        return replace(
            change,
            add=[self._sealed_entry(entry) for entry in change.add],
            set=[self._sealed_entry(entry) for entry in change.set],
            failures=[replace(failure, error=self._codec.encode(failure.error)) for failure in change.failures],
            requeue=[replace(message, body=self._codec.encode(message.body)) for message in change.requeue],
            replies=[replace(reply, body=self._codec.encode(reply.body)) for reply in change.replies],
            sends=[replace(send, body=self._codec.encode(send.body)) for send in change.sends],
            state=self._seal(change.state),
            finish=finish,
            error_line=_told(change),
        )

    def _sealed_entry(self, entry: Entry) -> Entry:
        if entry.args is not None and not entry.args_crc:  # the sum of what the user passed, which sealing may change each time
            entry = replace(entry, args_crc=crc32(entry.args))
        return self._turned(entry, self._seal)

    def _seal(self, body: bytes | None) -> bytes | None:
        return None if body is None else self._codec.encode(body)

    def report(self, source: str, reports: Sequence[Report], until: float, now: float) -> None:
        """As `Driver.report`."""
        self.inner.report(source, [replace(report, line="") for report in reports], until, now)

    # --- out

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """As `Driver.claim`. Nothing is brought along: what cannot be opened is its own run's trouble, and `load` tells of it."""
        claimed = self.inner.claim(worker, workflows, limit, now)
        return replace(claimed, runs=[replace(claim, view=None) for claim in claimed.runs])

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """As `Driver.adopt`."""
        claimed = self.inner.adopt(worker, held, workflows, limit, now)
        return replace(claimed, runs=[replace(claim, view=None) for claim in claimed.runs])

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        """As `Driver.take`."""
        claim = self.inner.take(worker, run, code, now)
        return None if claim is None else replace(claim, view=None)

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        """As `Driver.load`."""
        view = self.inner.load(run, after=after)
        if view is None:
            return None
        return replace(
            view,
            input=self._codec.decode(view.input),
            state=self._open(view.state),
            error=self._open(view.error),
            entries=[self._turned(entry, self._open) for entry in view.entries],
            messages=[self._opened(message) for message in view.messages],
            handler_failures=[self._opened_failure(failure) for failure in view.handler_failures],
            fork=self._open(view.fork),
        )

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """As `Driver.inbox`."""
        return [self._opened(message) for message in self.inner.inbox(run, names, limit)]

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        """As `Driver.history`."""
        entries = self.inner.history(run, after=after, before=before, limit=limit, archived=archived)
        return [self._turned(entry, self._open) for entry in entries]

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        """As `Driver.attempts`."""
        return [self._opened_failure(failure) for failure in self.inner.attempts(run, entry)]

    def lines(self, query: LineQuery) -> list[Line]:
        """As `Driver.lines`."""
        found = self.inner.lines(query)
        return [line if line.seq == BOOK else replace(line, text=self._codec.decode(line.text)) for line in found]

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        """As `Driver.outcome`."""
        found = self.inner.outcome(run)
        return None if found is None else (found[0], self._open(found[1]))

    def body(self, ref: BodyRef) -> bytes | None:
        """As `Driver.body`."""
        return self._open(self.inner.body(ref))

    def bulk(self, bulk: int | str) -> Bulk | None:
        """As `Driver.bulk`."""
        found = self.inner.bulk(bulk)
        return None if found is None else replace(found, body=self._open(found.body))

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        """As `Driver.bulks`."""
        found = self.inner.bulks(limit, before=before, unfinished=unfinished)
        return [replace(bulk, body=self._open(bulk.body)) for bulk in found]

    def _open(self, body: bytes | None) -> bytes | None:
        return None if body is None else self._codec.decode(body)

    def _opened(self, message: Message) -> Message:
        return replace(message, body=self._codec.decode(message.body))

    def _opened_failure(self, failure: FailedAttempt) -> FailedAttempt:
        return replace(failure, error=self._codec.decode(failure.error))

    def _turned(self, entry: Entry, turn: Any) -> Entry:
        return replace(
            entry, output=turn(entry.output), error=turn(entry.error), patch=turn(entry.patch), args=turn(entry.args),
            by_hand=turn(entry.by_hand),
        )  # fmt: skip


def _told(change: Change) -> str | None:
    """Of an error the type. What a run asks when it pauses itself is no error, and holds nothing but a location."""
    asks = change.status == "paused"
    return change.error_line if asks or change.error_line is None else change.error_line.partition(":")[0]
