"""`replay()`: a run starts over from its top or from an entry; loops, joins and races around it are entered again."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import Break, Continue
from flowkit.testing import Lab
from tests.scripts import Calls, completed, locations
from tests.worlds import World, both


def abc(do: World) -> Calls:
    yield do.step("a")
    yield do.sleep("1h")
    yield do.version("v", 2)
    got = yield do.receive("go")
    yield do.step("b")
    yield do.step("c")
    return got.data


@both
def test_replay_without_a_step_archives_every_entry(colour: str) -> None:
    """RN21 it clears output and error and makes the run due; the input stays."""
    world = World(colour)

    def flow(do: World, word: str) -> Calls:
        yield do.step("a")
        return word

    with Lab() as lab:
        run = lab.start("r", world.flow(flow), "hello")
        lab.run_to_end("r")

        run.replay()

        assert (run.status(), run.output(), lab.history("r")) == ("pending", None, [])
        assert locations(lab, archived=True) == ["a"]
        assert lab.run_to_end("r") == "hello"
        assert world.log == ["a", "a"]
        assert lab.history("r")[0].seq > lab.history("r", archived=True)[0].seq


@both
def test_replay_from_a_step_archives_it_and_all_of_higher_number(colour: str) -> None:
    """RN21 earlier entries of every kind stay."""
    world = World(colour)
    with Lab() as lab:
        run = completed(lab, world, abc, "go")

        run.replay("b")

        assert locations(lab) == ["a", "sleep", "v", "go"]
        assert locations(lab, archived=True) == ["b", "c"]
        assert lab.run_once("r").output == 0
        assert world.log == ["b", "c"]


@both
@pytest.mark.parametrize("target", ["sleep", "v", "go", "c", "a"])
def test_the_target_is_a_location_of_any_kind(colour: str, target: str) -> None:
    """RN22 sleeps, versions and messages too."""
    world = World(colour)
    with Lab() as lab:
        run = completed(lab, world, abc, "go")

        run.replay(target)

        assert locations(lab, archived=True)[0] == target
        assert lab.run_to_end("r") == 0


@both
def test_an_unknown_target_is_a_value_error_with_the_nearest_names(colour: str) -> None:
    """RN22 and nothing is written."""
    world = World(colour)
    with Lab() as lab:
        run = completed(lab, world, abc, "go")
        before = lab.commits

        with pytest.raises(ValueError, match="sleep"):
            run.replay("slep")
        with pytest.raises(ValueError, match="Did you mean"):
            run.replay("nothing like it")

        assert lab.commits == before
        assert run.status() == "completed"


def nested_loops(do: World) -> Calls:
    """Two outer turns of two inner turns each; then a wait in the third outer turn's second inner turn."""

    def outer(do: World, n: int) -> Calls:
        def inner(do: World, m: int) -> Calls:
            yield do.step(f"s{n}{m}")
            if (n, m) == (2, 1):
                yield do.receive("never")
            return Break(m) if m == 1 else Continue(m + 1)

        yield do.step(f"o{n}")
        yield do.loop(do.body(inner), 0, name="inner")
        return Continue(n + 1)

    yield do.step("first")
    yield do.loop(do.body(outer), 0, name="outer")


def parked(lab: Lab, world: World, script: Any) -> Any:
    """A run that waits."""
    run = lab.start("r", world.flow(script))
    lab.run_once("r")
    world.log.clear()
    return run


@both
def test_a_target_in_the_current_turns_rewinds_to_the_innermost_loop(colour: str) -> None:
    """RN23 to its start, with its first state."""
    world = World(colour)
    with Lab() as lab:
        run = parked(lab, world, nested_loops)

        run.replay("outer/~2/inner/~1/s21")
        lab.run_once("r")

        assert world.log == ["s20", "s21"]


@both
def test_a_target_in_an_earlier_inner_turn_rewinds_to_that_loop(colour: str) -> None:
    """RN23 the outermost loop in which the turn is not the current one is the inner one."""
    world = World(colour)
    with Lab() as lab:
        run = parked(lab, world, nested_loops)

        run.replay("outer/~2/inner/~0/s20")
        lab.run_once("r")

        assert world.log == ["s20", "s21"]


