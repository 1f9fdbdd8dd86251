"""Handlers of a rollback: what they get, how often they are tried, what stops them, and how a run goes on with them.

Longer than 400 lines because every workflow stands here twice, plain and async.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import flowkit
from flowkit import (
    CriticalError,
    RetryAfter,
    RollbackFailed,
    RunCancelled,
    RunError,
    StepError,
    Workflow,
    aio,
    attempt,
    checkpoint,
    join,
    race,
    receive,
    run_state,
    sleep,
    step,
    stopping,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both, note, ran, scripted


@pytest.fixture(autouse=True)
def _nothing_waits_on() -> Iterator[None]:
    released.clear()
    yield
    released.set()


released = threading.Event()


def statuses(lab: Lab) -> dict[str, str]:
    """The status of each entry by its location."""
    return {entry.location: entry.status for entry in lab.history("r")}


def undone() -> list[Any]:
    """What was undone, in order."""
    return [each[5:] for each in ran if str(each).startswith("undo ")]


def begun(*words: str) -> None:
    """Wait until these bodies are under way."""
    until = time.monotonic() + 5
    while not set(words) <= set(ran):
        assert time.monotonic() < until
        time.sleep(0.002)


@step(retries=0)
def refuse(word: str = "no") -> None:
    raise CriticalError(word)


@dataclass
class Receipt:
    id: int
    paid: float


# --- what a handler gets ----------------------------------------------------------------------------------------------------


def give_back(receipt: Receipt, currency: str, amount: float, note: str = "none") -> None:
    ran.append(f"undo {receipt.id} {receipt.paid} {amount} {currency} {note}")


async def agive_back(receipt: Receipt, *, amount: float, currency: str) -> None:
    await asyncio.sleep(0)
    ran.append(f"undo {receipt.id} {receipt.paid} {amount} {currency} none")


@step(rollback=give_back, record_args=False)
def pay(amount: float, currency: str = "EUR", note: str = "none") -> Receipt:
    return Receipt(7, amount)


@step(rollback=agive_back)
async def apay(amount: float, currency: str = "EUR") -> Receipt:
    return Receipt(7, amount)


@workflow
def pays() -> None:
    checkpoint("start")
    pay(5)
    apay.plain(6, currency="USD")
    refuse()


@workflow
async def apays() -> None:
    await aio.checkpoint("start")
    await pay.aio(5)
    await apay(6, currency="USD")
    await refuse.aio()


def goes_on(lab: Lab) -> None:
    """The process lives."""


def dies(lab: Lab) -> None:
    """The process dies after a handler was recorded."""
    lab.crash_at(5, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")


@both(pays, apays)
@pytest.mark.parametrize("first", [goes_on, dies])
def test_a_handler_gets_the_output_and_arguments_by_name(lab: Lab, flow: Workflow[..., Any], first: Any) -> None:
    """RB12 A handler, plain or async, gets the decoded output and arguments by name, defaults too, with `record_args=False`."""
    lab.start("r", flow)
    first(lab)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["7 6 6 USD none", "7 5 5 EUR none"]


class Desk:
    """Steps and handlers as methods."""

    def __init__(self, name: str) -> None:
        self.name = name

    def release(self, seat: str, row: int) -> None:
        ran.append(f"undo {seat} in {row} at {self.name}")

    async def arelease(self, seat: str) -> None:
        ran.append(f"undo {seat} at {self.name}")

    def nothing(self) -> None:
        ran.append(f"undo nothing at {self.name}")

    @step(rollback=lambda seat, row: ran.append(f"undo {seat} in {row}"))
    def seat(self, row: int) -> str:
        return f"seat of {self.name}"


class Undoer:
    async def __call__(self, value: str) -> None:
        await asyncio.sleep(0)
        ran.append(f"undo {value} by object")


@step
def refund(value: str) -> None:
    ran.append(f"undo {value} by step")


@step
async def arefund(value: str) -> None:
    await asyncio.sleep(0)
    ran.append(f"undo {value} by async step")


async def by_partial(word: str, value: str) -> None:
    ran.append(f"undo {value} {word}")


def owe(name: str, rollback: Any) -> Any:
    return step(lambda: name, name=name, rollback=rollback)


def handlers(desk: Desk) -> list[Any]:
    return [
        step(lambda row: "a", name="a", rollback=desk.release),
        owe("b", desk.arelease),
        owe("c", desk.nothing),
        owe("d", functools.partial(by_partial, "partly")),
        owe("e", Undoer()),
        owe("f", refund),
        owe("g", arefund),
        owe("h", lambda value: arefund(value)),
        owe("i", ran.append),
    ]


@workflow
def odd_handlers() -> None:
    checkpoint("start")
    desk = Desk("north")
    desk.seat(3)
    first, *others = handlers(desk)
    first(4)
    for each in others:
        each()
    refuse()


@workflow
async def aodd_handlers() -> None:
    await aio.checkpoint("start")
    desk = Desk("north")
    await desk.seat.aio(3)
    first, *others = handlers(desk)
    await first.aio(4)
    for each in others:
        await each.aio()
    await refuse.aio()


@both(odd_handlers, aodd_handlers)
def test_any_callable_is_a_handler(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB12 Methods, partials, objects, steps and lambdas that give a coroutine are handlers like functions."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert "i" in ran
    assert undone() == [
        "h by async step",
        "g by async step",
        "f by step",
        "e by object",
        "d partly",
        "nothing at north",
        "b at north",
        "a in 4 at north",
        "seat of north in 3",
    ]


def count_up(value: str) -> None:
    state = run_state()
    state["undone"] = [*state.get("undone", []), value]


@workflow
def with_state() -> None:
    checkpoint("start")
    owe("a", count_up)()
    owe("b", count_up)()
    refuse()


@workflow
async def awith_state() -> None:
    await aio.checkpoint("start")
    await owe("a", count_up).aio()
    await owe("b", count_up).aio()
    await refuse.aio()


@both(with_state, awith_state)
def test_a_handler_may_use_the_runs_state(flow: Workflow[..., Any]) -> None:
    """RB12, SA6 A handler runs like a step body: what it changes in `run_state()` is committed with its end, once."""
    script = Script("r", scripted(lambda lab: lab.start("r", flow)))

    def check(lab: Lab) -> None:
        assert lab.state("r") == {"undone": ["b", "a"]}

    crash_everywhere(script, check=check)


def unstorable(value: str) -> None:
    ran.append(f"undo {value}")
    run_state()["lock"] = threading.Lock()


@workflow
def with_odd_state() -> None:
    checkpoint("start")
    owe("a", unstorable)()
    refuse()


@workflow
async def awith_odd_state() -> None:
    await aio.checkpoint("start")
    await owe("a", unstorable).aio()
    await refuse.aio()


@both(with_odd_state, awith_odd_state)
def test_a_handlers_state_that_cannot_be_stored_uses_it_up(flow: Workflow[..., Any]) -> None:
    """RB12, SA4 A handler's change of state that cannot be encoded is its terminal failure."""
    events: list[Any] = []
    with Lab(on_error=events.append) as lab:
        lab.start("r", flow)

        with pytest.raises(CriticalError, match="no"):
            lab.run_to_end("r")

        assert undone() == ["a"]
        assert "$state.lock" in events[-1].error.message


