"""A damaged row or index: what is read is never another run's, and the error is one of ours."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flowkit.drivers.base import Driver, NoRun, RunQuery
from flowkit.drivers.sql import body_of
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import PayloadError
from tests.drivers.files import execute
from tests.drivers.ops import NOW, change, entry, owned, send, start, steer


@pytest.fixture
def two(path: Path) -> Path:
    """Two runs, `a` and `b`, each with an entry and a message. The file is closed."""
    driver = SQLiteDriver(path)
    owned(driver, "a", "b")
    for run in (1, 2):
        driver.write([change(run, entries=1, add=[entry(1, output=str(run).encode())])], NOW)
    driver.write([send("a", "m-a"), send("b", "m-b")], NOW)
    driver.close()
    return path


def lead_astray(path: Path, index: str, right: bytes, wrong: bytes) -> None:
    """Change one record of an index, as a flipped bit does."""
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    body = bytearray(path.read_bytes())
    at = body.index(right, (page - 1) * size, page * size)
    body[at : at + len(wrong)] = wrong
    path.write_bytes(body)


SECOND = b"\x04\x01\x09\x01\x02\x02"
"""A record of an index of (run, seq): run 2, seq 1, which are in row 2."""


@pytest.mark.parametrize(
    ("index", "row", "look"),
    [
        ("entries_seq", 1, lambda driver: driver.load(2)),
        ("entries_seq", 9, lambda driver: driver.load(2)),
        ("inbox_seq", 1, lambda driver: driver.load(2)),
        ("inbox_seq", 1, lambda driver: driver.inbox(2, (), 9)),
        ("inbox_seq", 9, lambda driver: driver.inbox(2, (), 9)),
    ],
)
def test_a_damaged_index_does_not_give_a_run_what_is_another_ones(
    two: Path, index: str, row: int, look: Callable[[Driver], object]
) -> None:
    lead_astray(two, index, SECOND, SECOND[:-1] + bytes([row]))
    driver = SQLiteDriver(two)

    with pytest.raises(PayloadError, match="leads elsewhere"):
        look(driver)
    driver.close()


def test_a_damaged_index_of_ids_does_not_lead_to_another_run(two: Path) -> None:
    lead_astray(two, "sqlite_autoindex_runs_1", b"\x03\x0f\x01b\x02", b"\x03\x0f\x01b\x01")
    driver = SQLiteDriver(two)

    sent = driver.write([send("b", "m"), steer("pause", "b")], NOW)

    assert sent == [NoRun(), NoRun()]
    assert driver.get("b") is None
    with pytest.raises(PayloadError, match="index of ids"):
        driver.write([start("b")], NOW)
    driver.close()


@pytest.mark.parametrize(
    ("damage", "error"),
    [("status = 'sneeping'", "status 'sneeping'"), ("tags = '[\"x'", "tags of run 1"), ("tags = 7", "tags of run 1")],
)
def test_a_row_that_cannot_be_is_a_payload_error(two: Path, damage: str, error: str) -> None:
    execute(two, f"UPDATE runs SET {damage} WHERE seq = 1")
    driver = SQLiteDriver(two)

    for look in (lambda: driver.get(1), lambda: driver.load(1), lambda: driver.runs(RunQuery())):
        with pytest.raises(PayloadError, match=error):
            look()
    driver.close()


def test_a_body_that_is_no_text_is_a_payload_error() -> None:
    with pytest.raises(PayloadError, match="stored body is 7"):
        body_of(7)  # type: ignore[arg-type]  # what a damaged record may hold


def test_an_entry_that_cannot_be_is_a_payload_error(two: Path) -> None:
    execute(two, "UPDATE entries SET location = x'00' WHERE run = 1")
    driver = SQLiteDriver(two)

    with pytest.raises(PayloadError, match="entry 1 cannot be read"):
        driver.history(1)
    driver.close()


def test_an_entry_that_lost_its_number_is_told_of(two: Path) -> None:
    execute(two, "UPDATE entries SET seq = x'00' WHERE run = 2")
    driver = SQLiteDriver(two)

    with pytest.raises(PayloadError, match="damaged"):
        driver.history(2)
    driver.close()


def test_a_run_whose_names_to_wait_for_are_no_text_is_told_of(two: Path) -> None:
    execute(two, "UPDATE runs SET waiting = x'07' WHERE seq = 2")
    driver = SQLiteDriver(two)

    with pytest.raises(PayloadError, match="damaged"):
        driver.get(2)
    driver.close()
