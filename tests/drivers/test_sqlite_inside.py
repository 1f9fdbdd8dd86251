"""What a damaged file says, and what each call costs: statements, transactions, scans."""

import sqlite3
from pathlib import Path

import pytest

from flowkit.core.change import Change, Finish
from flowkit.drivers.base import BodyRef, RunQuery
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import PayloadError
from tests.drivers.files import closed, execute
from tests.drivers.ops import NOW, change, entry, owned, send, start, steer, worker

# --- damage


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE entries SET output = '2'",
        "UPDATE entries SET location = 'other'",
        "UPDATE run_io SET input = '[1]'",
        "UPDATE run_io SET state = '{1}'",
        "UPDATE inbox SET body = '2'",
        "UPDATE inbox SET name = 'other'",
        "DELETE FROM run_io",
    ],
)
def test_what_was_edited_is_not_trusted(path: Path, sql: str) -> None:
    execute(closed(path), sql)
    driver = SQLiteDriver(path)

    with pytest.raises(PayloadError, match="checksum"):
        driver.load(1)
    driver.close()


def test_edited_arguments_are_not_trusted(path: Path) -> None:
    execute(closed(path), "UPDATE entries SET args = '[8]'")
    driver = SQLiteDriver(path)

    with pytest.raises(PayloadError, match="checksum"):
        driver.body(BodyRef(run=1, entry=1, field="args"))
    driver.close()


def test_text_that_is_none_is_a_payload_error(path: Path) -> None:
    execute(closed(path), "UPDATE entries SET output = CAST(x'ff' AS TEXT)")
    driver = SQLiteDriver(path)

    with pytest.raises(PayloadError, match="UTF-8"):
        driver.load(1)
    driver.close()


def test_damage_of_one_run_leaves_the_others_alone(path: Path) -> None:
    driver = SQLiteDriver(closed(path))
    driver.write([start("b")], NOW)
    execute(path, "UPDATE run_io SET input = '[9]' WHERE run = 1")

    view = driver.load(2)

    assert view is not None
    driver.close()


# --- costs


def test_no_query_scans_a_table(driver: SQLiteDriver) -> None:
    seen: set[str] = set()
    tables = ("runs", "entries", "inbox", "attempts", "archive", "run_io", "run_tags", "keys", "replies", "steering")
    connection = driver._connections._writer
    connection.set_trace_callback(seen.add)
    holder = worker(driver)
    for reader in [driver._connections._take_reader() for _ in range(4)]:
        reader.set_trace_callback(seen.add)
        driver._connections._idle.append(reader)

    everything(driver, holder)

    connection.set_trace_callback(None)
    plans = sqlite3.connect(driver._connections.path)
    for sql in seen:
        if sql.split()[0] in ("SELECT", "UPDATE", "DELETE"):
            for row in plans.execute(f"EXPLAIN QUERY PLAN {sql}"):
                detail = row[3].replace("runs_view", "")
                if detail == "SCAN runs":
                    assert "ORDER BY seq DESC" in sql, sql  # a page of the unfiltered list, newest first
                else:
                    assert not any(detail in (f"SCAN {table}", f"SCAN TABLE {table}") for table in tables), (
                        detail,
                        sql,
                    )
    plans.close()


def everything(driver: SQLiteDriver, holder: int) -> None:
    """Call all there is to call."""
    driver.retain({"completed": 1})
    driver.write([start("a", worker=holder, tags=("t",)), start("b", worker=holder), start("c")], NOW)
    driver.write([send("a", key="k"), steer("evict", "a"), send("c")], NOW)
    driver.write(
        [
            change(1, add=[entry(1), entry(2, settled_at=None)], consume=[1], state=b"1"),
            change(2, add=[entry(1)], status="completed", finish=Finish(output=b"1"), release=True),
        ],
        NOW,
    )
    driver.write([change(1, 1, set=[entry(2)], forget=[(1, 2)])], NOW)
    driver.write([Change(run=1, epoch=1, head=2, entries=2, seen=0, owes=0, archive=[2], bump="block", status="blocked")], NOW)
    driver.claim(holder, {"w": "x"}, 5, NOW)
    driver.adopt(holder, (), {"w": "y"}, 5, NOW + 60)
    driver.lost(holder, {1: 1})
    driver.beat(holder, NOW)
    driver.load(1)
    driver.get("a")
    driver.inbox(1, ("n",), 5)
    driver.attempts(1, 1)
    for archived in (False, True):
        driver.history(1, before=9, archived=archived)
    for field in ("input", "output"):
        driver.body(BodyRef(run=1, field=field))
    for query in (
        RunQuery(),
        RunQuery(after=2),
        RunQuery(statuses=("failed",), after=9),
        RunQuery(statuses=("failed", "running")),
        RunQuery(workflow="w", after=9),
        RunQuery(workflow="w", statuses=("running",)),
        RunQuery(tag="t", after=9),
        RunQuery(id_prefix="a"),
        RunQuery(owner=holder),
        RunQuery(since=NOW, until=NOW + 1),
        RunQuery(error="x"),
    ):
        driver.runs(query)
    driver.workers()
    driver.write([steer("cancel", "c", "o2")], NOW)
    driver.reap(NOW, dead=[holder])
    driver.purge(NOW + 86_400 * 100)


def test_a_step_is_two_writing_statements_and_one_commit(driver: SQLiteDriver) -> None:
    (run,) = owned(driver, "r")
    seen: list[str] = []
    driver._connections._writer.set_trace_callback(seen.append)

    driver.write([change(run, add=[entry(1)])], NOW)

    driver._connections._writer.set_trace_callback(None)
    assert [sql.split()[0] for sql in seen] == ["BEGIN", "PRAGMA", "SELECT", "UPDATE", "INSERT", "COMMIT"]


def test_polling_with_nothing_due_makes_no_transaction(driver: SQLiteDriver) -> None:
    holder = worker(driver)
    seen: list[str] = []
    driver._connections._writer.set_trace_callback(seen.append)

    driver.claim(holder, {"w": "c"}, 5, NOW)
    driver.adopt(holder, (), {"w": "c"}, 5, NOW)
    driver.reap(NOW)

    driver._connections._writer.set_trace_callback(None)
    assert seen == []
