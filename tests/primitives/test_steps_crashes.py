"""Attempts cut short by a death, an evict or a drain, and the records that are made before a body ends."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import StepInterrupted
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, play
from tests.primitives.colours import Colour, every_colour, native_colours


@pytest.fixture
def fk(tmp_path: Path) -> Iterator[flowkit.Flowkit]:
    """An open database with a worker."""
    with flowkit.open(tmp_path / "runs.db", durability="process") as opened:
        yield opened


def until(happens: Any) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@every_colour
def test_a_long_body_gets_its_attempt_written_in_the_background(fk: flowkit.Flowkit, colour: Colour) -> None:
    """ST22: entry running, attempt, start time; the result rides in it or in the next."""
    before = time.time()
    run = fk.start("r", colour.one(colour.napping([0.6], [])))

    until(run.history)
    begun = run.history()[0]
    output = run.result(timeout=20)

    assert (begun.status, begun.attempts, begun.settled_at) == ("running", 1, None)
    assert before <= begun.created_at <= before + 20
    assert output == "rested"
    assert [(e.status, e.attempts, e.seq) for e in run.history()] == [("completed", 1, begun.seq)]


@native_colours
def test_a_short_body_writes_nothing_before_it_ends(fk: flowkit.Flowkit, colour: Colour) -> None:
    """ST22: only one that runs longer than 0.25 s."""
    run = fk.start("r", colour.one(colour.napping([0.1], [])))

    time.sleep(0.05)

    assert run.history() == []
    assert run.result(timeout=2) == "rested"


@every_colour
def test_an_attempt_ended_by_a_crash_does_not_use_up_a_retry(colour: Colour) -> None:
    """ST23: five deaths with one retry, which is still there."""
    log: list[str] = []

    def charge() -> str:
        log.append("charge")
        if len(log) < 7:
            raise OSError("down")
        return "paid"

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge, retries=1)))
        for _ in range(5):
            lab.crash_at(1, "before")
            with pytest.raises(SimulatedCrash):
                lab.run_once("r")

        assert lab.run_to_end("r") == "paid"
        assert [(e.status, e.attempts) for e in lab.history("r")] == [("completed", 2)]


@every_colour
def test_an_attempt_ended_by_an_evict_does_not_count(tmp_path: Path, fk: flowkit.Flowkit, colour: Colour) -> None:
    """ST24: neither as an attempt nor as a crash; the body runs again."""
    gate = threading.Event()
    log: list[str] = []
    flow = colour.one(waiting(colour, log, gate))
    run = fk.start("r", flow)
    until(lambda: run.history() and log)
    assert fk.worker is not None

    fk.worker.stop(grace=0.05)
    with flowkit.open(tmp_path / "runs.db", workflows=[flow]) as other:
        until(lambda: len(log) == 2)
        gate.set()

        assert other.get("r").result(timeout=2) == "done"

    assert log == ["start", "start"]
    assert [(e.status, e.attempts) for e in run.history()] == [("completed", 1)]


def waiting(colour: Colour, log: list[str], gate: threading.Event, **options: Any) -> Any:
    """A step that waits for the gate."""

    def wait() -> str:
        log.append("start")
        gate.wait(2)
        return "done"

    async def awaited_wait() -> str:
        log.append("start")
        await asyncio.to_thread(gate.wait, 2)
        return "done"

    made: Any = flowkit.step(awaited_wait if colour.body_awaits else wait, name="wait", **options)
    return made.aio if colour.flow_awaits and not colour.body_awaits else made


@every_colour
def test_an_evicted_at_most_once_body_does_not_run_again(tmp_path: Path, fk: flowkit.Flowkit, colour: Colour) -> None:
    """ST25: the outcome is unknown at the next pass."""
    gate = threading.Event()
    log: list[str] = []
    flow = colour.one(waiting(colour, log, gate, at_most_once=True))
    run = fk.start("r", flow)
    until(lambda: log)
    assert fk.worker is not None

    fk.worker.stop(grace=0.05)
    with (
        flowkit.open(tmp_path / "runs.db", workflows=[flow]) as other,
        pytest.raises(flowkit.RunFailed, match="StepInterrupted"),
    ):
        other.get("r").result(timeout=2)
    gate.set()

    assert log == ["start"]
    assert [(e.status, e.attempts) for e in run.history()] == [("failed", 1)]


@every_colour
def test_a_body_within_its_grace_is_recorded(fk: flowkit.Flowkit, colour: Colour) -> None:
    """ST24: an evict lets a body end; it does not run again."""
    gate = threading.Event()
    log: list[str] = []
    run = fk.start("r", colour.all_of(waiting(colour, log, gate), colour.step(lambda: 2, name="two")))
    until(lambda: log)

    run.evict()
    time.sleep(0.05)
    gate.set()

    assert run.result(timeout=2) == ["done", 2]
    assert log == ["start"]


@every_colour
def test_at_most_once_commits_the_intent_before_the_body(colour: Colour) -> None:
    """ST25: the entry is running while the body runs."""
    seen: list[Any] = []
    with Lab() as lab:

        def charge() -> str:
            seen.extend((e.location, e.status, e.attempts) for e in lab.history("r"))
            return "paid"

        lab.start("r", colour.one(colour.step(charge, at_most_once=True)))
        before = lab.commits

        lab.run_to_end("r")

        assert seen == [("charge", "running", 1)]
        assert lab.commits - before == 3


@every_colour
@pytest.mark.parametrize(("k", "when"), [(1, "after"), (2, "before")])
def test_an_at_most_once_step_with_an_unknown_outcome_is_interrupted(colour: Colour, k: int, when: Any) -> None:
    """ST25: StepInterrupted, recorded as a terminal failure of kind critical."""
    log: list[str] = []
    seen: list[Any] = []

    def charge() -> str:
        log.append("charge")
        return "paid"

    with Lab() as lab:
        lab.start("r", colour.caught(colour.step(charge, at_most_once=True), seen))
        lab.crash_at(k, when)
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        output = lab.run_to_end("r")

        assert (output, len(log)) == ("handled", k - 1)
        assert [(type(e), e.name, e.attempts) for e in seen] == [(StepInterrupted, "charge", 1)] * 2
        assert [(e.status, e.attempts) for e in lab.history("r")[:1]] == [("failed", 1)]


@every_colour
def test_an_at_most_once_step_that_never_began_just_runs(colour: Colour) -> None:
    """ST25: a crash before the intent."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(lambda: 1, name="one", at_most_once=True)))
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        assert lab.run_to_end("r") == 1


