"""What a blocked run is left with, and which worker tries it again."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import HistoryDiverged, workflow
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


def old_shop(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "old"


def until(look: Any, wanted: object) -> None:
    """Wait for `look()` to be `wanted`, for at most three seconds."""
    end = time.monotonic() + 3
    while look() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    assert look() == wanted


@both
def test_a_blocked_run_goes_on_by_itself_when_the_code_is_mended(colour: str, tmp_path: Path) -> None:
    """CH13 a blocked run is tried again by the first worker with other code; CH14 when it fits that pass goes on."""
    world = World(colour)

    def bad(do: World) -> Calls:
        yield do.step("b")

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        run = fk.start("r", fk.desk.workflow_named("flow"))
        until(run.status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(bad)]) as fk:
        run = fk.get("r")
        run.wake()
        until(run.status, "blocked")
        with pytest.raises(HistoryDiverged, match="step `a`"):
            run.result(timeout=1)

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        fk.get("r").send("go")

        until(fk.get("r").status, "completed")
        assert fk.get("r").output() == "old"


@both
def test_a_blocked_run_is_tried_once_by_each_code_and_again_at_each_resume(colour: str, tmp_path: Path) -> None:
    """CH13 not again under a fingerprint under which it was blocked; once more at each `resume()`."""
    world = World(colour)
    passes: list[str] = []

    def bad(do: World) -> Calls:
        passes.append("pass")
        yield do.step("b")

    bad_flow = world.flow(bad)
    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        until(fk.start("r", fk.desk.workflow_named("flow")).status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[bad_flow]) as fk:
        fk.get("r").wake()
        until(fk.get("r").status, "blocked")
    first = len(passes)
    with flowkit.open(tmp_path / "x.db", workflows=[bad_flow]) as fk:
        time.sleep(0.5)

        assert len(passes) == first
        fk.get("r").resume()
        until(lambda: len(passes) > first and fk.get("r").status() == "blocked", True)


@both
def test_a_workflow_that_no_worker_has_is_left_alone(colour: str, tmp_path: Path) -> None:
    """CH16 its runs stay as they are and are not blocked."""
    world = World(colour)

    @workflow(name="another")
    def another() -> int:
        return 1

    with flowkit.open(tmp_path / "x.db", workflows=[world.flow(old_shop)]) as fk:
        until(fk.start("r", fk.desk.workflow_named("flow")).status, "sleeping")
    with flowkit.open(tmp_path / "x.db", workflows=[another]) as fk:
        fk.get("r").send("go")
        fk.run("s", another)
        time.sleep(0.3)

        assert fk.get("r").status() == "sleeping"
        assert fk.get("r").error() is None


@both
def test_a_blocked_run_wrote_nothing_else(colour: str) -> None:
    """CH8 gates, placeholders, checkpoints and passed timers of the pass that diverged are not written."""
    world = World(colour)

    def old(do: World) -> Calls:
        yield do.step("a")
        yield do.sleep("1h")

    def new(do: World) -> Calls:
        yield do.step("a")
        yield do.version("v", 2)
        yield do.removed("gone", "step")
        yield do.sleep("1h")
        yield do.checkpoint("c")
        yield do.step("a")

    with Lab() as lab:
        lab.start("r", world.flow(old))
        lab.run_once("r")
        lab.advance("2h")
        before, commits = lab.history("r"), lab.commits

        made = lab.run_once("r", workflow=world.flow(new))

        assert made.status == "blocked"
        assert (lab.history("r"), lab.commits) == (before, commits + 1)
        assert world.log == ["a"]


@both
def test_blocking_and_going_on_survive_a_crash_at_any_commit(colour: str) -> None:
    """CH8, CH14 with a crash at each side of each commit."""
    world = World(colour)

    def bad(do: World) -> Calls:
        yield do.step("b")

    good, held = world.flow(old_shop), world.flow(bad)

    told = crash_everywhere(
        Script(
            "r",
            (
                lambda lab: lab.start("r", good),
                lambda lab: lab.run_once("r", workflow=good),
                lambda lab: lab.send("r", "go", key="1"),
                lambda lab: lab.run_once("r", workflow=held),
                lambda lab: lab.run_to_end("r", workflow=good),
            ),
        )
    )

    assert (told.status, told.output, told.error) == ("completed", "old", "None")


@both
def test_a_misfit_in_a_race_is_found_although_another_branch_could_win(colour: str) -> None:
    """CH12 the timer's time has come, and nobody wins."""
    world = World(colour)

    def old_branch(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    def new_branch(do: World) -> Calls:
        yield do.step("b")

    def timer(do: World) -> Calls:
        yield do.sleep("1h")

    def old(do: World) -> Calls:
        return (yield do.race("k", {"x": do.body(old_branch), "t": do.body(timer)})).name

    def new(do: World) -> Calls:
        return (yield do.race("k", {"x": do.body(new_branch), "t": do.body(timer)})).name

    with Lab() as lab:
        lab.start("r", world.flow(old))
        lab.run_once("r")
        lab.advance("2h")

        assert lab.run_once("r", workflow=world.flow(new)).status == "blocked"
        assert lab.run_once("r", workflow=world.flow(old)).output == "t"
