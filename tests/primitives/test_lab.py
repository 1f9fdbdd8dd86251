"""The Lab itself: passes made by hand, a clock that stands still, commits that can be counted, crashes on demand."""

from __future__ import annotations

from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import (
    CriticalError,
    HistoryDiverged,
    RunCancelled,
    RunConflict,
    RunFailed,
    join,
    race,
    receive,
    sleep,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash, Stuck
from tests.primitives.colours import Colour, every_colour, native_colours


def branched(colour: Colour, log: list[str]) -> Any:
    """A join of a body, a sleep and a receive."""
    body = colour.step(lambda: log.append("body"), name="body")

    def plain() -> Any:
        def slow() -> str:
            sleep(60)
            body()
            return "slept"

        return join(slow=slow, fast=body, mail=lambda: receive("go").data)

    async def awaiting() -> Any:
        async def slow() -> str:
            await aio.sleep(60)
            await body()
            return "slept"

        async def mail() -> Any:
            return (await aio.receive("go")).data

        return await aio.join(slow=slow, fast=body, mail=mail)

    return workflow(name="flow")(awaiting if colour.flow_awaits else plain)


@every_colour
def test_every_wait_ends_its_branch_and_the_pass_ends_when_all_wait(colour: Colour) -> None:
    """LB1: nothing lingers, not even for the shortest retry."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", branched(colour, log))

        made = lab.run_once("r")

        assert (made.status, made.wake_at, made.waiting_for, log) == ("sleeping", lab.now + 60, ["go"], ["body"])
        lab.advance(60)
        again = lab.run_once("r")
        assert (again.status, again.wake_at, again.waiting_for, log) == ("sleeping", None, ["go"], ["body", "body"])
        lab.send("r", "go", 7)
        assert lab.run_once("r").output == {"slow": "slept", "fast": None, "mail": 7}


@native_colours
def test_a_retry_ends_the_pass_however_near_it_is(colour: Colour) -> None:
    """LB1: every retry ends its branch's pass."""
    log: list[str] = []

    def charge() -> str:
        log.append("charge")
        if len(log) < 2:
            raise OSError
        return "paid"

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge, backoff=0.001)))

        assert lab.run_once("r").status == "sleeping"
        assert log == ["charge"]
        assert lab.run_to_end("r") == "paid"


@every_colour
def test_a_lab_writes_no_started_records(colour: Colour) -> None:
    """LB2: however long the body takes on a real clock."""
    with Lab() as lab:
        lab.start("r", colour.one(colour.napping([0.4], [])))
        before = lab.commits

        assert lab.run_to_end("r") == "rested"
        assert lab.commits - before == 2


@every_colour
def test_commits_count_starts_sends_and_commits_of_runs(colour: Colour) -> None:
    """LB3: not claims and lease writes."""
    counts = []
    with Lab() as lab:
        counts.append(lab.commits)
        lab.start("r", branched(colour, []))
        counts.append(lab.commits)
        lab.send("r", "go", 1)
        counts.append(lab.commits)
        lab.get("r").status()
        lab.history("r")
        counts.append(lab.commits)

    assert counts == [0, 1, 2, 2]


