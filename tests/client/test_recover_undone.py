"""`recover()` after a rollback, finished or not."""

from __future__ import annotations

import contextlib

import pytest

from flowkit import Break, Continue
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.scripts import Calls, failed
from tests.worlds import World, both


def undoes(do: World) -> Calls:
    yield do.checkpoint("start")
    a = yield do.step("a", undo=True)
    yield do.step("plain")
    b = yield do.step("b", undo=True)
    yield do.step("c")
    return [a, b]


@both
def test_steps_that_were_rolled_back_run_again_in_place(colour: str) -> None:
    """RN18 the original replayed compensated steps as done."""
    world = World(colour)
    with Lab() as lab:
        run = failed(lab, world, undoes, "c")

        run.recover()

        assert [(e.location, e.status) for e in lab.history("r")] == [
            ("start", "completed"),
            ("a", "pending"),
            ("plain", "completed"),
            ("b", "pending"),
            ("c", "pending"),
        ]
        assert lab.run_to_end("r") == ["a", "b"]
        assert world.log == ["a", "b", "c"]


@both
def test_a_recovered_run_that_fails_again_is_undone_again(colour: str) -> None:
    """RN18 the steps that ran again owe again."""
    world = World(colour)
    with Lab() as lab:
        run = failed(lab, world, undoes, "c")
        world.broken.add("c")
        run.recover()

        with contextlib.suppress(Exception):
            lab.run_to_end("r")

        assert run.status() == "failed"
        assert world.log == ["a", "b", "c", "undo b", "undo a"]


@both
def test_joins_around_rolled_back_steps_reopen_and_their_values_are_computed_again(colour: str) -> None:
    """RN18 joins reopen; a branch without such a step stays."""
    world = World(colour)

    def undone(do: World) -> Calls:
        return (yield do.step("a", undo=True))

    def other(do: World) -> Calls:
        return (yield do.step("other"))

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.join("j", {"x": do.body(undone), "y": do.body(other)})
        yield do.step("c")
        return found

    with Lab() as lab:
        run = failed(lab, world, flow, "c")

        run.recover()

        assert lab.run_to_end("r") == {"x": "a", "y": "other"}
        assert world.log == ["a", "c"]


@both
def test_a_reopened_race_keeps_its_winner_and_leaves_the_losers_alone(colour: str) -> None:
    """RN18 a race keeping its winner; a loser's step that was undone is not done again."""
    world = World(colour)

    def winner(do: World) -> Calls:
        yield do.receive("first")
        return (yield do.step("won", undo=True))

    def loser(do: World) -> Calls:
        yield do.step("lost", undo=True)
        yield do.receive("never")

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.race("k", {"l": do.body(loser), "w": do.body(winner)})
        yield do.step("c")
        return found.name

    with Lab() as lab:
        world.broken.add("c")
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        run.send("first")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        assert "undo lost" in world.log
        world.broken.clear()
        world.log.clear()

        run.recover()

        assert lab.run_to_end("r") == "w"
        assert world.log == ["won", "c"]


@both
def test_a_race_of_which_only_a_loser_was_undone_stays_settled(colour: str) -> None:
    """RN18 there is nothing to compute again."""
    world = World(colour)

    def winner(do: World) -> Calls:
        yield do.receive("first")
        return "value"

    def loser(do: World) -> Calls:
        yield do.step("lost", undo=True)
        yield do.receive("never")

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.race("k", {"l": do.body(loser), "w": do.body(winner)})
        yield do.step("c")
        return found.value

    with Lab() as lab:
        world.broken.add("c")
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        run.send("first")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        world.broken.clear()
        world.log.clear()

        run.recover()

        assert lab.run_to_end("r") == "value"
        assert world.log == ["c"]


