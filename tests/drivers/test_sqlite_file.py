"""The file: opening it, what it refuses, how it reads in other tools, and what a damaged one says."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from flowkit.drivers import open_driver
from flowkit.drivers.base import RunQuery, Started
from flowkit.drivers.connections import translated
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.schema import VERSION
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import SchemaTooNew, StoreBusy, StoreError
from tests.drivers.files import closed, execute
from tests.drivers.ops import NOW, start

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


def test_a_file_that_cannot_be_written_says_so(path: Path) -> None:
    connection = sqlite3.connect(f"file:{closed(path)}?mode=ro", uri=True)

    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("DELETE FROM runs")

    connection.close()
    assert "read-only" in str(translated(caught.value, "orders.db"))


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    refuses(Path("/proc/orders.db"), "permissions")


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


@pytest.mark.parametrize(("url", "words"), [("mysql://x", "mysql"), ("", "name")])
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


def test_a_file_locked_by_another_program_is_busy(path: Path) -> None:
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


def test_a_reserve_that_a_crash_left_half_written_is_completed(path: Path) -> None:
    SQLiteDriver(path).close()
    reserve = path.parent / "orders.db-locks" / "reserve"
    reserve.write_bytes(b"\0" * 4_096)

    SQLiteDriver(path).close()

    assert reserve.stat().st_size == 1 << 20


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


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    refuses(tmp_path / ("x" * 300), "cannot be the name of a file")
