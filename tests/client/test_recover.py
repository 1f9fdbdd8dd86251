"""`recover()`: a failed run goes on, with what failed started over and nothing else changed."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import StepExhausted, step
from flowkit.testing import Lab
from tests.scripts import Calls, failed
from tests.worlds import World, both


def two_steps(do: World) -> Calls:
    yield do.step("a")
    yield do.step("b")
    return "done"


@both
@pytest.mark.parametrize("status", ["pending", "sleeping", "paused", "completed", "cancelled", "blocked"])
def test_recover_does_nothing_unless_the_run_is_failed(colour: str, status: str) -> None:
    """RN15 on any other status it changes and raises nothing."""
    world = World(colour)

    def waits(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")

    def other(do: World) -> Calls:
        yield do.step("b")

    def reach(lab: Lab, run: Any) -> Any:
        return {
            "pending": lambda: None,
            "sleeping": lambda: lab.run_once("r"),
            "paused": run.pause,
            "completed": lambda: (run.send("go"), lab.run_once("r")),
            "cancelled": run.cancel,
            "blocked": lambda: (lab.run_once("r"), lab.run_once("r", workflow=world.flow(other))),
        }[status]()

    with Lab() as lab:
        run = lab.start("r", world.flow(waits))
        reach(lab, run)
        before, commits = lab.history("r"), lab.commits

        run.recover()

        assert (run.status(), lab.history("r"), lab.commits) == (status, before, commits)


@both
def test_a_failed_step_starts_over_with_no_attempts_used(colour: str) -> None:
    """RN15 it clears the error and starts failed and exhausted entries over with no attempts used."""
    world = World(colour)
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) <= 4:
            raise OSError("down")
        return "up"

    made = step(flaky, retries=1)

    def flow(do: World) -> Calls:
        yield do.step("a")
        return (yield (made.aio() if do.awaits else made()))

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        with pytest.raises(StepExhausted):
            lab.run_to_end("r")
        run.recover()

        assert (run.status(), run.error()) == ("pending", None)
        assert [(e.location, e.status, e.attempts) for e in lab.history("r")] == [("a", "completed", 1), ("flaky", "pending", 0)]
        with pytest.raises(StepExhausted):
            lab.run_to_end("r")
        run.recover()
        assert lab.run_to_end("r") == "up"
        assert lab.history("r")[1].attempts == 1
        assert world.log == ["a"]


@both
def test_recover_keeps_what_was_recorded_of_everything_else(colour: str) -> None:
    """RN15 nothing else changes: outputs, arguments, numbers and instants."""
    world = World(colour)
    with Lab() as lab:
        run = failed(lab, world, two_steps, "b")
        first = lab.history("r")[0]

        run.recover()

        assert lab.history("r")[0] == first
        assert lab.history("r")[1].seq == 2
        assert [(e.location, e.status) for e in lab.history("r", archived=True)] == [("b", "failed")]
        assert lab.run_to_end("r") == "done"
        assert world.log == ["b"]


def test_an_entry_that_starts_over_keeps_its_arguments() -> None:
    """RN15 the recorded arguments are still there before it runs again."""
    world = World("plain")
    broken = step(lambda order: 1 / 0, name="a", retries=0)

    def flow(do: World) -> Calls:
        yield broken(7)

    with Lab() as lab:
        run = failed(lab, world, flow)

        run.recover()

        assert lab.history("r")[0].args == {"order": 7}


@both
def test_failures_in_a_join_start_over_with_the_outcome_of_their_branch(colour: str) -> None:
    """RN15 the other branches stay."""
    world = World(colour)

    def good(do: World) -> Calls:
        return (yield do.step("good"))

    def bad(do: World) -> Calls:
        return (yield do.step("bad"))

    def flow(do: World) -> Calls:
        return (yield do.join(x=do.body(good), y=do.body(bad)))

    with Lab() as lab:
        run = failed(lab, world, flow, "bad")

        run.recover()

        assert lab.run_to_end("r") == {"x": "good", "y": "bad"}
        assert world.log == ["bad"]


@both
def test_failures_in_a_race_start_over(colour: str) -> None:
    """RN15 all branches had failed, and all are entered again."""
    world = World(colour)

    def bad(name: str) -> Any:
        def branch(do: World) -> Calls:
            return (yield do.step(name))

        return branch

    def flow(do: World) -> Calls:
        return (yield do.race(x=do.body(bad("p"))))

    with Lab() as lab:
        run = failed(lab, world, flow, "p")

        run.recover()

        assert lab.run_to_end("r").value == "p"


@both
def test_a_branch_that_failed_by_its_own_code_is_entered_again(colour: str) -> None:
    """RN15 with the branch outcomes that failures caused; a branch's own exception has no entry."""
    world = World(colour)
    told: list[str] = []

    def bad(do: World) -> Calls:
        yield do.step("a")
        if not told:
            raise KeyError("own")
        return "mended"

    def flow(do: World) -> Calls:
        return (yield do.join(x=do.body(bad)))

    with Lab() as lab:
        run = failed(lab, world, flow)
        told.append("yes")

        run.recover()

        assert lab.run_to_end("r") == {"x": "mended"}
        assert world.log == []
