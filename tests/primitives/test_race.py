"""Races: the first branch that succeeds, what becomes of the others, and who wins when history alone must tell.

Longer than 400 lines because every workflow stands here twice, plain and async.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import flowkit
from flowkit import (
    Break,
    Continue,
    CriticalError,
    HistoryDiverged,
    RaceError,
    Winner,
    Workflow,
    aio,
    checkpoint,
    join,
    loop,
    race,
    receive,
    sleep,
    step,
    stopping,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, ran, scripted


@pytest.fixture(autouse=True)
def _nothing_waits_on() -> Iterator[None]:
    released.clear()
    yield
    released.set()


def statuses(lab: Lab) -> dict[str, str]:
    """The status of each entry by its location."""
    return {entry.location: entry.status for entry in lab.history("r")}


async def _value(value: Any) -> Any:
    return value


released = threading.Event()
"""Set when the test is over: bodies that nobody waits for end with it."""


@step(timeout=None)
def stubborn() -> str:
    """A plain body that does not look whether it should stop."""
    ran.append("stubborn begins")
    released.wait(8)
    ran.append("stubborn ends")
    return "late"


@step(timeout=None)
async def endless() -> None:
    ran.append("endless begins")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ran.append("endless is cancelled")
        raise


@step(timeout=None)
def polite() -> None:
    ran.append("polite begins")
    if stopping(wait=8):
        ran.append("polite stops")


@step(timeout=None)
def gentle() -> None:
    ran.append("gentle begins")
    if stopping(wait=8):
        ran.append("gentle stops")


def begun(*words: str) -> None:
    """Wait until these bodies are under way."""
    until = time.monotonic() + 5
    while not set(words) <= set(ran):
        assert time.monotonic() < until
        time.sleep(0.002)


@step
def quick(*after: str) -> str:
    begun(*after)
    return "quick"


@step(retries=0)
def refuse(word: str = "no") -> None:
    raise CriticalError(word)


@step(rollback=lambda value: ran.append(f"undo {value}"))
def owing(value: str) -> str:
    ran.append(value)
    return value


# --- winning ----------------------------------------------------------------------------------------------------------------


@workflow
def first_of_two() -> Any:
    won = race(slow=lambda: (note("s"), sleep(60)), fast=lambda: (sleep(5), note("f"))[1])
    note("after")
    return won


@workflow
async def afirst_of_two() -> Any:
    async def slow() -> None:
        await note.aio("s")
        await aio.sleep(60)

    async def fast() -> Any:
        await aio.sleep(5)
        return await note.aio("f")

    won = await aio.race(slow=slow, fast=fast)
    await note.aio("after")
    return won


@both(first_of_two, afirst_of_two)
def test_the_first_branch_to_return_wins(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC1 The first branch to return without error wins, and the others are forgotten."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "f")
    assert locations(lab) == ["race", "race/fast/sleep", "race/fast/note", "note"]


@both(first_of_two, afirst_of_two)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("k", range(1, 6))
def test_value_winner_and_forgetting_are_one_commit(flow: Workflow[..., Any], k: int, when: Any) -> None:
    """RC1 Its value, the winner and the forgetting of the losers are one commit: never one of them without the others."""
    with Lab() as lab:
        lab.start("r", flow)
        lab.crash_at(k, when)

        with contextlib.suppress(SimulatedCrash):
            lab.run_to_end("r")

        found = {entry.location: entry for entry in lab.history("r")}
        decided = "race" in found and found["race"].status == "completed"
        loser = any(location.startswith("race/slow/") for location in found)
        assert "race/fast/note" not in found or decided != loser
        assert not decided or found["race"].output == Winner("fast", "f")


@both(first_of_two, afirst_of_two)
def test_a_race_with_waits_survives_every_crash(flow: Workflow[..., Any]) -> None:
    """RC1 Wherever the process dies, the same branch wins and the same entries stay."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(4))

    assert told.output == Winner("fast", "f")


@workflow
def settled_race() -> Any:
    def enter(name: str) -> Any:
        ran.append(f"{name} entered")
        return sleep(60) if name == "b" else note(name)

    won = race(a=lambda: enter("a"), b=lambda: enter("b"))
    ran.clear()
    sleep(60)
    return won


