"""The compensation map: what would be undone, in which order and by what, tried without doing it; and the export page."""

from __future__ import annotations

import ast
import contextlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit import Break, Continue, CriticalError, attempt, checkpoint, join, loop, race, receive, send, sleep, step, workflow
from flowkit.client import Flowkit
from flowkit.client.livecode import Answer, CodeState, ResolveWish, StartAnswer, StartWish, UndoTrial
from flowkit.dev.manifest import describe_workflow
from flowkit.dev.undoing import try_as_wished
from flowkit.drivers import open_driver
from flowkit.testing import Lab
from tests.inspector.served import Served, serving
from tests.inspector.stories import HOSTILE

CALLED: list[str] = []


def give_back(what: str) -> None:
    """The handler."""
    CALLED.append(what)
    if what == "stuck":
        raise CriticalError(f"the bank is closed\n{HOSTILE[0]}")


@step(rollback=give_back)
def book(what: str) -> str:
    return what


@step
def tell(what: str) -> str:
    return what


@step(timeout=0.05, retries=0)
def slow(what: str) -> str:
    import time

    time.sleep(0.3)
    return what


@workflow
def trip(first: str = "flight") -> None:
    """Books things in a join and a loop, and waits."""
    checkpoint("bookings")
    book.options(name="first")(first)
    tell("the customer")
    attempt(lambda: slow("fax"), name="fax")

    def turn(n: int) -> Any:
        book(f"night {n}")
        return Continue(n + 1) if n < 2 else Break(n)

    loop(turn, 0, name="nights")
    join("rest", car=lambda: book("car"), seat=lambda: book("seat"))
    race("faster", a=lambda: tell("a"), b=lambda: sleep("1h"))
    send("other", "hello")
    receive("go")
    raise CriticalError("no hotel")


@workflow(name="trip")
def shorter(first: str = "flight") -> None:
    """Code that no longer makes one of the steps."""
    checkpoint("bookings")
    book.options(name="first")(first)
    receive("go")


@workflow
def waits() -> None:
    receive("hello")
    receive("more")


