"""The log of a run on its page, and an entry's lines on the entry's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowkit import receive, step, workflow
from flowkit.core.line import Line, number_at
from flowkit.drivers import open_driver
from flowkit.drivers.base import Log
from flowkit.testing import Lab
from tests.inspector.served import Served, serving

LINES = __import__("inspector.present.logs", fromlist=["lines_of"])


@step
def charge(n: int) -> int:
    return n


@workflow
def order() -> int:
    charge(1)
    receive("go")
    return 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with the run `open`, which waits after its charge, and the run `over`."""
    made = tmp_path / "logged.db"
    with Lab(made) as lab:
        for id in ("open", "over"):
            lab.start(id, order)
            lab.run_once(id)
        lab.send("over", "go")
        lab.run_to_end("over")
    return made


@pytest.fixture
def served(file: Path) -> Iterator[Served]:
    with serving(file) as found:
        yield found


def write(file: Path, id: str, count: int, *, first: int = 1, most: int = 100_000, **fields: Any) -> None:
    """As a worker writes lines: numbered in order of time, from when the run began."""
    with closing(open_driver(file)) as driver:
        row = driver.get(id)
        assert row is not None
        base: dict[str, Any] = {"location": "charge", "part": "step", "attempt": 1, "level": 20, "logger": "shop"}
        at = number_at(row.created_at)
        lines = [
            Line(seq=at + n, at=row.created_at + n / 1000, text=f"line {n}".encode(), **{**base, **fields})
            for n in range(first, first + count)
        ]
        driver.write([Log(run=row.seq, lines=lines, most=most)], row.created_at)


def texts(page: Any) -> list[str]:
    return [line["text"] for line in page["lines"]]


def test_a_run_that_logged_nothing_says_why_that_may_be(served: Served) -> None:
    reply = served.ask("/runs/open/logs")

    assert reply.status == 200
    assert "Nothing was logged" in reply.text
    assert "setLevel" in reply.text


def test_a_run_that_is_not_there_has_no_log(served: Served) -> None:
    assert served.ask("/runs/opn/logs").status == 404


def test_a_line_says_when_where_which_attempt_and_what(file: Path, served: Served) -> None:
    write(file, "open", 1, level=30, attempt=2)

    (line,) = served.ask("/runs/open/logs.json").json()["lines"]

    assert (line["text"], line["level"], line["group"], line["place"], line["note"], line["logger"]) == (
        "line 1", "warning", "attention", "charge", "attempt 2", "shop"
    )  # fmt: skip
    assert line["clock"].endswith(".001")
    assert line["href"] == "/runs/open/logs?step=charge"


@pytest.mark.parametrize(
    ("most", "said"),
    [(30, ""), (29, "1 older line has made room for newer ones"), (10, "20 older lines have made room for newer ones")],
)
def test_lines_that_made_room_for_newer_ones_are_counted(file: Path, served: Served, most: int, said: str) -> None:
    write(file, "over", 30, most=most)

    page, data = served.ask("/runs/over/logs"), served.ask("/runs/over/logs.json").json()

    assert ("made room" in page.text) == bool(said)
    assert said in page.text
    assert data["dropped"] == 30 - most
    assert len(texts(data)) == most


def test_an_open_run_shows_its_newest_lines_and_leads_back(file: Path, served: Served) -> None:
    write(file, "open", 450)

    newest = served.ask("/runs/open/logs.json").json()
    before = served.ask(newest["earlier_href"].replace("/logs?", "/logs.json?")).json()
    first = served.ask(before["earlier_href"].replace("/logs?", "/logs.json?")).json()

    assert texts(newest) == [f"line {n}" for n in range(251, 451)]
    assert texts(before) == [f"line {n}" for n in range(51, 251)]
    assert texts(first) == [f"line {n}" for n in range(1, 51)]
    assert (newest["later_href"], first["earlier_href"]) == ("", "")


def test_an_ended_run_shows_its_first_lines_and_leads_on(file: Path, served: Served) -> None:
    write(file, "over", 250)

    first = served.ask("/runs/over/logs.json").json()
    then = served.ask(first["later_href"].replace("/logs?", "/logs.json?")).json()

    assert texts(first) == [f"line {n}" for n in range(1, 201)]
    assert texts(then) == [f"line {n}" for n in range(201, 251)]
    assert (first["earlier_href"], then["later_href"]) == ("", "")


