"""The Lab over its stores: crashes in any call, jumps of the clock, handles that stay usable, threads that end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from flowkit import Message, receive, run_info, sleep, step, workflow
from flowkit.testing import FakeClock, Lab, MemoryDriver, SimulatedCrash
from tests.primitives.colours import Colour


def test_a_crash_comes_out_of_the_call_that_made_the_write() -> None:
    """API section 8: one shot, in starts and sends too."""

    @workflow
    def flow() -> Any:
        return receive("go").data

    with Lab() as lab:
        lab.crash_at(1, "after")
        with pytest.raises(SimulatedCrash):
            lab.start("r", flow)
        lab.start("r", flow)
        lab.run_once("r")
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.send("r", "go", 1)
        lab.send("r", "go", 2)

        assert lab.run_to_end("r") == 2


def test_run_to_end_jumps_to_a_delayed_start() -> None:
    """API section 8: the clock jumps to each wake, the first one included."""

    @workflow
    def flow() -> float:
        return run_info().started_at

    with Lab() as lab:
        begun = lab.now
        lab.start("r", flow.options(delay="5m"))

        assert lab.run_to_end("r") == begun + 300
        assert lab.now == begun + 300


def test_a_second_lab_on_a_file_goes_on_with_the_imported_code(tmp_path: Path) -> None:
    """API section 8: another store; which code a run has need not be said again."""

    @workflow(name="goes-on-in-another-lab")
    def flow() -> str:
        sleep(60)
        return "rested"

    with Lab(tmp_path / "a.db") as lab:
        lab.start("r", flow)
        lab.run_once("r")

    with Lab(tmp_path / "a.db") as lab:
        assert lab.run_to_end("r") == "rested"


def test_run_once_does_not_begin_a_run_before_its_delayed_start() -> None:
    """LB4: nothing is performed that is not due."""
    log: list[str] = []

    @workflow
    def flow() -> None:
        step(lambda: log.append("one"), name="one")()

    with Lab() as lab:
        lab.start("r", flow.options(delay="5m"))
        before = (lab.now, lab.commits)

        made = lab.run_once("r")

        assert (made.status, made.wake_at, log, lab.commits) == ("pending", before[0] + 300, [], before[1])
        lab.advance("5m")
        assert (lab.run_once("r").status, log) == ("completed", ["one"])


def test_runs_stay_usable_after_a_crash() -> None:
    """API section 8: handles, and the code given last."""

    @workflow
    def flow() -> int:
        sleep(60)
        return step(lambda: 1, name="one")()

    with Lab() as lab:
        run = lab.start("r", flow)
        lab.run_once("r")
        lab.crash()

        assert run.status() == "sleeping"
        assert run.result() == 1


def test_result_of_a_waiting_run_times_out() -> None:
    """API section 8: after all passes that the run can make."""

    @workflow
    def flow() -> Message:
        return receive("go")

    with Lab() as lab:
        run = lab.start("r", flow)

        with pytest.raises(TimeoutError):
            run.result()


@pytest.mark.parametrize("store", ["memory", "file", "driver"])
def test_a_lab_works_over_any_store(tmp_path: Path, store: str) -> None:
    """API section 8: Lab(), Lab("file.db"), Lab(driver=…)."""
    makers = {
        "memory": Lab,
        "file": lambda: Lab(tmp_path / "lab.db"),
        "driver": lambda: Lab(driver=MemoryDriver(), clock=FakeClock(100.0)),
    }

    @workflow
    def flow() -> list[int]:
        return [step(lambda: 1, name="one")(), step(lambda: 2, name="two")()]

    with makers[store]() as lab:
        lab.start("r", flow)
        lab.crash_at(2, "after")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        assert lab.run_to_end("r") == [1, 2]


def test_a_finished_lab_leaves_no_busy_threads() -> None:
    """API section 8: close() stops the engine."""
    before = set(threading.enumerate())

    for _ in range(3):
        with Lab() as lab:
            lab.start("r", Colour(True, False).one(step(lambda: 1, name="one").aio))
            lab.run_to_end("r")

    new = [thread for thread in threading.enumerate() if thread not in before]
    for thread in new:
        if thread.name.startswith("flowkit"):
            thread.join(2)
    assert sum(thread.is_alive() for thread in new) <= 1