@workflow
async def asettled_race() -> Any:
    async def enter(name: str) -> Any:
        ran.append(f"{name} entered")
        return await (aio.sleep(60) if name == "b" else note.aio(name))

    won = await aio.race(a=lambda: enter("a"), b=lambda: enter("b"))
    ran.clear()
    await aio.sleep(60)
    return won


@both(settled_race, asettled_race)
def test_a_settled_race_enters_no_branch(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC2 A settled race answers from history without entering a branch."""
    lab.start("r", flow)
    lab.run_once("r")

    output = lab.run_to_end("r")

    assert output == Winner("a", "a")
    assert ran == []


# --- losers are stopped -----------------------------------------------------------------------------------------------------


@workflow
def stubborn_loser() -> Any:
    won = race(lost=stubborn, fast=lambda: quick("stubborn begins"))
    sleep(60)
    return won


@workflow
async def astubborn_loser() -> Any:
    won = await aio.race(lost=stubborn.aio, fast=lambda: quick.aio("stubborn begins"))
    await aio.sleep(60)
    return won


@both(stubborn_loser, astubborn_loser)
def test_a_race_does_not_wait_for_a_plain_body_that_lost(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3 The race does not wait for a loser's plain body, the run parks while it is busy, and its result is dropped."""
    lab.start("r", flow)

    made = lab.run_once("r")
    released.set()
    begun("stubborn ends")

    assert made.status == "sleeping"
    assert lab.run_to_end("r") == Winner("fast", "quick")
    assert locations(lab) == ["race", "race/fast/quick", "sleep"]


@workflow
def busy_branch() -> Any:
    def busy() -> None:
        ran.append("busy")
        released.wait(8)
        note("too late")

    won = race(lost=busy, fast=lambda: quick("busy"))
    receive("go")
    return won


@workflow
async def abusy_branch() -> Any:
    async def busy() -> None:
        ran.append("busy")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.to_thread(released.wait, 8)
        await note.aio("too late")

    won = await aio.race(lost=busy, fast=lambda: quick.aio("busy"))
    await aio.receive("go")
    return won


@both(busy_branch, abusy_branch)
def test_a_run_parks_while_a_losers_own_code_is_busy(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3 A loser's scope is closed: while its code is busy the run parks, and its next step does not run."""
    lab.start("r", flow)

    made = lab.run_once("r")
    released.set()

    assert (made.status, made.waiting_for) == ("sleeping", ["go"])
    lab.send("r", "go")
    assert lab.run_to_end("r") == Winner("fast", "quick")
    assert "too late" not in ran


@workflow
def cancelled_loser() -> Any:
    won = race(lost=lambda: endless.plain(), fast=lambda: quick("endless begins"))
    begun("endless is cancelled")
    return won


@workflow
async def acancelled_loser() -> Any:
    won = await aio.race(lost=endless, fast=lambda: quick.aio("endless begins"))
    await asyncio.to_thread(begun, "endless is cancelled")
    return won


@both(cancelled_loser, acancelled_loser)
def test_an_async_body_that_lost_is_really_cancelled(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3, ST13 An async loser really receives `CancelledError`."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "quick")


@workflow
def polite_loser() -> Any:
    won = race(lost=polite, fast=lambda: quick("polite begins"))
    begun("polite stops")
    return won


@workflow
async def apolite_loser() -> Any:
    won = await aio.race(lost=polite.aio, fast=lambda: quick.aio("polite begins"))
    await asyncio.to_thread(begun, "polite stops")
    return won


@both(polite_loser, apolite_loser)
def test_stopping_is_true_in_a_plain_body_that_lost(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3, ST14 In a plain loser `stopping()` is true, at once and not after its wait."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "quick")


@workflow
def polite_branch() -> Any:
    def lost() -> None:
        ran.append("branch begins")
        if stopping(wait=8):
            ran.append("branch stops")

    won = race(lost=lost, fast=lambda: quick("branch begins"))
    begun("branch stops")
    return won


def test_stopping_is_true_in_a_branchs_own_code(lab: Lab) -> None:
    """RC3 `stopping()` waits in a branch's own code too, and is true when another branch won."""
    lab.start("r", polite_branch)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "quick")


def test_a_branch_that_only_looks_whether_to_stop_does_not_hold_up_a_race_in_history(lab: Lab) -> None:
    """RC6 A branch that asks `stopping()` is past its history, so a race that history decides does not wait for it."""
    lab.start("r", polite_branch)
    lab.crash_at(2, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    began = time.monotonic()
    output = lab.run_to_end("r")

    assert output == Winner("fast", "quick")
    assert time.monotonic() - began < 1


@workflow
def waiting_losers() -> Any:
    won = race(
        nap=lambda: sleep(5), mail=lambda: receive("mail"), deep=lambda: join(a=lambda: receive("x", timeout=7)), fast=note
    )
    sleep(60)
    return won


@workflow
async def awaiting_losers() -> Any:
    won = await aio.race(
        nap=lambda: aio.sleep(5),
        mail=lambda: aio.receive("mail"),
        deep=lambda: aio.join(a=lambda: aio.receive("x", timeout=7)),
        fast=note.aio,
    )
    await aio.sleep(60)
    return won


@both(waiting_losers, awaiting_losers)
def test_what_losers_waited_for_does_not_wake_the_run(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3 What losers waited for is no part of what the run waits for."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert (made.wake_at, made.waiting_for) == (lab.now + 60, [])
    assert locations(lab) == ["race", "race/fast/note", "sleep"]


@workflow
def racing_for_ever() -> None:
    def turn() -> None:
        race(a=lambda: receive("never"), b=lambda: sleep(1))

    loop(turn, prune_every=3)


@workflow
async def aracing_for_ever() -> None:
    async def turn() -> None:
        await aio.race(a=lambda: aio.receive("never"), b=lambda: aio.sleep(1))

    await aio.loop(turn, prune_every=3)


@both(racing_for_ever, aracing_for_ever)
def test_many_races_leave_nothing_behind(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC3 After any number of races the run still parks, with what its newest race waits for."""
    lab.start("r", flow)
    for _ in range(10):
        made = lab.run_once("r")
        lab.advance(1)

    assert (made.status, made.waiting_for) == ("sleeping", ["never"])
    assert made.wake_at == lab.now


# --- what stays of losers ---------------------------------------------------------------------------------------------------


@workflow
def owing_loser() -> Any:
    checkpoint("start")
    won = race(
        paid=lambda: (owing("x"), note("n"), sleep(60)),
        plain=lambda: (note("p"), sleep(60)),
        fast=lambda: (sleep(5), "fast")[1],
    )
    sleep(60)
    return won


@workflow
async def aowing_loser() -> Any:
    async def paid() -> None:
        await owing.aio("x")
        await note.aio("n")
        await aio.sleep(60)

    async def plain() -> None:
        await note.aio("p")
        await aio.sleep(60)

    async def fast() -> str:
        await aio.sleep(5)
        return "fast"

    await aio.checkpoint("start")
    won = await aio.race(paid=paid, plain=plain, fast=fast)
    await aio.sleep(60)
    return won


@both(owing_loser, aowing_loser)
def test_a_losing_branch_that_owes_stays_whole(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC4 A losing branch that holds a step that owes stays whole, its open entries `cancelled`; the others are deleted."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "fast")
    assert statuses(lab) == {
        "start": "completed",
        "race": "completed",
        "race/paid/owing": "completed",
        "race/paid/note": "completed",
        "race/paid/sleep": "cancelled",
        "race/fast/sleep": "completed",
        "sleep": "completed",
    }
    assert ran.count("undo x") == 0


@both(owing_loser, aowing_loser)
def test_losers_that_stay_survive_every_crash(flow: Workflow[..., Any]) -> None:
    """RC4 Wherever the process dies, the same losers stay."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(5))

    assert told.output == Winner("fast", "fast")


@workflow
def held_by_a_loser(owes: bool) -> Any:
    checkpoint("start")

    def holds() -> None:
        if owes:
            owing("x")
        receive("offer", completable=True)
        sleep(60)

    race(holds=holds, nap=lambda: sleep(5))
    taken = receive("offer", completable=True)
    taken.complete("thanks")
    return taken.data


@workflow
async def aheld_by_a_loser(owes: bool) -> Any:
    await aio.checkpoint("start")

    async def holds() -> None:
        if owes:
            await owing.aio("x")
        await aio.receive("offer", completable=True)
        await aio.sleep(60)

    await aio.race(holds=holds, nap=lambda: aio.sleep(5))
    taken = await aio.receive("offer", completable=True)
    await taken.complete("thanks")
    return taken.data


def goes_on(lab: Lab) -> None:
    """The process lives."""


def dies(lab: Lab) -> None:
    """The process dies when the message is to be taken again."""
    lab.crash_at(2, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")


@both(held_by_a_loser, aheld_by_a_loser)
@pytest.mark.parametrize("owes", [True, False], ids=["kept", "forgotten"])
@pytest.mark.parametrize("first", [goes_on, dies])
def test_a_message_that_a_loser_held_open_goes_back(lab: Lab, flow: Workflow[..., Any], owes: bool, first: Any) -> None:
    """RC4, MS21 A completable message that a loser held open goes back to the inbox, whether the loser stays or not."""
    lab.start("r", flow, owes)
    lab.send("r", "offer", 42)
    lab.run_once("r")
    lab.advance(5)
    first(lab)

    made = lab.run_once("r")

    assert (made.status, made.output) == ("completed", 42)


@workflow
def consumed_by_a_loser() -> Any:
    race(takes=lambda: (receive("offer"), sleep(60)), nap=lambda: sleep(5))
    return receive("offer", timeout=5).data


@workflow
async def aconsumed_by_a_loser() -> Any:
    async def takes() -> None:
        await aio.receive("offer")
        await aio.sleep(60)

    await aio.race(takes=takes, nap=lambda: aio.sleep(5))
    return (await aio.receive("offer", timeout=5)).data


@both(consumed_by_a_loser, aconsumed_by_a_loser)
def test_a_message_that_a_loser_consumed_stays_consumed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC4, MS21 A message that a race loser consumed stays consumed."""
    lab.start("r", flow)
    lab.send("r", "offer", 1)
    lab.send("r", "offer", 2)

    output = lab.run_to_end("r")

    assert output == 2


# --- failing branches -------------------------------------------------------------------------------------------------------


@step(backoff=4)
def flaky() -> str:
    ran.append("flaky")
    if ran.count("flaky") < 2:
        raise OSError("down")
    return "up"


@workflow
def failing_branch() -> Any:
    return race(bad=refuse, retries=flaky, nap=lambda: sleep(3600))


@workflow
async def afailing_branch() -> Any:
    return await aio.race(bad=refuse.aio, retries=flaky.aio, nap=lambda: aio.sleep(3600))


@both(failing_branch, afailing_branch)
def test_a_failing_branch_does_not_win_and_one_in_retry_does_not_lose(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC5 A failing branch does not win, nor does one in retry lose."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("retries", "up")


@workflow
def all_fail() -> Any:
    try:
        race(a=lambda: (sleep(5), refuse("a"))[1], b=lambda: refuse("b"), c=lambda: threading.Lock())
    except RaceError as error:
        told = [error.name, {name: (type(each).__name__, str(each)[:12]) for name, each in error.errors.items()}]
        sleep(5)
        return told
    return None


@workflow
async def aall_fail() -> Any:
    async def a() -> None:
        await aio.sleep(5)
        await refuse.aio("a")

    try:
        await aio.race(a=a, b=lambda: refuse.aio("b"), c=partial(_value, threading.Lock()))
    except RaceError as error:
        told = [error.name, {name: (type(each).__name__, str(each)[:12]) for name, each in error.errors.items()}]
        await aio.sleep(5)
        return told
    return None


@both(all_fail, aall_fail)
def test_a_race_that_all_lose_has_every_exception(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC5 When all failed, `RaceError.errors` has every branch's exception, a value that cannot be stored among them."""
    lab.start("r", flow)

    name, errors = lab.run_to_end("r")

    assert name == "race"
    assert list(errors) == ["a", "b", "c"]
    assert (errors["a"], errors["b"]) == (("CriticalError", "a"), ("CriticalError", "b"))
    assert errors["c"][0] == "PayloadError"


# --- several winners --------------------------------------------------------------------------------------------------------

lab_of_now: list[Lab] = []


@step
def late_pay() -> str:
    begun("second is recorded")
    return "first"


@step
def early_pay() -> str:
    lab_of_now[0].get("r").pause()
    return "second"


@workflow
def two_winners() -> Any:
    def second() -> str:
        value = early_pay()
        ran.append("second is recorded")
        return value

    return race(first=late_pay, slow=lambda: (note("s"), receive("never")), second=second)


@workflow
async def atwo_winners() -> Any:
    async def second() -> str:
        value = await early_pay.aio()
        ran.append("second is recorded")
        return value

    async def slow() -> None:
        await note.aio("s")
        await aio.receive("never")

    return await aio.race(first=late_pay.aio, slow=slow, second=second)


@both(two_winners, atwo_winners)
@pytest.mark.parametrize("attempt", range(4))
def test_of_several_winners_in_history_the_one_that_settled_first_wins(lab: Lab, flow: Workflow[..., Any], attempt: int) -> None:
    """RC6 When one pass finds several winners in history alone, the one that settled first wins."""
    lab_of_now[:] = [lab]
    lab.start("r", flow)
    lab.run_once("r")
    found = statuses(lab)
    assert (found["race"], found["race/first/late_pay"], found["race/second/early_pay"]) == ("running", "completed", "completed")

    lab.get("r").resume()
    made = lab.run_once("r")

    assert made.output == Winner("second", "second")


@workflow
def no_history() -> Any:
    return [race(z=lambda: 1, a=lambda: 2, m=lambda: 3).name for _ in range(20)]


@workflow
async def ano_history() -> Any:
    return [(await aio.race(z=partial(_value, 1), a=partial(_value, 2), m=partial(_value, 3))).name for _ in range(20)]


@both(no_history, ano_history)
def test_of_winners_that_did_nothing_the_first_of_the_call_wins(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC6 Else the first in the call's order wins, whatever the speed of threads."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert made.output == ["z"] * 20


# --- divergence -------------------------------------------------------------------------------------------------------------


@workflow(name="split")
def before() -> Any:
    return race(a=lambda: (note("a"), sleep(60)), b=lambda: (note("b"), sleep(60)))


@workflow(name="split")
def after() -> Any:
    other = step(lambda: ran.append("other"), name="other")
    return race(a=lambda: note("a"), b=lambda: (other(), sleep(60)))


@workflow(name="split")
async def abefore() -> Any:
    async def branch(name: str) -> None:
        await note.aio(name)
        await aio.sleep(60)

    return await aio.race(a=lambda: branch("a"), b=lambda: branch("b"))


@workflow(name="split")
async def aafter() -> Any:
    other = step(lambda: ran.append("other"), name="other").aio

    async def branch() -> None:
        await other()
        await aio.sleep(60)

    return await aio.race(a=lambda: note.aio("a"), b=branch)


@pytest.mark.parametrize(("old", "new"), [(before, after), (abefore, aafter)], ids=["plain", "async"])
def test_divergence_stops_the_race_before_there_is_a_winner(lab: Lab, old: Workflow[..., Any], new: Workflow[..., Any]) -> None:
    """RC7 Divergence in any branch stops the race before a winner is declared."""
    lab.start("r", old)
    lab.run_once("r")

    made = lab.run_once("r", workflow=new)

    assert made.status == "blocked"
    assert isinstance(made.error, HistoryDiverged)
    assert statuses(lab)["race"] == "running"
    assert "other" not in ran


fickle = threading.Event()


@workflow
def fickle_branch() -> Any:
    def b() -> None:
        if not fickle.is_set():
            note("b")
        sleep(60)

    return race(a=lambda: (note("a"), sleep(5))[0], b=b)


@workflow
async def afickle_branch() -> Any:
    async def a() -> Any:
        made = await note.aio("a")
        await aio.sleep(5)
        return made

    async def b() -> None:
        if not fickle.is_set():
            await note.aio("b")
        await aio.sleep(60)

    return await aio.race(a=a, b=b)


@both(fickle_branch, afickle_branch)
def test_divergence_under_the_same_code_stops_the_race_too(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC7 Code that is not deterministic diverges in one branch, and the other does not win by being in order."""
    fickle.clear()
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance(5)
    fickle.set()

    made = lab.run_once("r")

    assert made.status == "blocked"
    assert statuses(lab)["race"] == "running"


# --- who reaches the bodies inside ------------------------------------------------------------------------------------------


@workflow
def bodies_inside() -> Any:
    return race(a=lambda: join(x=lambda: endless.plain(), y=polite), b=lambda: race(z=polite))


@workflow
async def abodies_inside() -> Any:
    return await aio.race(a=lambda: aio.join(x=endless, y=polite.aio), b=lambda: aio.race(z=polite.aio))


@both(bodies_inside, abodies_inside)
def test_a_cancel_reaches_the_bodies_inside(flow: Workflow[..., Any]) -> None:
    """RC8 A cancel reaches the bodies inside races and joins."""
    with flowkit.open(":memory:") as fk:
        run = fk.start("r", flow)
        begun("endless begins", "polite begins")

        run.cancel()

        begun("endless is cancelled", "polite stops")
        assert run.status() == "cancelled"


@workflow
def evicted_inside() -> Any:
    return join(a=lambda: race(z=polite), b=lambda: (gentle(), note("never"))[1])


@workflow
async def aevicted_inside() -> Any:
    async def b() -> Any:
        await gentle.aio()
        return await note.aio("never")

    return await aio.join(a=lambda: aio.race(z=polite.aio), b=b)


@both(evicted_inside, aevicted_inside)
def test_an_evict_reaches_the_bodies_inside(flow: Workflow[..., Any]) -> None:
    """RC8 An evict makes `stopping()` true in the bodies inside races and joins, and nothing new begins in a branch."""
    with flowkit.open(":memory:") as fk:
        run = fk.start("r", flow)
        begun("polite begins", "gentle begins")

        run.evict()

        begun("polite stops", "gentle stops")
        run.cancel()


@workflow
def lost_outside() -> Any:
    won = race(
        lost=lambda: race(x=lambda: endless.plain(), y=lambda: join(z=polite)),
        fast=lambda: quick("endless begins", "polite begins"),
    )
    begun("endless is cancelled", "polite stops")
    return won


@workflow
async def alost_outside() -> Any:
    won = await aio.race(
        lost=lambda: aio.race(x=endless, y=lambda: aio.join(z=polite.aio)),
        fast=lambda: quick.aio("endless begins", "polite begins"),
    )
    await asyncio.to_thread(begun, "endless is cancelled", "polite stops")
    return won


@both(lost_outside, alost_outside)
def test_a_lost_outer_race_reaches_the_bodies_inside(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RC8 A lost outer race reaches the bodies inside the inner ones."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == Winner("fast", "quick")
    assert locations(lab) == ["race", "race/fast/quick"]


# --- nests ------------------------------------------------------------------------------------------------------------------


@workflow
def nest() -> Any:
    def turn(n: int) -> Continue[int] | Break[Any]:
        won = race(deep=lambda: join(a=lambda: sleep(5), b=lambda: note(n)), nap=lambda: sleep(60))
        return Continue(n + 1) if n < 1 else Break(won.value)

    return race(
        a=lambda: join(loop=lambda: loop(turn, 0), sides=lambda: race(x=lambda: (sleep(7), note("x"))[1], y=lambda: refuse())),
        b=lambda: race(c=lambda: join(d=lambda: receive("never"))),
    )


@workflow
async def anest() -> Any:
    async def turn(n: int) -> Continue[int] | Break[Any]:
        won = await aio.race(deep=lambda: aio.join(a=lambda: aio.sleep(5), b=lambda: note.aio(n)), nap=lambda: aio.sleep(60))
        return Continue(n + 1) if n < 1 else Break(won.value)

    async def x() -> Any:
        await aio.sleep(7)
        return await note.aio("x")

    return await aio.race(
        a=lambda: aio.join(loop=lambda: aio.loop(turn, 0), sides=lambda: aio.race(x=x, y=refuse.aio)),
        b=lambda: aio.race(c=lambda: aio.join(d=lambda: aio.receive("never"))),
    )


@both(nest, anest)
def test_races_and_joins_nest_to_any_depth(flow: Workflow[..., Any]) -> None:
    """RC9 Joins and races nest in each other to any depth, with waits, wherever the process dies."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=at_most(5))

    assert told.output == Winner("a", {"loop": {"a": None, "b": 1}, "sides": Winner("x", "x")})
