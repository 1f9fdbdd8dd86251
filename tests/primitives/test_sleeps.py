"""Sleeping, waiting and parking: deadlines that hold, and runs that cost nothing while they wait.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import (
    Break,
    Continue,
    ReceiveTimeout,
    Workflow,
    aio,
    join,
    loop,
    race,
    receive,
    run_info,
    sleep,
    sleep_until,
    step,
    workflow,
)
from flowkit.drivers.base import RunRow
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, ran, scripted
from tests.runtime.waiting import until

# --- deadlines ------------------------------------------------------------------------------------------------------------


@workflow
def nap(duration: Any = "2h") -> str:
    note("before")
    sleep(duration)
    note("after")
    return "rested"


@aio.workflow
async def anap(duration: Any = "2h") -> str:
    await note.aio("before")
    await aio.sleep(duration)
    await note.aio("after")
    return "rested"


@both(nap, anap)
def test_a_sleep_survives_a_crash_without_starting_over(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL1 the stored deadline holds."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance("1h")
    lab.crash()

    lab.advance("1h")

    assert lab.run_once("r").output == "rested"


@both(nap, anap)
def test_the_deadline_is_stored_when_the_wait_begins(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL1 with the park, open."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert (made.status, made.wake_at, made.waiting_for) == ("sleeping", lab.now + 7200, [])
    entry = lab.history("r")[1]
    assert (entry.location, entry.kind, entry.status, entry.due_at) == ("sleep", "sleep", "pending", lab.now + 7200)


@workflow(name="nap")
def shorter_nap(duration: Any) -> str:
    note("before")
    sleep(1)
    return "rested"


@aio.workflow(name="anap")
async def ashorter_nap(duration: Any) -> str:
    await note.aio("before")
    await aio.sleep(1)
    return "rested"


@pytest.mark.parametrize(("flow", "changed"), [(nap, shorter_nap), (anap, ashorter_nap)], ids=["plain", "async"])
def test_the_stored_deadline_holds_whatever_duration_the_code_now_gives(
    lab: Lab, flow: Workflow[..., Any], changed: Workflow[..., Any]
) -> None:
    """SL1 here two hours, though the code now says a second."""
    lab.start("r", flow)
    stored = lab.run_once("r").wake_at
    lab.advance(60)

    made = lab.run_once("r", workflow=changed)

    assert (made.status, made.wake_at) == ("sleeping", stored)


@both(nap, anap)
def test_a_sleep_never_ends_early(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL2 not by a tenth of a second."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance(7199.9)

    early = lab.run_once("r")
    lab.advance(0.1)
    due = lab.run_once("r")

    assert (early.status, due.status) == ("sleeping", "completed")


@both(nap, anap)
def test_a_clock_that_jumps_back_only_makes_the_sleep_longer(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL2 the stored instant is what counts."""
    lab.start("r", flow)
    stored = lab.run_once("r").wake_at
    assert stored is not None
    lab.clock.set(lab.now - 86_400)

    back = lab.run_once("r")
    lab.clock.set(stored)
    due = lab.run_once("r")

    assert (back.status, back.wake_at, due.status) == ("sleeping", stored, "completed")