@every_colour
def test_an_interrupted_second_attempt_counts_two(colour: Colour) -> None:
    """ST25: the intent is committed before each body."""
    log: list[str] = []

    def charge() -> str:
        log.append("charge")
        raise OSError("down")

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge, at_most_once=True)))
        lab.run_once("r")
        lab.advance(1)
        lab.crash_at(2, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        with pytest.raises(StepInterrupted) as caught:
            lab.run_to_end("r")

        assert caught.value.attempts == 2
        assert log == ["charge"] * 2


@native_colours
def test_an_interrupted_step_is_critical_to_attempt(colour: Colour) -> None:
    """ST25: kind critical."""
    charge = colour.step(lambda: 1, name="charge", at_most_once=True)

    def plain() -> Any:
        failure = charge.attempt().failure
        return failure and (failure.kind, failure.name)

    async def awaiting() -> Any:
        failure = (await charge.attempt()).failure
        return failure and (failure.kind, failure.name)

    with Lab() as lab:
        lab.start("r", flowkit.workflow(name="flow")(awaiting if colour.flow_awaits else plain))
        lab.crash_at(2, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        assert lab.run_to_end("r") == ("critical", "charge")


@native_colours
def test_a_timed_out_at_most_once_step_can_be_retried(colour: Colour) -> None:
    """ST25: its outcome is known: it timed out."""
    log: list[str] = []
    nap = colour.napping([0.5, 0], log, at_most_once=True, timeout=0.1, retry_on_timeout=True)
    with Lab() as lab:
        lab.start("r", colour.one(nap))

        assert lab.run_to_end("r") == "rested"
        assert [(e.status, e.attempts) for e in lab.history("r")] == [("completed", 2)]


@every_colour
def test_a_lab_writes_no_started_records_after_crashes_either(colour: Colour) -> None:
    """LB2: started records are never written there, not after crashes either."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(lambda: 1, name="one")))
        for _ in range(3):
            lab.crash_at(1, "before")
            with pytest.raises(SimulatedCrash):
                lab.run_once("r")
        before = lab.commits

        lab.run_once("r")

        assert lab.commits - before == 2


@every_colour
def test_the_culprit_of_a_run_that_keeps_dying_is_named(tmp_path: Path, colour: Colour) -> None:
    """ST22: while its crashes are 2 or more, each start is committed before the body."""
    flow = colour.one(colour.step(lambda: 1, name="culprit"))
    seen: list[Any] = []
    with Lab(tmp_path / "runs.db") as lab:
        lab.start("r", flow)
        for _ in range(2):
            lab.crash_at(1, "before")
            with pytest.raises(SimulatedCrash):
                lab.run_once("r")

    with flowkit.open(tmp_path / "runs.db", worker=False) as reader:

        def culprit() -> int:
            seen.extend((e.location, e.status) for e in reader.get("r").history())
            return 1

        killer = colour.one(colour.step(culprit))
        with flowkit.open(tmp_path / "runs.db", workflows=[killer]) as fk:
            fk.get("r").result(timeout=3)

    assert seen == [("culprit", "running")]


@native_colours
def test_at_most_once_never_runs_twice_whatever_crashes(colour: Colour) -> None:
    """ST25: at every commit, on both sides; it ends completed, or failed as interrupted."""
    counts = {(k, when): at_most_once_through(colour, k, when) for k in range(1, 5) for when in ("before", "after")}

    assert counts == {key: 0 if key == (2, "after") else 1 for key in counts}


def at_most_once_through(colour: Colour, k: int, when: Any) -> int:
    """How often the body ran, with a crash at that write."""
    log: list[str] = []
    flow = colour.caught(colour.step(lambda: log.append("x"), name="x", at_most_once=True), [])
    with Lab() as lab:
        lab.crash_at(k, when)
        play(lab, Script("r", (lambda lab: lab.start("r", flow), lambda lab: lab.run_to_end("r"))))
        assert lab.get("r").output() == "handled"
    return len(log)
