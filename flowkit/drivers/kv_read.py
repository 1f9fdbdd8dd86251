"""Everything that reads a key-value store outside a write."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.line import Line
from flowkit.drivers.base import BodyRef, LineQuery, RunQuery, RunRow, RunView
from flowkit.drivers.kv_records import Archived, Reply, Steering
from flowkit.drivers.kv_rows import run_of
from flowkit.drivers.kv_store import KVStore, Record, decode, key, prefix_end
from flowkit.drivers.lists import MAX_PREFIX
from flowkit.drivers.survey import Deed

__all__ = ["Reads"]

_ALL = 10_000_000
_FIRST_MESSAGES = 256
_SMALL = 4_096
_PAGE = 200
_WITH_ERRORS = ("failed", "blocked")


class Reads:
    """The reading half of a key-value driver."""

    def __init__(self, store: KVStore) -> None:
        self._store = store

    def load(self, run: int, after: int) -> RunView | None:
        """See `Driver.load`. Read again if the row changed meanwhile, so that what comes back is one moment."""
        while True:
            found = self._store.get(key(b"r", run))
            if found is None:
                return None
            view = self._view(run, decode(found[0], RunRow), after)
            again = self._store.get(key(b"r", run))
            if view is not None and again is not None and again[1] == found[1]:
                return view

    def _view(self, run: int, row: RunRow, after: int) -> RunView | None:
        record = self._value(key(b"x", run))
        if record is None:
            return None
        about = decode(record, Record)
        entries = [decode(data, Entry) for _, data, _ in self._store.scan(key(b"e", run, after + 1), key(b"e", run + 1), _ALL)]
        failures = self.attempts(run, None) if row.ending else []
        return RunView(
            row=row,
            input=self._value(key(b"y", run, "input")) or b"",
            state=self._value(key(b"y", run, "state")),
            error=self._value(key(b"y", run, "error")),
            failed_entry=about.failed_entry,
            tried=about.tried,
            entries=[entry if entry.args is None else replace(entry, args=None) for entry in entries],
            messages=self.inbox(run, (), _FIRST_MESSAGES),
            handler_failures=[failure for failure in failures if failure.part == "rollback"],
            fork=self._value(key(b"y", run, "fork")),
        )

    def _value(self, place: bytes) -> bytes | None:
        found = self._store.get(place)
        return None if found is None else found[0]

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """See `Driver.inbox`."""
        room = _ALL if names else limit
        found = [decode(data, Message) for _, data, _ in self._store.scan(key(b"q", run), key(b"q", run + 1), room)]
        return [message for message in found if not names or message.name in names][:limit]

    def get(self, run: int | str) -> RunRow | None:
        """See `Driver.get`."""
        if isinstance(run, str):
            seq = self._value(key(b"i", run))
            if seq is None:
                return None
            run = int.from_bytes(seq, "big")
        data = self._value(key(b"r", run))
        return None if data is None else decode(data, RunRow)

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        """See `Driver.outcome`. Two reads, so the row is read once more."""
        row = self.get(run)
        while row is not None and row.status == "completed":
            output = self.body(BodyRef(run=run, field="output"))
            before, row = row, self.get(run)
            if row == before:
                return before, output
        return None if row is None else (row, None)

    def history(self, run: int, after: int, before: int | None, limit: int, archived: bool) -> list[Entry]:
        """See `Driver.history`."""
        kind = b"g" if archived else b"e"
        end = key(kind, run + 1) if before is None else key(kind, run, before)
        found = self._store.scan(key(kind, run, after + 1), end, limit, reverse=before is not None)
        rows = [decode(data, Archived).entry if archived else decode(data, Entry) for _, data, _ in found]
        entries = [_for_lists(entry) for entry in rows]
        return entries if before is None else entries[::-1]

    def first_code(self, run: int) -> str:
        """See `Driver.first_code`."""
        row = self.get(run)
        return "" if row is None else decode(self._value(key(b"x", run)) or b"", Record).first_code or row.code

    def manifest(self, code: str) -> bytes | None:
        """See `Driver.manifest`."""
        return self._value(key(b"c", code))

    def deed(self, op: str) -> Deed | None:
        """See `Recorded.deed`."""
        data = self._value(key(b"v", op))
        if data is None:
            return None
        done = decode(data, Steering)
        return Deed(op=op, at=done.at, run=done.run, verb=done.verb, who=done.who, result=done.result)

    def attempts(self, run: int, entry: int | None) -> list[FailedAttempt]:
        """See `Driver.attempts`."""
        prefix = key(b"a", run) if entry is None else key(b"a", run, entry)
        return [decode(data, FailedAttempt) for _, data, _ in self._store.scan(prefix, prefix_end(prefix), _ALL)]

    def lines(self, query: LineQuery) -> list[Line]:
        """See `Driver.lines`."""
        found: list[Line] = []
        for line in self._logged(query):
            if _wanted(query, line):
                found.append(line)
                if len(found) >= query.limit:
                    break
        return found if query.before is None else found[::-1]

    def _logged(self, query: LineQuery) -> Iterator[Line]:
        """The lines between the window's bounds, from the end at which it begins."""
        start = key(b"l", query.run, query.after + 1)
        end = key(b"l", query.run + 1) if query.before is None else key(b"l", query.run, query.before)
        while found := self._store.scan(start, end, _PAGE, reverse=query.before is not None):
            for _, data, _ in found:
                yield decode(data, Line)
            if query.before is None:
                start = found[-1][0] + b"\0"
            else:
                end = found[-1][0]

    def body(self, ref: BodyRef) -> bytes | None:
        """See `Driver.body`."""
        if ref.field == "reply":
            data = self._value(key(b"p", ref.message_id))
            return None if data is None else decode(data, Reply).body
        if ref.entry is None:
            return self._value(key(b"y", ref.run, ref.field))
        entry = self._entry(ref.run, ref.entry)
        return None if entry is None else getattr(entry, ref.field)

    def _entry(self, run: int, seq: int) -> Entry | None:
        """The live one, else the newest archived one of that number."""
        data = self._value(key(b"e", run, seq))
        if data is not None:
            return decode(data, Entry)
        found = self._store.scan(key(b"g", run, seq), key(b"g", run, seq + 1), 1, reverse=True)
        return decode(found[0][1], Archived).entry if found else None

    # --- lists

    def runs(self, query: RunQuery) -> list[RunRow]:
        """See `Driver.runs`."""
        page: list[RunRow] = []
        for run in self._candidates(query):
            if query.newer_than is not None and run <= query.newer_than:
                break
            row = self.get(run)
            if row is not None and _matches(query, row):
                page.append(row)
                if len(page) >= query.limit:
                    break
        return page

    def _candidates(self, query: RunQuery) -> Iterator[int]:
        """Seqs, newest first, of all runs that may match."""
        if query.tag is not None:
            return self._backwards(key(b"t", query.tag), query.after)
        if query.id_prefix is not None:
            prefix = b"i" + query.id_prefix.encode("utf-8", "surrogatepass")
            found = self._store.scan(prefix, prefix_end(prefix), MAX_PREFIX)
            return iter(sorted((int.from_bytes(seq, "big") for _, seq, _ in found), reverse=True))
        if query.owner is not None:
            return self._backwards(key(b"o", query.owner), query.after)
        statuses = _WITH_ERRORS if query.error is not None and not query.statuses else query.statuses
        if statuses:
            return _merged([self._backwards(key(b"s", status), query.after) for status in dict.fromkeys(statuses)])
        if query.workflow is not None:
            return self._backwards(key(b"f", query.workflow), query.after)
        return self._backwards(b"r", query.after)

    def _backwards(self, prefix: bytes, after: int | None) -> Iterator[int]:
        end = prefix_end(prefix) if after is None else key(prefix, after)
        while found := self._store.scan(prefix, end, _PAGE, reverse=True):
            for place, _, _ in found:
                yield run_of(place)
            end = found[-1][0]


