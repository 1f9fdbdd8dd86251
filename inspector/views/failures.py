"""Why runs failed or are held, for lists. Their rows say it in part or no longer, so the run's error is asked."""

from __future__ import annotations

from collections.abc import Iterable

from flowkit.client.facts import cause_of
from flowkit.client.reader import Reader, RunRow

from ..present.states import Failure, Misfit, failure_of, held_by_code, misfit_of

__all__ = ["failure_in", "misfit_in", "reasons_of"]


def reasons_of(reader: Reader, rows: Iterable[RunRow]) -> dict[int, Failure | Misfit]:
    """Why those of these runs that failed or are held by code did not go on, by seq."""
    stopped = {row.seq: row for row in rows if row.status in ("failed", "blocked")}
    found = {seq: failure_in(reader, row) or misfit_in(reader, row) for seq, row in stopped.items()}
    return {seq: reason for seq, reason in found.items() if reason is not None}


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


def misfit_in(reader: Reader, row: RunRow) -> Misfit | None:
    """What holds this run; None if it is not held, or by something else than an entry of its history."""
    if not held_by_code(row):
        return None
    error = reader.end(row.seq).error
    return None if error is None else misfit_of(error.attributes)
