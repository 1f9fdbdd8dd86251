"""What pages cost, in bytes and in time. Bytes are exact; time has slack, and none with ``-m budget`` on a quiet machine."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flowkit.testing import Lab
from tests.inspector.budgets import Budget
from tests.inspector.served import Served, serving
from tests.inspector.stories import archive, build_long

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PACKED = [("Accept-Encoding", "gzip")]
PAGES = [
    "/",
    "/runs",
    "/runs/order-2",
    "/runs/order-2/messages",
    "/runs/order-2/e/3",
    "/runs/order-2/recover",
    "/workflows",
    "/migrate",
]
WINDOW, ALL, ENTRY = "/runs/long-1", "/runs/long-1?all=1", "/runs/archive-1/e/1"


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run of 10,000 entries."""
    file = tmp_path_factory.mktemp("long") / "long.db"
    build_long(file, 10_000)
    with serving(file) as served:
        yield served


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run whose step has an output of five megabytes."""
    file: Path = tmp_path_factory.mktemp("large") / "large.db"
    with Lab(file) as lab:
        lab.start("archive-1", archive, 5_000)
        lab.run_to_end("archive-1")
    with serving(file) as served:
        yield served


# --- one page -------------------------------------------------------------------------------------------------------


@pytest.mark.budget
@pytest.mark.parametrize(("path", "most"), [(WINDOW, 30), (f"{WINDOW}?at=5000", 30), (f"{WINDOW}/e/5000", 20), (ALL, 150)])
def test_a_page_of_a_long_run_comes_in_time(long: Served, budget: Budget, path: str, most: float) -> None:
    budget.milliseconds([partial(long.ask, path)], most)


@pytest.mark.budget
def test_the_page_of_an_entry_with_five_megabytes_comes_in_time(large: Served, budget: Budget) -> None:
    budget.milliseconds([partial(large.ask, ENTRY)], 20)


@pytest.mark.parametrize(
    ("path", "most"), [(WINDOW, 60_000), (f"{WINDOW}?at=5000", 60_000), (ALL, 3_000_000), (f"{WINDOW}/e/5000", 40_000)]
)
def test_a_page_of_a_long_run_is_small(long: Served, path: str, most: int) -> None:
    reply = long.ask(path)

    assert reply.status == 200
    assert len(reply.body) <= most


def test_the_page_of_an_entry_with_five_megabytes_is_small(large: Served) -> None:
    reply = large.ask(ENTRY)

    assert "5.0 MB" in reply.text
    assert len(reply.body) <= 40_000


def test_a_window_is_two_hundred_entries(long: Served) -> None:
    window = long.ask(f"{WINDOW}.json").json()["window"]

    assert (window["shown"], window["total"]) == (200, 10_000)
    assert window["more_href"].endswith("after=200")


def test_all_entries_are_on_one_page_where_that_is_asked(long: Served) -> None:
    page = long.ask(ALL).text

    assert len(re.findall(r'<tr id="e\d+"', page)) == 10_000


# --- all that a browser loads ---------------------------------------------------------------------------------------


def loaded_by(page: str) -> list[str]:
    """The addresses of what a page loads besides itself."""
    return re.findall(r'<(?:script|link|img)\b[^>]*?(?:src|href)="([^"]+)"', page)


@pytest.mark.parametrize("path", PAGES)
def test_a_first_visit_loads_little(small: Served, path: str) -> None:
    page = small.ask(path)

    bodies = [page.body, *(small.ask(address).body for address in loaded_by(page.text))]

    assert sum(map(len, bodies)) <= 110_000
    assert sum(len(gzip.compress(body, 6)) for body in bodies) <= 32_000


@pytest.mark.parametrize("path", PAGES)
def test_a_later_page_is_one_request_and_one_stream(small: Served, path: str) -> None:
    known = set(loaded_by(small.ask("/").text)) | set(loaded_by(small.ask("/runs/order-1").text))
    page = small.ask(path, headers=PACKED)
    text = gzip.decompress(page.body).decode()

    assert len(page.body) <= 40_000
    assert set(loaded_by(text)) <= known
    assert text.count("hx-sse:connect") == 1
    assert "revealed" not in text
    assert not re.search(r'hx-trigger="[^"]*\bload\b', text)


@pytest.mark.parametrize("path", ["/", "/runs", "/runs?status=failed"])
def test_a_page_over_a_million_runs_is_small_on_its_way(million: Served, path: str) -> None:
    assert len(million.ask(path, headers=PACKED).body) <= 40_000


def test_what_pages_share_is_kept_by_the_browser_and_brings_no_fonts(small: Served) -> None:
    for address in loaded_by(small.ask("/runs/order-1").text):
        reply = small.ask(address)

        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert b"@font-face" not in reply.body
