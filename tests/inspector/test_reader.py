"""The reader: bounded questions, every one of them by an index, on any store."""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
import time
from pathlib import Path

import pytest

import flowkit
from flowkit.client import Flowkit
from flowkit.client.facts import cause_of, plain_error
from flowkit.client.reader import Count, Reader, RunFilter
from flowkit.client.tally import Tally
from flowkit.core.run import STATUSES
from flowkit.drivers import open_driver, sqlite_across, sqlite_read, sqlite_survey
from flowkit.drivers.base import RunQuery
from flowkit.drivers.lists import MAX_PREFIX, MAX_TAGGED, cut_query, page_query
from flowkit.testing import Lab
from tests.inspector.stories import approval, checkout

STATEMENTS = [
    sqlite_survey.COUNT,
    sqlite_survey.NEXT_WORKFLOW,
    sqlite_survey.TIMERS,
    sqlite_survey.DEED,
    sqlite_survey.STOP,
    sqlite_survey.DUE,
    sqlite_read.FIRST_CODE,
    sqlite_across.DUE_NEXT,
    sqlite_across.KEPT,
    sqlite_across.DEEDS,
    sqlite_across.NEWEST,
    sqlite_read.MANIFEST,
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


def test_what_was_set_aside_is_told_apart_where_the_store_can_and_else_is_one(tmp_path: Path) -> None:
    told = {}
    for name, driver in {"file": open_driver(tmp_path / "x.db"), "memory": open_driver(":memory:")}.items():
        with Lab(driver=driver) as lab:
            lab.start("order-1", checkout, {"id": 1})
            lab.run_once("order-1")
            lab.get("order-1").replay("charge")
            lab.get("order-1").replay()
            reader = Reader(lab.client)
            rewinds = reader.rewinds(1)
            told[name] = [[entry.location for entry in reader.set_aside(1, rewind.head)] for rewind in rewinds]

    assert told["file"] == [["billing", "reserve"], ["charge", "cool-off"]]
    assert told["memory"] == [["billing", "reserve", "charge", "cool-off"]]


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


def test_of_a_large_value_the_beginning_comes_alone_where_that_is_enough(small_file: Path) -> None:
    with Flowkit(open_driver(small_file, readonly=True), worker=False, workflows=()) as client:
        reader = Reader(client)
        row = reader.run("archive-1")
        assert row is not None
        whole = reader.body(row.seq, "output", 1)
        assert whole.data is not None

        begun = reader.body(row.seq, "output", 1, most=1_000)
        small = reader.body(row.seq, "args", 1, most=1_000)

    assert (begun.data, begun.size) == (whole.data[:8_192], len(whole.data))
    assert (small.plain(), small.size) == ({"n": 600}, None)


def test_exact_counts_are_made_aside_and_kept_for_a_while() -> None:
    made: list[str] = []
    tokens = itertools.count()

    def count() -> dict[str, int]:
        made.append(threading.current_thread().name)
        return {"completed": 5_000}

    tally = Tally(count, lambda: next(tokens), 5.0)
    first = tally.last()
    deadline = time.monotonic() + 5
    while not tally.last() and time.monotonic() < deadline:
        pass

    assert first == {}
    assert tally.last() == {"completed": 5_000}
    assert made == ["flowkit-tally"]


def test_a_list_says_so_when_it_did_not_look_at_all_that_might_be_in_it(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "x.db", worker=False) as fk:
        tagged = approval.options(tags=("vip",))
        fk.start_many([(f"o-{n}", tagged, ({},)) for n in range(MAX_TAGGED + 3)])
        reader = Reader(fk)

        assert reader.runs(RunFilter(tag="vip", statuses=("failed",))).looked_at == MAX_TAGGED
        assert reader.runs(RunFilter(tag="vip", statuses=("failed",)), after=9).looked_at == 0
        assert reader.runs(RunFilter(tag="vip", statuses=("failed",), since=time.time() + 3600)).looked_at == 0
        assert reader.runs(RunFilter(tag="vip"), after=9).looked_at == 0
        assert reader.runs(RunFilter(id_prefix="o-", statuses=("failed",))).looked_at == MAX_PREFIX
        assert reader.runs(RunFilter(id_prefix="o-1")).looked_at == MAX_PREFIX
        assert reader.runs(RunFilter(id_prefix="o-20000")).looked_at == 0


@pytest.mark.parametrize("query", [RunQuery(tag="vip", workflow="w"), RunQuery(id_prefix="o")], ids=["tag", "prefix"])
def test_whether_a_list_is_whole_is_asked_of_an_index(db: sqlite3.Connection, query: RunQuery) -> None:
    asked = cut_query(query, None, None)

    assert asked is not None
    (step,) = plan(db, asked[0])
    assert re.match("SEARCH (runs|run_tags) USING (COVERING |PRIMARY |)(INDEX|KEY)", step)
    db.close()