@native_colours
def test_a_pass_that_finds_nothing_due_commits_its_park_only(colour: Colour) -> None:
    """LB4: run_once before the wake time performs nothing that is not due."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", branched(colour, log))
        first = lab.run_once("r")
        entries = lab.history("r")
        before = lab.commits

        early = lab.run_once("r")

        assert early == first
        assert (lab.history("r"), lab.commits - before) == (entries, 1)


@native_colours
def test_run_once_on_a_terminal_run_reports_what_was_recorded(colour: Colour) -> None:
    """LB4: executes nothing."""
    log: list[str] = []
    with Lab() as lab:
        lab.start("r", colour.one(colour.step(lambda: log.append("x") or 5, name="x")))
        first = lab.run_once("r")
        before = lab.commits

        again = lab.run_once("r")

        assert (again, first.status, first.output, log, lab.commits) == (first, "completed", 5, ["x"], before)


@native_colours
def test_run_once_on_a_failed_run_reports_the_recorded_exception(colour: Colour) -> None:
    """LB4: the exception itself."""

    def charge() -> None:
        raise CriticalError("declined")

    with Lab() as lab:
        lab.start("r", colour.one(colour.step(charge)))

        first, again = lab.run_once("r"), lab.run_once("r")

        assert [(type(p.error), str(p.error), p.status) for p in (first, again)] == [(CriticalError, "declined", "failed")] * 2
        with pytest.raises(CriticalError, match="declined"):
            lab.run_to_end("r")
        with pytest.raises(RunFailed, match="CriticalError: declined"):
            lab.get("r").result()


@native_colours
def test_a_paused_run_is_reported_and_stuck(colour: Colour) -> None:
    """LB4: run_once executes nothing, run_to_end raises Stuck."""
    log: list[str] = []
    with Lab() as lab:
        run = lab.start("r", branched(colour, log))
        run.pause()

        assert lab.run_once("r").status == "paused"
        with pytest.raises(Stuck, match="paused"):
            lab.run_to_end("r")
        assert log == []
        run.resume()
        assert lab.run_once("r").status == "sleeping"


@native_colours
def test_a_cancelled_run_is_reported_and_raises(colour: Colour) -> None:
    """LB4: RunCancelled."""
    with Lab() as lab:
        run = lab.start("r", branched(colour, []))
        lab.run_once("r")
        run.cancel()

        assert lab.run_once("r").status == "cancelled"
        with pytest.raises(RunCancelled):
            lab.run_to_end("r")


@native_colours
def test_a_quarantined_run_executes_nothing(colour: Colour) -> None:
    """LB4: and run_to_end raises RunConflict."""
    log: list[str] = []
    flow = colour.one(colour.step(lambda: log.append("x"), name="x"), max_crashes=2)
    with Lab() as lab:
        lab.start("r", flow)
        for _ in range(2):
            lab.crash_at(1, "before")
            with pytest.raises(SimulatedCrash):
                lab.run_once("r")
        log.clear()

        first, again = lab.run_once("r"), lab.run_once("r")

        assert (first.status, again.status, log) == ("blocked", "blocked", [])
        with pytest.raises(RunConflict, match="quarantined"):
            lab.run_to_end("r")
        lab.get("r").resume()
        assert lab.run_to_end("r") is None


@native_colours
def test_a_run_that_diverged_is_tried_again_each_time(colour: Colour) -> None:
    """LB4: without resume(), and run_to_end raises what it is blocked with."""
    one, two = (colour.step(lambda: 1, name=name) for name in ("one", "two"))
    seen: list[Any] = []
    with Lab() as lab:
        lab.start("r", colour.kept(one, seen))
        lab.run_once("r")

        first = lab.run_once("r", workflow=colour.kept(two, []))
        again = lab.run_once("r")

        assert [p.status for p in (first, again)] == ["blocked"] * 2
        assert [type(p.error) for p in (first, again)] == [HistoryDiverged] * 2
        with pytest.raises(HistoryDiverged):
            lab.run_to_end("r")
        assert lab.run_to_end("r", workflow=colour.kept(one, seen)) == 1


def test_run_to_end_says_that_only_a_message_helps() -> None:
    """LB4, LB5: Stuck, with the names."""

    @workflow
    def flow() -> Any:
        return race(a=lambda: receive("yes").data, b=lambda: receive("no").data).name

    with Lab() as lab:
        lab.start("r", flow)

        with pytest.raises(Stuck, match="no, yes"):
            lab.run_to_end("r")
        lab.send("r", "yes")
        assert lab.run_to_end("r") == "a"


@native_colours
def test_waiting_for_is_a_list_of_names(colour: Colour) -> None:
    """LB5: ["*"] for any, [] for none."""

    def plain() -> None:
        receive("b", "a")
        receive()
        sleep(5)

    async def awaiting() -> None:
        await aio.receive("b", "a")
        await aio.receive()
        await aio.sleep(5)

    with Lab() as lab:
        lab.start("r", workflow(name="flow")(awaiting if colour.flow_awaits else plain))
        seen = [lab.run_once("r").waiting_for]
        lab.send("r", "a")
        seen.append(lab.run_once("r").waiting_for)
        lab.send("r", "any")
        seen.append(lab.run_once("r").waiting_for)
        lab.advance(5)
        seen.append(lab.run_once("r").waiting_for)

    assert [sorted(each) for each in seen] == [["a", "b"], ["*"], [], []]
    assert [type(each) for each in seen] == [list] * 4


@native_colours
def test_a_simulated_crash_counts_and_crash_between_passes_does_not(colour: Colour) -> None:
    """LB6: max_crashes=2 is not reached by any number of quiet ones."""
    flow = colour.one(colour.step(lambda: 5, name="x"), max_crashes=2)
    with Lab() as lab:
        lab.start("r", flow)
        for _ in range(5):
            lab.crash()
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")
        lab.crash()

        assert lab.run_to_end("r") == 5


@native_colours
def test_a_crash_in_one_run_is_none_of_another(colour: Colour) -> None:
    """LB6: it counts for the run in hand."""
    flow = colour.one(colour.step(lambda: 5, name="x"), max_crashes=1)
    with Lab() as lab:
        lab.start("r", flow)
        lab.start("s", flow)
        lab.crash_at(1, "before")
        with pytest.raises(SimulatedCrash):
            lab.run_once("r")

        assert lab.run_once("s").output == 5
        assert lab.run_once("r").status == "blocked"
