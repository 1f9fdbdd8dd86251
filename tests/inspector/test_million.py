"""A million runs: every page comes in time whatever it filters by, and every statement behind it walks an index."""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from flowkit.core.run import STATUSES
from flowkit.drivers import open_driver, sqlite_survey
from flowkit.testing import FakeClock
from tests.inspector.budgets import Budget
from tests.inspector.million import NOW, RUNS, build, build_models
from tests.inspector.served import Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FILTERS: dict[str, tuple[str, ...]] = {
    "workflow": ("", "checkout", "fetch"),
    "status": ("", "failed", "blocked,paused,running"),
    "tag": ("", "eu", "vip"),
    "since": ("", "40d"),
    "until": ("", "20d"),
    "q": ("", "checkout-0"),
    "after": ("", "500000"),
}
"""Values of each filter, among them none; frequent ones, rare ones and such as exclude each other."""

LISTS = [f"/runs?{urlencode(dict(zip(FILTERS, values, strict=True)))}" for values in itertools.product(*FILTERS.values())]
PAGES = [
    "/", "/runs", "/runs?after=500000", "/runs?workflow=note", "/runs?status=completed&after=500000", "/runs?status=failed",
    f"/runs?status={','.join(STATUSES)}", "/runs?tag=audit", "/runs?tag=eu&status=rolling_back&after=500000",
    "/runs?since=2h", "/runs?until=60d", "/runs?since=30d&until=29d&status=failed", "/runs?q=note-05", "/workflows", "/migrate",
    "/timers", "/timers?workflow=approval", f"/timers?after={NOW + 86_400}_1", "/messages", "/messages?ended=1&after=10000",
    "/system",
]  # fmt: skip
OF_A_RUN = (
    "", "/messages", "/logs", "/logs?level=warning", "/logs?step=charge", "/e/1",
    "/cancel", "/recover", "/replay", "/send", "/input", "/e/1/output",
)  # fmt: skip
MOST_STEPS = 400_000
"""Of SQLite's machine, in a statement: what looking up 20,000 runs of a tag takes. A scan of all runs takes millions."""


def of_status(million: Served, status: str) -> str:
    """The page of a run with this status."""
    return str(million.ask(f"/runs.json?status={status}").json()["items"][0]["href"])


@dataclass
class Recorded:
    """The statements that ran on any connection, by the thread that ran them."""

    asked: set[str] = field(default_factory=set)
    background: set[str] = field(default_factory=set)

    def note(self, sql: str) -> None:
        (self.background if threading.current_thread().name == "flowkit-tally" else self.asked).add(sql)


@pytest.fixture(scope="module")
def recorded(million_runs: Path) -> Iterator[tuple[Served, Recorded]]:
    """An inspector that tells what it asks its database."""
    found, connect = Recorded(), sqlite3.connect

    def listening(*args: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*args, **options)
        made.set_trace_callback(found.note)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", listening)
        with serving(million_runs, clock=FakeClock(NOW), untouched=True) as served:
            yield served, found


# --- the database itself --------------------------------------------------------------------------------------------


def test_a_copy_reads_as_the_run_that_the_engine_wrote(tmp_path: Path) -> None:
    kinds = build_models(tmp_path / "models.db")
    build(tmp_path / "copies.db", tmp_path / "models.db", kinds, count=3_000)
    with closing(open_driver(tmp_path / "models.db")) as models, closing(open_driver(tmp_path / "copies.db")) as copies:
        rows = [copies.get(seq) for seq in range(2_701, 3_001)]
        status_and_workflow = {(row.status, row.workflow, row.current): row.seq for row in rows if row is not None}

        for kind, seq in kinds.items():
            model = models.load(seq)
            assert model is not None
            copy = copies.load(status_and_workflow[model.row.status, model.row.workflow, model.row.current])
            assert copy is not None
            assert (shape(copy.row), copy.input, copy.error) == (shape(model.row), model.input, model.error), kind
            assert [shape(entry) for entry in copy.entries] == [shape(entry) for entry in model.entries]
            assert [shape(each) for each in copy.messages] == [shape(each) for each in model.messages]


def shape(row: Any) -> dict[str, object]:
    """What a copy has in common with its model: all but names, instants, tags and fingerprints."""
    own = ("id", "seq", "tags", "code", "wake_at")
    values = {
        name: getattr(row, name) for name in row.__struct_fields__ if name not in own or "location" in row.__struct_fields__
    }
    return {name: value is None if name.endswith("_at") else value for name, value in values.items()}


def test_there_are_a_million_runs_in_every_status(million: Served, million_runs: Path) -> None:
    counts = million.client.driver.survey().tally()  # type: ignore[attr-defined]

    assert sum(counts.values()) == RUNS
    assert all(counts[status] for status in STATUSES)
    assert million_runs.stat().st_size <= 450_000_000