@workflow
def looks_whether_to_stop() -> None:
    checkpoint("start")
    if stopping():
        return
    owe("a", fails_at())()
    join(spins=spins, fine=lambda: owe("b", fails_at())())
    refuse()


def spins() -> None:
    while not stopping() and "undo b" not in ran:
        if "try b" not in ran:
            break


@workflow
async def alooks_whether_to_stop() -> None:
    await aio.checkpoint("start")
    if stopping():
        return

    async def spinning() -> None:
        spins()

    await owe("a", fails_at()).aio()
    await aio.join(spins=spinning, fine=lambda: owe("b", fails_at()).aio())
    await refuse.aio()


@both(looks_whether_to_stop, alooks_whether_to_stop)
def test_stopping_does_not_keep_handlers_from_being_found(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB6 Where history goes on `stopping()` is false in the collecting pass, so what follows is found."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["b", "a"]


# --- attempts ---------------------------------------------------------------------------------------------------------------


def fails_at(*errors: BaseException | None) -> Any:
    """A handler that raises these, one each time, and then succeeds."""

    def undo(value: str) -> None:
        tries = ran.count(f"try {value}")
        ran.append(f"try {value}")
        error = errors[tries] if tries < len(errors) else None
        if error is not None:
            raise error
        ran.append(f"undo {value}")

    return undo


def retrying(undo: Any, **options: Any) -> Any:
    """A workflow of each colour that owes `old`, then `new` with this handler, and fails."""
    old = step(lambda: "old", name="old", rollback=fails_at())
    new = step(lambda: "new", name="new", rollback=undo, **options)

    @workflow(name="retrying")
    def plain() -> None:
        checkpoint("start")
        old()
        new()
        refuse()

    @workflow(name="retrying")
    async def awaiting() -> None:
        await aio.checkpoint("start")
        await old.aio()
        await new.aio()
        await refuse.aio()

    return plain, awaiting


colours = pytest.mark.parametrize("colour", [0, 1], ids=["plain", "async"])


@colours
def test_a_handler_is_retried_with_the_steps_backoff(lab: Lab, colour: int) -> None:
    """RB13, RB14 A handler has 4 attempts with the step's backoff; while it waits the run stays `rolling_back`."""
    lab.start("r", retrying(fails_at(*[OSError("down")] * 3), backoff=10, backoff_max=50)[colour])
    waits = []

    for _ in range(3):
        made = lab.run_once("r")
        assert made.status == "rolling_back"
        assert made.wake_at is not None
        waits.append(made.wake_at - lab.now)
        early = lab.run_once("r")
        assert early.status == "rolling_back"
        lab.crash()
        lab.advance(waits[-1])
    last = lab.run_once("r")

    assert waits == [20, 40, 50]
    assert last.status == "failed"
    assert ran == ["try new"] * 4 + ["undo new", "try old", "undo old"]


@colours
@pytest.mark.parametrize("retries", [0, 2])
def test_rollback_retries_bound_the_attempts(lab: Lab, colour: int, retries: int) -> None:
    """RB13 A handler has `rollback_retries`+1 attempts."""
    lab.start("r", retrying(fails_at(*[OSError("down")] * 9), rollback_retries=retries)[colour])

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert ran == ["try new"] * (retries + 1)


@colours
def test_retry_after_chooses_the_delay_of_a_handler(lab: Lab, colour: int) -> None:
    """RB13 `RetryAfter` sets the delay of that retry of a handler as of a step."""
    lab.start("r", retrying(fails_at(RetryAfter("1h")))[colour])

    made = lab.run_once("r")

    assert (made.status, made.wake_at) == ("rolling_back", lab.now + 3600)


def naps_once(value: str) -> None:
    ran.append(f"try {value}")
    if ran.count(f"try {value}") == 1:
        released.wait(8)
        return
    ran.append(f"undo {value}")


async def anaps_once(value: str) -> None:
    ran.append(f"try {value}")
    if ran.count(f"try {value}") == 1:
        await asyncio.sleep(60)
    ran.append(f"undo {value}")


@colours
@pytest.mark.parametrize("undo", [naps_once, anaps_once], ids=["plain-handler", "async-handler"])
def test_a_handlers_timeout_is_retried(colour: int, undo: Any) -> None:
    """RB13 A timeout of a handler is retried, unlike a step's; hooks hear of the run's end once."""
    events: list[Any] = []
    with Lab(on_error=events.append) as lab:
        lab.start("r", retrying(undo, timeout=0.1)[colour])

        with pytest.raises(CriticalError):
            lab.run_to_end("r")

        assert undone() == ["new", "old"]
        assert ran.count("try new") == 2
        assert [type(event).__name__ for event in events] == ["StepError"]


@colours
def test_a_handler_that_always_times_out_is_used_up(lab: Lab, colour: int) -> None:
    """RB13 Timeouts count as attempts."""

    def undo(value: str) -> None:
        ran.append("try")
        released.wait(8)

    lab.start("r", retrying(undo, timeout=0.06, rollback_retries=2)[colour])

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert ran == ["try"] * 3
    assert statuses(lab)["new"] == "completed"


@colours
def test_a_critical_error_ends_a_handlers_attempts(lab: Lab, colour: int) -> None:
    """RB13 `CriticalError` ends the attempts of a handler."""
    lab.start("r", retrying(fails_at(CriticalError("never")))[colour])

    with pytest.raises(CriticalError, match="no"):
        lab.run_to_end("r")

    assert ran == ["try new"]


# --- crashes, evicts and pauses in between ----------------------------------------------------------------------------------


@colours
def test_retried_handlers_survive_every_crash(colour: int) -> None:
    """RB14 Wherever the process dies, the next claim goes on with the first that still owes."""

    def check(_: Lab) -> None:
        told = undone()
        ran.clear()
        assert [name for n, name in enumerate(told) if told[n - 1 : n] != [name]] == ["new", "old"]

    flow = retrying(fails_at(OSError("down"), OSError("down")))[colour]

    seen = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=check)

    assert seen.status == "failed"
    assert {entry[0]: entry[2] for entry in seen.entries}["old"] == "rolled_back"


