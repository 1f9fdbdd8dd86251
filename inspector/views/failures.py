"""Why runs failed or are held, for lists. Their rows say it in part or no longer, so the run's error is asked."""

from __future__ import annotations

from collections.abc import Iterable

from flowkit.client.facts import cause_of
from flowkit.client.reader import Reader, RunEnd, RunRow, Stop

from ..present.states import Failure, Misfit, Reason, failure_of, held_by_code, misfit_of

__all__ = ["failure_in", "misfit_in", "reasons_of", "stop_of"]


def reasons_of(reader: Reader, rows: Iterable[RunRow]) -> dict[int, Reason]:
    """Why those of these runs that failed, are held by code, or were stopped by somebody did not go on, by seq."""
    rows = list(rows)
    stopped = {row.seq: row for row in rows if row.status == "failed" or held_by_code(row)}
    ends = reader.ends(tuple(stopped))
    found = {seq: _reason(row, ends.get(seq, RunEnd(None, None))) for seq, row in stopped.items()}
    stops = {row.seq: stop_of(reader, row) for row in rows}
    return {seq: reason for seq, reason in (stops | found).items() if reason is not None}


def failure_in(reader: Reader, row: RunRow) -> Failure | None:
    """Why this run failed; None if it did not."""
    return _failure(row, reader.end(row.seq)) if row.status == "failed" else None


def misfit_in(reader: Reader, row: RunRow) -> Misfit | None:
    """What holds this run; None if it is not held, or by something else than an entry of its history."""
    return _misfit(reader.end(row.seq)) if held_by_code(row) else None


def stop_of(reader: Reader, row: RunRow) -> Stop | None:
    """Who stopped this run; None if it was not paused or cancelled."""
    return reader.stop(row) if row.status in ("paused", "cancelled") else None


def _reason(row: RunRow, end: RunEnd) -> Failure | Misfit | None:
    return _failure(row, end) if row.status == "failed" else _misfit(end)


def _failure(row: RunRow, end: RunEnd) -> Failure:
    if end.error is None:
        return failure_of(row, row.error_line or "", "", end.entry)
    told = cause_of(end.error) or end.error
    return failure_of(row, str(told), end.error.type, end.entry)


def _misfit(end: RunEnd) -> Misfit | None:
    return None if end.error is None else misfit_of(end.error.attributes)
