"""Opening a PostgreSQL database: what is made, what is refused and how that is told, and how few connections it takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from flowkit.drivers import open_driver
from flowkit.drivers.base import (
    RunQuery,
    Send,
    WorkerInfo,
)
from flowkit.drivers.postgres import PostgresDriver
from flowkit.errors import SchemaTooNew, StoreError
from tests.drivers.pg import NOW, ask, execute, new_start, owned, step
from tests.postgres.server import NEWEST, emptied_database, new_database, shared


@pytest.fixture
def url() -> str:
    """A database without a row."""
    return emptied_database(NEWEST)


@pytest.fixture
def driver(url: str) -> Iterator[PostgresDriver]:
    opened = PostgresDriver(url, "process")
    yield opened
    opened.close()


def test_many_open_a_new_database_at_once() -> None:
    url = new_database(shared(NEWEST))

    with ThreadPoolExecutor(6) as pool:
        drivers = list(pool.map(lambda _: PostgresDriver(url), range(6)))

    versions = ask(url, "SELECT value FROM meta WHERE key = 'schema_version'")
    for each in drivers:
        each.close()
    assert versions == [("1",)]


def test_a_newer_database_is_refused(url: str) -> None:
    ask(url, "UPDATE meta SET value = '2' WHERE key = 'min_writer'")
    try:
        with pytest.raises(SchemaTooNew, match="newer flowkit"):
            PostgresDriver(url)
    finally:
        ask(url, "UPDATE meta SET value = '1' WHERE key = 'min_writer'")


def test_a_database_migrated_by_newer_code_is_written_no_more(url: str, driver: PostgresDriver) -> None:
    (run,) = owned(driver, "r")
    worker = driver.join(WorkerInfo(name="y", host="h", pid=1), NOW)
    driver.write([new_start("due")], NOW)
    ask(url, "UPDATE meta SET value = '2' WHERE key = 'min_writer'")
    try:
        for attempt in (
            lambda: driver.write([step(run)], NOW),
            lambda: driver.write([step(run, state=b"1")], NOW),
            lambda: driver.write([new_start("new")], NOW),
            lambda: driver.write([Send(to="r", message_id="m", name="m", body=b"1")], NOW),
            lambda: driver.claim(worker, {"w": "c"}, 1, NOW),
            lambda: driver.beat(worker, NOW),
        ):
            with pytest.raises(SchemaTooNew):
                attempt()
        assert [row.head for row in driver.runs(RunQuery())] == [0, 0]
        assert driver.inbox(run, (), 9) == []
    finally:
        ask(url, "UPDATE meta SET value = '1' WHERE key = 'min_writer'")


def test_tables_of_something_else_are_left_alone() -> None:
    url = new_database(shared(NEWEST))
    ask(url, "CREATE TABLE runs (id int)")

    with pytest.raises(StoreError, match="something else"):
        PostgresDriver(url)


def test_read_only_makes_no_tables_and_writes_nothing(url: str) -> None:
    with pytest.raises(StoreError, match="has no tables of flowkit"):
        PostgresDriver(new_database(shared(NEWEST)), readonly=True)

    with closing(PostgresDriver(url, readonly=True)) as driver:
        with pytest.raises(StoreError, match="read-only"):
            driver.write([new_start()], NOW)
        assert driver.runs(RunQuery()) == []


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("postgresql://nobody-here@127.0.0.1:1/x", "cannot be reached"),
        ("postgresql://u:secret@127.0.0.1:port/x", "port"),
        ("postgresql://u@h/x?listen=perhaps", "listen=perhaps"),
        ("postgresql://u@h/x?colour=red", "colour"),
    ],
)
def test_a_bad_address_is_told_in_one_line_and_without_the_password(place: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        open_driver(place)

    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_that_is_not_there_is_told() -> None:
    with pytest.raises(StoreError, match="no_such_database"):
        open_driver(shared(NEWEST).url("no_such_database"))


def test_nothing_of_psycopg_is_imported_before_it_is_needed() -> None:
    program = (
        "import sys, flowkit; flowkit.open(':memory:').close(); sys.exit(any(name.startswith('psycopg') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_psycopg_the_error_names_what_to_install() -> None:
    program = """
import sys
sys.modules["psycopg"] = None
import flowkit
try:
    flowkit.open("postgresql://u@h/d")
except flowkit.StoreError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert "pip install 'flowkit-engine[postgres]'" in told


@pytest.mark.parametrize(("durability", "setting"), [("full", "on"), ("process", "off")])
def test_durability_is_when_the_server_acknowledges(url: str, durability: str, setting: str) -> None:
    program = f"""
from flowkit.drivers.postgres import PostgresDriver
driver = PostgresDriver({url!r}, {durability!r})
print(driver.connections.first(b"SELECT current_setting('synchronous_commit')")[0])
driver.close()
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert told.strip() == setting


def test_a_handle_has_few_connections(driver: PostgresDriver) -> None:
    owned(driver, "r")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: driver.get("r"), range(200)))

    ((count,),) = execute(
        driver, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'flowkit'"
    )
    assert count <= 7
