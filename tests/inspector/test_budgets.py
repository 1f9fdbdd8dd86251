"""What pages cost, in bytes and time: medians with slack, since machines differ; exact with ``-m budget`` on a quiet one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import pytest

from tests.inspector.served import Served, serving
from tests.inspector.stories import build_long

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SLACK = 10
"""Tests share two cores with each other; a slip by an order of magnitude is what must not pass unseen."""


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run of 10,000 entries."""
    file = tmp_path_factory.mktemp("long") / "long.db"
    build_long(file, 10_000)
    with serving(file) as served:
        yield served


def milliseconds(served: Served, path: str) -> float:
    def once() -> float:
        begun = time.perf_counter()
        assert served.ask(path).status == 200
        return (time.perf_counter() - begun) * 1_000

    return median(once() for _ in range(5))


@pytest.mark.budget
@pytest.mark.parametrize(
    ("path", "limit"), [("/", 15), ("/runs", 15), ("/runs/long-1", 30), ("/runs/long-1?at=5000", 30), ("/runs/long-1/e/5000", 20)]
)
def test_a_page_answers_in_time(long: Served, path: str, limit: float) -> None:
    assert milliseconds(long, path) <= limit * SLACK


@pytest.mark.parametrize(
    ("path", "limit"), [("/runs/long-1", 60_000), ("/runs/long-1?all=1", 3_000_000), ("/runs/long-1/e/5000", 40_000)]
)
def test_a_page_is_small_on_its_way(long: Served, path: str, limit: int) -> None:
    reply = long.ask(path, headers=[("Accept-Encoding", "gzip")])

    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) <= limit


def test_a_window_is_two_hundred_entries(long: Served) -> None:
    window = long.ask("/runs/long-1.json").json()["window"]

    assert (window["shown"], window["total"]) == (200, 10_000)
    assert window["more_href"].endswith("after=200")
