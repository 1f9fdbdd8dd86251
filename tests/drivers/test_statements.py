"""How long a store's reads take: measured on demand, bounded, and told by the slowest."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from flowkit import Flowkit, workflow
from flowkit.client.across import AcrossReader
from flowkit.client.reader import Reader
from flowkit.drivers import open_driver
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.statements import Statements, timed


@workflow
def nothing() -> None: ...


def measured(**times: list[float]) -> Statements:
    found = Statements(lambda: 5.0)
    for text, seconds in times.items():
        for each in seconds:
            found.took(text, each)
    return found


def test_the_slowest_comes_first_with_its_count_and_its_median() -> None:
    slow, fast = measured(fast=[0.1], slow=[0.2, 0.3, 9.0]).slowest(5)

    assert (slow.text, slow.count, slow.p50, slow.slowest, slow.last_at) == ("slow", 3, 0.3, 9.0, 5.0)
    assert fast.text == "fast"


def test_a_slowest_time_outlives_the_hundred_that_the_median_is_of() -> None:
    (found,) = measured(slow=[9.0, *[0.1] * 500]).slowest(5)

    assert (found.count, found.slowest, found.p50) == (501, 9.0, 0.1)


def test_of_many_statements_the_slowest_are_kept() -> None:
    found = measured(**{f"s{number}": [float(number)] for number in range(1_000)})

    assert len(found.slowest(10_000)) <= 200
    assert [each.text for each in found.slowest(2)] == ["s999", "s998"]


def test_a_statement_is_measured_however_its_rows_are_fetched() -> None:
    found = Statements(lambda: 5.0)
    connection = sqlite3.connect(":memory:", factory=timed(found))

    connection.execute("SELECT 1").fetchone()
    connection.execute("SELECT 2").fetchall()
    rows = list(connection.execute("SELECT 3 UNION SELECT 4"))
    connection.execute("PRAGMA data_version").fetchone()
    connection.close()

    assert rows == [(3,), (4,)]
    assert sorted(each.text for each in found.slowest(9)) == ["SELECT 1", "SELECT 2", "SELECT 3 UNION SELECT 4"]


def test_a_store_measures_its_reads_once_somebody_asks_for_it(tmp_path: Path) -> None:
    with Flowkit(open_driver(tmp_path / "a.db"), worker=False, workflows=(nothing,)) as flowkit:
        flowkit.start("r-1", nothing)
        across, reader = AcrossReader(flowkit), Reader(flowkit)
        reader.run("r-1")
        before = across.slowest(5)

        across.time_reads()
        reader.run("r-1")
        reader.run("r-1")

        found = across.slowest(5)

    assert before is None
    assert found is not None
    assert [each.count for each in found if "FROM runs" in each.text] == [2]


def test_a_store_that_cannot_measure_says_so() -> None:
    with Flowkit(MemoryDriver(), worker=False, workflows=(nothing,)) as flowkit:
        across = AcrossReader(flowkit)

        across.time_reads()

        assert across.slowest(5) is None
