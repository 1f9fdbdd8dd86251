"""What the SQL databases share: how values stand in columns, checksums, column lists, and rows read back.

Bodies are JSON text wherever they can be, so that the file reads well in any database tool; what is not text is marked
``base64:``. Nothing here executes a statement.

A checksum covers what a pass trusts. A history is loaded without the recorded arguments, which may be large, so an
entry's `crc` holds two sums: 32 bits over location, kind, output, error and patch, and above them 31 bits over the
arguments as stored. `args_crc` is another thing: what the engine compares, which an outer codec may have given.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn
from zlib import crc32

from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.run import STATUSES
from flowkit.drivers.base import RunRow
from flowkit.drivers.rules import ANY
from flowkit.errors import PayloadError

__all__ = [
    "ATTEMPT_COLUMNS",
    "AT_ID",
    "ENTRY_COLUMNS",
    "HISTORY_COLUMNS",
    "LOW",
    "MESSAGE_COLUMNS",
    "ROW_COLUMNS",
    "Row",
    "args_sum",
    "attempt_of",
    "attempt_values",
    "body_of",
    "body_sum",
    "check_entry",
    "check_owner",
    "checked_body",
    "entry_of",
    "entry_sum",
    "entry_values",
    "joined",
    "message_of",
    "message_sum",
    "names_of",
    "padded",
    "refuse_damaged",
    "row_of",
    "tags_text",
    "text_of",
    "waiting_text",
]

Row = tuple[Any, ...]
"""A row as a database client hands it over; what the columns hold is the schema's word."""

_MARK = "base64:"
LOW = 0xFFFF_FFFF

ROW_COLUMNS = (
    "seq, id, workflow, status, wake_at, owner, epoch, head, entries, inbox, seen, owes, waiting, request, ending, "
    "crashes, passes, replays, current, attempts, attempts_max, undone, error_line, tags, code, created_at, start_at, "
    "started_at, updated_at, finished_at, expire_at"
)
AT_ID = "(SELECT seq AS place FROM runs WHERE id = ?) CROSS JOIN runs ON runs.seq = place"
"""The run that the index of ids leads to. Whoever asks for its id once more asks the row: a damaged index leads to another."""

ENTRY_COLUMNS = (
    "run, seq, parent, location, kind, status, attempts, round, created_at, started_at, settled_at, due_at, rollback, "
    "source, size, crc, args_crc, output, error, patch, args, by_hand"
)
HISTORY_COLUMNS = (
    "seq, parent, location, kind, status, attempts, round, created_at, started_at, settled_at, due_at, rollback, "
    "source, size, args_crc"
)
MESSAGE_COLUMNS = "seq, id, name, sent_at, sender, key, reply, context, crc, body"
ATTEMPT_COLUMNS = "run, entry, part, round, n, started_at, ended_at, retry_at, error"


# --- bodies ---------------------------------------------------------------------------------------------------------


def text_of(body: bytes | None) -> str | None:
    """`body` as a column holds it: UTF-8 without NUL as it is, anything else in base64 behind a mark."""
    if body is None:
        return None
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _MARK + b64encode(body).decode()
    if "\0" in text or text.startswith(_MARK):
        return _MARK + b64encode(body).decode()
    return text


def body_of(text: str | bytes | None) -> bytes | None:
    """The body behind a column's text; bytes are what a person's tool may have put there.

    Raises:
        PayloadError: base64 that is none.
    """
    if text is None:
        return None
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):  # a column of text holds no number, unless its record is damaged
        raise PayloadError(f"a stored body is {text!r}: the file was damaged or edited.")
    if text.startswith(_MARK):
        try:
            return b64decode(text[len(_MARK) :], validate=True)
        except (Base64Error, ValueError) as error:
            raise PayloadError(f"a stored body is marked as base64 but is not: {error}") from error
    return str(text).encode()


# --- checksums ------------------------------------------------------------------------------------------------------


def body_sum(body: bytes | None) -> int:
    """The sum of one body; 0 if there is none."""
    return 0 if body is None else crc32(body)


def args_sum(args: bytes | None) -> int:
    """The sum of an entry's arguments, in its place above the sum of the rest."""
    return 0 if args is None else (crc32(args) & 0x7FFF_FFFF) << 32


