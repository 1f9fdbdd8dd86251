"""Giving runs to a worker: their rows, in as few statements as may be, and what a first pass needs of those that are new.

A worker that serves many short runs spends more on taking them than on a step, so a whole claim is one `executemany` and,
for the runs that have written nothing yet, one SELECT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowkit.drivers.base import Claim
from flowkit.drivers.cursors import Executes
from flowkit.drivers.rules import claimed
from flowkit.drivers.sql import Row
from flowkit.drivers.sqlite_change import FATE, STANDING_COLUMNS, Standing, clear_error, fate_values
from flowkit.drivers.sqlite_read import fresh_views

__all__ = ["CLAIM_COLUMNS", "take_runs"]

CLAIM_COLUMNS = f"{STANDING_COLUMNS}, id, workflow, context"
"""What must be known of a run to take it."""

_STANDING = len(CLAIM_COLUMNS.split(",")) - 3
_TAKE = f"UPDATE runs SET updated_at = ?, {FATE}, passes = passes + 1, code = ?, started_at = ifnull(started_at, ?) WHERE seq = ?"

_FIRST_CODE = "UPDATE run_io SET first_code = ? WHERE run = ? AND first_code = ''"
"""Written when a run first passes under other code: as long as it has had one, its row says so."""


def take_runs(cursor: Executes, worker: int, rows: Sequence[Row], workflows: Mapping[str, str], now: float) -> list[Claim]:
    """Make the runs of `rows` (`CLAIM_COLUMNS`) this worker's, under the code that `workflows` names for each."""
    if not rows:
        return []
    found = [Standing(*row[:_STANDING]) for row in rows]
    names = [row[_STANDING:] for row in rows]
    fates = [claimed(standing, worker) for standing in found]
    values = [
        (now, *fate_values(fate, None), workflows[workflow], now, standing.seq)
        for standing, fate, (_, workflow, _) in zip(found, fates, names, strict=True)
    ]
    cursor.executemany(_TAKE, values)
    codes = [workflows[workflow] for _, workflow, _ in names]
    moved = [(each.code, each.seq) for each, code in zip(found, codes, strict=True) if each.code not in ("", code)]
    if moved:
        cursor.executemany(_FIRST_CODE, moved)
    for standing in found:
        if standing.status == "blocked":
            clear_error(cursor, standing.seq)
    views = fresh_views(cursor, [standing.seq for standing in found if standing.head == 0])
    return [
        Claim(
            run=standing.seq, id=id, workflow=workflow, epoch=fate.epoch, head=standing.head, crashes=fate.crashes,
            status=fate.status, request=standing.request, code=standing.code, view=views.get(standing.seq), context=context,
        )
        for standing, fate, (id, workflow, context) in zip(found, fates, names, strict=True)
    ]  # fmt: skip
