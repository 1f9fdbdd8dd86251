"""`error:` and `input:` in the run list: found as it is stored, for as long as there is time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit import CriticalError, workflow
from flowkit.client.searching import search
from flowkit.codec import Codec
from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver, RunQuery, Start
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sealed import SealedDriver
from flowkit.drivers.sqlite_search import HOLDING
from flowkit.drivers.survey import Surveyed
from flowkit.testing import Lab
from tests.inspector.served import Served, serving

LONG = 60.0


@workflow
def greet(name: Any) -> str:
    if name == "bad":
        raise CriticalError("Card DECLINED by ünïcode bank 100%")
    return "hello"


def fill(store: Any) -> None:
    with Lab(store) as lab:
        for n, name in enumerate(["ada", "bad", "Grace", "bad", {"city": "Ünna_%"}]):
            lab.start(f"r-{n}", greet.options(tags=("odd",)) if n % 2 else greet, name)
            with contextlib.suppress(CriticalError):
                lab.run_to_end(f"r-{n}")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("search") / "flowkit.db"
    fill(file)
    return file


@pytest.fixture
def served(file: Path) -> Iterator[Served]:
    with serving(file) as found:
        yield found


def ids(served: Served, query: str) -> list[str]:
    return [item["id"] for item in served.ask(f"/runs.json?{query}").json()["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=error:declined", ["r-3", "r-1"]),
        ("q=error:100%25", ["r-3", "r-1"]),
        ("q=error:%C3%BCn%C3%AFcode", ["r-3", "r-1"]),
        ("q=error:absent", []),
        ("q=input:GRACE", ["r-2"]),
        ("q=input:_%25", ["r-4"]),
        ("q=input:%22city%22", ["r-4"]),
        ("q=input:bad&tag=odd", ["r-3", "r-1"]),
        ("q=input:a&status=failed", ["r-3", "r-1"]),
        ("q=input:ada&status=failed", []),
        ("q=r-4", ["r-4"]),
        ("q=other:x", []),
    ],
)
def test_a_text_is_found_where_it_is_stored(served: Served, query: str, found: list[str]) -> None:
    assert ids(served, query) == found


def test_a_search_for_nothing_says_what_is_missing(served: Served) -> None:
    assert "error: is followed by the text to search for" in served.ask("/runs?q=error:").text


def test_a_search_is_no_filter_of_a_bulk(served: Served) -> None:
    listed = served.ask("/runs.json?q=error:declined").json()
    page = served.ask("/bulk/new?verb=cancel&q=error:declined")

    assert listed["bulk"] == []
    assert page.status == 422
    assert "search" in page.text


def test_a_whole_search_is_not_called_partial(served: Served) -> None:
    page = served.ask("/runs.json?q=error:declined").json()

    assert (page["partial"], page["further"]) == ("", False)


# --- time


def runs_of(driver: Driver, **given: Any) -> Any:
    survey = driver.survey() if isinstance(driver, Surveyed) else None
    return search(driver, survey, RunQuery(limit=50), **({"seconds": LONG} | given))


def test_out_of_time_it_says_how_far_it_came_and_goes_on_from_there(tmp_path: Path) -> None:
    file = tmp_path / "many.db"
    with Lab(file) as lab:
        lab.start("needle", greet, "needle")
        for n in range(40):
            lab.start(f"r-{n}", greet, "hay")
    driver = open_driver(file)

    first = runs_of(driver, error="nothing", seconds=0.0)
    second = search(driver, driver.survey(), RunQuery(limit=50, after=first.next), input="needle", seconds=LONG)
    driver.close()

    assert (first.partial, first.looked_at, first.rows) == (True, 10, ())
    assert ([row.id for row in second.rows], second.partial) == (["needle"], False)


def test_inputs_that_nobody_had_time_for_are_not_counted(file: Path) -> None:
    driver = open_driver(file)

    found = runs_of(driver, input="ada", seconds=-1.0)
    driver.close()

    assert (found.rows, found.looked_at, found.partial) == ((), 0, True)


def test_pages_of_a_search_go_on_where_the_last_one_ended(file: Path) -> None:
    driver = open_driver(file)
    survey = driver.survey()

    first = search(driver, survey, RunQuery(limit=1), error="declined", seconds=LONG)
    rest = search(driver, survey, RunQuery(limit=9, after=first.next), error="declined", seconds=LONG)
    driver.close()

    assert ([row.id for row in first.rows], [row.id for row in rest.rows]) == (["r-3"], ["r-1"])


def begin(driver: Driver) -> None:
    """Runs that have only been started."""
    for name in ("Ada", "Grace"):
        op = Start(id=f"r-{name}", workflow="w", input=f'{{"name":"{name}"}}'.encode(), input_hash="", start_at=0.0, token=name)
        driver.write([op], 0.0)


def test_a_store_without_a_survey_is_searched_through_the_port() -> None:
    driver = MemoryDriver()
    begin(driver)

    assert [row.id for row in search(driver, None, RunQuery(limit=9), input="grace", seconds=LONG).rows] == ["r-Grace"]


class Turned:
    """A codec that nobody can read through."""

    def encode(self, body: bytes) -> bytes:
        return body[::-1]

    def decode(self, body: bytes) -> bytes:
        return body[::-1]


def test_what_a_codec_has_sealed_is_opened_to_be_searched(tmp_path: Path) -> None:
    codec: Codec = Turned()
    driver: Any = SealedDriver(open_driver(tmp_path / "sealed.db"), codec)
    begin(driver)

    found = runs_of(driver, input="Grace")
    driver.close()

    assert [row.id for row in found.rows] == ["r-Grace"]


@pytest.mark.parametrize("count", HOLDING)
def test_inputs_are_found_by_their_key(file: Path, count: int) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        plan = " ".join(str(row) for row in db.execute(f"EXPLAIN QUERY PLAN {HOLDING[count]}", (*range(count), "x")))

    assert "SEARCH run_io USING INTEGER PRIMARY KEY" in plan