def test_lines_are_chosen_by_level_and_step(file: Path, served: Served) -> None:
    write(file, "open", 3)
    write(file, "open", 2, first=4, level=40)
    write(file, "open", 2, first=6, level=40, location="", part="code")

    def shown(query: str) -> list[str]:
        return texts(served.ask(f"/runs/open/logs.json?{query}").json())

    assert shown("level=error") == ["line 4", "line 5", "line 6", "line 7"]
    assert shown("step=charge") == [f"line {n}" for n in range(1, 6)]
    assert shown("step=charge&level=warning") == ["line 4", "line 5"]
    assert shown("step=nothing") == []
    assert len(shown("level=loud")) == 7


def test_a_filter_that_leaves_nothing_leads_to_all_lines(file: Path, served: Served) -> None:
    write(file, "open", 1)

    reply = served.ask("/runs/open/logs?level=critical&step=charge").text

    assert "No line of <code>charge</code> at level critical or above" in reply
    assert 'href="/runs/open/logs"' in reply


def test_a_page_shows_lines_that_come_while_the_run_stands_still(file: Path, served: Served) -> None:
    write(file, "open", 1)
    part = served.ask("/runs/open/logs.json").json()["part_href"]
    unchanged = served.ask(part).status

    write(file, "open", 1, first=2)
    changed = served.ask(part)

    assert unchanged == 204
    assert changed.status == 200
    assert "line 2" in changed.text


def test_an_ended_run_is_not_asked_again(served: Served) -> None:
    assert "hx-get" not in served.ask("/runs/over/logs").text.partition('id="logs"')[2]


def test_a_traceback_stands_behind_the_first_line(file: Path, served: Served) -> None:
    write(file, "open", 1, level=40)
    with closing(open_driver(file)) as driver:
        row = driver.get("open")
        assert row is not None
        line = Line(
            seq=1 << 60, at=row.created_at, location="charge", part="step", level=40, text=b"no\nTraceback\n  File\nOSError"
        )
        driver.write([Log(run=row.seq, lines=[line])], 0.0)

    found = served.ask("/runs/open/logs.json").json()["lines"][-1]

    assert (found["text"], found["rest"], found["rest_lines"]) == ("no", "Traceback\n  File\nOSError", 3)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (b"\xff\x00\x1b[31m", "\\xff\\u0000\\u001b[31m"),
        ("safe\u202egnp".encode(), "safe\\u202egnp"),
        (b"x" * 5_000, "x" * 1_000 + "…"),
    ],
    ids=["bytes", "direction", "length"],
)
def test_any_text_can_be_shown(text: bytes, first: str) -> None:
    (view,) = LINES.lines_of("r", [Line(seq=1, at=1e18, text=text, level=7)], 0.0)

    assert (view.text, view.level, view.place) == (first, "level 7", "workflow code")


# --- on an entry's page ---------------------------------------------------------------------------------------------


def test_an_entry_shows_its_first_lines_and_leads_to_the_others(file: Path, served: Served) -> None:
    write(file, "open", 25)

    page = served.ask("/runs/open/e/1.json").json()
    others = served.ask(page["lines_href"].replace("/logs?", "/logs.json?")).json()

    assert texts(page) == [f"line {n}" for n in range(1, 21)]
    assert texts(others) == [f"line {n}" for n in range(1, 26)]
    assert "Logged" in served.ask("/runs/open/e/1").text


def test_an_entry_with_few_lines_leads_nowhere(file: Path, served: Served) -> None:
    write(file, "open", 20)

    assert served.ask("/runs/open/e/1.json").json()["lines_href"] == ""


def test_an_entry_does_not_show_what_was_logged_before_it_began(file: Path, served: Served) -> None:
    write(file, "open", 1, first=-5)
    write(file, "open", 1)

    assert texts(served.ask("/runs/open/e/1.json").json()) == ["line 1"]


def test_an_entry_that_logged_nothing_says_nothing_of_it(served: Served) -> None:
    assert "Logged" not in served.ask("/runs/open/e/1").text