class Loaded:
    """The code above, as a program that has loaded it answers for it."""

    def __init__(self, file: Path, made: Any = trip) -> None:
        self.made = made
        self.flowkit = Flowkit(open_driver(file), worker=False, workflows=(made,))

    def state(self) -> CodeState:
        flows = (describe_workflow(self.made),)
        return CodeState(version=1, status="loaded", app="app.py", code="c0de", running="c0de", workflows=flows)

    def start(self, wish: StartWish) -> StartAnswer:
        raise AssertionError("nothing is started here")

    def resolve(self, wish: ResolveWish) -> Answer:
        raise AssertionError("nothing is resolved here")

    def try_undoing(self, run_id: str) -> UndoTrial:
        return try_as_wished(self.flowkit, {self.made.name: self.made}, run_id)

    def kill(self) -> None:
        raise AssertionError("nothing is killed here")


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a trip that waits, one that was rolled back, and one whose rollback is stuck."""
    file = tmp_path_factory.mktemp("trips") / "trips.db"
    with Lab(file) as lab:
        lab.start("other", waits)
        for id, first in (("open", "flight"), ("undone", "flight"), ("stuck", "stuck")):
            lab.start(id, trip, first)
            lab.run_once(id)
        for id in ("undone", "stuck"):
            lab.send(id, "go")
            with contextlib.suppress(Exception):
                lab.run_to_end(id)
    CALLED.clear()
    return file


@pytest.fixture(scope="module")
def alone(trips: Path) -> Iterator[Served]:
    """An inspector without code."""
    with serving(trips) as served:
        yield served


@pytest.fixture(scope="module")
def coded(trips: Path) -> Iterator[Served]:
    """An inspector beside the code."""
    code = Loaded(trips)
    with serving(trips, code=code) as served:
        yield served
    code.flowkit.close()


def undoing(served: Served, id: str, more: str = "") -> dict[str, Any]:
    found: dict[str, Any] = served.ask(f"/runs/{id}.json?view=rollback{more}").json()
    return found["undoing"]


def text_of(served: Served, path: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", served.ask(path).text)).split())


def test_the_map_lists_what_owes_in_the_order_of_undoing(alone: Served) -> None:
    rows = undoing(alone, "open")["rows"]

    places = [row["location"] for row in rows]
    assert sorted(places[:2]) == ["rest/car/book", "rest/seat/book"]
    assert places[2:] == ["nights/~2/book", "nights/~1/book", "nights/~0/book", "first"]
    assert {row["state"]["word"] for row in rows} == {"owes"}


def test_the_map_lists_what_stays_done_and_why(alone: Served) -> None:
    found = undoing(alone, "open")

    staying = {row["location"]: row["why"] for row in found["staying"]}
    assert staying["tell"] == "has no rollback"
    assert staying["hello"] == "a message cannot be taken back"
    assert "was abandoned" in staying["fax/slow"]
    assert any("losing branches of faster" in note for note in found["notes"])


def test_a_run_that_was_rolled_back_says_what_was_undone(alone: Served) -> None:
    found = undoing(alone, "undone")

    assert {row["state"]["word"] for row in found["rows"]} == {"rolled_back"}
    assert "all 6 are undone" in found["sentence"]


def test_a_stuck_rollback_names_the_handler_that_stopped_it(alone: Served) -> None:
    found = undoing(alone, "stuck")

    *undone, last = found["rows"]
    assert {row["state"]["word"] for row in undone} == {"rolled_back"}
    assert (last["location"], last["state"]["word"], last["attempts"]) == ("first", "stopped", 1)
    assert last["error"].endswith("the bank is closed")
    assert "5 of 6 done" in found["sentence"]


def test_the_loaded_code_names_the_handlers(coded: Served) -> None:
    found = {row["location"]: row["handler"] for row in undoing(coded, "open")["rows"]}

    assert re.fullmatch(r"give_back, .*test_rollback\.py:\d+", found["nights/~0/book"])


def test_without_code_the_page_says_that_it_cannot_tell(alone: Served) -> None:
    text = text_of(alone, "/runs/open?view=rollback")

    assert "not known here" in text
    assert "Try it" not in text


def test_trying_finds_every_handler_and_calls_none(coded: Served) -> None:
    found = undoing(coded, "open", "&try=1")

    assert [row["tried"] for row in found["rows"]] == ["found"] * 6
    assert found["verdict"].startswith("All 6 that owe were found")
    assert CALLED == []


def test_trying_names_a_step_that_can_no_longer_be_found(trips: Path) -> None:
    code = Loaded(trips, shorter)
    with serving(trips, code=code) as served:
        found = undoing(served, "open", "&try=1")
        text = text_of(served, "/runs/open?view=rollback&try=1")
    code.flowkit.close()

    assert found["verdict_good"] is False
    assert "Nothing could be undone now" in found["verdict"]
    assert "the code no longer comes to this step" in text


def test_an_output_that_no_longer_decodes_is_named(trips: Path) -> None:
    @step(name="first", rollback=give_back)
    def counted(what: str) -> int:
        return 1

    @workflow(name="trip")
    def numbers(first: str = "flight") -> None:
        checkpoint("bookings")
        with contextlib.suppress(Exception):
            counted(first)

    code = Loaded(trips, numbers)
    with serving(trips, code=code) as served:
        found = undoing(served, "open", "&try=1")
    code.flowkit.close()

    assert found["verdict_good"] is False


def test_the_pages_of_runs_without_rollbacks_say_so(small: Served) -> None:
    assert "nothing is owed any more" in text_of(small, "/runs/order-1?view=rollback")
    assert "nothing would be undone" in text_of(small, "/runs/fetch-1?view=rollback")


def test_the_confirm_page_of_cancel_shows_the_order_and_leads_to_the_map(coded: Served) -> None:
    text = text_of(coded, "/runs/open/cancel")

    assert re.search(r"Would be undone, in this order 1\. rest/\w+/book by give_back, .*test_rollback\.py:\d+ 2\. ", text)
    assert "/runs/open?view=rollback" in coded.ask("/runs/open/cancel").text
    assert "fax/slow was abandoned" in text


def test_the_confirm_page_of_recover_says_what_will_be_done_again(alone: Served) -> None:
    text = text_of(alone, "/runs/undone/recover")

    assert "Will be done again" in text
    assert "/runs/undone?view=rollback" in alone.ask("/runs/undone/recover").text


# --- the export page


def test_the_export_page_offers_the_test_of_a_run_that_ended(small: Served) -> None:
    body = small.ask("/runs/order-2/export").text

    assert "test_order_2.py" in body
    assert 'formaction="/runs/order-2/export.py"' in body


def test_the_exports_are_saved_and_masked(small: Served) -> None:
    document, lines = small.ask("/runs/order-1/export.json"), small.ask("/runs/order-1/export.ndjson")
    revealed = small.ask("/runs/order-1/export.json?reveal=1")

    assert json.loads(document.text)["run"]["output"]["password"] == "masked"
    assert json.loads(revealed.text)["run"]["output"]["password"] == "hunter2"
    assert [json.loads(line)["piece"] for line in lines.text.splitlines()][-1] == "end"
    assert document.headers["content-disposition"].startswith("attachment")


def test_the_test_of_a_run_is_saved(small: Served) -> None:
    found = small.ask("/runs/order-2/export.py?place=shop.app:checkout")

    assert "from shop.app import checkout" in found.text
    assert ast.parse(found.text)


def test_no_place_from_an_address_becomes_code(small: Served) -> None:
    found = small.ask("/runs/order-2/export.py?place=os;import%20sys:x%0Aimport%20os")

    assert "import sys" not in found.text


def test_a_run_that_has_not_ended_has_no_test(small: Served) -> None:
    assert small.ask("/runs/order-4/export.py").status == 409
    assert "only a completed or failed run" in text_of(small, "/runs/order-4/export")


def test_a_run_that_is_not_there_has_no_export(small: Served) -> None:
    assert small.ask("/runs/none/export.json").status == 404
    assert small.ask("/runs/none/export").status == 404


def test_every_export_of_hostile_runs_is_whole(hostile: Served) -> None:
    rows = json.loads(hostile.ask("/runs.json").text)["items"]

    found = [hostile.ask(f"{row['href']}/export.json") for row in rows]

    assert len(found) == len(HOSTILE)
    assert all(json.loads(each.text)["end"] for each in found)