def entry_sum(
    location: str, kind: str, output: str | None, error: str | None, patch: str | None, by_hand: str | None = None
) -> int:
    """The sum of an entry, over its texts as stored."""
    if by_hand is not None:
        return crc32(f"{location}\0{kind}\0{output}\0{error}\0{patch}\0{by_hand}".encode("utf-8", "surrogatepass"))
    if error is None and patch is None:
        return crc32(f"{location}\0{kind}\0{output}".encode("utf-8", "surrogatepass"))
    return crc32(f"{location}\0{kind}\0{output}\0{error}\0{patch}".encode("utf-8", "surrogatepass"))


def message_sum(name: str, body: str | None) -> int:
    """The sum of a message, over its texts as stored."""
    return crc32(f"{name}\0{body}".encode("utf-8", "surrogatepass"))


def refuse_damaged(what: str) -> NoReturn:
    """Raises:
    PayloadError: always; `what` does not match its checksum."""
    raise PayloadError(
        f"{what} does not match its stored checksum: the file was damaged or edited. "
        "`flowkit doctor` shows it and can accept an edit."
    )


def checked_body(text: str | bytes | None, crc: int, what: str) -> bytes | None:
    """The body behind a column's text. Raises PayloadError if it is not the one that was stored."""
    if text is None and crc == 0:
        return None
    body = body_of(text)
    if body_sum(body) != crc:
        refuse_damaged(what)
    return body


def check_entry(run: int, row: Row, crc: int) -> None:
    """Check one row of `HISTORY_COLUMNS`, output, error, patch, by_hand. Raises PayloadError."""
    if type(crc) is not int or entry_sum(row[2], row[3], row[15], row[16], row[17], row[18]) != crc & LOW:
        refuse_damaged(f"entry {row[0]} ({row[2]}) of run {run}")


def check_owner(run: int, rows: Iterable[Row], what: str) -> None:
    """Check rows that were found by an index and begin with their number: they end with the run and the number that the table
    itself holds, then the number in the index. A damaged index leads to another run's rows. Raises PayloadError.
    """
    for row in rows:
        if row[-3] != run or row[-2] != row[-1]:
            raise PayloadError(f"the index of {what} of run {run} leads elsewhere: the file was damaged. See `flowkit doctor`.")


# --- values to columns ----------------------------------------------------------------------------------------------


def entry_values(run: int, entry: Entry) -> Row:
    """A new entry as `ENTRY_COLUMNS`."""
    output = error = patch = args = by_hand = None  # most of them are, and every step comes by here
    size = args_crc = 0
    if entry.output is not None:
        output, size = text_of(entry.output), len(entry.output)
    if entry.error is not None:
        error = text_of(entry.error)
        size += len(entry.error)
    if entry.patch is not None:
        patch = text_of(entry.patch)
    if entry.by_hand is not None:
        by_hand = text_of(entry.by_hand)
    crc = entry_sum(entry.location, entry.kind, output, error, patch, by_hand)
    if entry.args is not None:
        args = text_of(entry.args)
        size += len(entry.args)
        args_crc = entry.args_crc or crc32(entry.args)
        crc |= args_sum(entry.args)
    return (
        run,
        entry.seq,
        entry.parent,
        entry.location,
        entry.kind,
        entry.status,
        entry.attempts,
        entry.round,
        entry.created_at,
        entry.started_at,
        entry.settled_at,
        entry.due_at,
        entry.rollback,
        entry.source,
        size,
        crc,
        args_crc,
        output,
        error,
        patch,
        args,
        by_hand,
    )


def attempt_values(run: int, failure: FailedAttempt) -> Row:
    """A failed attempt as `ATTEMPT_COLUMNS`."""
    return (
        run,
        failure.entry,
        failure.part,
        failure.round,
        failure.n,
        failure.started_at,
        failure.ended_at,
        failure.retry_at,
        text_of(failure.error),
    )


def waiting_text(waiting: Sequence[str] | None) -> str | None:
    """Awaited names between newlines, which names cannot contain, so that one LIKE-free search finds a name."""
    if waiting is None:
        return None
    return ANY if ANY in waiting else joined(waiting)


def joined(names: Iterable[str]) -> str:
    """Names between newlines; empty for none."""
    text = "\n".join(names)
    return f"\n{text}\n" if text else ""


def names_of(text: str | None) -> tuple[str, ...]:
    """The names in a `joined` text."""
    return tuple(name for name in (text or "").split("\n") if name)