@both(nap, anap)
def test_a_clock_that_jumps_on_ends_the_sleep(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL2 a deadline that has passed settles at once."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance("400d")

    assert lab.run_once("r").status == "completed"


@both(nap, anap)
def test_a_finished_sleep_stays_finished_when_the_clock_jumps_back(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL2 I10 settled is settled."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance("3h")
    lab.crash_at(2, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    lab.clock.set(lab.now - 7200)

    made = lab.run_once("r")

    assert made.status == "completed"


@both(nap, anap)
@pytest.mark.parametrize("duration", [-1, -0.001, math.nan, math.inf, timedelta(seconds=-5)])
def test_a_duration_that_cannot_be_is_a_value_error(lab: Lab, flow: Workflow[..., Any], duration: Any) -> None:
    """SL3 and nothing is recorded for it."""
    lab.start("r", flow, duration)

    with pytest.raises(ValueError, match=r"duration|sleep|finite|negative"):
        lab.run_to_end("r")

    assert locations(lab) == ["note"]


@both(nap, anap)
def test_a_sleep_of_nothing_is_an_entry_and_passes(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL3 in one pass, without a commit of its own."""
    lab.start("r", flow, 0)
    before = lab.commits

    made = lab.run_once("r")

    assert (made.output, lab.commits - before) == ("rested", 3)
    assert [(e.location, e.status) for e in lab.history("r")][1] == ("sleep", "completed")


@both(nap, anap)
@pytest.mark.parametrize("duration", ["2h", 7200, 7200.0, timedelta(hours=2), "1h 60m"])
def test_a_duration_is_seconds_a_timedelta_or_text(lab: Lab, flow: Workflow[..., Any], duration: Any) -> None:
    """SL1 all ways to say two hours."""
    lab.start("r", flow, duration)

    assert lab.run_once("r").wake_at == lab.now + 7200


@workflow
def alarm(instant: Any) -> str:
    sleep_until(instant, name="alarm")
    return "up"


@aio.workflow
async def aalarm(instant: Any) -> str:
    await aio.sleep_until(instant, name="alarm")
    return "up"


@both(alarm, aalarm)
@pytest.mark.parametrize("as_datetime", [False, True])
def test_sleep_until_waits_for_the_instant(lab: Lab, flow: Workflow[..., Any], as_datetime: bool) -> None:
    """SL1 an aware datetime or epoch seconds."""
    instant = lab.now + 600
    lab.start("r", flow, {True: datetime.fromtimestamp(instant, UTC), False: instant}[as_datetime])

    made = lab.run_once("r")

    assert made.wake_at == instant
    assert lab.run_to_end("r") == "up"
    assert locations(lab) == ["alarm"]


@both(alarm, aalarm)
def test_sleep_until_an_instant_that_has_passed_passes(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL2 SL3 as an entry."""
    lab.start("r", flow, lab.now - 1)

    made = lab.run_once("r")

    assert made.output == "up"
    assert [(e.location, e.kind, e.status) for e in lab.history("r")] == [("alarm", "sleep", "completed")]


@both(alarm, aalarm)
@pytest.mark.parametrize("instant", [datetime(2030, 1, 1), math.nan, math.inf])  # noqa: DTZ001 - what is refused here
def test_sleep_until_refuses_what_is_no_instant(lab: Lab, flow: Workflow[..., Any], instant: Any) -> None:
    """SL3 a naive datetime says that it lacks a time zone."""
    lab.start("r", flow, instant)

    with pytest.raises(ValueError, match=r"instant .*(time zone|nan|inf)"):
        lab.run_to_end("r")


@both(nap, anap)
def test_a_sleep_of_sixty_days_is_one_commit(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL9 the commit of the park."""
    lab.start("r", flow, "60d")
    before = lab.commits

    made = lab.run_once("r")

    assert (made.wake_at, lab.commits - before) == (lab.now + 60 * 86_400, 1 + 1)
    assert lab.run_to_end("r") == "rested"


@both(nap, anap)
def test_a_sleep_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """SL1 SL6 at each side of each commit."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow)))

    told = crash_everywhere(script, check=at_most(2))

    assert told.output == "rested"


# --- several waits --------------------------------------------------------------------------------------------------------


@step(backoff=15, retries=3)
def unsteady() -> str:
    ran.append("try")
    if len(ran) < 3:
        raise OSError("not yet")
    return "steady"


@workflow
def waits() -> dict[str, Any]:
    def napping() -> float:
        sleep(40)
        return run_info().started_at

    def asking() -> str:
        try:
            return str(receive("reply", timeout=20).data)
        except ReceiveTimeout:
            return "silence"

    return join(nap=napping, ask=asking, do=lambda: unsteady())


@aio.workflow
async def awaits() -> dict[str, Any]:
    async def napping() -> float:
        await aio.sleep(40)
        return run_info().started_at

    async def asking() -> str:
        try:
            return str((await aio.receive("reply", timeout=20)).data)
        except ReceiveTimeout:
            return "silence"

    return await aio.join(nap=napping, ask=asking, do=lambda: unsteady.aio())


@both(waits, awaits)
def test_the_wake_time_is_the_earliest_of_sleeps_retries_and_timeouts(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL7 first the timeout, then the retry and the sleep."""
    lab.start("r", flow)
    began = lab.now
    wakes = []
    made = lab.run_once("r")
    wakes.append(made.wake_at)
    lab.clock.set(began + 20)
    wakes.append(lab.run_once("r").wake_at)
    lab.clock.set(began + 30)
    wakes.append(lab.run_once("r").wake_at)

    output = lab.run_to_end("r")

    assert (made.waiting_for, wakes) == (["reply"], [began + 20, began + 30, began + 40])
    assert output == {"nap": began, "ask": "silence", "do": "steady"}


@both(nap, anap)
def test_wake_makes_a_sleeping_run_due_and_its_sleep_goes_on(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL8 the stored instant stays."""
    lab.start("r", flow)
    stored = lab.run_once("r").wake_at
    lab.advance("1h")

    lab.get("r").wake()
    due = row_of(lab.client).wake_at
    made = lab.run_once("r")

    assert due == lab.now
    assert (made.status, made.wake_at) == ("sleeping", stored)


@workflow
def retrying() -> str:
    return unsteady()


@aio.workflow
async def aretrying() -> str:
    return await unsteady.aio()


@both(retrying, aretrying)
def test_wake_does_not_bring_a_retry_forward(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL8 no attempt before its stored instant."""
    lab.start("r", flow)
    stored = lab.run_once("r").wake_at
    lab.advance(1)

    lab.get("r").wake()
    made = lab.run_once("r")

    assert (made.status, made.wake_at, ran) == ("sleeping", stored, ["try"])


@both(nap, anap)
def test_wake_of_a_sleep_that_is_due_ends_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SL8 SL2 as any pass would."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance("2h")

    lab.get("r").wake()

    assert lab.run_once("r").status == "completed"


@workflow
def ticking() -> list[int]:
    def tick(n: int) -> Continue[int] | Break[int]:
        sleep(1)
        return Continue(n + 1) if n < 3 else Break(n)

    return list(join(fast=lambda: loop(tick, 0), slow=lambda: sleep(10) or 10).values())  # type: ignore[func-returns-value]  # None


@aio.workflow
async def aticking() -> list[int]:
    async def tick(n: int) -> Continue[int] | Break[int]:
        await aio.sleep(1)
        return Continue(n + 1) if n < 3 else Break(n)

    async def slow() -> int:
        await aio.sleep(10)
        return 10

    return list((await aio.join(fast=lambda: aio.loop(tick, 0), slow=slow)).values())


@both(ticking, aticking)
def test_sleeps_in_branches_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """SL7 SL1 with a loop of sleeps beside one long one."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow)))

    told = crash_everywhere(script)

    assert told.output == [3, 10]


# --- memory, with a real worker -------------------------------------------------------------------------------------------


@pytest.fixture
def fk(tmp_path: Path) -> Iterator[flowkit.Flowkit]:
    with flowkit.open(tmp_path / "x.db") as opened:
        yield opened


def row_of(fk: flowkit.Flowkit) -> RunRow:
    row = fk.driver.get("r")
    assert row is not None
    return row


def held(fk: flowkit.Flowkit) -> int:
    assert fk.worker is not None
    return fk.worker.held()


@workflow
def lingering() -> list[int]:
    first = run_info().pass_number
    sleep(0.3)
    return [first, run_info().pass_number]


@aio.workflow
async def alingering() -> list[int]:
    first = run_info().pass_number
    await aio.sleep(0.3)
    return [first, run_info().pass_number]


@both(lingering, alingering)
def test_a_short_wait_stays_in_memory_and_shows_as_running(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL4 SL6 one pass, with the deadline stored."""
    began = time.time()
    run = fk.start("r", flow)
    until(lambda: [e for e in run.history() if e.status == "pending"])

    status, in_memory = run.status(), held(fk)

    assert (status, in_memory) == ("running", 1)
    assert run.result(timeout=5) == [1, 1]
    assert time.time() - began >= 0.3


@both(nap, anap)
def test_a_long_wait_is_given_up_with_its_lease_and_memory(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL4 parked: no owner, a wake time."""
    run = fk.start("r", flow, "2h")

    until(lambda: run.status() == "sleeping")
    until(lambda: held(fk) == 0)

    row = row_of(fk)
    assert row.owner is None
    assert row.wake_at == pytest.approx(time.time() + 7200, abs=5)


@both(nap, anap)
def test_a_wait_just_longer_than_the_linger_parks_and_goes_on(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL4 another pass ends it, on time."""
    began = time.time()
    run = fk.start("r", flow, 1.1)
    until(lambda: run.status() == "sleeping")

    assert run.result(timeout=20) == "rested"
    assert 1.1 <= time.time() - began < 10


@workflow
def listening() -> Any:
    return receive("m").data


@aio.workflow
async def alistening() -> Any:
    return (await aio.receive("m")).data


@both(listening, alistening)
def test_a_message_wait_without_a_timeout_parks_at_once(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL4 and a message brings it back."""
    run = fk.start("r", flow)
    until(lambda: run.status() == "sleeping")
    waiting = row_of(fk).waiting

    run.send("m", 5)

    assert waiting == ("m",)
    assert run.result(timeout=5) == 5


@workflow
def answered_while_lingering() -> list[Any]:
    return [receive("m", timeout=0.9).data, run_info().pass_number]


@aio.workflow
async def aanswered_while_lingering() -> list[Any]:
    return [(await aio.receive("m", timeout=0.9)).data, run_info().pass_number]


@both(answered_while_lingering, aanswered_while_lingering)
def test_a_message_ends_a_lingering_wait_at_once(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL4 MS4 within the pass that waits, not when its time is up."""
    run = fk.start("r", flow)
    until(lambda: [e for e in run.history() if e.status == "pending"])
    began = time.monotonic()

    run.send("m", 5)

    assert run.result(timeout=5) == [5, 1]
    assert time.monotonic() - began < 0.5


GATE = threading.Event()


@step(timeout=None)
def held_open() -> str:
    GATE.wait(5)
    return "late"


@workflow
def body_against_sleep() -> Any:
    def napping() -> str:
        sleep(0.2)
        return "in time"

    return race(body=lambda: held_open(), nap=napping).value


@aio.workflow
async def abody_against_sleep() -> Any:
    async def napping() -> str:
        await aio.sleep(0.2)
        return "in time"

    return (await aio.race(body=lambda: held_open.aio(), nap=napping)).value


@both(body_against_sleep, abody_against_sleep)
def test_a_wait_that_comes_due_goes_on_while_a_sibling_performs(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL5 a race against a sleep can time out."""
    GATE.clear()

    try:
        assert fk.start("r", flow).result(timeout=3) == "in time"
    finally:
        GATE.set()


@workflow
def long_nap_beside_a_body() -> list[Any]:
    def napping() -> int:
        sleep(1.2)
        ran.append("woke")
        return run_info().pass_number

    return list(join(body=lambda: held_open(), nap=napping).values())


@aio.workflow
async def along_nap_beside_a_body() -> list[Any]:
    async def napping() -> int:
        await aio.sleep(1.2)
        ran.append("woke")
        return run_info().pass_number

    return list((await aio.join(body=lambda: held_open.aio(), nap=napping)).values())


@both(long_nap_beside_a_body, along_nap_beside_a_body)
def test_a_run_is_held_in_memory_as_long_as_a_branch_performs(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL5 even if the other waits longer than the linger: it goes on at once, in the same pass."""
    GATE.clear()
    run = fk.start("r", flow)
    until(lambda: ran == ["woke"])

    status = run.status()
    GATE.set()

    assert status == "running"
    assert run.result(timeout=5) == ["late", 1]


@both(lingering, alingering)
def test_an_evicted_run_finds_its_stored_deadline_again(fk: flowkit.Flowkit, flow: Workflow[..., Any]) -> None:
    """SL6 it does not sleep anew."""
    run = fk.start("r", flow)
    [entry] = until(lambda: [e for e in run.history() if e.status == "pending"])

    run.evict()

    assert run.result(timeout=5)[1] >= 1
    assert run.history()[0].due_at == entry.due_at


def test_a_wake_of_a_lingering_run_does_not_end_its_sleep(fk: flowkit.Flowkit) -> None:
    """SL8 it looks, and goes back to waiting."""
    began = time.time()
    run = fk.start("r", lingering)
    until(lambda: [e for e in run.history() if e.status == "pending"])

    run.wake()

    assert run.result(timeout=5) == [1, 1]
    assert time.time() - began >= 0.3


def test_a_thousand_parked_runs_hold_no_thread(fk: flowkit.Flowkit) -> None:
    """SL9 SL4 no timer, no thread, no place in the worker."""
    runs = fk.start_many([(f"r{n}", listening, ()) for n in range(150)])
    until(lambda: all(run.status() == "sleeping" for run in runs), seconds=8)

    assert until(lambda: held(fk) == 0)
