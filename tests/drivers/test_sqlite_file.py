"""The file: opening it, what it refuses, how it reads in other tools, and what a damaged one says."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flowkit.core.change import Change, Finish
from flowkit.drivers import open_driver
from flowkit.drivers.base import BodyRef, RunQuery, Started
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.schema import VERSION
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import PayloadError, SchemaTooNew, StoreBusy, StoreError
from tests.drivers.ops import NOW, change, entry, owned, send, start, steer, worker


def execute(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Do `sql` with a connection of our own, as a person's tool would."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def closed(path: Path) -> Path:
    """A file with a run that has an entry and a message, closed."""
    driver = SQLiteDriver(path, "process")
    (run,) = owned(driver, "r")
    driver.write([change(run, add=[entry(1, args=b"[7]")], state=b"{}")], NOW)
    driver.write([send()], NOW)
    driver.close()
    return path


# --- opening


def test_a_new_file_is_made(path: Path) -> None:
    SQLiteDriver(path).close()

    assert path.exists()


def test_what_was_written_is_there_when_opened_again(path: Path) -> None:
    closed(path)

    driver = SQLiteDriver(path)

    view = driver.load(1)
    driver.close()
    assert view is not None
    assert (view.row.id, view.input, view.entries[0].output, view.messages[0].name) == ("r", b"[]", b"1", "n")


def test_an_up_to_date_file_opens_without_sqlite_utils(path: Path) -> None:
    closed(path)
    code = (
        "import sys; from flowkit.drivers.sqlite import SQLiteDriver; SQLiteDriver(sys.argv[1]).close(); "
        "sys.exit('sqlite_utils' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path.cwd(), check=False)

    assert done.returncode == 0


def test_a_path_with_odd_characters_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "50% of? #ü.db"

    SQLiteDriver(path).close()

    assert path.exists()


def test_the_log_is_a_write_ahead_log(path: Path) -> None:
    closed(path)

    assert execute(path, "PRAGMA journal_mode") == [("wal",)]


def test_a_store_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = {execute(closed(tmp_path / name), "SELECT value FROM meta WHERE key = 'store_id'")[0] for name in ("a", "b")}

    assert len(ids) == 2


def refuses(path: Path, *words: str, readonly: bool = False) -> None:
    """Opening raises a StoreError of one line that has these words."""
    with pytest.raises(StoreError) as caught:
        SQLiteDriver(path, readonly=readonly)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("this is a letter to my aunt, and it is longer than a header of a hundred bytes, so it is no database")

    refuses(path, "orders.db", "not a SQLite database")


def test_a_file_that_is_no_database_is_left_as_it_was(path: Path) -> None:
    path.write_text("x" * 5_000)

    refuses(path)

    assert path.read_text() == "x" * 5_000


def test_a_database_of_something_else_is_refused(path: Path) -> None:
    execute(path, "CREATE TABLE runs (name TEXT)")

    refuses(path, "something else")


def test_a_database_with_another_meta_is_refused(path: Path) -> None:
    execute(path, "CREATE TABLE meta (author TEXT)")

    refuses(path, "something else")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path, "is a folder")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    refuses(tmp_path / "no" / "orders.db", "does not exist", "Create it")


def test_a_missing_file_is_not_made_when_reading_only(path: Path) -> None:
    refuses(path, "does not exist", readonly=True)

    assert not path.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
def test_a_file_that_cannot_be_written_is_refused(path: Path) -> None:
    closed(path).chmod(0o444)
    (path.parent / "orders.db-locks").chmod(0o555)

    refuses(path, "permissions")


def test_a_newer_file_is_refused(path: Path) -> None:
    execute(closed(path), "UPDATE meta SET value = '99' WHERE key IN ('schema_version', 'min_writer')")

    with pytest.raises(SchemaTooNew) as caught:
        SQLiteDriver(path)

    assert (caught.value.found, caught.value.supported) == (99, VERSION)
    assert "Upgrade flowkit" in str(caught.value)


def test_a_newer_file_that_this_code_may_still_write_is_opened(path: Path) -> None:
    execute(closed(path), "UPDATE meta SET value = '99' WHERE key = 'schema_version'")

    driver = SQLiteDriver(path)

    assert driver.get("r") is not None
    driver.close()


def test_a_migration_that_was_killed_is_done_again(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE runs (half TEXT)")
    connection.close()

    SQLiteDriver(path).close()

    assert execute(path, "SELECT count(*) FROM runs") == [(0,)]


def test_urls_name_drivers(tmp_path: Path) -> None:
    for url in (tmp_path / "a.db", str(tmp_path / "b.db"), f"sqlite:///{tmp_path}/c.db"):
        driver = open_driver(url)
        driver.close()

    memory = open_driver(":memory:")

    assert isinstance(memory, MemoryDriver)
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["a.db", "b.db", "c.db"]


@pytest.mark.parametrize(("url", "words"), [("postgresql://x/y", "not in this version"), ("mysql://x", "mysql"), ("", "name")])
def test_a_url_that_names_no_driver_is_refused(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        open_driver(url)


# --- reading only


def test_a_file_is_read_without_writing(path: Path) -> None:
    driver = SQLiteDriver(closed(path), readonly=True)

    assert [row.id for row in driver.runs(RunQuery())] == ["r"]
    driver.close()


def test_a_reader_cannot_write(path: Path) -> None:
    driver = SQLiteDriver(closed(path), readonly=True)

    with pytest.raises(StoreError, match="read-only"):
        driver.write([start("b")], NOW)
    driver.close()


def test_a_reader_sees_what_others_write(path: Path) -> None:
    writer = SQLiteDriver(closed(path))
    reader = SQLiteDriver(path, readonly=True)
    before = reader.token()

    writer.write([start("b")], NOW)

    assert reader.get("b") is not None
    assert reader.token() != before
    reader.close()
    writer.close()


# --- locked, full, closed


def test_a_file_locked_by_another_program_is_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SQLiteDriver(path)
    driver._connections._writer.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreBusy, match="locked by another program"):
        driver.write([start()], NOW)

    other.close()
    assert isinstance(driver.write([start()], NOW)[0], Started)
    driver.close()


def test_a_full_disk_says_so_and_goes_on_by_itself(path: Path) -> None:
    driver = SQLiteDriver(path)
    pages = driver._connections._writer.execute("PRAGMA page_count").fetchone()[0]
    driver._connections._writer.execute(f"PRAGMA max_page_count = {pages + 4}")

    with pytest.raises(StoreError, match="full"):
        driver.write([start(input=b"x" * 100_000)], NOW)

    driver._connections._writer.execute("PRAGMA max_page_count = 1000000")
    assert isinstance(driver.write([start(input=b"x" * 100_000)], NOW)[0], Started)
    driver.close()


def test_a_full_disk_frees_the_reserve(path: Path) -> None:
    driver = SQLiteDriver(path)
    reserve = path.parent / "orders.db-locks" / "reserve"
    pages = driver._connections._writer.execute("PRAGMA page_count").fetchone()[0]
    driver._connections._writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    before = reserve.stat().st_size

    with pytest.raises(StoreError):
        driver.write([start(input=b"x" * 100_000)], NOW)

    assert (before, reserve.exists()) == (1 << 20, False)
    driver.close()


def test_a_closed_handle_refuses(driver: SQLiteDriver) -> None:
    driver.close()

    for use in (lambda: driver.write([start()], NOW), lambda: driver.get("r"), lambda: driver.wait(0)):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_closing_twice_is_closing_once(driver: SQLiteDriver) -> None:
    driver.close()
    driver.close()


# --- other tools


def test_sqlite_utils_opens_the_file(path: Path) -> None:
    from sqlite_utils import Database

    database = Database(closed(path))

    assert [row["id"] for row in database["runs"].rows] == ["r"]
    assert "flowkit" in {row["migration_set"] for row in database["_sqlite_migrations"].rows}
    database.close()


def test_the_view_of_runs_reads_well(path: Path) -> None:
    found = execute(closed(path), "SELECT id, workflow, status, created_at, input FROM runs_view")

    assert found == [("r", "w", "running", "2023-11-14 22:13:20.000", "[]")]


def test_the_view_of_histories_reads_well(path: Path) -> None:
    found = execute(closed(path), "SELECT run_id, location, status, settled_at, output, args FROM history_view")

    assert found == [("r", "s1", "completed", "2023-11-14 22:13:20.000", "1", "[7]")]


def test_text_is_stored_as_text_and_bytes_as_base64(driver: SQLiteDriver, path: Path) -> None:
    driver.write([start("a", input=b'{"x": "\xc3\xbc"}'), start("b", input=b"\xff\x00"), start("c", input=b"base64:")], NOW)

    found = execute(path, "SELECT input FROM run_io ORDER BY run")

    assert found == [('{"x": "ü"}',), ("base64:/wA=",), ("base64:YmFzZTY0Og==",)]


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


def test_no_query_scans_a_table(driver: SQLiteDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[str] = set()
    real = sqlite3.connect
    tables = ("runs", "entries", "inbox", "attempts", "archive", "run_io", "run_tags", "keys", "replies", "steering")
    connection = driver._connections._writer
    connection.set_trace_callback(seen.add)
    holder = worker(driver)
    for reader in [driver._connections._take_reader() for _ in range(4)]:
        reader.set_trace_callback(seen.add)
        driver._connections._idle.append(reader)

    everything(driver, holder)

    connection.set_trace_callback(None)
    plans = real(driver._connections.path)
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
    assert [sql.split()[0] for sql in seen] == ["BEGIN", "SELECT", "UPDATE", "INSERT", "COMMIT"]


def test_polling_with_nothing_due_makes_no_transaction(driver: SQLiteDriver) -> None:
    holder = worker(driver)
    seen: list[str] = []
    driver._connections._writer.set_trace_callback(seen.append)

    driver.claim(holder, {"w": "c"}, 5, NOW)
    driver.adopt(holder, (), {"w": "c"}, 5, NOW)
    driver.reap(NOW)

    driver._connections._writer.set_trace_callback(None)
    assert seen == []