@colours
def test_a_finished_handler_is_committed_before_the_next_starts(lab: Lab, colour: int) -> None:
    """RB14 Each finished handler is committed (`rolled_back`) before the next starts."""

    def look(value: str) -> None:
        ran.append([entry.status for entry in lab.history("r") if entry.location in ("new", "old")])

    old = step(lambda: "old", name="old", rollback=look)
    new = step(lambda: "new", name="new", rollback=look)

    @workflow
    def plain() -> None:
        checkpoint("start")
        old()
        new()
        refuse()

    @workflow
    async def awaiting() -> None:
        await aio.checkpoint("start")
        await old.aio()
        await new.aio()
        await refuse.aio()

    lab.start("r", [plain, awaiting][colour])

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert ran == [["completed", "completed"], ["completed", "rolled_back"]]


@colours
def test_a_pause_between_handlers_stops_before_the_next(lab: Lab, colour: int) -> None:
    """RB14, RN14 A pause lets the handler in flight end; `resume()` goes on rolling back with the next."""

    def pausing(value: str) -> None:
        lab.get("r").pause()
        ran.append(f"undo {value}")

    lab.start("r", retrying(pausing)[colour])

    made = lab.run_once("r")
    while_paused = undone()
    lab.get("r").resume()
    resumed = lab.get("r").status()
    end = lab.run_once("r")

    assert (made.status, while_paused) == ("paused", ["new"])
    assert (resumed, end.status) == ("rolling_back", "failed")
    assert undone() == ["new", "old"]


