"""Metrics: what a handle has counted and what the store says, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Break, Continue, RunFailed, Workflow, loop, step, workflow
from flowkit.client import Flowkit
from flowkit.client.metrics import MISSING
from flowkit.clock import SystemClock
from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers import open_driver
from flowkit.drivers.base import Claim, Done, Lost, Start
from flowkit.engine.observer import Observer
from flowkit.errors import StoreError
from flowkit.observe.counting import MOST_SERIES, MOST_WORKFLOWS, OTHER, Counters
from tests.observe.figures import Figures
from tests.observe.flows import fails, fails_async, naps, naps_async, relays, shops, shops_async, undoes, waits
from tests.runtime.waiting import until

in_both_stores = pytest.mark.parametrize("store", ["file", "memory"])
fail_in_both = pytest.mark.parametrize("code", [fails, fails_async], ids=["plain", "async"])
ATTEMPTS = "flowkit_step_attempt_seconds_count"


def place(path: Path, store: str) -> Path | str:
    return path if store == "file" else ":memory:"


def counted(fk: Flowkit) -> Figures:
    """The figures once its worker has ended: whoever looks into the store may see a commit before it is counted."""
    assert fk.worker is not None
    fk.worker.stop(1.0)
    fk.worker = None
    return Figures(fk.metrics())


# --- what was counted


@in_both_stores
@pytest.mark.parametrize("code", [shops, shops_async], ids=["plain", "async"])
def test_every_attempt_is_counted_with_its_outcome(path: Path, store: str, code: Workflow[..., Any]) -> None:
    with flowkit.open(place(path, store), metrics=True) as fk:
        fk.start("r", code, f"counted {store} {code.name}").result(10)
        figures = counted(fk)

    name = code.name
    assert figures.of(ATTEMPTS, workflow=name, step="charge", outcome="failed") == 1
    assert figures.of(ATTEMPTS, workflow=name, step="charge", outcome="completed") == 1
    assert figures.of("flowkit_step_failures_total", workflow=name, step="charge") == 0
    assert figures.of("flowkit_runs_ended_total", workflow=name, status="completed") == 1
    assert figures.of("flowkit_runs_started_total", workflow=name) == 1
    assert figures.of("flowkit_passes_total", workflow=name) == 1


@fail_in_both
def test_a_step_that_fails_for_good_is_counted_once(path: Path, code: Workflow[..., Any]) -> None:
    with flowkit.open(path, metrics=True) as fk:
        with pytest.raises(RunFailed):
            fk.start("r", code).result(10)
        figures = counted(fk)

    assert figures.of("flowkit_step_failures_total", workflow=code.name, step="breaks") == 1
    assert figures.of(ATTEMPTS, workflow=code.name, step="breaks", outcome="failed") == 2
    assert figures.of("flowkit_runs_ended_total", workflow=code.name, status="failed") == 1


@pytest.mark.parametrize("code", [naps, naps_async], ids=["plain", "async"])
def test_what_a_pass_recalls_is_not_counted_again_and_the_sleep_tells_how_late_it_was(
    path: Path, code: Workflow[..., Any]
) -> None:
    with flowkit.open(path, metrics=True, settings={"linger": 0.05}) as fk:
        fk.start("r", code).result(10)
        figures = counted(fk)

    steps = figures.labels("flowkit_step_failures_total", "step")
    assert figures.of("flowkit_passes_total", workflow=code.name) == 2
    assert sum(figures.of(ATTEMPTS, workflow=code.name, step=name, outcome="completed") or 0 for name in steps) == 2
    assert figures.of("flowkit_wake_lateness_seconds_count") == 1


def test_numbered_steps_and_turns_of_a_loop_share_their_step_name(path: Path) -> None:
    @step
    def pack(number: int) -> None:
        return None

    @workflow
    def packs() -> None:
        def turn(number: int) -> Continue[int] | Break[None]:
            pack(number)
            pack(number)
            return Continue(number + 1) if number < 4 else Break(None)

        loop(turn, 0, name="all")

    with flowkit.open(path, metrics=True) as fk:
        fk.start("r", packs).result(10)
        figures = counted(fk)

    assert figures.labels(ATTEMPTS, "step") == {"pack"}
    assert figures.of(ATTEMPTS, workflow="packs", step="pack", outcome="completed") == 10


def test_rollbacks_and_messages_are_counted(path: Path) -> None:
    with flowkit.open(path, metrics=True) as fk:
        with pytest.raises(RunFailed):
            fk.start("u", undoes).result(10)
        run = fk.start("r", waits)
        fk.start("s", relays, "r").result(10)
        run.result(10)
        figures = counted(fk)

    assert figures.of("flowkit_rollbacks_total", workflow="undoes") == 1
    assert figures.of("flowkit_messages_sent_total") == 1


def test_commits_and_the_sizes_of_groups_are_those_of_the_store(path: Path) -> None:
    groups: list[int] = []

    class Heard(Observer):
        def wrote(self, ops: Any, results: Any, seconds: float) -> None:
            groups.append(len(ops))

    with Flowkit(open_driver(path), observers=[Counters(), Heard()]) as fk:
        fk.start_many([(None, shops, (f"grouped {number}",)) for number in range(20)])
        until(lambda: len(fk.runs(status="completed", limit=30)) == 20, seconds=10)
        figures = counted(fk)

    assert figures.of("flowkit_group_size_count") == figures.of("flowkit_commit_seconds_count") == len(groups)
    assert figures.of("flowkit_group_size_sum") == sum(groups)


def test_names_beyond_the_cap_are_counted_as_other() -> None:
    counters = Counters()
    counters.begins(claim(1, "w"))
    for number in range(MOST_SERIES + 50):
        counters.wrote([change(1, completed(number, f"step-{number}"))], [Done(inbox=0, status="running")], 0.001)

    assert len(counters.steps) == MOST_SERIES + 1
    assert sum(counters.steps["w", OTHER].completed.counts) == 50


def test_workflows_beyond_the_cap_are_counted_as_other() -> None:
    counters = Counters()
    for number in range(MOST_WORKFLOWS + 7):
        counters.begins(claim(number, f"w-{number}"))

    assert len(counters.passes) == MOST_WORKFLOWS + 1
    assert counters.passes[OTHER] == 7


def test_a_commit_that_was_refused_is_a_lost_lease_and_counts_nothing_else() -> None:
    counters = Counters()
    counters.begins(claim(1, "w"))
    counters.wrote([change(1, completed(1, "a"))], [Lost(epoch=2, head=0)], 0.001)
    counters.loses()

    assert (counters.fenced, counters.died, counters.steps) == (1, 1, {})


def test_what_a_verb_writes_is_no_step_of_this_worker() -> None:
    counters = Counters()
    counters.wrote([change(1, completed(1, "a"))], [Done(inbox=0, status="running")], 0.001)

    assert counters.steps == {}


def test_a_run_that_is_claimed_again_before_its_old_pass_has_ended_is_counted_on() -> None:
    counters = Counters()
    first, second = claim(1, "w", epoch=1), claim(1, "w", epoch=2)
    counters.begins(first)
    counters.begins(second)
    counters.ends(first, "", 0.0)
    counters.wrote([change(1, completed(1, "a"))], [Done(inbox=0, status="running")], 0.001)

    assert ("w", "a") in counters.steps


def claim(run: int, name: str, epoch: int = 1) -> Claim:
    return Claim(run=run, id=f"r-{run}", workflow=name, epoch=epoch, head=0, status="running")


def completed(seq: int, location: str) -> Entry:
    return Entry(seq=seq, location=location, kind="step", status="completed", started_at=1.0, settled_at=1.5)


def change(run: int, *entries: Entry) -> Change:
    return Change(run=run, epoch=1, head=0, entries=len(entries), seen=0, owes=0, add=entries)


# --- what the store says


@in_both_stores
def test_runs_are_counted_by_status(path: Path, store: str) -> None:
    with flowkit.open(place(path, store), worker=False) as fk:
        fk.start_many([(f"r-{number}", waits, ()) for number in range(3)])
        figures = Figures(fk.metrics())

    assert figures.of("flowkit_runs", status="pending") == 3
    assert figures.of("flowkit_runs", status="failed") == 0
    assert figures.of("flowkit_runs_due") == 3
    assert figures.of("flowkit_workers") == 0


def test_runs_that_nobody_claims_are_late_after_a_while(path: Path) -> None:
    driver = open_driver(path)
    now = SystemClock().now()
    driver.write([start("late", now - 60), start("due", now - 1), start("later", now + 60)], now)
    with Flowkit(driver, worker=False) as fk:
        figures = Figures(fk.metrics())

    assert figures.of("flowkit_runs_due") == 2
    assert figures.of("flowkit_runs_late") == 1
    assert 60 <= (figures.of("flowkit_runs_due_oldest_seconds") or 0) < 90


def start(id: str, at: float) -> Start:
    return Start(id=id, workflow="w", input=b"{}", input_hash="h", start_at=at, token=id)


def test_messages_that_wait_are_counted(path: Path) -> None:
    with flowkit.open(path, worker=False) as fk:
        run = fk.start("r", waits)
        for number in range(4):
            run.send("go", number)
        figures = Figures(fk.metrics())

    assert figures.of("flowkit_inbox_messages") == 4


def test_two_scrapes_in_a_row_ask_the_store_once(path: Path) -> None:
    with flowkit.open(path, worker=False) as fk:
        fk.metrics()
        asked = Counted()
        fk.driver.runs = asked  # type: ignore[method-assign]  # any read that a second scrape made would show
        fk.driver.workers = asked  # type: ignore[method-assign]
        first = Figures(fk.metrics())
        fk.start("r", waits)
        second = Figures(fk.metrics())

    assert asked.calls == 0
    assert first.of("flowkit_runs", status="pending") == second.of("flowkit_runs", status="pending") == 0


class Counted:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: object) -> list[object]:
        self.calls += 1
        return []


def test_a_store_that_fails_is_a_figure_and_the_counters_are_told_all_the_same(path: Path) -> None:
    def away() -> Any:
        raise StoreError("the disk is gone")

    with flowkit.open(path, metrics=True) as fk:
        fk.start("r", waits)
        fk.driver.workers = away  # type: ignore[method-assign]  # the store, as it is when its disk is gone
        figures = Figures(fk.metrics())
        del fk.driver.workers

    assert figures.of("flowkit_store_up") == 0
    assert figures.of("flowkit_runs", status="pending") is None
    assert figures.of("flowkit_runs_started_total", workflow="waits") == 1


def test_the_memory_of_the_process_is_told(path: Path) -> None:
    with flowkit.open(path, worker=False) as fk:
        figures = Figures(fk.metrics())

    assert (figures.of("process_resident_memory_bytes") or 0) > 1_000_000


def test_lines_that_were_dropped_are_counted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    talk = logging.getLogger("tests.observe.talk")

    @step
    def chatters() -> None:
        for number in range(1_010):
            talk.warning("line %d", number)

    @workflow
    def talks() -> None:
        chatters()

    with flowkit.open(path, metrics=True) as fk:
        fk.start("r", talks).result(10)
        until(lambda: Figures(fk.metrics()).of("flowkit_log_lines_dropped_total") == 10)


def test_a_handle_that_counts_nothing_tells_what_the_store_says(path: Path) -> None:
    with flowkit.open(path) as fk:
        fk.start("r", shops, "nothing is counted").result(10)
        figures = Figures(fk.metrics())

    assert figures.of("flowkit_store_up") == 1
    assert figures.of("flowkit_passes_total", workflow="shops") is None


def test_without_the_extra_it_is_said_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with flowkit.open(path, metrics=True) as fk, pytest.raises(ModuleNotFoundError, match="metrics") as caught:
        fk.metrics()

    assert str(caught.value) == MISSING


def test_async_code_reads_the_same_figures(path: Path) -> None:
    async def look() -> bytes:
        async with flowkit.aio.open(path, metrics=True) as fk:
            return await fk.metrics()

    assert Figures(asyncio.run(look())).of("flowkit_store_up") == 1


def test_scrapes_beside_a_busy_worker_always_read(path: Path) -> None:
    with flowkit.open(path, metrics=True) as fk:
        handles = fk.start_many([(None, shops, (f"busy {number}",)) for number in range(50)])
        texts: list[bytes] = []
        reader = threading.Thread(target=lambda: [texts.append(fk.metrics()) for _ in range(30)])
        reader.start()
        for handle in handles:
            handle.result(20)
        reader.join(20)
        figures = counted(fk)

    assert len([Figures(text) for text in texts]) == 30
    assert figures.of(ATTEMPTS, workflow="shops", step="ship", outcome="completed") == 100