def padded(numbers: Iterable[int], lengths: Sequence[int]) -> Iterator[list[int]]:
    """`numbers` in lists of a few fixed `lengths`, filled up with 0, so that the texts of ``IN (?, ?, …)`` are few."""
    left = iter(numbers)
    while chunk := list(islice(left, lengths[-1])):
        yield chunk + [0] * (next(length for length in lengths if length >= len(chunk)) - len(chunk))


def tags_text(tags: Sequence[str]) -> str:
    """Tags as a JSON list."""
    return json.dumps(list(tags), ensure_ascii=False) if tags else "[]"


# --- columns to values ----------------------------------------------------------------------------------------------


def row_of(row: Row) -> RunRow:
    """A row of `ROW_COLUMNS`."""
    (seq, id, workflow, status, wake_at, owner, epoch, head, entries, inbox, seen, owes, waiting, request, ending) = row[:15]
    (crashes, passes, replays, current, attempts, attempts_max, undone, error_line, tags, code) = row[15:25]
    if status not in STATUSES:
        raise PayloadError(f"run {seq} has the status {status!r}, which there is not: the file was damaged or edited.")
    return RunRow(
        seq=seq,
        id=id,
        workflow=workflow,
        status=status,
        wake_at=wake_at,
        owner=owner,
        epoch=epoch,
        head=head,
        entries=entries,
        inbox=inbox,
        seen=seen,
        owes=owes,
        waiting=_waiting(waiting),
        request=request,
        ending=ending,
        crashes=crashes,
        passes=passes,
        replays=replays,
        current=current,
        attempts=attempts,
        attempts_max=attempts_max,
        undone=undone,
        error_line=error_line,
        tags=() if tags == "[]" else _tags(seq, tags),
        code=code,
        created_at=row[25],
        start_at=row[26],
        started_at=row[27],
        updated_at=row[28],
        finished_at=row[29],
        expire_at=row[30],
    )


def _tags(seq: int, text: str) -> tuple[str, ...]:
    try:
        return tuple(json.loads(text))
    except (TypeError, ValueError) as error:
        raise PayloadError(f"the tags of run {seq} cannot be read: the file was damaged or edited.") from error


def _waiting(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise PayloadError(f"what a run waits for is stored as {text!r}: the file was damaged or edited.")
    return (ANY,) if text == ANY else names_of(text)


def entry_of(row: Row) -> Entry:
    """A row of `HISTORY_COLUMNS`, output, error, patch, by_hand."""
    (seq, parent, location, kind, status, attempts, round, created_at, started_at, settled_at, due_at) = row[:11]
    (rollback, source, size, args_crc, output, error, patch, by_hand) = row[11:19]
    if type(seq) is not int or (type(location), type(kind), type(status)) != (str, str, str):  # damage changes types, too
        raise PayloadError(f"entry {seq} cannot be read: the file was damaged or edited. See `flowkit doctor`.")
    return Entry(
        seq=seq,
        parent=parent,
        location=location,
        kind=kind,
        status=status,
        attempts=attempts,
        round=round,
        created_at=created_at,
        started_at=started_at,
        settled_at=settled_at,
        due_at=due_at,
        rollback=rollback,
        source=source,
        size=size,
        args_crc=args_crc,
        output=body_of(output),
        error=body_of(error),
        patch=body_of(patch),
        by_hand=None if by_hand is None else body_of(by_hand),
    )


def message_of(run: int, row: Row) -> Message:
    """A row of `MESSAGE_COLUMNS`. Raises PayloadError if it is damaged."""
    seq, id, name, sent_at, sender, key, reply, context, crc, body = row
    if message_sum(name, body) != crc:
        refuse_damaged(f"message {seq} ({name}) of run {run}")
    return Message(
        seq=seq,
        id=id,
        name=name,
        sent_at=sent_at,
        sender=sender,
        key=key,
        reply=bool(reply),
        body=body_of(body) or b"",
        context=context,
    )


def attempt_of(row: Row) -> FailedAttempt:
    """A row of `ATTEMPT_COLUMNS`."""
    _, entry, part, round, n, started_at, ended_at, retry_at, error = row
    return FailedAttempt(
        entry=entry,
        part=part,
        round=round,
        n=n,
        started_at=started_at,
        ended_at=ended_at,
        retry_at=retry_at,
        error=body_of(error) or b"",
    )
