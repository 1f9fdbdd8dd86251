"""What `replay()` sets aside and gives back: messages, archived entries, what a cancel cut short."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from flowkit import Break, Continue, RunConflict
from flowkit.testing import Lab
from tests.crashing import Script, crash_everywhere
from tests.scripts import Calls, completed, locations
from tests.worlds import World, both


@both
def test_messages_that_archived_entries_consumed_go_back_to_their_old_places(colour: str) -> None:
    """RN25 before those that came later."""
    world = World(colour)

    def flow(do: World) -> Calls:
        got = []
        for _ in range(3):
            got.append((yield do.receive()).data)  # noqa: PERF401
        return got

    with Lab() as lab:
        run = completed(lab, world, flow, "x", "y", "z")

        run.replay("receive#2")

        assert locations(lab) == ["receive"]
        assert lab.run_to_end("r") == [0, 1, 2]


@both
def test_an_answer_that_was_given_stands_and_the_message_returns(colour: str) -> None:
    """RN25 the requester keeps the first response."""
    world = World(colour)
    answers = ["first"]

    def flow(do: World) -> Calls:
        message = yield do.receive("ask", completable=True)
        done = message.complete(answers[0])
        if do.awaits:
            yield done
        yield do.receive("end")
        return message.data

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        assert run.request("ask", 7) == "first"

        answers[0] = "second"
        run.replay()
        lab.run_once("r")
        run.send("end")

        assert lab.run_once("r").output == 7


@both
def test_an_open_completable_message_is_not_doubled(colour: str) -> None:
    """RN25 it has not left the inbox."""
    world = World(colour)

    def flow(do: World) -> Calls:
        message = yield do.receive("ask", completable=True)
        yield do.sleep("1h")
        done = message.complete()
        if do.awaits:
            yield done
        return (yield do.receive(timeout=0)).name

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        run.send("ask")
        lab.run_once("r")

        run.replay()

        with pytest.raises(Exception, match="came in time"):
            lab.run_to_end("r")


@both
def test_archived_entries_are_readable_never_read_by_a_pass_and_owe_nothing(colour: str) -> None:
    """RN26 a step archived while it owed is not undone."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("a", undo=True)
        yield do.step("b", undo=True)
        yield do.receive("go")
        yield do.step("c")

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")

        run.replay("b")
        world.broken.add("b")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")

        assert [(e.location, e.output) for e in lab.history("r", archived=True)] == [("b", "b"), ("go", None)]
        assert world.log == ["a", "b", "b", "undo a"]


@both
def test_rolled_back_entries_that_stay_run_again(colour: str) -> None:
    """RN26 as after `recover()`."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("a", undo=True)
        yield do.step("b")
        return "done"

    with Lab() as lab:
        world.broken.add("b")
        run = lab.start("r", world.flow(flow))
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        world.broken.clear()
        world.log.clear()

        run.replay("b")

        assert lab.run_to_end("r") == "done"
        assert world.log == ["a", "b"]


@both
def test_what_a_cancel_cut_short_is_open_again(colour: str) -> None:
    """RN21, RN27 earlier open entries of a cancelled run wait on for their stored instants."""
    world = World(colour)

    def naps(do: World) -> Calls:
        yield do.sleep("3h")
        return "rested"

    def works(do: World) -> Calls:
        yield do.receive("go")
        return (yield do.step("t"))

    def flow(do: World) -> Calls:
        return (yield do.join("j", {"x": do.body(naps), "y": do.body(works)}))

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        deadline = lab.now + 3 * 3600
        lab.advance("1h")
        run.send("go")
        lab.run_once("r")
        run.cancel()

        run.replay("j/y/t")
        made = lab.run_once("r")

        assert (made.status, made.wake_at) == ("sleeping", deadline)
        assert lab.run_to_end("r") == {"x": "rested", "y": "t"}
        assert world.log == ["t", "t"]


@both
@pytest.mark.parametrize("status", ["pending", "sleeping", "completed", "failed", "cancelled", "paused", "blocked"])
def test_replay_is_allowed_in_every_status_but_two(colour: str, status: str) -> None:
    """RN27 of any other status it is allowed."""
    world = World(colour)

    def waits(do: World) -> Calls:
        yield do.step("a")
        yield do.receive("go")
        return "done"

    def other(do: World) -> Calls:
        yield do.step("b")

    def fail(lab: Lab) -> None:
        world.broken.add("a")
        lab.run_once("r")
        world.broken.clear()

    with Lab() as lab:
        run = lab.start("r", world.flow(waits))
        {
            "pending": lambda: None,
            "sleeping": lambda: lab.run_once("r"),
            "paused": run.pause,
            "completed": lambda: (run.send("go"), lab.run_once("r")),
            "failed": lambda: fail(lab),
            "cancelled": run.cancel,
            "blocked": lambda: (lab.run_once("r"), lab.run_once("r", workflow=world.flow(other))),
        }[status]()
        assert run.status() == status

        run.replay()

        assert (run.status(), run.error(), run.output()) == ("pending", None, None)
        run.send("go")
        assert lab.run_once("r", workflow=world.flow(waits)).output == "done"


@both
def test_replay_of_a_run_that_rolls_back_is_refused(colour: str) -> None:
    """RN27 naming `pause()` and `cancel()`."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        yield do.step("a", undo=True)
        yield do.receive("go")

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        run.cancel(rollback=True)

        with pytest.raises(RunConflict, match=r"rolling_back.*pause\(\).*cancel\(\)"):
            run.replay()


