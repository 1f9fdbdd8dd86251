"""Bulks over a million runs: the page before one comes at once, and the walk goes by indexes however rare its runs are."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowkit.client.bulk import ALLOWED, Bulks, Picks, following, narrowed
from flowkit.drivers.sqlite_bulk import BULK, BULKS, OPEN_BULKS
from flowkit.testing import FakeClock
from tests.inspector.budgets import Budget
from tests.inspector.million import NOW
from tests.inspector.served import Served, serving
from tests.inspector.test_million import troubles_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PAGES = [
    "/bulk", "/bulk/new?verb=recover", "/bulk/new?verb=cancel", "/bulk/new?verb=pause&workflow=note",
    "/bulk/new?verb=resume&tag=eu",
    "/bulk/new?verb=recover&tag=vip&workflow=checkout", "/bulk/new?verb=evict&since=2h", "/bulk/new?verb=replay&until=60d",
    "/bulk/new?verb=wake&q=note-05", "/bulk/new?verb=wake&q=fetch-099", "/bulk/new?verb=send&since=30d&until=29d",
    "/bulk/new?verb=evict&tag=eu&until=20d",
]  # fmt: skip
PICKS = [
    Picks(), Picks(workflow="checkout"), Picks(tag="eu"), Picks(tag="audit"), Picks(tag="vip", workflow="fetch"),
    Picks(since=NOW - 40 * 86_400, until=NOW - 20 * 86_400), Picks(until=NOW - 60 * 86_400, workflow="note"),
    Picks(id_prefix="checkout-05"),
]  # fmt: skip


@pytest.fixture(scope="module")
def traced(million_runs: Path) -> Iterator[tuple[Served, set[str]]]:
    """An inspector, and the statements that pages ask."""
    found: set[str] = set()
    connect = sqlite3.connect

    def note(sql: str) -> None:
        if threading.current_thread().name != "flowkit-tally":
            found.add(sql)

    def listening(*args: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **options)
        made.set_trace_callback(note)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", listening)
        with serving(million_runs, clock=FakeClock(NOW), untouched=True) as served:
            yield served, found


def test_every_statement_of_a_bulk_walks_an_index_and_stops(traced: tuple[Served, set[str]], million_runs: Path) -> None:
    served, found = traced
    for path in PAGES:
        assert served.ask(path).status == 200, path
    for verb in ALLOWED:
        for picks in PICKS:
            below = 1_000_001
            for _ in range(3):
                _, below = following(served.client.driver, narrowed(verb, picks), below, 100, most=1_000)
    with closing(sqlite3.connect(f"file:{million_runs}?mode=ro", uri=True)) as db:
        selects = [sql for sql in found if sql.startswith("SELECT") and not re.search(r"FROM (sqlite_master|meta)\b", sql)]
        troubles = [f"{trouble}: {sql}" for sql in selects for trouble in troubles_of(db, sql)]

    assert len(selects) > 100
    assert not troubles, "\n".join(troubles[:10])


def test_the_table_of_bulks_is_read_by_its_indexes(million_runs: Path) -> None:
    with closing(sqlite3.connect(f"file:{million_runs}?mode=ro", uri=True)) as db:
        plans = {
            sql: db.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
            for sql, values in ((BULK, (1,)), (BULKS, (9, 9)), (OPEN_BULKS, (9, 9)))
        }

    assert [row[3] for plan in plans.values() for row in plan] == [
        "SEARCH bulks USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH bulks USING INTEGER PRIMARY KEY (rowid<?)",
        "SEARCH bulks USING INDEX bulks_open (seq<?)",
    ]  # fmt: skip


def test_a_count_that_could_not_look_at_all_runs_of_a_tag_says_so(million: Served) -> None:
    picks = Picks(tag="eu", statuses=("running",), until=NOW - 20 * 86_400)

    found = Bulks(million.client, "tester").count(picks, 1_000_000)

    assert found.more


@pytest.mark.budget
@pytest.mark.parametrize("path", PAGES)
def test_the_page_before_a_bulk_comes_in_time(million: Served, budget: Budget, path: str) -> None:
    budget.milliseconds([lambda: million.ask(path)], 60)