@colours
def test_an_evict_between_handlers_leaves_the_run_rolling_back(lab: Lab, colour: int) -> None:
    """RB14 Evict leaves `rolling_back`, and the next claim goes on with the first that still owes."""

    def evicting(value: str) -> None:
        lab.get("r").evict()
        ran.append(f"undo {value}")

    lab.start("r", retrying(evicting)[colour])

    made = lab.run_once("r")
    before = undone()
    end = lab.run_once("r")

    assert (made.status, before) == ("rolling_back", ["new"])
    assert (end.status, undone()) == ("failed", ["new", "old"])


# --- a handler that is used up ----------------------------------------------------------------------------------------------


@colours
def test_a_used_up_handler_stops_the_rollback(colour: int) -> None:
    """RB15, HK4 Older handlers do not run, the run is `failed` with its original error, and one `RollbackFailed` says so."""
    events: list[Any] = []
    with Lab(on_error=events.append) as lab:
        lab.start("r", retrying(fails_at(*[OSError("down")] * 9), rollback_retries=1)[colour])

        with pytest.raises(CriticalError, match="no"):
            lab.run_to_end("r")

        assert undone() == []
        assert (statuses(lab)["new"], statuses(lab)["old"]) == ("completed", "completed")
        assert [type(event) for event in events] == [StepError, RollbackFailed]
        assert (events[1].step_name, events[1].attempts, events[1].error.message) == ("new", 2, "down")