@both
def test_a_loop_goes_back_to_the_earliest_turn_that_has_such_a_step(colour: str) -> None:
    """RN19 with that turn's starting state, pruned or not before it."""
    world = World(colour)
    states: list[list[int]] = []

    def turn(do: World, found: list[int]) -> Calls:
        states.append(found)
        n = len(found)
        undo = n in (2, 3)
        value = yield do.step("t", n, undo=undo)
        yield do.step("plain")
        return Break(found) if n == 5 else Continue([*found, value])

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.loop(do.body(turn), [], name="l", prune_every=2, keep=0)
        yield do.step("c")
        return found

    with Lab() as lab:
        run = failed(lab, world, flow, "c")
        states.clear()

        run.recover()

        assert lab.run_to_end("r") == [0, 1, 2, 3, 4]
        assert states[0] == [0, 1]
        assert world.log == ["t", "t", "c"]


@both
def test_recover_of_an_unfinished_rollback_goes_on_with_the_stuck_handler(colour: str) -> None:
    """RN20 fresh attempts for it; then the run is failed again with its first error, and can be recovered forward."""
    world = World(colour)
    with Lab() as lab:
        run = failed(lab, world, undoes, "c", "undo b")
        assert [e.status for e in lab.history("r")].count("rolled_back") == 0

        run.recover()

        assert run.status() == "rolling_back"
        with pytest.raises(Exception, match="c is broken"):
            lab.run_to_end("r")
        assert world.log == ["undo b", "undo a"]
        assert run.status() == "failed"
        run.recover()
        assert lab.run_to_end("r") == ["a", "b"]


@both
def test_an_unfinished_rollback_of_a_cancelled_run_ends_as_cancelled(colour: str) -> None:
    """RN20 failed (or cancelled) again."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("a", undo=True)
        yield do.receive("go")

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        world.broken.add("undo a")
        run.cancel(rollback=True)
        lab.run_once("r")
        assert run.status() == "failed"
        world.broken.clear()

        run.recover()
        lab.run_once("r")

        assert run.status() == "cancelled"
        assert [e.status for e in lab.history("r") if e.location == "a"] == ["rolled_back"]


@both
def test_a_recovery_survives_a_crash_at_any_commit(colour: str) -> None:
    """RN15 to RN19 with a crash at each side of each commit, the verb's own included."""
    made = [World(colour)]

    def turn(do: World, n: int) -> Calls:
        yield do.step("t", undo=True)
        return Break(n) if n == 2 else Continue(n + 1)

    def branch(do: World) -> Calls:
        return (yield do.step("b", undo=True))

    def script(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.loop(do.body(turn), 0, name="l")
        found = yield do.join("j", {"x": do.body(branch)})
        yield do.step("c")
        return found

    flow = made[0].flow(script)

    def breaks(lab: Lab) -> None:
        made[0].broken.add("c")
        lab.start("r", flow)

    def recovers(lab: Lab) -> None:
        made[0].broken.clear()
        lab.get("r").recover()

    def ends(lab: Lab) -> None:
        lab.run_to_end("r")

    told = crash_everywhere(Script("r", (breaks, ends, recovers, ends)))

    assert (told.status, told.output) == ("completed", {"x": "b"})


@both
def test_races_in_loops_in_joins_run_again_as_often_as_they_are_undone(colour: str) -> None:
    """RN18, RN19 to any depth, one recovery after another."""
    world = World(colour)

    def winner(do: World) -> Calls:
        return (yield do.step("w", undo=True))

    def late(do: World) -> Calls:
        yield do.sleep("1h")

    def turn(do: World, n: int) -> Calls:
        got = yield do.race("k", {"w": do.body(winner), "l": do.body(late)})
        return Break(got.name) if n == 2 else Continue(n + 1)

    def branch(do: World) -> Calls:
        return (yield do.loop(do.body(turn), 0, name="l"))

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.join("j", {"b": do.body(branch)})
        yield do.step("c")
        return found

    with Lab() as lab:
        run = failed(lab, world, flow, "c")
        run.recover()
        world.broken.add("c")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        assert run.status() == "failed"
        world.broken.clear()
        world.log.clear()

        run.recover()

        assert lab.run_to_end("r") == {"b": "w"}
        assert world.log == ["w", "w", "w", "c"]
