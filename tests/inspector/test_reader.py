"""The reader: bounded questions, every one of them by an index, on any store."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from flowkit.client import Flowkit
from flowkit.client.facts import cause_of, plain_error
from flowkit.client.reader import Count, Reader, RunFilter
from flowkit.core.run import STATUSES
from flowkit.drivers import open_driver, sqlite_survey
from flowkit.drivers.base import RunQuery
from flowkit.drivers.lists import page_query
from flowkit.testing import Lab
from tests.inspector.stories import approval, checkout

STATEMENTS = [
    sqlite_survey.COUNT,
    sqlite_survey.NEXT_WORKFLOW,
    sqlite_survey.TIMERS,
    sqlite_survey.DEED,
    sqlite_survey.FIRST_CODE,
]
QUERIES = [
    RunQuery(), RunQuery(after=9), RunQuery(statuses=("failed",)), RunQuery(statuses=("failed", "blocked")),
    RunQuery(workflow="w"), RunQuery(workflow="w", statuses=("failed",)),
    RunQuery(tag="vip"), RunQuery(tag="vip", statuses=("failed",)),
    RunQuery(id_prefix="order"), RunQuery(since=1.0, until=2.0), RunQuery(since=1.0, statuses=("failed",)),
]  # fmt: skip


@pytest.fixture
def db(small_file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{small_file}?mode=ro", uri=True)


def plan(db: sqlite3.Connection, sql: str) -> list[str]:
    marks = sql.count("?")
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * marks)]


@pytest.mark.parametrize("sql", STATEMENTS, ids=lambda sql: re.sub(r"\W+", " ", sql)[:40])
def test_every_question_over_all_runs_walks_an_index(db: sqlite3.Connection, sql: str) -> None:
    steps = plan(db, sql)

    assert not [step for step in steps if re.match(r"SCAN (runs|run_io|steering)\b(?!.*LIMIT)", step) and "INDEX" not in step]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    db.close()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: str(query)[9:-1])
def test_every_page_of_the_list_walks_an_index(db: sqlite3.Connection, query: RunQuery) -> None:
    first, end = (1, 9) if query.since is not None else (None, None)

    steps = plan(db, page_query(query, first, end)[0])

    full = [step for step in steps if re.fullmatch(r"SCAN runs", step)]
    assert not full or query == RunQuery(), steps  # newest first over all runs is the table's own order
    db.close()


@pytest.mark.parametrize("url", [":memory:", "file"])
def test_stores_with_and_without_a_survey_answer_alike(url: str, tmp_path: Path) -> None:
    driver = open_driver(":memory:" if url == ":memory:" else tmp_path / "x.db")
    with Lab(driver=driver) as lab:
        for n in range(3):
            lab.start(f"order-{n}", checkout, {"id": n})
        lab.run_once("order-0")
        lab.start("approval-1", approval, {})
        reader = Reader(lab.client)

        assert reader.counts() == {status: Count(0) for status in STATUSES} | {"pending": Count(3), "sleeping": Count(1)}
        assert reader.workflows() == ("approval", "checkout")
        assert {row.id for row in reader.timers(3)} == {"order-1", "order-2", "approval-1"}


def test_near_ids_begin_alike_or_look_alike(small_file: Path) -> None:
    with Flowkit(open_driver(small_file, readonly=True), worker=False, workflows=()) as client:
        reader = Reader(client)

        assert reader.near("order-99") == ("order-6", "order-5", "order-4", "order-3", "order-2")
        assert "approval-1" in reader.near("aproval-1")


def test_newer_runs_are_counted_under_the_same_filter(small_file: Path) -> None:
    with Flowkit(open_driver(small_file, readonly=True), worker=False, workflows=()) as client:
        reader = Reader(client)
        top = reader.runs(RunFilter(statuses=("failed",))).rows[-1].seq

        assert reader.newer(RunFilter(statuses=("failed",)), top) == Count(1)


def test_an_error_is_read_without_its_code(small_file: Path) -> None:
    with Flowkit(open_driver(small_file, readonly=True), worker=False, workflows=()) as client:
        reader = Reader(client)
        row = reader.run("order-2")
        assert row is not None
        error = reader.end(row.seq).error

    assert error is not None
    cause = cause_of(error)
    assert cause is not None
    assert cause.type.endswith("CardDeclined")


def test_an_unreadable_error_is_told_as_such() -> None:
    assert plain_error(b"\xff").type == "unreadable"


def test_a_damaged_value_is_told_and_never_raised(small_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged.db"
    with sqlite3.connect(small_file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
        target.execute("UPDATE run_io SET input = '{}' WHERE run = 1")
        target.commit()
    source.close()
    target.close()
    with Flowkit(open_driver(copy, readonly=True), worker=False, workflows=()) as client:
        assert "checksum" in Reader(client).body(1, "input").damage
