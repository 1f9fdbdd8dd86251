"""Workers in trouble, as the home page and the pages of runs show them: in the page, in its twin, and live."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import receive, workflow
from flowkit.core.health import Report, Trouble
from flowkit.runtime.reporter import source_key
from tests.inspector.served import Served, serving
from tests.runtime.waiting import until


@workflow(name="order")
def order(id: str) -> None:
    receive("paid")


@workflow(name="refund")
def refund(id: str) -> None:
    receive("paid")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with an open run of `order`, one of `refund` and an ended one of `order`."""
    path = tmp_path / "shop.db"
    with flowkit.open(path, worker=False) as fk:
        for id, flow in (("o-1", order), ("r-1", refund), ("o-2", order)):
            fk.start(id, flow, id)
        fk.get("o-2").cancel()
    return path


@pytest.fixture
def served(file: Path) -> Iterator[Served]:
    with serving(file) as beside:
        yield beside


def report(served: Served, workflow: str, **fields: Any) -> None:
    now = time.time()
    given = {"kind": "import", "type": "builtins.ImportError", "line": "no module named x", "place": "app.py:3", "source": "w-7"}
    said = Report(workflow=workflow, since=now - 120, last=now, **(given | fields))
    served.client.driver.report(source_key(said.source, said.worker), [said], now + 60, now)


def words(pieces: Any) -> str:
    return "".join(piece["text"] for piece in pieces)


def test_home_says_which_workflow_nobody_runs_and_why(served: Served) -> None:
    report(served, "order")

    (view,) = served.ask("/home.json").json()["health"]
    page = re.sub(r"<[^>]+>", "", html.unescape(served.ask("/").text))

    assert re.fullmatch(
        r"nobody runs order since .+: ImportError in app\.py:3 on worker w-7: no module named x", words(view["sentence"])
    )
    assert (view["group"], view["href"], view["more"]) == ("bad", "/runs?workflow=order", 0)
    assert "Workers in trouble" in page
    assert "ImportError in app.py:3 on worker w-7" in page


def test_home_says_nothing_where_nobody_reports_anything(served: Served) -> None:
    assert served.ask("/home.json").json()["health"] == []
    assert "Workers in trouble" not in served.ask("/").text


def test_a_run_says_it_of_its_own_workflow_alone(served: Served) -> None:
    report(served, "order")

    heads = {id: served.ask(f"/runs/{id}.json").json()["head"] for id in ("o-1", "r-1", "o-2")}

    assert "ImportError in app.py:3" in words(heads["o-1"]["health"]["sentence"])
    assert (heads["r-1"]["health"], heads["o-2"]["health"]) == (None, None)


def test_one_worker_that_fails_beside_one_that_does_not_is_a_warning(file: Path, served: Served) -> None:
    with flowkit.open(file, workflows=[order]):
        until(lambda: served.client.get("o-1").status() == "sleeping")
        report(served, "order")

        (view,) = served.ask("/home.json").json()["health"]

    assert view["group"] == "attention"
    assert words(view["sentence"]).startswith("1 of 2 workers cannot serve order since ")


def test_a_worker_whose_code_does_not_fit_one_run_is_not_said_to_serve_nobody(file: Path, served: Served) -> None:
    with flowkit.open(file, workflows=[order]) as fk:
        until(lambda: served.client.get("o-1").status() == "sleeping")
        assert fk.worker is not None
        fk.worker.reporter.failed("order", Trouble("misfit", "flowkit.errors.HistoryDiverged", "run o-3 is blocked", "app.py:7"))
        fk.worker.reporter.flush()

        (view,) = served.ask("/home.json").json()["health"]

    assert view["group"] == "attention"
    assert re.fullmatch(
        r"some runs of order are held by code since .+: HistoryDiverged in app\.py:7 on worker .+: run o-3 is blocked",
        words(view["sentence"]),
    )


def test_a_page_of_a_run_is_out_of_date_once_a_worker_reports(served: Served) -> None:
    before = served.ask("/runs/o-1.json").json()["head"]["token"]

    report(served, "order")

    assert served.ask("/runs/o-1.json").json()["head"]["token"] != before


def test_a_report_that_has_expired_is_gone(served: Served) -> None:
    now = time.time()
    said = Report(workflow="order", kind="import", since=now - 9, last=now - 9, source="w-7")
    served.client.driver.report(source_key("w-7", 0), [said], now - 1, now - 9)

    assert served.ask("/home.json").json()["health"] == []


def test_what_a_report_says_is_text(served: Served) -> None:
    report(served, "order", line="<script>alert(1)</script>", place="<b>.py:1", source="<i>")

    page = served.ask("/").text

    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_where_errors_are_hidden_a_report_has_its_type_and_place(file: Path) -> None:
    with serving(file, expose_errors=False) as served:
        report(served, "order", line="card 4711")

        page, run = served.ask("/").text, served.ask("/runs/o-1").text

    assert "4711" not in page + run
    assert "ImportError in app.py:3 on worker w-7" in page
    assert "ImportError in app.py:3 on worker w-7" in run