@colours
def test_recover_goes_on_with_an_unfinished_rollback(lab: Lab, colour: int) -> None:
    """RB15, RN20 `recover()` gives the stuck handler fresh attempts; then the run is `failed` and can be recovered forward."""
    lab.start("r", retrying(fails_at(*[OSError("down")] * 3), rollback_retries=1)[colour])
    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    lab.get("r").recover()
    back = lab.get("r").status()
    with pytest.raises(CriticalError, match="no"):
        lab.run_to_end("r")
    told = undone()
    lab.get("r").recover()

    assert back == "rolling_back"
    assert told == ["new", "old"]
    assert ran.count("try new") == 4
    assert lab.get("r").status() == "pending"


@colours
def test_an_unfinished_rollback_survives_every_crash(colour: int) -> None:
    """RB15 Wherever the process dies, the same handler is used up and the older ones do not run."""
    flow = retrying(fails_at(*[OSError("down")] * 99), rollback_retries=1)[colour]

    def check(_: Lab) -> None:
        count = ran.count("try new")
        told = undone()
        ran.clear()
        assert told == []
        assert 2 <= count <= 3

    seen = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=check)

    assert seen.status == "failed"


# --- cancelling -------------------------------------------------------------------------------------------------------------


@workflow
def waits() -> None:
    checkpoint("start")
    owe("a", fails_at())()
    owe("b", fails_at(OSError("down")))()
    receive("never")


@workflow
async def awaits() -> None:
    await aio.checkpoint("start")
    await owe("a", fails_at()).aio()
    await owe("b", fails_at(OSError("down"))).aio()
    await aio.receive("never")