@both
@pytest.mark.parametrize("target", ["outer/~0/o0", "outer/~1/inner/~1/s11"])
def test_a_target_in_an_earlier_outer_turn_rewinds_to_the_outer_loop(colour: str, target: str) -> None:
    """RN23."""
    world = World(colour)
    with Lab() as lab:
        run = parked(lab, world, nested_loops)

        run.replay(target)
        lab.run_once("r")

        assert world.log == ["o0", "s00", "s01", "o1", "s10", "s11", "o2", "s20", "s21"]
        assert locations(lab)[0] == "first"


@both
def test_a_target_in_the_current_outer_turn_outside_the_inner_loop_rewinds_to_the_outer_loop(colour: str) -> None:
    """RN23 the innermost loop around it is the outer one."""
    world = World(colour)
    with Lab() as lab:
        run = parked(lab, world, nested_loops)

        run.replay("outer/~2/o2")
        lab.run_once("r")

        assert world.log[0] == "o0"


@both
def test_a_loop_beside_the_target_does_not_lose_what_its_later_turns_received(colour: str) -> None:
    """RN21, RN25 archived turns that cannot be gone back to alone start the loop over: no message counts twice."""
    world = World(colour)

    def turn(do: World, got: list[Any]) -> Calls:
        if len(got) == 3:
            return Break(got)
        message = yield do.receive("n")
        return Continue([*got, message.data])

    def collects(do: World) -> Calls:
        return (yield do.loop(do.body(turn), [], name="l"))

    def other(do: World) -> Calls:
        yield do.receive("start")
        return (yield do.step("t"))

    def flow(do: World) -> Calls:
        found = yield do.join("j", {"x": do.body(collects), "y": do.body(other)})
        yield do.receive("end")
        return found

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        run.send("n", 0)
        lab.run_once("r")
        run.send("start")
        lab.run_once("r")
        for n in (1, 2):
            run.send("n", n)
            lab.run_once("r")
        world.log.clear()

        run.replay("j/y/t")
        lab.run_once("r")
        run.send("end")

        assert lab.run_once("r").output == {"x": [0, 1, 2], "y": "t"}
        assert world.log == ["t"]


@both
def test_a_target_in_a_settled_race_rewinds_to_that_race(colour: str) -> None:
    """RN24 since its losers are gone."""
    world = World(colour)

    def winner(do: World) -> Calls:
        yield do.step("w1")
        return (yield do.step("w2"))

    def loser(do: World) -> Calls:
        yield do.receive("never")

    def flow(do: World) -> Calls:
        yield do.step("first")
        yield do.race("k", {"w": do.body(winner), "l": do.body(loser)})
        yield do.step("last")

    with Lab() as lab:
        run = completed(lab, world, flow)

        run.replay("k/w/w2")

        assert locations(lab) == ["first"]
        lab.run_to_end("r")
        assert world.log == ["w1", "w2", "last"]


@both
def test_joins_around_a_target_reopen_and_branches_before_it_stay(colour: str) -> None:
    """RN24 branches wholly before it are not entered again."""
    world = World(colour)

    def before(do: World) -> Calls:
        return (yield do.step("before"))

    def behind(do: World) -> Calls:
        yield do.receive("go")
        return (yield do.step("behind"))

    def flow(do: World) -> Calls:
        found = yield do.join("j", {"x": do.body(before), "y": do.body(behind)})
        yield do.step("last")
        return found

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        run.send("go")
        lab.run_to_end("r")
        world.log.clear()

        run.replay("j/y/behind")

        assert lab.run_to_end("r") == {"x": "before", "y": "behind"}
        assert world.log == ["behind", "last"]


@both
def test_a_race_beside_the_target_starts_over_if_it_lost_entries(colour: str) -> None:
    """RN21, RN24 its winner's entries are archived and its losers are gone, so it is raced again."""
    world = World(colour)

    def winner(do: World) -> Calls:
        yield do.receive("to w")
        return (yield do.step("w"))

    def loser(do: World) -> Calls:
        yield do.receive("never")

    def races(do: World) -> Calls:
        return (yield do.race("k", {"w": do.body(winner), "l": do.body(loser)})).name

    def other(do: World) -> Calls:
        yield do.receive("to t")
        return (yield do.step("t"))

    def flow(do: World) -> Calls:
        return (yield do.join("j", {"x": do.body(races), "y": do.body(other)}))

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        for name in ("to t", "to w"):
            run.send(name)
            lab.run_once("r")
        assert run.status() == "completed"
        world.log.clear()

        run.replay("j/y/t")

        assert lab.run_to_end("r") == {"x": "w", "y": "t"}
        assert sorted(world.log) == ["t", "w"]
