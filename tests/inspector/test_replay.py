"""The report on a save: what the page says of each verdict, its filters, the saves that are kept, and how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowkit import receive, step, workflow
from flowkit.check import replay_runs
from flowkit.client.livecode import Cause
from flowkit.core.verdict import Addition, Counted, Finding, Leftover, Moved, Place, Replay
from flowkit.testing import Lab
from tests.inspector.browser import watched
from tests.inspector.budgets import Budget
from tests.inspector.looks import inaccessible
from tests.inspector.served import Served, serving
from tests.inspector.test_code import LOADED, Code

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HELD = Finding(
    workflow="checkout", verdict="held", runs=7, samples=("order-1", "order-2"), location="validate", source="app.py:27",
    recorded="step `validate`", made="step `charge`",
    lines=(Addition('removed("validate", "step")', "before", "app.py:27", "charge(order)"),),
    advice="from flowkit import removed",
)  # fmt: skip
FINDINGS = (
    HELD,
    Finding(
        workflow="checkout", verdict="does not decode", runs=1, samples=("order-3",), recorded="the input", path="$.order.when",
        annotation="datetime", why="The value at $.order.when cannot be read back",
    ),
    Finding(
        workflow="checkout", verdict="not checked", runs=2, samples=("order-4",), why="writes a file at app.py:30",
    ),
    Finding(
        workflow="ship", verdict="goes on", runs=1200, samples=("ship-1",), places=(Place("pack/~/label", "app.py:40"),),
    ),
    Finding(workflow="ship", verdict="goes on", runs=3, samples=("ship-2",), places=(Place("", ""),)),
    Finding(
        workflow="ship", verdict="other end", ended=True, runs=1, samples=("ship-3",), recorded="completed",
        made="completed with another output", path="$.total",
    ),
    Finding(workflow="ship", verdict="same", ended=True, runs=19, samples=("ship-4",)),
)  # fmt: skip
REPLAY = Replay(
    number=7, code="8c10de", at=1_700_000_000.0, seconds=3.2, tried=1233, findings=FINDINGS,
    warnings=(Moved(workflow="checkout", location="charge#2", source="app.py:28", runs=2, samples=("order-5",)),),
    leftovers=(Leftover(workflow="ship", kind="removed", name="old", source="app.py:51", code='removed("old", "step")'),),
    undecided=("checkout",), unattended={"gone": 4},
    counts=tuple(
        Counted(workflow=each.workflow, verdict=each.verdict, ended=each.ended, runs=each.runs) for each in FINDINGS
        if each.places != (Place("", ""),)
    ),
)  # fmt: skip
OLDER = replace(
    REPLAY, number=6, code="3f2a91", at=REPLAY.at - 60, findings=(), warnings=(), leftovers=(), counts=(), undecided=(),
    why="newer code was saved before the check was through",
)  # fmt: skip


@pytest.fixture
def code() -> Code:
    return Code(replace(LOADED, replays=(REPLAY, OLDER)))


@pytest.fixture
def served(small_file: Path, code: Code) -> Iterator[Served]:
    with serving(small_file, code=code) as found:
        yield found


def report(served: Served, query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = served.ask(f"/migrate.json{query}").json()["report"]
    return found


def said(finding: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in finding["said"])


def test_each_verdict_has_its_section_and_says_why(served: Served) -> None:
    sections = report(served)["sections"]

    assert {section["title"]: [said(each) for each in section["findings"]] for section in sections} == {
        "Held by code": ["history has step validate at validate, the code makes step charge"],
        "Does not decode": [
            "the input at $.order.when does not decode, by the annotation datetime: The value at $.order.when cannot be read back"
        ],
        "Another end": ["it completed, and now it would be completed with another output, first at $.total"],
        "Not checked": ["writes a file at app.py:30"],
        "Goes on": ["at pack/~/label", "to the end of the workflow"],
        "Same": ["the recorded end is reached"],
    }


def test_the_line_to_add_and_some_of_the_runs_stand_there(served: Served) -> None:
    page = served.ask("/migrate").text

    assert "In <code>app.py:27</code>, before <code>charge(order)</code>, add:" in page
    assert "removed(&#34;validate&#34;, &#34;step&#34;)" in page
    assert "from flowkit import removed" in page
    assert '<a class="id" href="/runs/order-2">order-2</a>' in page
    assert "and 5 more" in page


def test_warnings_leftovers_and_runs_without_code_are_told(served: Served) -> None:
    page = served.ask("/migrate").text

    assert "<code>charge#2</code> is called with other arguments than recorded" in page
    assert "Lines that no open run needs any more" in page
    assert "removed(&#34;old&#34;, &#34;step&#34;)" in page
    assert "4 runs of gone" in page
    assert "cannot be told while open runs are held or not checked: checkout" in page


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("?workflow=ship", ["Another end", "Goes on", "Same"]),
        ("?verdict=held", ["Held by code"]),
        ("?runs=finished", ["Another end", "Same"]),
        ("?workflow=ship&verdict=goes+on&runs=open", ["Goes on"]),
        ("?workflow=nobody", []),
        ("?verdict=%3Cscript%3E", []),
    ],
)
def test_the_address_filters(served: Served, query: str, titles: list[str]) -> None:
    found = report(served, query)
    page = served.ask(f"/migrate{query}").text

    assert [section["title"] for section in found["sections"]] == titles
    assert 'href="/migrate">Show all</a>' in page
    assert "<script>" not in page.partition("<h1>")[2]


def test_each_count_leads_to_its_runs_alone(served: Served) -> None:
    rows = report(served)["counts"]

    (ended,) = [row for row in rows if (row["workflow"], row["runs"]) == ("ship", "finished")]
    same = ended["cells"][-1]
    assert (same["text"], report(served, same["href"].removeprefix("/migrate"))["sections"][0]["title"]) == ("19", "Same")


def test_an_older_save_is_shown_by_its_number_and_keeps_its_filters(served: Served) -> None:
    older = report(served, "?save=6&workflow=ship")

    assert (older["code"], older["why"]) == ("3f2a91", "newer code was saved before the check was through")
    assert [(save["number"], save["on"], save["note"]) for save in older["saves"]] == [
        (7, False, "8 held"), (6, True, "cut short"),
    ]  # fmt: skip
    assert older["all_href"] == "/migrate?save=6"
    assert 'hx-get="/migrate?part=now&amp;save=6&amp;workflow=ship"' in served.ask("/migrate?save=6&workflow=ship").text


def test_what_the_report_says_of_held_runs_is_not_said_twice(served: Served, code: Code) -> None:
    cause = Cause(workflow="checkout", runs=1, recorded="step `validate`", made="", location="validate", source="app.py:27")
    code.now = replace(LOADED, version=2, code="8c10de00", held=1, causes=(cause,), replays=(REPLAY,))
    page = served.ask("/migrate").text
    code.now = replace(LOADED, version=3, code="b7710c00", held=1, causes=(cause,), replays=(REPLAY,))
    newer = served.ask("/migrate").text

    assert ('id="causes"' in page, 'id="causes"' in newer) == (False, True)


def test_a_check_that_is_under_way_says_so(served: Served, code: Code) -> None:
    code.now = replace(LOADED, version=2, replays=(replace(REPLAY, over=False),))

    assert report(served)["summary"] == "1,233 runs tried so far"
    assert "The check goes on in the background." in served.ask("/migrate").text


def test_before_the_first_report_there_is_the_banner_alone(served: Served, code: Code) -> None:
    code.now = replace(LOADED, version=2)

    assert report(served) is None
    assert "All runs under code" not in served.ask("/migrate").text


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_report_is_accessible_at_every_width(browser: Browser, axe: str, served: Served) -> None:
    paths = ("/migrate", "/migrate?save=6", "/migrate?verdict=held")

    assert not inaccessible(browser, served.base, axe, paths, "report")


@pytest.mark.browser
@pytest.mark.timeout(60)
def test_without_scripts_a_person_follows_a_count_and_comes_back(browser: Browser, served: Served) -> None:
    with watched(browser, served.base, java_script_enabled=False) as seen:
        seen.page.goto(f"{served.base}/migrate")
        seen.page.get_by_role("link", name="1,200").click()

        assert seen.page.url == f"{served.base}/migrate?workflow=ship&verdict=goes+on&runs=open"
        assert seen.page.get_by_role("heading", name="Held by code").count() == 0

        seen.page.get_by_role("link", name="Show all").click()

        assert seen.page.get_by_role("heading", name="Held by code").count() == 1


@pytest.mark.browser
@pytest.mark.timeout(60)
def test_the_page_follows_a_check_that_goes_on(browser: Browser, served: Served, code: Code) -> None:
    code.now = replace(LOADED, version=2, replays=(replace(REPLAY, over=False, findings=(), counts=()),))
    with watched(browser, served.base) as seen:
        seen.page.goto(f"{served.base}/migrate?workflow=ship")
        code.now = replace(LOADED, version=3, replays=(REPLAY,))

        seen.page.get_by_role("heading", name="Another end").wait_for()

        assert seen.page.get_by_role("heading", name="Held by code").count() == 0


@step
def work(n: int) -> int:
    return n


@workflow(name="fits")
def fits() -> None:
    for n in range(20):
        work(n)
    receive("go")


@workflow(name="fits")
def misfits() -> None:
    for n in range(18):
        work(n)
    receive("go")


@pytest.mark.budget
def test_a_hundred_runs_are_tried_in_a_second_whether_they_fit_or_not(tmp_path: Path, budget: Budget) -> None:
    with Lab(tmp_path / "runs.db") as lab:
        for number in range(50):
            lab.start(f"r-{number}", fits)
            lab.run_once(f"r-{number}")
        acts = [partial(replay_runs, lab.client.driver, {"fits": code}) for code in (fits, misfits)]

        budget.milliseconds(acts, 500)
