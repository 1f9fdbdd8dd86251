"""Runs for which a worker is missing: what the pages say of them, with real workers beside the inspector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Flowkit, checkpoint, receive, sleep, step, workflow
from flowkit.registry import project_code, project_sources
from tests.inspector.served import Served, serving
from tests.runtime.waiting import until


@step
def charge(order: str) -> str:
    return f"charged {order}"


@step(rollback=lambda _: None)
def reserve(order: str) -> str:
    return f"reserved {order}"


@workflow(name="order")
def order(id: str) -> str:
    done = charge(id)
    receive("shipped")
    return done


@workflow(name="cool")
def cool(id: str) -> None:
    checkpoint("start")
    reserve(id)
    sleep("2h", name="cool-off")


@workflow(name="refund")
def refund(id: str) -> None:
    return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@pytest.fixture
def beside(file: Path) -> Iterator[Served]:
    """An inspector of a database in which nobody works yet."""
    flowkit.open(file, worker=False).close()
    with serving(file) as served:
        yield served


def started(file: Path, *ids: str) -> None:
    with flowkit.open(file, worker=False) as fk:
        for id in ids:
            fk.start(id, order, id)


def said(item: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in item["sentence"])


def head(served: Served, id: str) -> Any:
    return served.ask(f"/runs/{id}.json").json()["head"]


def parked(fk: Flowkit, id: str, flow: Any) -> None:
    fk.start(id, flow, id)
    until(lambda: fk.get(id).status() == "sleeping")


def test_a_run_that_no_live_worker_serves_needs_a_human(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[refund]):
        started(file, "o-1", "o-2")

        (need,) = beside.ask("/home.json").json()["needs"]
        rows = beside.ask("/runs.json").json()["items"]
        found = head(beside, "o-1")

    assert (need["count"], need["item"]["unattended"], said(need["item"])) == (2, True, "no code: no worker serves order")
    assert [(row["unattended"], said(row)) for row in rows] == [(True, "no code: no worker serves order")] * 2
    assert found["note"] == "No worker that is running serves its workflow. It goes on once a worker serves it."


def test_a_worker_that_comes_to_serve_it_takes_the_mark_away(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[refund]):
        started(file, "o-1")
        before = head(beside, "o-1")["item"]["unattended"]

        with flowkit.open(file, workflows=[order]):
            until(lambda: head(beside, "o-1")["item"]["state"]["word"] == "sleeping")
            after = head(beside, "o-1")

    assert (before, after["item"]["unattended"], after["note"]) == (True, False, "")
    assert said(after["item"]) == "waits for shipped"


def test_without_any_worker_a_page_says_what_must_come(file: Path, beside: Served) -> None:
    started(file, "o-1")

    found = head(beside, "o-1")

    assert found["note"] == "No worker is running. It goes on once a worker serves it."
    assert not found["item"]["unattended"]


def test_a_run_that_is_paused_waits_for_no_worker(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[cool]) as fk:
        parked(fk, "c-1", cool)
        fk.get("c-1").pause()
    page = beside.post("/runs/c-1/resume", op="0" * 32)

    resumed = beside.ask(page.headers["location"]).text
    beside.post("/runs/c-1/pause", op="1" * 32)

    assert "No worker is running. It goes on once a worker serves it." in resumed
    assert head(beside, "c-1")["note"] == ""


def test_a_timer_stands_in_lists_under_its_name_and_a_paused_one_with_its_instant(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[cool]) as fk:
        parked(fk, "c-1", cool)
        asleep = said(beside.ask("/runs.json").json()["items"][0])
        beside.post("/runs/c-1/pause", op="1" * 32)
        until(lambda: fk.get("c-1").status() == "paused")

        stopped = said(beside.ask("/runs.json").json()["items"][0])

    assert asleep.startswith("cool-off until ")
    assert asleep.endswith(("in 2 h", "in 1 h 59 min"))
    assert stopped.startswith("from the inspector; next due ")


def test_a_run_that_was_cancelled_and_undone_says_from_where(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[cool]) as fk:
        parked(fk, "c-1", cool)
        beside.post("/runs/c-1/cancel", op="2" * 32, rollback="1")
        until(lambda: fk.get("c-1").status() == "cancelled")

    assert said(head(beside, "c-1")["item"]) == "from the inspector, rolled back"


def test_the_code_of_a_run_is_the_number_that_its_generation_has(file: Path, beside: Served) -> None:
    with flowkit.open(file, workflows=[order]) as fk:
        parked(fk, "o-1", order)

    found = head(beside, "o-1")

    assert found["code"] == found["first_code"] == project_code(project_sources())[:6]