@both(waits, awaits)
def test_cancel_with_rollback_undoes_and_then_cancels(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB16, RN10 `cancel(rollback=True)` sets `rolling_back` and returns; after the last handler the run is `cancelled`."""
    lab.start("r", flow)
    lab.run_once("r")

    lab.get("r").cancel(rollback=True)
    told = (lab.get("r").status(), undone())
    with pytest.raises(RunCancelled):
        lab.run_to_end("r")

    assert told == ("rolling_back", [])
    assert undone() == ["b", "a"]
    assert lab.get("r").error() is None


@both(waits, awaits)
def test_cancelling_with_rollback_survives_every_crash(flow: Workflow[..., Any]) -> None:
    """RB16 Wherever the process dies, the run ends `cancelled` with everything undone."""
    acts = (
        lambda lab: lab.start("r", flow),
        lambda lab: lab.run_once("r"),
        lambda lab: lab.get("r").cancel(rollback=True),
        lambda lab: lab.run_to_end("r"),
    )

    def check(_: Lab) -> None:
        ran.clear()

    seen = crash_everywhere(Script("r", acts), check=check)

    assert seen.status == "cancelled"
    assert sorted(entry[2] for entry in seen.entries if entry[1] == "step") == ["rolled_back", "rolled_back"]


@workflow
def owes_nothing() -> None:
    checkpoint("start")
    note("n")
    receive("never")


@workflow
async def aowes_nothing() -> None:
    await aio.checkpoint("start")
    await note.aio("n")
    await aio.receive("never")


@both(owes_nothing, aowes_nothing)
def test_cancel_with_rollback_of_a_run_that_owes_nothing_is_at_once(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB16, RN10 If nothing owes, the run is `cancelled` at once."""
    lab.start("r", flow)
    lab.run_once("r")

    lab.get("r").cancel(rollback=True)

    assert lab.get("r").status() == "cancelled"


@both(waits, awaits)
def test_cancelling_a_rollback_ends_it_there(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB16, RN11 `cancel()` of a run in `rolling_back` ends the rollback there; history shows what still owes."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.get("r").cancel(rollback=True)
    lab.run_once("r")

    lab.get("r").cancel()

    assert lab.run_once("r").status == "cancelled"
    assert ran == ["try b"]
    assert statuses(lab)["a"] == "completed"


@both(waits, awaits)
def test_a_used_up_handler_of_a_cancel_leaves_the_run_failed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB15, RN20 A rollback that a cancel asked for and that stops is `failed`; recovered, it ends as `cancelled`."""
    lab.start("r", retrying(fails_at(*[OSError("down")] * 4))[flow is awaits])
    lab.crash_at(4, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    lab.get("r").cancel(rollback=True)
    with pytest.raises(OSError, match="down"):
        lab.run_to_end("r")

    lab.get("r").recover()
    with pytest.raises(RunCancelled):
        lab.run_to_end("r")

    assert undone() == ["new", "old"]


# --- what owes nothing ------------------------------------------------------------------------------------------------------


@step(rollback=lambda _: ran.append("undo late"), timeout=0.05, name="late")
def late() -> str:
    ran.append("late begins")
    released.wait(8)
    ran.append("late ends")
    return "late"


@step(rollback=lambda _: ran.append("undo lost"), timeout=None, name="lost")
def lost() -> str:
    ran.append("lost begins")
    released.wait(8)
    ran.append("lost ends")
    return "lost"


@step
def after_lost() -> str:
    begun("lost begins")
    return "won"


@workflow
def abandoned() -> None:
    checkpoint("start")
    late.attempt()
    join(a=lambda: attempt(late, name="block"))
    race(lost=lost, won=after_lost)
    released.set()
    begun("late ends", "lost ends")
    owe("real", fails_at())()
    refuse()


@workflow
async def aabandoned() -> None:
    await aio.checkpoint("start")
    await late.aio.attempt()
    await aio.join(a=lambda: aio.attempt(late.aio, name="block"))
    await aio.race(lost=lost.aio, won=after_lost.aio)
    released.set()
    await asyncio.to_thread(begun, "late ends", "lost ends")
    await owe("real", fails_at()).aio()
    await refuse.aio()


@both(abandoned, aabandoned)
def test_a_body_that_was_abandoned_owes_nothing(lab: Lab, flow: Workflow[..., Any]) -> None:
    """RB17 An entry that is not `completed` owes nothing: a body abandoned by timeout or a lost race is not compensated."""
    lab.start("r", flow)

    with pytest.raises(CriticalError):
        lab.run_to_end("r")

    assert undone() == ["real"]


@step(rollback=lambda _: ran.append("undo held"), timeout=None, name="held")
def held() -> str:
    ran.append("held begins")
    stopping(wait=8)
    raise OSError("interrupted")


@workflow
def evicted() -> None:
    checkpoint("start")
    owe("first", fails_at())()
    held()


@workflow
async def aevicted() -> None:
    await aio.checkpoint("start")
    await owe("first", fails_at()).aio()
    await held.aio()


@both(evicted, aevicted)
def test_a_body_that_a_cancel_ends_owes_nothing(flow: Workflow[..., Any]) -> None:
    """RB17 A body that `cancel(rollback=True)` ends is not compensated; what completed before it is, by a real worker."""
    events: list[Any] = []
    with flowkit.open(":memory:", on_error=events.append) as fk:
        run = fk.start("r", flow)
        begun("held begins")

        run.cancel(rollback=True)
        with pytest.raises(RunCancelled):
            run.result(timeout=5)

    assert undone() == ["first"]
    assert not any(isinstance(event, RunError | RollbackFailed) for event in events)


@workflow
def failing_late() -> None:
    checkpoint("start")
    owe("a", fails_at())()
    sleep(60)
    raise ValueError("own")


@workflow
async def afailing_late() -> None:
    await aio.checkpoint("start")
    await owe("a", fails_at()).aio()
    await aio.sleep(60)
    raise ValueError("own")


@both(failing_late, afailing_late)
def test_hooks_hear_of_a_rolled_back_run_once(flow: Workflow[..., Any]) -> None:
    """RB16, HK3 A run that fails with its own error and is rolled back gives one `RunError`."""
    events: list[Any] = []
    with Lab(on_error=events.append) as lab:
        lab.start("r", flow)

        with pytest.raises(ValueError, match="own"):
            lab.run_to_end("r")

        assert [(type(event), event.error.message) for event in events] == [(RunError, "own")]
        assert statuses(lab)["a"] == "rolled_back"
