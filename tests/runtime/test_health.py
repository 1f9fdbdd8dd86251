"""What workers report of what keeps them from serving, and what those who wait for runs hear of it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Unattended, Workflow, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.core.health import Report, Trouble
from flowkit.drivers.base import Claimed, WorkerInfo
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import StoreError
from flowkit.runtime.reporter import source_key
from flowkit.runtime.worker import Worker
from flowkit.settings import Settings
from tests.runtime.waiting import until


@step
def say() -> str:
    return "said"


@workflow(name="order")
def order() -> str:
    return say()


@workflow(name="order")
def order_otherwise() -> str:
    receive("paid")
    return say()


@workflow(name="order")
def order_waits() -> str:
    said = say()
    receive("paid")
    return said


@workflow(name="asks")
def asks() -> None:
    receive("question", completable=True).complete("answer")


blocking = threading.Event()


@workflow(name="blocks")
async def blocks() -> None:
    blocking.wait(20)


@workflow(name="takes")
def takes(fail_fast: str) -> str:
    return fail_fast


@pytest.fixture
def client(path: Path) -> Iterator[Flowkit]:
    with flowkit.open(path, worker=False) as opened:
        yield opened


def serving(path: Path, *workflows: Workflow[..., Any]) -> Flowkit:
    return flowkit.open(path, workflows=workflows)


def status(client: Flowkit, workflow: str = "order") -> str:
    return client.health(workflow)[workflow].status


def reported(client: Flowkit, workflow: str = "order") -> list[tuple[str, str]]:
    return [(each.kind, each.type) for each in client.health(workflow)[workflow].reports]


def test_a_workflow_that_a_live_worker_serves_is_well(path: Path, client: Flowkit) -> None:
    with serving(path, order):
        health = client.health()

    assert health.ok
    assert [(each.workflow, each.status) for each in health.workflows] == [("order", "ok")]


def test_a_workflow_with_open_runs_and_no_worker_is_unattended(client: Flowkit) -> None:
    client.start("o-1", order)

    assert status(client) == "unattended"
    assert not client.health().ok


def test_a_workflow_whose_runs_have_all_ended_needs_nobody(path: Path, client: Flowkit) -> None:
    with serving(path, order) as fk:
        fk.run("o-1", order)

    assert client.health().workflows == ()


def test_a_misfit_is_reported_and_three_passes_that_go_well_end_it(path: Path, client: Flowkit) -> None:
    with serving(path, order_waits) as fk:
        run = fk.start("o-1", order_waits)
        until(lambda: run.status() == "sleeping")
    client.send("o-1", "paid")

    with serving(path, order_otherwise) as fk:
        until(lambda: status(client) == "failing")
        (report,) = client.health("order")["order"].reports
        client.send("o-1", "x")
        runs = [fk.start(f"n-{number}", order_otherwise) for number in range(3)]
        until(lambda: {run.status() for run in runs} == {"sleeping"})
        until(lambda: status(client) == "ok")

    assert (report.kind, report.type, report.count) == ("misfit", "HistoryDiverged", 1)
    assert report.place.startswith("tests/runtime/test_health.py:")


def test_a_blocked_event_loop_is_reported_with_the_line_that_blocks_it(path: Path, client: Flowkit) -> None:
    blocking.clear()
    with serving(path, blocks) as fk:
        fk.start("b-1", blocks)
        until(lambda: status(client, "blocks") == "failing", 8)
        (report,) = client.health("blocks")["blocks"].reports
        blocking.set()
        until(lambda: status(client, "blocks") == "ok")

    assert (report.kind, report.type) == ("loop", "BlockedLoop")
    assert report.place.startswith("tests/runtime/test_health.py:")


def test_a_run_that_kills_its_workers_is_reported_before_the_next_one_dies(path: Path, client: Flowkit) -> None:
    client.start("o-1", order_waits)
    for number in range(3):
        dead = client.driver.join(WorkerInfo(name=f"dead-{number}", host="h", pid=1), 0.0)
        client.driver.claim(dead, {"order": "code"}, 1, time.time())
        client.driver.reap(time.time(), dead=[dead])

    with serving(path, order_waits):
        until(lambda: ("crash", "CrashLoop") in reported(client))
        (report,) = client.health("order")["order"].reports

    assert report.line == "run o-1 has outlived 3 workers in a row that died while they had it"


def test_store_trouble_is_reported_once_the_store_answers_again(path: Path, client: Flowkit) -> None:
    with serving(path, order) as fk:
        assert fk.worker is not None
        until(lambda: status(client) == "ok")

        fk.worker.reporter.store_failed(StoreError("disk full"))

        until(lambda: reported(client) == [("store", "StoreError")])
        until(lambda: status(client) == "ok" and not reported(client))


class Away(SQLiteDriver):
    """A store that answers neither claims nor reports while it is `away`. `refused` and `told` are the reports it got."""

    claims_refused = 0

    def __init__(self, path: Path, settings: Settings) -> None:
        self.away = threading.Event()
        self.refused: list[list[Report]] = []
        self.told: list[list[Report]] = []
        super().__init__(path, settings=settings)

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        if self.away.is_set():
            self.claims_refused += 1
            raise StoreError("no route to host")
        return super().claim(worker, workflows, limit, now)

    def report(self, source: str, reports: Sequence[Report], until: float, now: float) -> None:
        if self.away.is_set():
            self.refused.append(list(reports))
            raise StoreError("no route to host")
        super().report(source, reports, until, now)
        self.told.append(list(reports))


def test_store_trouble_stands_while_the_store_is_away_and_until_it_has_taken_three_reports(path: Path) -> None:
    settings = Settings(poll=1.0, reap=0.02)  # it is looked at more often than claims fail
    driver = Away(path, settings)
    with Flowkit(driver, workflows=[order], settings=settings) as fk:
        driver.away.set()
        driver.nudge()
        until(lambda: len(driver.refused) >= 6)
        (begun,), (later,) = driver.refused[0], driver.refused[-1]

        driver.away.clear()

        until(lambda: driver.told and not driver.told[-1])
        assert fk.health("order").reports == ()
    assert (later.kind, later.line, later.since) == ("store", "no route to host", begun.since)
    assert len(driver.told) > 3
    assert {each.since for reports in driver.told[:-1] for each in reports} == {begun.since}
    assert all(driver.told[:-1])


def test_an_outage_is_logged_when_it_begins_and_when_it_is_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(poll=0.01, reap=0.01)
    driver = Away(path, settings)
    with Flowkit(driver, workflows=[order], settings=settings):
        driver.away.set()
        driver.nudge()
        until(lambda: driver.claims_refused >= 3)

        driver.away.clear()

        until(lambda: "the store answers again" in caplog.text)
    assert caplog.text.count("could not reach the store, and tries again: no route to host") == 1
    assert caplog.text.count("the store answers again") == 1


def test_this_handles_own_troubles_are_known_at_once(path: Path) -> None:
    with serving(path, order) as fk:
        assert fk.worker is not None
        fk.worker.reporter.failed("order", Trouble("misfit", "HistoryDiverged"))

        assert status(fk) == "failing"


def test_a_worker_that_leaves_takes_its_reports_with_it(path: Path, client: Flowkit) -> None:
    with serving(path, order) as fk:
        assert fk.worker is not None
        fk.worker.reporter.failed("order", Trouble("misfit", "HistoryDiverged"))
        until(lambda: bool(client.driver.reports(time.time())))

    assert client.driver.reports(time.time()) == []


def test_a_worker_takes_over_what_its_dead_forerunner_reported(path: Path, client: Flowkit) -> None:
    now = time.time()
    for source, place, type in (("w-1", "here app.py", "ImportError"), ("w-2", "there app.py", "KeyError")):
        said = Report(workflow="order", kind="import", type=type, since=5.0, last=6.0, source=source, origin=place)
        client.driver.report(source_key(source, 0), [said], now + 60, now)

    worker = Worker(client.house, lambda: {"order": order}, origin="here app.py")
    worker.start()
    until(lambda: [each.type for each in client.driver.reports(time.time())] == ["KeyError"])
    worker.stop()


def test_a_report_that_is_not_renewed_expires(client: Flowkit) -> None:
    client.start("o-1", order)
    said = Report(workflow="order", kind="import", since=5.0, last=6.0, source="w-1")

    client.driver.report(source_key("w-1", 0), [said], time.time() - 1, time.time())

    assert status(client) == "unattended"


def test_a_worker_that_is_well_writes_nothing_of_it(path: Path, client: Flowkit) -> None:
    with serving(path, order) as fk:
        fk.run("o-1", order)

        assert client.driver.reports(0.0) == []


# --- failing fast -----------------------------------------------------------------------------------------------------


def test_who_waits_hears_that_no_worker_lives(client: Flowkit) -> None:
    run = client.start("o-1", order)

    with pytest.raises(Unattended) as caught:
        run.result(timeout=9, fail_fast=0.2)

    assert (caught.value.run_id, caught.value.workflow, caught.value.reason) == ("o-1", "order", "no live worker serves it")
    assert run.status() == "pending"


def test_who_waits_hears_the_reason_of_the_worker_that_fails(path: Path, client: Flowkit) -> None:
    run = client.start("o-1", order)
    said = Report(
        workflow="order", kind="import", type="ImportError", line="no x", place="app.py:3", since=5.0, last=6.0, source="w-7"
    )  # fmt: skip
    client.driver.report(source_key("w-7", 0), [said], time.time() + 60, time.time())

    with pytest.raises(Unattended, match=r"ImportError in app\.py:3 on worker w-7: no x"):
        run.result(fail_fast="200ms")


def test_a_run_of_which_nobody_heard_goes_on_when_somebody_serves_it(path: Path, client: Flowkit) -> None:
    run = client.start("o-1", order)
    with pytest.raises(Unattended):
        run.result(fail_fast=0)

    with serving(path, order):
        assert run.result(timeout=8, fail_fast=5) == "said"


def test_who_waits_goes_on_waiting_while_somebody_serves_the_workflow(path: Path, client: Flowkit) -> None:
    with serving(path, order_waits):
        run = client.start("o-1", order_waits)
        until(lambda: run.status() == "sleeping")

        with pytest.raises(TimeoutError):
            run.result(timeout=1, fail_fast=0.1)


def test_one_worker_that_fails_beside_one_that_does_not_is_no_reason_to_stop_waiting(path: Path, client: Flowkit) -> None:
    with serving(path, order_waits), serving(path, order_waits) as failing:
        assert failing.worker is not None
        failing.worker.reporter.failed("order", Trouble("crash", "CrashLoop"))
        run = client.start("o-1", order_waits)
        until(lambda: run.status() == "sleeping" and bool(reported(client)))

        with pytest.raises(TimeoutError):
            run.result(timeout=1, fail_fast=0.1)
        assert status(client) == "ok"


def test_all_workers_failing_is_a_reason_to_stop_waiting(path: Path, client: Flowkit) -> None:
    with serving(path, order_waits) as failing:
        run = client.start("o-1", order_waits)
        until(lambda: run.status() == "sleeping")
        assert failing.worker is not None
        failing.worker.reporter.failed("order", Trouble("crash", "CrashLoop"))

        with pytest.raises(Unattended, match="CrashLoop"):
            run.result(timeout=8, fail_fast=0.5)


def test_a_misfit_of_another_run_is_no_reason_to_stop_waiting(path: Path, client: Flowkit) -> None:
    with serving(path, order_waits) as fk:
        run = client.start("o-1", order_waits)
        until(lambda: run.status() == "sleeping")
        assert fk.worker is not None
        fk.worker.reporter.failed("order", Trouble("misfit", "HistoryDiverged"))
        until(lambda: status(client) == "failing")

        with pytest.raises(TimeoutError):
            run.result(timeout=1, fail_fast=0.1)


def test_a_request_that_nobody_will_answer_fails_fast(client: Flowkit) -> None:
    run = client.start("a-1", asks)

    with pytest.raises(Unattended):
        run.request("question", fail_fast=0.1)


def test_running_a_workflow_that_nobody_serves_fails_fast(client: Flowkit) -> None:
    with pytest.raises(Unattended):
        client.run("o-1", order, fail_fast=0.1)

    assert client.get("o-1").status() == "pending"


def test_a_parameter_of_the_workflows_own_that_is_called_fail_fast_is_the_workflows(path: Path) -> None:
    with serving(path, takes) as fk:
        assert fk.run("t-1", takes, fail_fast="mine") == "mine"


def test_the_async_colour_fails_fast_too(path: Path) -> None:
    async def waits() -> tuple[str, bool]:
        async with flowkit.aio.open(path, worker=False) as fk:
            run = await fk.start("o-1", order)
            with pytest.raises(Unattended):
                await run.result(fail_fast=0.1)
            with pytest.raises(Unattended):
                await fk.run("o-2", order, fail_fast=0.1)
            with pytest.raises(Unattended):
                await run.request("question", fail_fast=0.1)
            health = await fk.health("order")
            return health["order"].status, health.ok

    assert asyncio.run(waits()) == ("unattended", False)


def test_fail_fast_is_a_duration(client: Flowkit) -> None:
    run = client.start("o-1", order)

    with pytest.raises(ValueError, match="fail_fast"):
        run.result(fail_fast=-1)
