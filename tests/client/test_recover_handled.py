"""`recover()` and failures that the code handled, or that the run's error came from."""

from __future__ import annotations

import contextlib

import pytest

from flowkit import Break, Continue, JoinError
from flowkit.testing import Lab
from tests.scripts import Calls, failed
from tests.worlds import World, both


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


@both
def test_a_failure_handled_in_a_turn_that_is_over_stays(colour: str) -> None:
    """RN16 the loop went on to the next turn, which is later on its path."""
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        if n == 1:
            return Break((yield do.step("b")))
        try:
            yield do.step("a")
        except Exception:
            return Continue(1)
        return Break("a")

    def flow(do: World) -> Calls:
        return (yield do.loop(do.body(turn), 0, name="l"))

    with Lab() as lab:
        run = failed(lab, world, flow, "a", "b")

        run.recover()

        assert lab.run_to_end("r") == "b"
        assert world.log == ["b"]
        assert [(e.location, e.status) for e in lab.history("r")][1:] == [("l/~0/a", "failed"), ("l/~1/b", "completed")]


@both
def test_a_failure_handled_in_a_branch_that_returned_stays(colour: str) -> None:
    """RN16 the branch has a value, which a success would contradict."""
    world = World(colour)

    def handles(do: World) -> Calls:
        try:
            return (yield do.step("a"))
        except Exception:
            return "fallback"

    def fails(do: World) -> Calls:
        return (yield do.step("b"))

    def flow(do: World) -> Calls:
        return (yield do.join("j", {"x": do.body(handles), "y": do.body(fails)}))

    with Lab() as lab:
        run = failed(lab, world, flow, "a", "b")

        run.recover()

        assert lab.run_to_end("r") == {"x": "fallback", "y": "b"}
        assert world.log == ["b"]


@both
def test_a_failure_handled_in_a_loop_that_ended_stays(colour: str) -> None:
    """RN16 the loop has its value, although nothing was recorded after it."""
    world = World(colour)

    def turn(do: World) -> Calls:
        try:
            yield do.step("a")
        except Exception:
            return Break("gave up")
        return Break("got it")

    def flow(do: World) -> Calls:
        found = yield do.loop(do.body(turn), name="l")
        if not world.log.count("mended"):
            raise KeyError("own")
        return found

    with Lab() as lab:
        run = failed(lab, world, flow, "a")
        world.log.append("mended")

        run.recover()

        assert lab.run_to_end("r") == "gave up"
        assert world.log == ["mended"]
