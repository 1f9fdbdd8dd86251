"""Verbs and watchers of runs that a worker executes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import flowkit
from flowkit import RunCancelled, RunConflict, step, workflow
from flowkit.testing import Lab
from tests.runtime.waiting import until
from tests.scripts import owes, waits
from tests.worlds import World, both


def test_cancel_wins_over_the_owner(tmp_path: Path) -> None:
    """RN9 whatever the owner is doing."""
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


@both
def test_watch_yields_each_change_of_status_and_history_and_ends_with_the_run(colour: str) -> None:
    """RN28."""
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
