"""Statuses, and what each verb makes of each of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import HistoryDiverged, RunCancelled, RunConflict, RunFailed, RunNotFound, step, workflow
from flowkit.testing import Lab, SimulatedCrash
from tests.runtime.waiting import until
from tests.worlds import World, both

Calls = Generator[Any, Any, Any]


def waits(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    yield do.step("b")
    return "done"


def other(do: World) -> Calls:
    yield do.step("x")


def owes(do: World) -> Calls:
    yield do.checkpoint("start")
    yield do.step("a", undo=True)
    yield do.receive("go")
    yield do.step("b")
    return "done"


def reach(lab: Lab, world: World, status: str) -> Any:
    """A run in this status."""
    run = lab.start("r", world.flow(owes))
    if status == "pending":
        return run
    lab.run_once("r")
    if status == "failed":
        world.broken |= {"b", "undo a"}
    steps: dict[str, Any] = {
        "sleeping": lambda: None,
        "paused": run.pause,
        "blocked": lambda: lab.run_once("r", workflow=world.flow(other)),
        "rolling_back": lambda: run.cancel(rollback=True),
        "completed": lambda: (run.send("go"), lab.run_once("r")),
        "cancelled": run.cancel,
        "failed": lambda: (run.send("go"), lab.run_once("r")),
    }
    steps[status]()
    world.broken.clear()
    world.log.clear()
    assert run.status() == status
    return run


# --- what is stored -----------------------------------------------------------------------------------------------------


@both
def test_running_is_durable_before_user_code_starts(colour: str) -> None:
    """RN1 claiming a run writes status, owner and epoch (in the original: in memory only)."""
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
    """RN3 (in the original: pending)."""
    with Lab() as lab, pytest.raises(RunNotFound):
        lab.get("nobody")


@both
def test_result_returns_the_output_or_raises_how_the_run_ended(colour: str) -> None:
    """RN4 `RunFailed`, `RunCancelled`, `TimeoutError`; on a blocked run `HistoryDiverged`; a paused one it waits on."""
    world = World(colour)

    def told(status: str) -> type[BaseException] | None:
        with Lab() as lab:
            run = reach(lab, world, status)
            handle = flowkit.client.Run(lab.client, run.id, run._seq)
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
    """RN5 (in the original a completed run ran again)."""
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
    """RN6 (in the original it stays)."""
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


# --- verbs by status ----------------------------------------------------------------------------------------------------


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


# --- with a worker ------------------------------------------------------------------------------------------------------


def test_cancel_wins_over_the_owner(tmp_path: Path) -> None:
    """RN9 whatever the owner is doing (in the original the owner overwrote it)."""
    inside, go_on = threading.Event(), threading.Event()

    @step
    def slow() -> str:
        inside.set()
        go_on.wait(5)
        return "late"

    @workflow
    def flow() -> str:
        return slow()

    with flowkit.open(tmp_path / "x.db", workflows=[flow]) as fk:
        run = fk.start("r", flow)
        inside.wait(5)

        run.cancel()
        go_on.set()

        with pytest.raises(RunCancelled):
            run.result(timeout=5)
        assert [e.status for e in run.history()] in ([], ["cancelled"])


def test_replay_of_a_running_run_is_refused(tmp_path: Path) -> None:
    """RN27 naming `pause()` and `cancel()`; a paused one may be replayed."""
    inside, go_on = threading.Event(), threading.Event()
    calls: list[str] = []

    @step
    def slow() -> str:
        calls.append("slow")
        inside.set()
        go_on.wait(5)
        return "value"

    @workflow
    def flow() -> str:
        return slow()

    with flowkit.open(tmp_path / "x.db", workflows=[flow]) as fk:
        run = fk.start("r", flow)
        inside.wait(5)

        with pytest.raises(RunConflict, match=r"pause\(\).*cancel\(\)"):
            run.replay()
        run.pause()
        run.replay()
        go_on.set()

        assert run.result(timeout=5) == "value"


def test_evict_lets_the_body_end_and_the_run_goes_on(tmp_path: Path) -> None:
    """RN7 bodies end and are recorded, and any worker claims the run."""
    inside, go_on = threading.Event(), threading.Event()

    @step
    def slow() -> str:
        inside.set()
        go_on.wait(5)
        return "value"

    @workflow
    def flow() -> str:
        found = slow()
        return f"{found} {flowkit.run_info().pass_number}"

    with flowkit.open(tmp_path / "x.db", workflows=[flow]) as fk:
        run = fk.start("r", flow)
        inside.wait(5)
        run.evict()
        go_on.set()

        assert run.result(timeout=5).startswith("value ")
        assert [(e.location, e.attempts) for e in run.history()] == [("slow", 1)]


# --- watching -----------------------------------------------------------------------------------------------------------


@both
def test_watch_yields_each_change_of_status_and_history_and_ends_with_the_run(colour: str) -> None:
    """RN28 (the original is silent on status)."""
    world = World(colour)
    with Lab() as lab:
        run = lab.start("r", world.flow(waits))
        watched = run.watch()

        told = [next(watched)]
        lab.run_once("r")
        told.append(next(watched))
        run.pause()
        told.append(next(watched))
        run.resume()
        told.append(next(watched))
        run.send("go")
        lab.run_once("r")
        told.extend(watched)

        assert [each.status for each in told] == ["pending", "sleeping", "paused", "pending", "completed"]
        assert [[e.location for e in each.entries] for each in told] == [[], ["a", "go"], [], [], ["go", "b"]]


@both
def test_watch_shows_what_a_rollback_changes(colour: str) -> None:
    """RN28 settled entries change, too: they become `rolled_back`."""
    world = World(colour)
    world.broken.add("b")
    with Lab() as lab:
        run = lab.start("r", world.flow(owes))
        lab.run_once("r")
        watched = run.watch()
        next(watched)
        run.send("go")
        lab.run_once("r")

        told = list(watched)

        assert told[-1].status == "failed"
        assert ("a", "rolled_back") in [(e.location, e.status) for each in told for e in each.entries]


def test_watch_follows_a_run_in_a_worker(tmp_path: Path) -> None:
    """RN28 every watcher sees the end, and the entries as they stand then."""

    @step
    def one() -> int:
        return 1

    @workflow
    def flow() -> int:
        flowkit.receive("go")
        return one()

    with flowkit.open(tmp_path / "x.db", workflows=[flow]) as fk:
        run = fk.start("r", flow)
        until(lambda: run.status() == "sleeping")
        watched = run.watch()
        next(watched)
        run.send("go")

        told = list(watched)

        assert told[-1].status == "completed"
        assert {e.location for each in told for e in each.entries} == {"go", "one"}


# --- the store ----------------------------------------------------------------------------------------------------------


@both
def test_everything_survives_reopening_the_store(colour: str, tmp_path: Path) -> None:
    """DB1 status, input, output, error, entries and messages."""
    world = World(colour)
    path = tmp_path / "x.db"
    flow = world.flow(waits)
    with Lab(path) as lab:
        lab.start("r", flow)
        lab.run_once("r")
        lab.send("r", "go", 1)
        lab.start("failed", world.flow(waits))
        world.broken.add("a")
        lab.run_once("failed")
        before = lab.history("r"), str(lab.get("failed").error())

    with Lab(path) as again:
        assert (again.history("r"), str(again.get("failed").error())) == before
        assert again.get("failed").status() == "failed"
        assert again.run_once("r", workflow=flow).output == "done"


@both
def test_a_commit_does_not_grow_with_the_history(colour: str) -> None:
    """DB2 one commit a step, however long the history is."""
    world = World(colour)

    def flow(do: World) -> Calls:
        for _ in range(100):
            yield do.step("s", default_name=True)

    with Lab() as lab:
        lab.start("r", world.flow(flow))
        before = lab.commits

        lab.run_to_end("r")

        assert lab.commits - before == 101


@both
def test_numbers_are_never_given_twice(colour: str) -> None:
    """DB4 not after pruning or replay either, and a parent's is lower than its children's."""
    world = World(colour)

    def turn(do: World, n: int) -> Calls:
        yield do.step("t")
        return flowkit.Break(n) if n == 11 else flowkit.Continue(n + 1)

    def flow(do: World) -> Calls:
        yield do.loop(do.body(turn), 0, name="l", prune_every=1, keep=2)
        yield do.step("last")

    with Lab() as lab:
        run = lab.start("r", world.flow(flow))
        lab.run_to_end("r")
        first = [(e.seq, e.location) for e in lab.history("r")]
        run.replay()
        lab.run_to_end("r")

        assert first == [(1, "l"), (12, "l/~10/t"), (13, "l/~11/t"), (14, "last")]
        assert min(e.seq for e in lab.history("r")) > 14


@both
def test_a_write_of_any_size_over_the_limit_is_refused_before_it_is_made(colour: str) -> None:
    """DB7 each input, output, state and message; `PayloadTooLarge`."""
    world = World(colour)
    big = "x" * 2000

    def flow(do: World, n: int) -> Calls:
        if n == 0:
            yield do.step("a", big)
        if n == 1:
            yield do.loop(do.body(other), big, name="l")
        if n == 2:
            yield do.send("r0", "m", big)
        return big

    with Lab(max_payload=1000) as lab:
        made = world.flow(flow)
        for n in range(4):
            lab.start(f"r{n}", made, n)
        with pytest.raises(flowkit.PayloadTooLarge):
            lab.start("big", world.flow(flow), big)

        errors = [type(lab.run_once(f"r{n}").error) for n in range(4)]

        assert errors == [flowkit.PayloadTooLarge] * 4
        with contextlib.suppress(RunConflict), pytest.raises(flowkit.PayloadTooLarge):
            lab.send("r0", "m", big)


@both
def test_a_run_is_due_when_its_instant_has_come(colour: str) -> None:
    """DB8 `wake_at <= now`: a sleep ends at its instant and not before."""
    world = World(colour)

    def flow(do: World) -> Calls:
        yield do.sleep(10)
        return "rested"

    with Lab() as lab:
        lab.start("r", world.flow(flow))
        lab.run_once("r")
        lab.advance(9.999)
        assert lab.run_once("r").status == "sleeping"
        lab.clock.set(lab.run_once("r").wake_at)

        assert lab.run_once("r").output == "rested"