# --- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.budget
@pytest.mark.parametrize("path", PAGES)
def test_a_page_over_all_runs_comes_in_time(million: Served, budget: Budget, path: str) -> None:
    budget.milliseconds([partial(fetch, million, path)], 15)


@pytest.mark.budget
def test_the_run_list_comes_in_time_under_any_filters(million: Served, budget: Budget) -> None:
    budget.milliseconds([partial(fetch, million, path) for path in LISTS[::5]], 15)


@pytest.mark.budget
def test_an_exact_id_and_its_page_come_in_time(million: Served, budget: Budget) -> None:
    page = of_status(million, "failed")

    budget.milliseconds([partial(fetch, million, f"/runs?q={page.removeprefix('/runs/')}"), partial(fetch, million, page)], 15)


def fetch(served: Served, path: str) -> None:
    assert served.ask(path).status in (200, 303)


# --- statements -----------------------------------------------------------------------------------------------------


def test_every_statement_behind_every_page_walks_an_index_and_stops(
    recorded: tuple[Served, Recorded], million_runs: Path
) -> None:
    served, found = recorded
    runs = [of_status(served, status) for status in STATUSES]
    more = ["/workflows/checkout", "/workflows/note", "/home.json", "/runs?top=900000&part=rows", "/runs/no-such-run"]
    for path in [*PAGES, *LISTS, *more]:
        served.ask(path)
    for page, part in itertools.product(runs, (*OF_A_RUN, "?view=timeline", "?view=timeline&from=0&to=9", "/code")):
        served.ask(page + part)

    with closing(sqlite3.connect(f"file:{million_runs}?mode=ro", uri=True)) as db:
        selects = [
            sql
            for sql in found.asked
            if sql.startswith(("SELECT", "WITH")) and not re.search(r"FROM (sqlite_master|meta)\b", sql)
        ]
        troubles = [f"{trouble}: {sql}" for sql in selects for trouble in troubles_of(db, sql)]

    assert len(selects) > 500
    assert not troubles, "\n".join(troubles[:10])


def test_only_exact_counts_are_made_in_the_background(recorded: tuple[Served, Recorded]) -> None:
    served, found = recorded
    deadline = time.monotonic() + 60

    while len(found.background) < len(STATUSES) and time.monotonic() < deadline:
        served.ask("/")

    assert {re.sub(r"'\w+'", "?", sql) for sql in found.background if sql.startswith("SELECT")} == {sqlite_survey.TALLY}


def troubles_of(db: sqlite3.Connection, sql: str) -> list[str]:
    """Why a statement may take longer the more runs there are. Of workers, and of what they report, there are few."""
    steps = [str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    found = [step for step in steps if re.match(r"SCAN (?!\(|t\b|CONSTANT|w\b|health\b)", step) and not limited(sql, step)]
    found += [step for step in steps if "TEMP B-TREE" in step and not sorts_little(sql)]
    cost = machine_steps(db, sql)
    return found if cost <= MOST_STEPS else [*found, f"{cost:,} steps"]


def limited(sql: str, step: str) -> bool:
    """Whether what is scanned comes to an end: the whole statement, or the query in brackets that has this name."""
    if re.search(rf" LIMIT \d+\) AS {step.split()[1]}\b", sql):
        return True
    return re.search(r"ORDER BY (run|seq) (DESC )?LIMIT \d+\)?$", sql) is not None


def sorts_little(sql: str) -> bool:
    """Whether what is sorted comes out of limited queries, or belongs to one run."""
    return re.search(r"FROM \(SELECT .* LIMIT \d+\)", sql) is not None or re.search(r"WHERE run = \d+", sql) is not None


def machine_steps(db: sqlite3.Connection, sql: str) -> int:
    """How many steps of SQLite's machine a statement takes, to the next thousand."""
    thousands = itertools.count()
    db.set_progress_handler(lambda: next(thousands) > 5_000, 1_000)
    try:
        db.execute(sql).fetchall()
    except sqlite3.OperationalError:  # it was stopped, so it is counted as far as that
        pass
    finally:
        db.set_progress_handler(None, 0)
    return next(thousands) * 1_000


# --- counts ---------------------------------------------------------------------------------------------------------


def test_counts_are_capped_at_once_and_exact_a_moment_later(million_runs: Path) -> None:
    with serving(million_runs, clock=FakeClock(NOW), untouched=True) as served:
        first = {count["state"]["word"]: count["text"] for count in served.ask("/home.json").json()["counts"]}
        deadline = time.monotonic() + 60
        while (later := served.ask("/home.json").json()["counts"])[4]["text"] == "1,000+" and time.monotonic() < deadline:
            pass
        exact = served.client.driver.survey().tally()  # type: ignore[attr-defined]

    assert first["completed"] == first["sleeping"] == "1,000+"
    assert first["running"] == "200"
    assert {count["state"]["word"]: count["text"] for count in later} == {name: f"{exact[name]:,}" for name in STATUSES}
