"""What each verb makes of a run in each status."""

from __future__ import annotations

import pytest

from flowkit import RunCancelled
from flowkit.testing import Lab
from tests.scripts import Calls, reach
from tests.worlds import World, both


@both
@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("pending", "cancelled"), ("sleeping", "cancelled"), ("paused", "cancelled"), ("blocked", "cancelled"),
        ("rolling_back", "cancelled"), ("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"),
    ],
)  # fmt: skip
def test_cancel_in_every_status(colour: str, status: str, after: str) -> None:
    """RN9, RN11, RN12 `cancelled` on open entries in one commit; a terminal run stays as it is."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, status)
        entries = lab.history("r")

        run.cancel()

        assert run.status() == after
        assert all(e.settled_at is not None for e in lab.history("r"))
        assert [e.location for e in lab.history("r")] == [e.location for e in entries]
        assert lab.run_once("r").status == after
        assert world.log == []


@both
@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("pending", "cancelled"), ("sleeping", "rolling_back"), ("paused", "rolling_back"), ("blocked", "rolling_back"),
        ("rolling_back", "rolling_back"), ("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"),
    ],
)  # fmt: skip
def test_cancel_with_rollback_in_every_status(colour: str, status: str, after: str) -> None:
    """RN10, RN12 the handlers run after it has returned; if nothing owes the run is `cancelled` at once."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, status)

        run.cancel(rollback=True)

        assert run.status() == after
        assert world.log == []


@both
def test_cancel_with_rollback_ends_as_cancelled(colour: str) -> None:
    """RN10 with nothing owed afterwards."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, "sleeping")
        run.cancel(rollback=True)

        made = lab.run_once("r")

        assert made.status == "cancelled"
        assert world.log == ["undo a"]
        with pytest.raises(RunCancelled):
            lab.run_to_end("r")


@both
def test_cancel_of_a_rollback_ends_it_there(colour: str) -> None:
    """RN11 history shows what still owes."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, "rolling_back")

        run.cancel()

        assert run.status() == "cancelled"
        assert [e.status for e in lab.history("r") if e.location == "a"] == ["completed"]
        assert world.log == []


@both
@pytest.mark.parametrize(
    ("status", "after"),
    [
        ("pending", "paused"), ("sleeping", "paused"), ("paused", "paused"), ("blocked", "paused"),
        ("rolling_back", "paused"), ("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"),
    ],
)  # fmt: skip
def test_pause_and_resume_in_every_status(colour: str, status: str, after: str) -> None:
    """RN12, RN13, RN14 a paused run does nothing; `resume()` makes it due, forward or back as it was."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, status)

        run.pause()

        assert run.status() == after
        assert lab.run_once("r").status == after
        assert world.log == []
        run.resume()
        assert run.status() == {"paused": "pending"}.get(after, after) or status == "rolling_back"


@both
def test_a_paused_rollback_goes_on_backwards(colour: str) -> None:
    """RN14 rolling back as it was."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, "rolling_back")
        run.pause()

        run.resume()

        assert run.status() == "rolling_back"
        assert lab.run_once("r").status == "cancelled"
        assert world.log == ["undo a"]


@both
def test_timers_keep_their_instants_and_messages_are_kept_in_a_pause(colour: str) -> None:
    """RN13 no wait ends while it is paused."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.sleep("2h")
        return (yield do.receive("go")).data

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_once("r")
        due = lab.now + 7200
        run.pause()
        run.send("go", 5)
        lab.advance("1h")
        assert lab.run_once("r").status == "paused"
        run.resume()

        assert lab.run_once("r").wake_at == due
        lab.advance("1h")
        assert lab.run_once("r").output == 5


@both
@pytest.mark.parametrize("verb", ["wake", "evict", "resume"])
@pytest.mark.parametrize("status", ["pending", "sleeping", "completed", "failed", "cancelled", "rolling_back"])
def test_wake_evict_and_resume_change_no_status_but_a_held_one(colour: str, verb: str, status: str) -> None:
    """RN12, RN14 on any other they do nothing, and raise nothing."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, status)

        getattr(run, verb)()

        assert run.status() == status
        assert world.log == []


@both
def test_resume_of_a_blocked_run_tries_it_again(colour: str) -> None:
    """RN14 it is due, and its reason is cleared."""
    world = World(colour)
    with Lab() as lab:
        run = reach(lab, world, "blocked")

        run.resume()

        assert (run.status(), run.error()) == ("pending", None)
        assert lab.run_once("r").status == "blocked"
