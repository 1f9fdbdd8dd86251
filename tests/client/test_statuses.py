"""What the store says of a run in each status."""

from __future__ import annotations

from typing import Any

import pytest

import flowkit
from flowkit import HistoryDiverged, RunCancelled, RunConflict, RunFailed, RunNotFound
from flowkit.testing import Lab, SimulatedCrash
from tests.scripts import Calls, reach, waits
from tests.worlds import World, both


@both
def test_running_is_durable_before_user_code_starts(colour: str) -> None:
    """RN1 claiming a run writes status, owner and epoch."""
    world = World(colour)
    seen: list[str] = []

    def looks(do: World) -> Calls:
        seen.append(lab.get("r").status())
        yield do.step("a")

    with Lab() as lab:
        lab.start("r", world.flow(looks))

        lab.run_once("r")

        assert seen == ["running"]


@both
def test_every_pass_uses_the_stored_input(colour: str) -> None:
    """RN2 the first input is stored."""
    world = World(colour)
    order = {"items": [1]}

    def flow(do: World, given: Any) -> Calls:
        given["items"].append(2)
        yield do.receive("go")
        return given

    with Lab() as lab:
        run = lab.start("r", world.flow(flow), order)
        order["items"].append(9)
        lab.run_once("r")
        run.send("go")

        assert lab.run_once("r").output == {"items": [1, 2]}


def test_an_unknown_id_is_run_not_found() -> None:
    """RN3."""
    with Lab() as lab, pytest.raises(RunNotFound):
        lab.get("nobody")


@both
def test_result_returns_the_output_or_raises_how_the_run_ended(colour: str) -> None:
    """RN4 `RunFailed`, `RunCancelled`, `TimeoutError`; on a blocked run `HistoryDiverged`; a paused one it waits on."""
    world = World(colour)

    def told(status: str) -> type[BaseException] | None:
        with Lab() as lab:
            run = reach(lab, world, status)
            handle = flowkit.client.Run(lab.client.desk, run.id, run.seq)
            try:
                handle.result(timeout=0.01)
            except Exception as error:
                return type(error)
            return None

    assert {status: told(status) for status in ("completed", "failed", "cancelled", "blocked", "paused", "sleeping")} == {
        "completed": None,
        "failed": RunFailed,
        "cancelled": RunCancelled,
        "blocked": HistoryDiverged,
        "paused": TimeoutError,
        "sleeping": TimeoutError,
    }


@both
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_terminal_run_is_never_executed_again(colour: str, status: str) -> None:
    """RN5."""
    world = World(colour)
    with Lab() as lab:
        reach(lab, world, status)
        before = lab.history("r")

        made = lab.run_once("r")

        assert made.status == status
        assert world.log == []
        assert lab.history("r") == before


@both
def test_completing_clears_an_earlier_error(colour: str) -> None:
    """RN6."""
    world = World(colour)
    with Lab() as lab:
        world.broken.add("a")
        run = lab.start("r", world.flow(waits))
        lab.run_once("r")
        assert run.error() is not None
        world.broken.clear()
        run.recover()
        run.send("go")

        assert lab.run_once("r").output == "done"
        assert run.error() is None


@both
def test_a_run_whose_worker_keeps_dying_is_quarantined(colour: str) -> None:
    """RN8 reaching `max_crashes` blocks it, naming the started step; `resume()` lets it go with crashes at 0."""
    world = World(colour)
    flow = world.flow(waits, max_crashes=2)

    with Lab() as lab:
        run = lab.start("r", flow)
        for _ in range(2):
            lab.crash_at(1, "before")
            with pytest.raises(SimulatedCrash):
                lab.run_once("r")

        made = lab.run_once("r")

        assert made.status == "blocked"
        assert isinstance(made.error, RunConflict)
        assert lab.run_once("r").status == "blocked"
        run.resume()
        assert lab.run_once("r").status == "sleeping"


@both
def test_progress_sets_the_crashes_to_0(colour: str) -> None:
    """RN8 a commit that settles an entry or parks."""
    world = World(colour)
    flow = world.flow(waits, max_crashes=2)
    with Lab() as lab:
        run = lab.start("r", flow)
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")
        lab.run_once("r")
        run.send("go")
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        assert lab.run_once("r").output == "done"
