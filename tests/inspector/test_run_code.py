"""The code of a run then and now: which steps came, went, moved, and which are another under the same name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowkit import step, workflow
from flowkit.definitions.manifest import Manifest, manifest_of
from flowkit.drivers import open_driver
from flowkit.drivers.base import Start, WorkerInfo
from flowkit.runtime.serving import Serving
from tests.inspector.given import module
from tests.inspector.served import Served, serving
from tests.inspector.test_code import LOADED, Code

codes = module("codes")
THEN = {"validate": "v1", "charge": "c1", "reserve": "r1", "notify": "n1"}


@step
def one() -> int:
    return 1


@step
def two() -> int:
    return 2


@workflow
def before() -> int:
    return one() + two()


@workflow
def after() -> int:
    return two() + one()


def told(before: dict[str, str], now: dict[str, str]) -> list[tuple[str, str, str]]:
    """Each step then, now, and what differs."""
    return [(each.before, each.now, ", ".join(each.differences)) for each in codes.changes_of(before, now)]


def test_the_same_code_has_no_differences() -> None:
    assert {differences for _, _, differences in told(THEN, THEN)} == {"same"}
    assert codes.summary(codes.changes_of(THEN, THEN)) == ""


def test_a_step_that_came_and_one_that_went() -> None:
    now = {"validate": "v1", "charge": "c1", "notify": "n1", "mail": "m1"}

    assert told(THEN, now) == [
        ("validate", "validate", "same"), ("charge", "charge", "same"), ("reserve", "", "removed"), ("notify", "notify", "same"),
        ("", "mail", "added"),
    ]  # fmt: skip


def test_a_first_step_that_went_stands_first() -> None:
    assert told(THEN, {name: THEN[name] for name in list(THEN)[1:]})[0] == ("validate", "", "removed")


def test_a_body_under_another_name_is_renamed() -> None:
    now = {"check": "v1", "charge": "c1", "reserve": "r1", "notify": "n1"}

    assert told(THEN, now)[0] == ("validate", "check", "renamed")


def test_a_body_that_two_new_names_have_is_no_rename() -> None:
    found = told({"a": "x"}, {"b": "x", "c": "x"})

    assert found == [("a", "", "removed"), ("", "b", "added"), ("", "c", "added")]


def test_of_two_steps_that_changed_places_one_has_moved() -> None:
    found = told(THEN, {"validate": "v1", "reserve": "r1", "charge": "c1", "notify": "n1"})

    assert [differences for *_, differences in found].count("moved") == 1


def test_a_step_taken_to_the_front_alone_has_moved() -> None:
    found = told(THEN, {"notify": "n1", "validate": "v1", "charge": "c1", "reserve": "r1"})

    assert [name for _, name, differences in found if differences == "moved"] == ["notify"]


def test_another_body_is_told_beside_a_move() -> None:
    found = told(THEN, {"notify": "n2", "validate": "v1", "charge": "c1", "reserve": "r1"})

    assert found[0] == ("notify", "notify", "moved, body changed")


def test_a_summary_counts_what_differs() -> None:
    changes = codes.changes_of(THEN, {"validate": "v2", "charge": "c2", "reserve": "r1", "mail": "m1"})

    assert codes.summary(changes) == "2 body changed, 1 removed, 1 added"


# --- the page


OLD, NEW = "1" * 16, "2" * 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A run that began with code 111111, and what two codes consist of."""
    found = tmp_path / "x.db"
    with closing(open_driver(found)) as driver:
        worker = driver.join(WorkerInfo(name="old", host="h", pid=1), 1.0)
        born = Start(
            id="c-1", workflow="checkout", input=b"{}", input_hash="", start_at=1.0, worker=worker, code=f"{OLD}-f", token="t"
        )
        driver.write([born], 1.0)
        driver.publish(OLD, Manifest({"checkout": THEN}).encode(), 1.0)
        driver.publish(NEW, Manifest({"checkout": {"validate": "v1", "charge": "c2"}}).encode(), 2.0)
    return found


@contextmanager
def beside(file: Path, serves: str = "checkout", code: Code | None = None) -> Iterator[Served]:
    """An inspector while a worker with the new code lives."""
    info = msgspec.json.encode(Serving(code=NEW, generation=3, workflows=(serves,))).decode()
    with closing(open_driver(file)) as driver:
        driver.join(WorkerInfo(name="new", host="h", pid=2, info=info), time.time())
        with serving(file, code=code) as found:
            yield found


def page_of(served: Served) -> Any:
    return served.ask("/runs/c-1/code.json").json()


def test_the_code_of_a_living_worker_is_the_code_of_now(file: Path) -> None:
    with beside(file) as served:
        page, text = page_of(served), served.ask("/runs/c-1/code").text

    assert (page["first"], page["now"], page["now_is"]) == ("111111", "222222", "of a worker that is running")
    assert page["summary"] == "1 body changed, 2 removed"
    assert "The code has changed since it began" in text


def test_the_loaded_code_goes_before_that_of_a_worker(file: Path) -> None:
    with beside(file, serves="other", code=Code(replace(LOADED, running=NEW[:6]))) as served:
        page = page_of(served)

    assert (page["now"], page["now_is"]) == ("222222", "loaded now")
    assert page["told_now"]


def test_without_a_worker_the_last_pass_tells(file: Path) -> None:
    with serving(file) as served:
        page, text = page_of(served), served.ask("/runs/c-1/code").text

    assert (page["first"], page["now"], page["summary"]) == ("111111", "111111", "")
    assert "The code is the one it began with" in text


def test_a_worker_of_other_workflows_tells_nothing_of_this_one(file: Path) -> None:
    with beside(file, serves="other") as served:
        page = page_of(served)

    assert page["now_is"] == "of its last pass; no worker that is running serves it"


def test_a_code_that_no_worker_told_of_is_said_to_be_unknown(file: Path) -> None:
    with serving(file, code=Code(replace(LOADED, running="3" * 16))) as served:
        page, text = page_of(served), served.ask("/runs/c-1/code").text

    assert (page["told_first"], page["told_now"], page["changes"]) == (True, False, [])
    assert "No worker has told which steps code <code>333333</code> has" in text


def test_what_a_worker_publishes_is_compared_in_the_order_of_the_code() -> None:
    then, now = (manifest_of([each]).workflows[each.name] for each in (before, after))

    assert [change.differences for change in codes.changes_of(then, now)].count(("moved",)) == 1


def test_a_run_that_is_not_there_has_no_code(small: Served) -> None:
    assert small.ask("/runs/nope/code").status == 404
