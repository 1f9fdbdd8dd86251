"""Why runs failed, for lists. The row of a run that was rolled back no longer says it, so the run's error is asked."""

from __future__ import annotations

from collections.abc import Iterable

from flowkit.client.facts import cause_of
from flowkit.client.reader import Reader, RunRow

from ..present.states import Failure, failure_of

__all__ = ["failure_in", "failures_of"]


def failures_of(reader: Reader, rows: Iterable[RunRow]) -> dict[int, Failure]:
    """Why the failed ones among these runs failed, by seq."""
    failed = {row.seq: row for row in rows if row.status == "failed"}
    found = {seq: failure_in(reader, row) for seq, row in failed.items()}
    return {seq: failure for seq, failure in found.items() if failure is not None}


def failure_in(reader: Reader, row: RunRow) -> Failure | None:
    """Why this run failed; None if it did not."""
    if row.status != "failed":
        return None
    end = reader.end(row.seq)
    entry = reader.entry(row.seq, end.entry) if end.entry else None
    if end.error is None:
        return failure_of(row, row.error_line or "", "", entry)
    told = cause_of(end.error) or end.error
    return failure_of(row, str(told), end.error.type, entry)
