"""`recover()`: a failed run goes on, with what failed started over and nothing else changed."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest

from flowkit import Break, Continue, JoinError, StepExhausted, step
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


def failed(lab: Lab, world: World, script: Any, *broken: str) -> Any:
    """A run that has failed, with its broken steps mended since."""
    world.broken.update(broken)
    run = lab.start("r", world.flow(script))
    with contextlib.suppress(Exception):
        lab.run_to_end("r")
    assert run.status() == "failed"
    world.broken.clear()
    world.log.clear()
    return run


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
    """RN15 the other branches stay (in the original those branches stayed failed)."""
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


@both
def test_a_failure_that_the_code_handled_and_went_on_from_stays(colour: str) -> None:
    """RN16 a later entry on its path shows it."""
    world = World(colour)

    def flow(do: World) -> Calls:
        caught = False
        try:
            yield do.step("a")
        except Exception:
            caught = True
        yield do.step("b")
        yield do.step("c")
        return caught

    with Lab() as lab:
        run = failed(lab, world, flow, "a", "c")

        run.recover()

        assert lab.run_to_end("r") is True
        assert world.log == ["c"]


@both
def test_a_handled_failure_stays_when_what_shows_it_lies_in_a_block(colour: str) -> None:
    """RN16 the block is on its path: its scope went on into the block."""
    world = World(colour)

    def block(do: World) -> Calls:
        yield do.step("b")

    def flow(do: World) -> Calls:
        caught = False
        try:
            yield do.step("a")
        except Exception:
            caught = True
        yield do.attempt(do.body(block), name="pay")
        if world.broken:
            raise KeyError("own") from None
        return caught

    with Lab() as lab:
        run = failed(lab, world, flow, "a")

        run.recover()

        assert lab.run_to_end("r") is True
        assert world.log == []


@both
def test_a_failure_handled_around_a_join_stays(colour: str) -> None:
    """RN16 its scope or an enclosing one."""
    world = World(colour)

    def bad(do: World) -> Calls:
        yield do.step("a")

    def flow(do: World) -> Calls:
        caught = ""
        try:
            yield do.join("j", {"x": do.body(bad)})
        except JoinError as error:
            caught = ", ".join(error.errors)
        yield do.step("b")
        yield do.step("c")
        return caught

    with Lab() as lab:
        run = failed(lab, world, flow, "a", "c")

        run.recover()

        assert lab.run_to_end("r") == "x"
        assert world.log == ["c"]


@both
@pytest.mark.parametrize("chained", ["cause", "context", "itself"])
def test_the_entry_that_the_error_came_from_starts_over_and_what_followed_is_archived(colour: str, chained: str) -> None:
    """RN17 by itself or as the cause or context of a new exception."""
    world = World(colour)

    def flow(do: World) -> Calls:
        try:
            yield do.step("a")
        except Exception as error:
            yield do.step("apologise")
            if chained == "cause":
                raise KeyError("mine") from error
            if chained == "context":
                raise KeyError("mine")  # noqa: B904
            raise
        yield do.step("b")
        return "done"

    with Lab() as lab:
        run = failed(lab, world, flow, "a")

        run.recover()

        assert [(e.location, e.status) for e in lab.history("r")] == [("a", "pending")]
        assert [(e.location, e.status) for e in lab.history("r", archived=True)] == [("a", "failed"), ("apologise", "completed")]
        assert lab.run_to_end("r") == "done"
        assert world.log == ["a", "b"]


@both
def test_the_culprit_in_a_branch_starts_over_too(colour: str) -> None:
    """RN17 through the join's failure to the entry that the branch's error came from."""
    world = World(colour)

    def bad(do: World) -> Calls:
        try:
            return (yield do.step("a"))
        except Exception:
            yield do.step("apologise")
            raise

    def flow(do: World) -> Calls:
        return (yield do.join("j", {"x": do.body(bad)}))

    with Lab() as lab:
        run = failed(lab, world, flow, "a")

        run.recover()

        assert lab.run_to_end("r") == {"x": "a"}
        assert world.log == ["a"]


@both
def test_messages_that_archived_entries_consumed_go_back(colour: str) -> None:
    """RN17, RN25 what followed the culprit had received a message: it is there again."""
    world = World(colour)

    def flow(do: World) -> Calls:
        try:
            yield do.step("a")
        except Exception:
            yield do.receive("why")
            raise
        return (yield do.receive("why")).data

    with Lab() as lab:
        world.broken.add("a")
        run = lab.start("r", world.flow(flow))
        run.send("why", "because")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        world.broken.clear()

        run.recover()

        assert lab.run_to_end("r") == "because"


@both
def test_a_receive_that_timed_out_waits_anew(colour: str) -> None:
    """RN15 a failed receive starts over, with its whole time."""
    world = World(colour)

    def flow(do: World) -> Calls:
        return (yield do.receive("go", timeout="1h")).data

    with Lab() as lab:
        run = failed(lab, world, flow)
        run.recover()

        made = lab.run_once("r")

        assert made.wake_at == pytest.approx(lab.now + 3600)
        run.send("go", 5)
        assert lab.run_once("r").output == 5


@both
def test_a_send_that_failed_is_made_again(colour: str) -> None:
    """RN15 its receiver exists now."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.send("s", "hello", 1)
        return "sent"

    def waits(do: World) -> Calls:
        return (yield do.receive("hello")).data

    with Lab() as lab:
        run = failed(lab, world, flow)
        lab.start("s", world.flow(waits))

        run.recover()

        assert lab.run_to_end("r") == "sent"
        assert lab.run_once("s", workflow=world.flow(waits)).output == 1


# --- after a rollback ---------------------------------------------------------------------------------------------------


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


# --- an unfinished rollback ---------------------------------------------------------------------------------------------


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


# --- crashes ------------------------------------------------------------------------------------------------------------


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
