"""What one statement decides on PostgreSQL is what `rules` decides everywhere else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from flowkit.core.change import Change, Finish, Park
from flowkit.core.entry import Entry
from flowkit.core.run import STATUSES
from flowkit.drivers.base import Done, RunRow, Start, Started
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.rules import expiry, landed, owed
from tests.drivers.pg import execute
from tests.postgres.server import NEWEST, emptied_database

NOW = 1_700_000_000.0
DAYS = {"completed": 1.0, "w/failed": 2.0, "v/*": 3.0, "w/*": 4.0}

STATUS = (None, "running", "pending", "sleeping", "rolling_back", "completed", "failed", "cancelled")
LEAVING: tuple[dict[str, Any], ...] = (
    {},
    {"release": True},
    {"park": Park(wake_at=None)},
    {"park": Park(wake_at=NOW + 5, waiting=("m",))},
)
OTHER: tuple[dict[str, Any], ...] = (
    {},
    {"calms": True, "ending": "failed", "wake_at": NOW + 9, "context": "trace"},
    {"ending": "", "calms": True, "finish": Finish(output=b"1")},
)
ROWS = (
    "wake_at = NULL, inbox = 0, crashes = 0, request = '', ending = '', waiting = NULL, finished_at = NULL, context = 'old'",
    "wake_at = 7, inbox = 3, crashes = 2, request = 'evict', ending = 'cancelled', waiting = E'\\nm\\n', owes = 4, context = ''",
)
FATE = ("status", "wake_at", "owner", "epoch", "request", "ending", "crashes", "replays", "finished_at", "expire_at", "waiting")


@pytest.fixture
def driver() -> Iterator[PostgresDriver]:
    opened = PostgresDriver(emptied_database(NEWEST), "process")
    yield opened
    opened.close()


def expected(before: RunRow, change: Change) -> dict[str, Any]:
    """The columns of `FATE`, as the rules have them."""
    fate = landed(change, before, NOW)
    found: dict[str, Any] = {name: getattr(fate, name) for name in FATE if name not in ("waiting", "expire_at")}
    found["waiting"] = before.waiting if fate.keeps_waiting else None if fate.waiting is None else tuple(fate.waiting)
    ends = fate.status in ("completed", "failed", "cancelled")
    found["expire_at"] = expiry(DAYS, fate.status, before.workflow, NOW) if ends else None
    found["owes"] = owed(change, fate)
    return found


@pytest.mark.timeout(60)
@pytest.mark.parametrize("row", ROWS)
def test_the_statement_decides_as_the_rules_do(driver: PostgresDriver, row: str) -> None:
    combinations = list(product(STATUSES, STATUS, LEAVING, OTHER))
    workflows = ["w", "v", "u"]
    starts = [
        Start(id=f"r{n}", workflow=workflows[n % 3], input=b"1", input_hash="", start_at=NOW, token=f"t{n}", code=str(n))
        for n in range(len(combinations))
    ]
    driver.retain(DAYS)
    runs = [result.run for result in driver.write(starts, NOW) if isinstance(result, Started)]
    execute(driver, f"UPDATE runs SET {row}, owner = 1, epoch = 1, head = 0")
    for status in STATUSES:
        chosen = [run for run, (before, *_) in zip(runs, combinations, strict=True) if before == status]
        execute(driver, "UPDATE runs SET status = %s WHERE seq = ANY(%s)", status, chosen)
    before = {run: driver.get(run) for run in runs}
    changes = [
        Change(
            run=run,
            epoch=1,
            head=0,
            entries=1,
            seen=1,
            owes=2,
            status=status,
            **leaving,
            **other,
            add=[Entry(seq=1, location="a", kind="step", status="completed", settled_at=NOW, output=b"1")],
        )
        for run, (_, status, leaving, other) in zip(runs, combinations, strict=True)
    ]

    results = driver.write(changes, NOW)

    assert all(isinstance(result, Done) for result in results)
    for change in changes:
        was, is_now = before[change.run], driver.get(change.run)
        assert was is not None
        assert is_now is not None
        told = {name: getattr(is_now, name) for name in (*FATE, "owes")}
        assert told == expected(was, change), (was.status, change)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("status", ["running", "paused", "rolling_back"])
def test_the_short_form_decides_as_the_rules_do(driver: PostgresDriver, status: str, row: str) -> None:
    start = Start(id="r", workflow="w", input=b"1", input_hash="", start_at=NOW, token="t")
    (started,) = driver.write([start], NOW)
    assert isinstance(started, Started)
    run = started.run
    execute(driver, f"UPDATE runs SET {row}")
    execute(driver, "UPDATE runs SET waiting = NULL, owner = 1, epoch = 1, status = %s", status)
    entry = Entry(seq=1, location="a", kind="step", status="completed", settled_at=NOW, output=b"1")
    change = Change(run=run, epoch=1, head=0, entries=1, seen=1, owes=2, calms=True, add=[entry])
    was = driver.get(run)

    driver.write([change], NOW)

    is_now = driver.get(run)
    assert was is not None
    assert is_now is not None
    assert {name: getattr(is_now, name) for name in (*FATE, "owes")} == expected(was, change)
    assert [found.location for found in driver.history(run)] == ["a"]
