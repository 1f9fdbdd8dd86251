"""Pruning and retention: ended runs go when their time is over, and never one that goes on again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import CriticalError, receive, workflow
from flowkit.client.pruning import Prunable, prunable, prune
from flowkit.drivers import open_driver
from flowkit.drivers.base import RunQuery
from flowkit.settings import Settings
from flowkit.testing import Lab
from tests.runtime.waiting import until

DAY = 86_400.0


@workflow
def fine() -> str:
    return "fine"


@workflow
def bad() -> None:
    raise CriticalError("no")


@workflow
def waits() -> None:
    receive("go")


@pytest.fixture(params=["memory", "file"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    driver = None if request.param == "memory" else open_driver(tmp_path / "a.db", durability="process")
    with Lab(driver=driver) as made:
        yield made


@pytest.fixture
def five(lab: Lab) -> Lab:
    """Three runs that ended at once, one a day later, one that waits."""
    for run, flow in (("a", fine), ("b", fine), ("c", bad), ("w", waits)):
        lab.start(run, flow)
        lab.run_once(run)
    lab.advance("1d")
    lab.start("late", fine)
    lab.run_once("late")
    return lab


def ids(lab: Lab) -> list[str]:
    return sorted(row.id for row in lab.client.driver.runs(RunQuery()))


def pruned(lab: Lab, size: int = 500, **wanted: Any) -> dict[tuple[str, str], int]:
    dry = wanted.pop("dry", False)
    return dict(prune(lab.client.driver, Prunable(now=lab.now, **wanted), size, dry=dry))


def test_without_retention_and_age_nothing_is_pruned(five: Lab) -> None:
    assert pruned(five) == {}


def test_what_ended_before_an_instant_is_counted_by_workflow_and_status_and_deleted(five: Lab) -> None:
    counts = pruned(five, ended_before=five.now - DAY / 2)

    assert counts == {("fine", "completed"): 2, ("bad", "failed"): 1}
    assert ids(five) == ["late", "w"]


def test_a_dry_run_counts_the_same_and_deletes_nothing(five: Lab) -> None:
    assert pruned(five, ended_before=five.now, dry=True) == {("fine", "completed"): 3, ("bad", "failed"): 1}
    assert len(ids(five)) == 5


def test_statuses_and_workflows_narrow_it(five: Lab) -> None:
    assert pruned(five, ended_before=five.now, statuses=("failed",)) == {("bad", "failed"): 1}
    assert pruned(five, ended_before=five.now, workflow="bad") == {}
    assert pruned(five, ended_before=five.now, workflow="fine", statuses=("completed", "cancelled")) == {("fine", "completed"): 3}


def test_slices_come_to_the_same(five: Lab) -> None:
    slices = list(prunable(five.client.driver, Prunable(now=five.now, ended_before=five.now), 2))

    assert [len(rows) for rows in slices] == [2, 2]
    assert pruned(five, size=1, ended_before=five.now) == {("fine", "completed"): 3, ("bad", "failed"): 1}
    assert ids(five) == ["w"]


def test_a_run_that_goes_on_again_before_it_is_deleted_is_left_alone(five: Lab) -> None:
    driver = five.client.driver
    (rows,) = prunable(driver, Prunable(now=five.now, ended_before=five.now, statuses=("failed",)), 500)

    five.get("c").recover()

    assert driver.remove({row.seq: row.head for row in rows}) == 0
    assert five.get("c").status() == "pending"


def test_what_retention_has_ended_is_pruned_without_an_age() -> None:
    with Lab() as lab:
        lab.client.driver.retain({"completed": 1, "bad/*": 2})
        for run, flow in (("a", fine), ("c", bad)):
            lab.start(run, flow)
            lab.run_once(run)
        lab.advance("36h")

        assert pruned(lab) == {("fine", "completed"): 1}
        lab.advance("1d")
        assert pruned(lab) == {("bad", "failed"): 1}


def test_a_worker_deletes_what_the_setting_says_by_itself(tmp_path: Path) -> None:
    settings = {"retention": {"completed": 0.1}, "purge_every": "50ms", "reap": "10ms"}

    with flowkit.open(tmp_path / "a.db", settings=settings) as fk:
        fk.start("a", fine).result(timeout=5)
        fk.start("w", waits)

        until(lambda: [item.id for item in fk.runs()] == ["w"])


def test_a_handle_without_the_setting_leaves_the_policy_of_the_store_alone(tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "a.db", settings=Settings(retention={"completed": 60})):
        pass

    with flowkit.open(tmp_path / "a.db") as fk:
        fk.start("a", fine).result(timeout=5)
        row = fk.driver.get("a")

    assert row is not None
    assert row.expire_at is not None
    assert row.finished_at is not None
    assert row.expire_at - row.finished_at == pytest.approx(60, abs=0.001)
