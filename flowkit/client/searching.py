"""Search in what runs hold: their error lines and their inputs, as they are stored. No index helps here, so time is the limit.

The runs that the other filters let through are looked at page by page, newest first, until enough are found or the time is
over; the answer says how far that was, so that whoever asked can go on from there. Letters of ASCII match in either case.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from flowkit.drivers.base import BodyRef, Driver, RunQuery, RunRow
from flowkit.drivers.sealed import SealedDriver
from flowkit.drivers.survey import Survey
from flowkit.errors import PayloadError

__all__ = ["Sought", "search"]

_PAGES = (10, 50, 200, 500)
"""How many runs are looked at between two looks at the clock: few at first, since one input may be megabytes."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found. `next` is the seq below which there is more to find or to look at; `partial`: after `looked_at` runs the
    time was over.
    """

    rows: tuple[RunRow, ...]
    next: int | None = None
    looked_at: int = 0
    partial: bool = False


def search(
    driver: Driver, survey: Survey | None, query: RunQuery, *, error: str | None = None, input: str | None = None,
    seconds: float,
) -> Sought:  # fmt: skip
    """The first `query.limit` runs that `query` lets through and that hold these texts."""
    deadline = time.monotonic() + seconds
    found: list[RunRow] = []
    looked_at, after, page = 0, query.after, 0
    survey = None if isinstance(driver, SealedDriver) else survey  # what is stored there is sealed: only the driver can open it
    while True:
        rows = driver.runs(replace(query, after=after, limit=_PAGES[min(page, len(_PAGES) - 1)]))
        matching = _with_error(rows, error)
        if input is not None:
            held = _with_input(driver, survey, matching, input, deadline)
            if held is None:
                return Sought(tuple(found), after, looked_at, partial=True)
            matching = held
        for row in matching:
            if len(found) == query.limit:
                return Sought(tuple(found), found[-1].seq, looked_at)
            found.append(row)
        looked_at += len(rows)
        if len(rows) < _PAGES[min(page, len(_PAGES) - 1)]:
            return Sought(tuple(found), None, looked_at)
        after, page = rows[-1].seq, page + 1
        if time.monotonic() >= deadline:
            return Sought(tuple(found), after, looked_at, partial=True)


def _with_error(rows: Sequence[RunRow], text: str | None) -> Sequence[RunRow]:
    if text is None:
        return rows
    wanted = text.encode("utf-8", "surrogatepass").lower()
    return [row for row in rows if row.error_line and wanted in row.error_line.encode("utf-8", "surrogatepass").lower()]


def _with_input(
    driver: Driver, survey: Survey | None, rows: Sequence[RunRow], text: str, deadline: float
) -> Sequence[RunRow] | None:
    """Those of the rows whose input holds the text; None if the time was over before all were looked at."""
    if survey is not None:
        held = survey.holding([row.seq for row in rows], text, deadline - time.monotonic())
        return None if held is None else [row for row in rows if row.seq in held]
    wanted, found = text.encode("utf-8", "surrogatepass").lower(), []
    for row in rows:
        if time.monotonic() >= deadline:
            return None
        if wanted in _input_of(driver, row).lower():
            found.append(row)
    return found


def _input_of(driver: Driver, row: RunRow) -> bytes:
    try:
        return driver.body(BodyRef(run=row.seq, field="input")) or b""
    except PayloadError:  # damaged: who looks at the run itself is told
        return b""