def _merged(streams: list[Iterator[int]]) -> Iterator[int]:
    heads = [(next(stream, None), stream) for stream in streams]
    while live := [(run, stream) for run, stream in heads if run is not None]:
        newest = max(run for run, _ in live)
        yield newest
        heads = [(next(stream, None) if run == newest else run, stream) for run, stream in live]


def _matches(query: RunQuery, row: RunRow) -> bool:
    if query.error is not None and not (row.status in _WITH_ERRORS and query.error.lower() in (row.error_line or "").lower()):
        return False
    return (
        (not query.statuses or row.status in query.statuses)
        and (query.workflow is None or row.workflow == query.workflow)
        and (query.tag is None or query.tag in row.tags)
        and (query.owner is None or row.owner == query.owner)
        and (query.id_prefix is None or row.id.startswith(query.id_prefix))
        and (query.since is None or row.created_at >= query.since)
        and (query.until is None or row.created_at < query.until)
        and (query.after is None or row.seq < query.after)
    )


def _wanted(query: LineQuery, line: Line) -> bool:
    return (
        line.level >= query.level
        and (query.location is None or line.location == query.location)
        and (query.part is None or line.part == query.part)
    )


def _for_lists(entry: Entry) -> Entry:
    output = entry.output if entry.size <= _SMALL else None
    return replace(entry, output=output, patch=None, args=None)
