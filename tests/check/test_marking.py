"""Runs that do not fit are blocked before the new code may claim one: which, with what, all together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from flowkit import HistoryDiverged, Workflow, checkpoint, receive, sleep, step, workflow
from flowkit.check import Misfit, check_runs
from flowkit.check.marking import block_misfits
from flowkit.core.events import RunError
from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver, Op, Result, RunQuery, RunRow, WorkerInfo
from flowkit.errors import StoreBusy, StoreError
from flowkit.registry import fingerprint
from flowkit.testing import Lab, MemoryDriver, SimulatedCrash
from flowkit.testing.crashes import CrashingDriver

SOURCES = "the files of the new code"


@step
def charge() -> str:
    return "paid"


@step
def undo(paid: str) -> None:
    raise ValueError("the bank is closed")


@workflow(name="shop")
def old(hours: int = 1) -> Any:
    charge()
    sleep(3600 * hours)
    return receive("go").data


@workflow(name="shop")
def new(hours: int = 1) -> Any:
    sleep(3600 * hours)
    return receive("go").data


@workflow(name="shop")
def other(hours: str = "") -> Any:
    return receive("go").data


@pytest.fixture(params=["memory", "sqlite"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    made: Driver = MemoryDriver() if request.param == "memory" else open_driver(tmp_path / "runs.db")
    yield made
    made.close()


@pytest.fixture
def lab(driver: Driver) -> Iterator[Lab]:
    with Lab(driver=driver) as opened:
        yield opened


def misfits(driver: Driver, code: Workflow[..., Any] = new) -> list[Misfit]:
    found: list[Misfit] = []
    check_runs(driver, {"shop": code}, on_misfit=found.append)
    return found


def mark(driver: Driver, found: Sequence[Misfit], lab: Lab, code: Workflow[..., Any] = new) -> list[RunError]:
    return block_misfits(driver, found, {"shop": code}, SOURCES, lab.now)


def row(driver: Driver, id: str) -> RunRow:
    found = driver.get(id)
    assert found is not None
    return found


def asleep(lab: Lab, *ids: str) -> None:
    """Runs that have paid and sleep."""
    for id in ids:
        lab.start(id, old)
        lab.run_once(id)


def joined(driver: Driver, lab: Lab) -> int:
    return driver.join(WorkerInfo(name="tester", host="here", pid=1), lab.now)


def test_a_run_that_sleeps_is_blocked_as_its_own_pass_would_block_it(driver: Driver, lab: Lab) -> None:
    asleep(lab, "marked", "passed")
    found = misfits(driver)

    mark(driver, [each for each in found if each.row.id == "marked"], lab)
    lab.advance("1h")
    lab.run_once("passed", workflow=new)

    first, second = row(driver, "marked"), row(driver, "passed")
    alike = ("status", "wake_at", "waiting", "owner", "current", "attempts", "attempts_max", "entries", "seen", "owes", "crashes")
    assert [getattr(first, name) for name in alike] == [getattr(second, name) for name in alike]
    assert first.status == "blocked"
    assert str(first.error_line).replace("marked", "passed") == second.error_line
    one, two = lab.get("marked").error(), lab.get("passed").error()
    assert one is not None
    assert two is not None
    assert one.type == two.type == "flowkit.errors.HistoryDiverged"
    assert (one.message.replace("marked", "passed"), one.traceback.replace("marked", "passed")) == (two.message, two.traceback)
    assert one.attributes == {**two.attributes, "run_id": "marked"}
    with pytest.raises(HistoryDiverged, match='removed\\("charge", "step"\\)'):
        lab.run_to_end("marked", workflow=new)


def test_it_is_marked_with_the_code_that_does_not_fit_and_the_former_one_may_have_it_back(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    before = row(driver, "r")

    mark(driver, misfits(driver), lab)

    view = driver.load(before.seq)
    assert view is not None
    assert view.tried == (fingerprint(new, SOURCES),)
    assert (view.row.code, view.row.epoch, view.row.head) == (before.code, before.epoch + 1, before.head + 1)
    worker, now = joined(driver, lab), lab.now
    assert not driver.adopt(worker, (), {"shop": fingerprint(new, SOURCES)}, 9, now).runs
    assert [claim.id for claim in driver.adopt(worker, (), {"shop": before.code}, 9, now).runs] == ["r"]


def test_a_run_that_was_freed_goes_on_where_it_stood(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    mark(driver, misfits(driver), lab)

    assert lab.run_once("r", workflow=old).status == "sleeping"
    lab.advance("1h")
    lab.send("r", "go", 7)

    assert lab.run_to_end("r", workflow=old) == 7


def test_a_run_that_has_moved_since_is_left_to_its_first_pass(driver: Driver, lab: Lab) -> None:
    asleep(lab, "moved", "claimed", "still")
    found = misfits(driver)
    lab.advance("1h")
    lab.run_once("moved")
    driver.take(joined(driver, lab), row(driver, "claimed").seq, "code", lab.now)
    before = {id: row(driver, id) for id in ("moved", "claimed")}

    told = mark(driver, found, lab)

    assert {id: row(driver, id) for id in before} == before
    assert row(driver, "still").status == "blocked"
    assert [each.run_id for each in told] == ["still"]


def test_a_run_that_has_an_owner_is_left_to_its_first_pass(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    driver.take(joined(driver, lab), row(driver, "r").seq, "code", lab.now)
    found, before = misfits(driver), row(driver, "r")

    mark(driver, found, lab)

    assert len(found) == 1
    assert row(driver, "r") == before


def test_a_run_that_is_paused_stays_paused(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r", "late")
    lab.get("r").pause()
    found, before = misfits(driver), row(driver, "r")
    lab.get("late").pause()

    told = mark(driver, found, lab)

    assert (len(found), told) == (2, [])
    assert row(driver, "r") == before
    assert row(driver, "late").status == "paused"
    lab.get("r").resume()
    assert lab.run_once("r").status == "sleeping"


def test_a_run_that_is_to_be_quarantined_is_left_to_that(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    for _ in range(old.max_crashes):
        worker = joined(driver, lab)
        driver.take(worker, row(driver, "r").seq, "code", lab.now)
        driver.reap(lab.now, dead=[worker])
    before = row(driver, "r")

    mark(driver, misfits(driver), lab)

    assert before.crashes == old.max_crashes
    assert row(driver, "r") == before


def test_a_run_that_was_quarantined_and_does_not_fit_either_is_held_for_that(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    for _ in range(old.max_crashes):
        worker = joined(driver, lab)
        driver.take(worker, row(driver, "r").seq, "code", lab.now)
        driver.reap(lab.now, dead=[worker])
    lab.run_once("r")
    quarantined = row(driver, "r")

    mark(driver, misfits(driver), lab)

    assert (quarantined.status, quarantined.crashes) == ("blocked", old.max_crashes)
    assert "quarantined" in str(quarantined.error_line)
    assert "code and history do not fit" in str(row(driver, "r").error_line)
    assert row(driver, "r").crashes == 0


def test_a_run_that_rolls_back_is_blocked_on_its_way_back(driver: Driver, lab: Lab) -> None:
    paid = step(lambda: "paid", name="paid", rollback=undo)

    @workflow(name="shop")
    def failing(hours: int = 1) -> None:
        checkpoint("paying")
        paid()
        raise ValueError("no")

    for id in ("r", "owned"):
        lab.start(id, failing)
        lab.run_once(id)
    driver.take(joined(driver, lab), row(driver, "owned").seq, "code", lab.now)
    before, owned = row(driver, "r"), row(driver, "owned")

    mark(driver, misfits(driver, other), lab, other)

    after = row(driver, "r")
    assert row(driver, "owned") == owned
    assert (before.status, before.ending) == ("rolling_back", "failed")
    assert (after.status, after.ending, after.owes) == ("blocked", "failed", 1)
    driver.adopt(joined(driver, lab), (), {"shop": "more"}, 9, lab.now)
    assert row(driver, "r").status == "rolling_back"


def test_a_run_whose_input_does_not_decode_is_blocked_and_not_begun_before_its_start(driver: Driver, lab: Lab) -> None:
    lab.start("r", old.options(delay="2h"), 3)

    mark(driver, misfits(driver, other), lab, other)

    assert row(driver, "r").status == "blocked"
    worker, now = joined(driver, lab), lab.now
    assert not driver.adopt(worker, (), {"shop": "mended"}, 9, now + 7_199).runs
    assert [claim.id for claim in driver.adopt(worker, (), {"shop": "mended"}, 9, now + 7_200).runs] == ["r"]


def test_a_run_that_was_blocked_by_other_code_gets_the_newest_reason_and_no_second_event(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    first = mark(driver, misfits(driver, other), lab, other)
    line = row(driver, "r").error_line

    second = mark(driver, misfits(driver), lab)

    assert ([each.run_id for each in first], second) == (["r"], [])
    assert row(driver, "r").error_line != line
    assert lab.get("r").error().attributes["asked_kind"] == "sleep"  # type: ignore[union-attr]  # there is one, or this fails


def test_what_is_marked_already_is_not_written_again(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r")
    mark(driver, misfits(driver), lab)
    before = row(driver, "r")

    mark(driver, misfits(driver), lab)

    assert row(driver, "r") == before


def test_messages_and_verbs_work_on_a_run_that_was_marked(driver: Driver, lab: Lab) -> None:
    asleep(lab, "r", "gone")
    mark(driver, misfits(driver), lab)

    lab.send("r", "go", 5)
    lab.get("gone").cancel()
    lab.get("r").resume()

    assert row(driver, "gone").status == "cancelled"
    lab.run_once("r")
    lab.advance("1h")
    assert lab.run_to_end("r", workflow=old) == 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_in_the_middle_leaves_all_or_nothing_and_a_second_try_ends_the_same(
    driver: Driver, lab: Lab, when: Literal["before", "after"]
) -> None:
    asleep(lab, "a", "b", "c")
    found = misfits(driver)
    dying = CrashingDriver(driver)
    dying.crash_at(2, when)

    with pytest.raises(SimulatedCrash):
        mark(dying, found, lab)  # type: ignore[arg-type]  # it passes on what it does not define
    left = {row(driver, id).status for id in "abc"}
    mark(driver, misfits(driver), lab)

    assert left == {"sleeping" if when == "before" else "blocked"}
    assert [(each.status, each.epoch) for each in driver.runs(RunQuery())] == [("blocked", 2)] * 3


class Faltering(CrashingDriver):
    """Fails its first writes, as told."""

    def __init__(self, inner: Driver, *plan: str) -> None:
        super().__init__(inner)
        self.plan = list(plan)
        self.batches: list[int] = []

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        self.batches.append(len(ops))
        match self.plan.pop(0) if self.plan else "":
            case "busy":
                raise StoreBusy("busy")
            case "landed":
                self.inner.write(ops, now)
                raise StoreError("cut", outcome="unknown")
            case "cut":
                raise StoreError("cut", outcome="unknown")
        return self.inner.write(ops, now)


@pytest.mark.parametrize("plan", [["busy"], ["landed"], ["cut"], ["cut", "landed"]])
def test_a_write_whose_outcome_is_unknown_is_given_again_and_counts_once(driver: Driver, lab: Lab, plan: list[str]) -> None:
    asleep(lab, "a", "b")
    store: Any = Faltering(driver, *plan)

    told = mark(store, misfits(driver), lab)

    assert sorted(each.run_id for each in told) == ["a", "b"]
    assert [(each.status, each.epoch) for each in driver.runs(RunQuery())] == [("blocked", 2)] * 2
    assert store.batches == [2] * (len(plan) + 1)


def test_a_store_that_does_not_answer_ends_it(driver: Driver, lab: Lab) -> None:
    asleep(lab, "a")
    store: Any = Faltering(driver, *["busy"] * 9)

    with pytest.raises(StoreBusy):
        mark(store, misfits(driver), lab)

    assert row(driver, "a").status == "sleeping"


def test_more_runs_than_a_store_takes_at_once_are_marked_in_turns() -> None:
    class Small(MemoryDriver):
        def __init__(self) -> None:
            super().__init__()
            self.limits = type(self.limits)(batch=2)

    driver = Small()
    with Lab(driver=driver) as lab:
        asleep(lab, *(f"r-{n}" for n in range(5)))
        store: Any = Faltering(driver)

        told = mark(store, misfits(store), lab)

        assert len(told) == 5
        assert store.batches == [2, 2, 1]
