"""What the store keeps of a run, seen from outside."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

import flowkit
from flowkit import RunConflict, RunNotFound, step
from flowkit.core.entry import Entry
from flowkit.core.ledger import Ledger
from flowkit.testing import Lab, MemoryDriver, SimulatedCrash
from tests.scripts import Calls, other, waits
from tests.worlds import World, both


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


def test_a_write_that_failed_is_written_still() -> None:
    """DB3 memory is as it was: the next commit holds all that the failed one held, and what came since."""
    ledger = Ledger(run=1, run_id="r", epoch=1, head=0)

    def stage(name: str) -> None:
        ledger.stage(Entry(seq=ledger.next_seq(), location=name, kind="step", status="completed", settled_at=1.0))

    stage("a")
    first = ledger.take()
    stage("b")
    ledger.restore()

    second = ledger.take()

    assert [entry.location for entry in first.add] == ["a"]
    assert [entry.location for entry in second.add] == ["a", "b"]
    assert (first.head, second.head) == (0, 0)


@both
def test_a_write_before_which_the_process_died_is_made_by_the_next(colour: str) -> None:
    """DB3, I3 nothing of it is there, and nothing of it is lost."""
    world = World(colour)
    with Lab() as lab:
        lab.start("r", world.flow(waits))
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")
        assert lab.history("r") == []

        lab.run_once("r")

        assert [e.location for e in lab.history("r")] == ["a", "go"]


@both
def test_the_next_write_of_a_worker_that_lost_its_lease_changes_nothing(colour: str) -> None:
    """DB9 `Fenced`: the body's result is dropped, and the run is due for others."""
    world = World(colour)
    driver = MemoryDriver()
    lost: list[int] = []

    def loses() -> str:
        row = driver.get("r")
        assert row is not None
        lost.append(driver.reap(lab.now, dead=[row.owner or 0]))
        return "too late"

    slow = step(loses, name="slow")

    def flow(do: World) -> Calls:
        return (yield (slow.aio() if do.awaits else slow()))

    with Lab(driver=driver) as lab:
        run = lab.start("r", world.flow(flow))

        made = lab.run_once("r")

        assert (made.status, lost, run.history()) == ("pending", [1], [])


def test_text_that_no_store_can_hold_finds_nothing(tmp_path: Path) -> None:
    """A terminal's broken bytes arrive as lone surrogates, which SQLite refuses to be asked for."""
    with flowkit.open(tmp_path / "x.db", worker=False) as fk:
        with pytest.raises(RunNotFound):
            fk.get("order-\udcff")

        assert not fk.runs(tag="\udcff").items
        assert not fk.runs(workflow="\udcff").items