@both
def test_a_replay_survives_a_crash_at_any_commit(colour: str) -> None:
    """RN21 to RN26 with a crash at each side of each commit, the verb's own included."""
    world = World(colour)

    def turn(do: World, got: list[Any]) -> Calls:
        message = yield do.receive("n")
        got = [*got, message.data]
        yield do.step("t")
        return Break(got) if len(got) == 2 else Continue(got)

    def branch(do: World) -> Calls:
        return (yield do.loop(do.body(turn), [], name="l"))

    def script(do: World) -> Calls:
        found = yield do.join("j", {"x": do.body(branch)})
        yield do.step("last")
        return found

    flow = world.flow(script)
    told = crash_everywhere(
        Script(
            "r",
            (
                lambda lab: lab.start("r", flow),
                lambda lab: lab.send("r", "n", 1, key="1"),
                lambda lab: lab.send("r", "n", 2, key="2"),
                lambda lab: lab.run_to_end("r"),
                _replay_once,
                lambda lab: lab.run_to_end("r"),
            ),
        )
    )

    assert told.output == {"x": [1, 2]}


def _replay_once(lab: Lab) -> None:
    """As a person would: not again if the first call took effect although it raised."""
    if not lab.history("r", archived=True):
        lab.get("r").replay("j/x/l/~0/t")


@both
def test_replay_behind_a_loop_that_was_undone_runs_its_turns_again(colour: str) -> None:
    """RN26 the loop goes back to the first turn that was undone, as in RN19."""
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        value = yield do.step("t", n, undo=True)
        return Break(value) if n == 2 else Continue(n + 1)

    def flow(do: World) -> Calls:
        yield do.checkpoint("start")
        found = yield do.loop(do.body(turn), 0, name="l")
        yield do.step("b")
        return found

    with Lab() as lab:
        world.broken.add("b")
        run = lab.start("r", world.flow(flow))
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        world.broken.clear()
        world.log.clear()

        run.replay("b")

        assert lab.run_to_end("r") == 2
        assert world.log == ["t", "t", "t", "b"]


@both
def test_an_entry_may_be_archived_again_and_again(colour: str) -> None:
    """RN26 each time with what it held, by replays and recoveries in turn."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.step("a")
        yield do.step("b")
        return "done"

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_to_end("r")
        run.replay("b")
        world.broken.add("b")
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        run.recover()
        with contextlib.suppress(Exception):
            lab.run_to_end("r")
        world.broken.clear()
        run.recover()

        assert lab.run_to_end("r") == "done"
        assert [(e.location, e.status) for e in lab.history("r", archived=True)] == [
            ("b", "completed"),
            ("b", "failed"),
            ("b", "failed"),
        ]
