"""What `write` does in a key-value store: the same decisions as in SQL (`rules`), on rows that are records.

Longer than 400 lines because each operation of a batch sees what those before it have done.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from flowkit.core.change import REWINDS, Change, Outgoing
from flowkit.core.entry import Entry, Message
from flowkit.core.line import BOOK, Book, Line, book_in, line_of
from flowkit.drivers.base import (
    Copied,
    Done,
    Duplicate,
    Ended,
    Exists,
    Full,
    GuardFailed,
    Limits,
    Log,
    Logged,
    Lost,
    Moved,
    NoRun,
    Op,
    Result,
    RunRow,
    SaveBulk,
    Send,
    Sent,
    Start,
    Started,
    Steer,
    Steered,
    Tag,
    Undeliverable,
    WorkerRow,
)
from flowkit.drivers.kv_bulk import save_bulk
from flowkit.drivers.kv_records import Archived, Reply, Steering, sized
from flowkit.drivers.kv_rows import Rows, clear_error, first_record
from flowkit.drivers.kv_store import Record, Transaction, decode, encode, key
from flowkit.drivers.rules import (
    FINAL,
    awaits,
    earliest,
    fork_op,
    goes_forward,
    landed,
    lines_to_drop,
    message_key,
    owed,
    retagged,
    steered,
    stored_key,
    tag_verb,
)
from flowkit.settings import Settings

__all__ = ["Writing"]

_KEYS_KEPT_SECONDS = 86_400.0
"""How long a message without a key is known by its id: a write whose outcome is unknown is repeated for less."""


class Writing:
    """One transaction's worth of operations."""

    def __init__(self, txn: Transaction, now: float, limits: Limits, settings: Settings) -> None:
        self._settings = settings
        self._txn = txn
        self._rows = Rows(txn)
        self._now = now
        self._limits = limits

    def apply(self, ops: Sequence[Op]) -> list[Result]:
        """Write `ops` in order. Raises GuardFailed."""
        return [self._apply(op) for op in ops]

    def _apply(self, op: Op) -> Result:
        match op:
            case Change():
                return self._change(op)
            case Start():
                return self._start(op)
            case Send():
                key = message_key(op.message_id) if op.key is None else stored_key(op.key)
                return self._deliver(op, key, reply=op.reply)
            case Steer():
                return self._steer(op)
            case Tag():
                return self._retag(op)
            case SaveBulk():
                return save_bulk(self._txn, self._rows, op, self._now, self._settings.audit_kept)
            case Log():
                return self._log(op)
        raise TypeError(f"{op!r} is no operation of a driver")

    def _log(self, op: Log) -> Result:
        if self._rows.by_seq(op.run) is None:
            return NoRun()
        new = 0
        for line in op.lines:
            place = key(b"l", op.run, line.seq)
            new += self._txn.get(place) is None
            self._txn.put(place, encode(line))
        if op.lines:
            self._keep_book(op, new)
        return Logged()

    def _keep_book(self, op: Log, new: int) -> None:
        place = key(b"l", op.run, BOOK)
        data = self._txn.get(place)
        book = book_in(None if data is None else decode(data, Line))
        kept, gone = book.kept + new, []
        if (most := lines_to_drop(kept, new, op.most)) > 0:
            gone = self._txn.scan(key(b"l", op.run, BOOK + 1), key(b"l", op.run + 1), most)
        for oldest, _ in gone:
            self._txn.delete(oldest)
        book = Book(kept=kept - len(gone), dropped=book.dropped + len(gone))
        self._txn.put(place, encode(line_of(book, op.lines[-1].at)))

    # --- changes

    def _change(self, change: Change) -> Result:
        if change.op and (first := self._first_answer(change.op)) is not None:
            return Duplicate(first=first)
        row = self._rows.by_seq(change.run)
        if row is None:
            return Lost(epoch=0, head=0)
        if (row.epoch, row.head) != (change.epoch, change.head):
            return Lost(epoch=row.epoch, head=row.head)
        if change.sends and (refusal := self._undeliverable(change)) is not None:
            return refusal
        fate = landed(change, row, self._now)
        new = replace(
            self._rows.settle_fate(row, fate, self._now),
            head=row.head + 1,
            entries=change.entries,
            seen=change.seen,
            owes=owed(change, fate),
            current=change.current,
            attempts=change.attempts,
            attempts_max=change.attempts_max,
            undone=0 if goes_forward(change) else row.undone + len(change.rolled_back),
            error_line=change.error_line,
        )
        self._rows.update(row, new)
        self._content(change)
        self._record(change, row)
        if change.op:
            self._note(change.op, change.run, change.bump, change.who, new.status)
        for message in change.sends:
            self._deliver(message, None if message.key is None else stored_key(message.key))
        return Done(inbox=new.inbox, status=new.status, request=new.request)

    def _content(self, change: Change) -> None:
        run = change.run
        self._set(run, change.set)
        for seq in change.rolled_back:
            entry = self._entry(run, seq)
            if entry is None or not entry.settled:
                raise GuardFailed(f"entry {seq} of run {run} is not settled, so it cannot be rolled back", run=run)
            self._put_entry(run, replace(entry, status="rolled_back", rollback="done"))
        self._archive(change)
        for first, end in change.forget:
            self._txn.delete_range(key(b"e", run, first), key(b"e", run, end))
            self._txn.delete_range(key(b"a", run, first), key(b"a", run, end))
        self._messages(change)
        for failure in change.failures:
            place = key(b"a", run, failure.entry, failure.part, failure.round, failure.n)
            self._put_new(place, encode(failure), "a failed attempt", run)
        for entry in change.add:
            self._put_new(key(b"e", run, entry.seq), encode(sized(entry)), f"entry {entry.seq}", run)

    def _set(self, run: int, entries: Sequence[Entry]) -> None:
        for entry in entries:
            stored = self._entry(run, entry.seq)
            if stored is None or stored.settled:
                raise GuardFailed(f"entry {entry.seq} of run {run} is not open, so it cannot be set", run=run)
            args = stored.args if entry.args is None else entry.args
            place = {"parent": stored.parent, "created_at": stored.created_at, "source": stored.source}
            self._put_entry(run, sized(replace(entry, args=args, **place)))

    def _archive(self, change: Change) -> None:
        run = change.run
        for seq in change.archive:
            entry = self._entry(run, seq)
            if entry is None:
                raise GuardFailed(f"entry {seq} of run {run} is not there, so it cannot be archived", run=run)
            archived = Archived(entry=entry, at=self._now, why=change.bump or "step", head=change.head)
            self._txn.put(key(b"g", run, seq, change.head), encode(archived))
            self._txn.delete(key(b"e", run, seq))

    def _messages(self, change: Change) -> None:
        run = change.run
        for number in change.consume:
            place = key(b"q", run, number)
            if self._txn.get(place) is None:
                raise GuardFailed(f"message {number} is not in the inbox of run {run}", run=run)
            self._txn.delete(place)
        for message in change.requeue:
            self._put_new(key(b"q", run, message.seq), encode(message), f"message {message.seq}", run)
        for reply in change.replies:
            place = key(b"p", reply.message_id)
            if self._txn.get(place) is None:
                self._txn.put(place, encode(Reply(run=run, at=self._now, body=reply.body)))
                self._rows.removed_at(self._now + self._settings.replies_kept, place)

    def _record(self, change: Change, row: RunRow) -> None:
        """The result and what else stands beside the row."""
        if change.state is not None:
            self._rows.set_body(change.run, "state", change.state)
        applies = row.status != "paused" or change.bump in REWINDS
        code = (change.code or row.code) if change.bump == "block" else ""
        if not code and not change.context and (change.finish is None or not applies):
            return
        place = key(b"x", change.run)
        record = decode(self._txn.get(place) or b"", Record)
        if code and code not in record.tried:
            record.tried = (*record.tried, code)
        record.context = change.context or record.context
        if change.finish is not None and applies:
            record.failed_entry = change.finish.failed_entry
            self._rows.set_body(change.run, "output", change.finish.output)
            self._rows.set_body(change.run, "error", change.finish.error)
        self._txn.put(place, encode(record))

    def _undeliverable(self, change: Change) -> Undeliverable | None:
        for message in change.sends:
            target = self._rows.by_id(message.to)
            if target is None:
                return Undeliverable(to=message.to, why="missing")
            if message.key is not None and self._used(target.seq, stored_key(message.key)) is not None:
                continue
            if target.status in FINAL or (target.seq == change.run and change.status in FINAL):
                return Undeliverable(to=message.to, why="ended")
            if self._is_full(target):
                return Undeliverable(to=message.to, why="full")
        return None

    def _entry(self, run: int, seq: int) -> Entry | None:
        data = self._txn.get(key(b"e", run, seq))
        return None if data is None else decode(data, Entry)

    def _put_entry(self, run: int, entry: Entry) -> None:
        self._txn.put(key(b"e", run, entry.seq), encode(entry))

    def _put_new(self, place: bytes, value: bytes, what: str, run: int) -> None:
        if self._txn.get(place) is not None:
            raise GuardFailed(f"{what} of run {run} is there already", run=run)
        self._txn.put(place, value)

    # --- starts

    def _start(self, op: Start) -> Started | Exists:
        twin = self._rows.by_id(op.id)
        if twin is not None:
            return self._twin(op, twin)
        now = self._now
        held = op.worker is not None and op.copied is None and op.start_at <= now and self._is_live(op.worker)
        run = self._rows.next_number("runs")
        row = RunRow(
            seq=run,
            id=op.id,
            workflow=op.workflow,
            status="running" if held else "pending",
            wake_at=None if held else op.start_at,
            owner=op.worker if held else None,
            epoch=int(held),
            passes=int(held),
            tags=tuple(dict.fromkeys(op.tags)),
            code=op.code if held else "",
            created_at=now,
            start_at=op.start_at,
            started_at=now if held else None,
            updated_at=now,
        )
        if op.copied is not None:
            row = self._with_history(row, op.copied)
            self._note(fork_op(op.token), run, "fork", op.copied.who, row.status)
        self._rows.add(row)
        self._rows.set_body(run, "input", op.input)
        self._txn.put(key(b"x", run), encode(first_record(op)))
        return Started(run=run, epoch=int(held))

    def _with_history(self, row: RunRow, copied: Copied) -> RunRow:
        """The row of a fork, whose history is written."""
        for field, body in (("fork", copied.fork), ("state", copied.state)):
            self._rows.set_body(row.seq, field, body)
        for entry in copied.entries:
            self._put_entry(row.seq, sized(entry))
        return replace(row, head=1, entries=copied.last, inbox=copied.inbox, owes=copied.owes)

    def _twin(self, op: Start, row: RunRow) -> Started | Exists:
        record = decode(self._txn.get(key(b"x", row.seq)) or b"", Record)
        if record.token == op.token:
            mine = row.epoch == 1 and row.owner is not None and row.owner == op.worker
            return Started(run=row.seq, epoch=int(mine))
        same = row.workflow == op.workflow and record.input_hash == op.input_hash
        return Exists(run=row.seq, same=same, workflow=row.workflow)

    def _is_live(self, worker: int) -> bool:
        data = self._txn.get(key(b"w", worker))
        return data is not None and decode(data, WorkerRow).state == "live"

    # --- messages

    def _deliver(self, message: Send | Outgoing, used: str | None, *, reply: bool = False) -> Result:
        row = self._rows.by_id(message.to)
        if row is None:
            return NoRun()
        if used is not None and (first := self._used(row.seq, used)) is not None:
            return Duplicate(first=first)
        if row.status in FINAL:
            return Ended(status=row.status)
        if self._is_full(row):
            return Full(size=self._limits.inbox)
        now, number = self._now, row.inbox + 1
        wakes = row.owner is not None or awaits(row.waiting, message.name)
        wake_at = earliest(row.wake_at, now) if wakes else row.wake_at
        self._rows.update(row, replace(row, inbox=number, wake_at=wake_at, updated_at=now))
        arrived = Message(
            seq=number,
            id=message.message_id,
            name=message.name,
            sent_at=now,
            body=message.body,
            sender=message.sender,
            key=message.key,
            reply=reply,
            context=message.context,
        )
        self._txn.put(key(b"q", row.seq, number), encode(arrived))
        if used is not None:
            self._use(row.seq, used, message)
        return Sent(number=number)

    def _use(self, run: int, used: str, message: Send | Outgoing) -> None:
        place = key(b"k", run, used)
        self._txn.put(place, message.message_id.encode())
        if message.key is None:
            self._rows.removed_at(self._now + _KEYS_KEPT_SECONDS, place)

    def _used(self, run: int, used: str) -> str | None:
        data = self._txn.get(key(b"k", run, used))
        return None if data is None else data.decode()

    def _is_full(self, row: RunRow) -> bool:
        limit = self._limits.inbox
        if row.inbox < limit:
            return False
        return len(self._txn.scan(key(b"q", row.seq), key(b"q", row.seq + 1), limit)) >= limit

    # --- verbs

    def _steer(self, op: Steer) -> Result:
        if (first := self._first_answer(op.op)) is not None:
            return Duplicate(first=first)
        row = self._rows.by_id(op.run)
        if row is None:
            return NoRun()
        if op.head is not None and op.head != row.head:
            return Moved(head=row.head)
        if row.status in FINAL:
            self._note(op.op, row.seq, op.verb, op.who, row.status)
            return Ended(status=row.status)
        new = self._rows.settle_fate(row, steered(op.verb, row, self._now), self._now)
        if op.verb == "resume" and row.status in ("paused", "blocked"):
            new = replace(new, error_line=None)
            clear_error(self._rows, row.seq)
        self._rows.update(row, new)
        if new.status == "cancelled":
            self._cancel_open(row.seq)
        self._note(op.op, row.seq, op.verb, op.who, new.status)
        return Steered(status=new.status)

    def _retag(self, op: Tag) -> Result:
        if (first := self._first_answer(op.op)) is not None:
            return Duplicate(first=first)
        row = self._rows.by_id(op.run)
        if row is None:
            return NoRun()
        self._rows.retag(row, retagged(row.tags, op))
        self._note(op.op, row.seq, tag_verb(op), op.who, row.status)
        return Steered(status=row.status)

    def _cancel_open(self, run: int) -> None:
        for _, data in self._txn.scan(key(b"e", run), key(b"e", run + 1)):
            entry = decode(data, Entry)
            if not entry.settled:
                self._put_entry(run, replace(entry, status="cancelled", settled_at=self._now))

    def _first_answer(self, op: str) -> str | None:
        data = self._txn.get(key(b"v", op))
        return None if data is None else decode(data, Steering).result

    def _note(self, op: str, run: int, verb: str, who: str, result: str) -> None:
        place = key(b"v", op)
        self._txn.put(place, encode(Steering(at=self._now, run=run, verb=verb, who=who, result=result)))
        self._rows.removed_at(self._now + self._settings.audit_kept, place)
