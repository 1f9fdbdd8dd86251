"""A run's own durable state: what bodies that succeed leave for later ones, and nothing of what others did.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from flowkit import (
    Break,
    Continue,
    CriticalError,
    NotInRun,
    PayloadError,
    PayloadTooLarge,
    StepTimeout,
    Workflow,
    aio,
    checkpoint,
    join,
    loop,
    race,
    run_state,
    sleep,
    step,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both, ran, scripted


def run_number(lab: Lab) -> int:
    """The run's number in the store."""
    row = lab.client.driver.get("r")
    assert row is not None
    return row.seq


@step(backoff=1)
def put(key: str, value: Any) -> None:
    """Sets a key."""
    run_state()[key] = value


@step(backoff=1)
async def aput(key: str, value: Any) -> None:
    """As `put`, with an async body."""
    run_state()[key] = value


@step
def get(key: str) -> Any:
    """What the body finds under a key."""
    return run_state().get(key, "nothing")


@step
def drop(key: str) -> None:
    """Deletes a key."""
    del run_state()[key]


@step
def increase(key: str) -> Any:
    """Adds one."""
    run_state()[key] = run_state().get(key, 0) + 1
    return run_state()[key]


# --- what succeeds --------------------------------------------------------------------------------------------------------


@workflow
def keeping() -> list[Any]:
    put("a", [1])
    put("b", {2})
    first = get("a")
    drop("a")
    sleep(60)
    return [first, get("a"), get("b")]


@aio.workflow
async def akeeping() -> list[Any]:
    await aput("a", [1])
    await aput("b", {2})
    first = await get.aio("a")
    await drop.aio("a")
    await aio.sleep(60)
    return [first, await get.aio("a"), await get.aio("b")]


@both(keeping, akeeping)
def test_what_bodies_changed_is_there_for_later_ones(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA1 across passes, set and deleted keys alike."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    assert output == [[1], "nothing", {2}]
    assert lab.state("r") == lab.get("r").state() == {"b": {2}}


@both(keeping, akeeping)
def test_state_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """SA1 SA7 at each side of each commit."""

    def check(lab: Lab) -> None:
        assert lab.state("r") == {"b": {2}}

    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=check)

    assert told.output == [[1], "nothing", {2}]


@both(keeping, akeeping)
@pytest.mark.parametrize(("when", "state"), [("before", {}), ("after", {"a": [1]})])
def test_the_change_and_the_result_are_one_commit(lab: Lab, flow: Workflow[..., Any], when: Any, state: Any) -> None:
    """SA1 both or neither."""
    lab.start("r", flow)
    lab.crash_at(1, when)

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert lab.state("r") == state
    assert len(lab.history("r")) == len(state)


@step
def mapping() -> list[Any]:
    """Uses the state as a mapping."""
    state = run_state()
    state.update(x=1, y=2)
    state.setdefault("z", []).append(3)
    state.pop("y")
    return [isinstance(state, MutableMapping), sorted(state), len(state), "x" in state, dict(run_state())]


@workflow
def mapped() -> list[Any]:
    return mapping()


@aio.workflow
async def amapped() -> list[Any]:
    return await mapping.aio()


@both(mapped, amapped)
def test_it_is_a_mapping_and_one_body_sees_one(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA1 also what it changed inside a value."""
    lab.start("r", flow)

    assert lab.run_to_end("r") == [True, ["x", "z"], 2, True, {"x": 1, "z": [3]}]


@step(retries=0)
def put_under_a_number() -> None:
    """Keys are text."""
    run_state()[1] = "one"  # type: ignore[index]  # what is refused here


@workflow
def misnamed() -> None:
    put_under_a_number()


@aio.workflow
async def amisnamed() -> None:
    await put_under_a_number.aio()


@both(misnamed, amisnamed)
def test_keys_are_text(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA3 top-level ones."""
    lab.start("r", flow)

    made = lab.run_once("r")

    assert "keys of run_state() are text" in str(made.error)


# --- what does not --------------------------------------------------------------------------------------------------------


@step(backoff=1, retries=2)
def spoiling() -> list[int]:
    """Changes the state in place, and fails twice."""
    items = run_state()["items"]
    items.append(len(ran))
    run_state()["mark"] = True
    ran.append(list(items))
    if len(ran) < 3:
        raise OSError("not yet")
    return list(items)


@workflow
def spoilt() -> list[Any]:
    put("items", [])
    return [spoiling(), get("items"), get("mark")]


@aio.workflow
async def aspoilt() -> list[Any]:
    await put.aio("items", [])
    return [await spoiling.aio(), await get.aio("items"), await get.aio("mark")]


@both(spoilt, aspoilt)
def test_what_a_failed_attempt_changed_is_dropped(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA2 the next attempt starts from the committed state."""
    lab.start("r", flow)
    lab.run_once("r")
    between = lab.state("r")

    output = lab.run_to_end("r")

    assert (between, ran) == ({"items": []}, [[0], [1], [2]])
    assert output == [[2], [2], True]


@step(retries=0)
def failing() -> None:
    """Changes the state, and fails for good."""
    run_state()["mark"] = True
    raise CriticalError("no")


@step(timeout=0.05)
def late() -> None:
    """Changes the state, and goes on doing so after its time."""
    state = run_state()
    state["mark"] = True
    time.sleep(0.12)
    state["later"] = True
    ran.append("later")


@step(timeout=0.05)
async def alate() -> None:
    """As `late`, cancelled."""
    run_state()["mark"] = True
    try:
        await asyncio.sleep(5)
    finally:
        run_state()["later"] = True


@workflow
def giving_up() -> list[Any]:
    said = [failing.attempt().failure.kind]  # type: ignore[union-attr]  # it fails
    try:
        late()
    except StepTimeout:
        said.append("late")
    return [*said, get("mark"), get("later")]


@aio.workflow
async def agiving_up() -> list[Any]:
    said = [(await failing.aio.attempt()).failure.kind]  # type: ignore[union-attr]  # it fails
    try:
        await alate()
    except StepTimeout:
        said.append("late")
    return [*said, await get.aio("mark"), await get.aio("later")]


@both(giving_up, agiving_up)
def test_what_a_failed_or_timed_out_step_changed_is_dropped(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA2 also what its abandoned thread changes after that."""
    lab.start("r", flow)

    assert lab.run_to_end("r") == ["critical", "late", "nothing", "nothing"]
    assert lab.state("r") == {}


GATE = threading.Event()


@step
def losing() -> None:
    """Changes the state, and loses the race it is in."""
    run_state()["mark"] = True
    GATE.wait(5)


@workflow
def racing() -> list[Any]:
    won = race(lose=lambda: losing(), win=lambda: put("won", True)).name
    return [won, get("mark"), get("won")]


@aio.workflow
async def aracing() -> list[Any]:
    won = (await aio.race(lose=lambda: losing.aio(), win=lambda: put.aio("won", True))).name
    return [won, await get.aio("mark"), await get.aio("won")]


@both(racing, aracing)
def test_what_a_cancelled_attempt_changed_is_dropped(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA2 the loser's body ends after the race."""
    GATE.clear()
    lab.start("r", flow)

    try:
        output = lab.run_to_end("r")
    finally:
        GATE.set()

    assert (output, lab.state("r")) == (["win", "nothing", True], {"won": True})


# --- merging --------------------------------------------------------------------------------------------------------------


BARRIER = threading.Barrier(2, timeout=5)


@step
def meeting(mine: str, value: int) -> dict[str, Any]:
    """Changes its own key and a common one while another body does the same."""
    state = run_state()
    BARRIER.wait()
    state[mine] = value
    state["deep"] = {**state["deep"], mine: value}
    state.pop(f"old-{mine}")
    return dict(state)


@workflow
def merging() -> dict[str, Any]:
    for key in ("old-a", "old-b", "kept"):
        put(key, 0)
    put("deep", {})
    join(a=lambda: meeting("a", 1), b=lambda: meeting("b", 2))
    return dict(get.options(name="last")("deep"))


@aio.workflow
async def amerging() -> dict[str, Any]:
    for key in ("old-a", "old-b", "kept"):
        await put.aio(key, 0)
    await put.aio("deep", {})
    await aio.join(a=lambda: meeting.aio("a", 1), b=lambda: meeting.aio("b", 2))
    return dict(await get.options(name="last").aio("deep"))


@both(merging, amerging)
def test_bodies_that_run_at_the_same_time_merge_by_key(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA3 set and deleted ones; for one key the later commit wins, whole."""
    lab.start("r", flow)

    output = lab.run_to_end("r")

    state = lab.state("r")
    assert state.pop("deep") == output
    assert state == {"kept": 0, "a": 1, "b": 2}
    assert output in ({"a": 1}, {"b": 2})


@step(backoff=10, retries=1)
def put_late(key: str, value: int) -> None:
    """Begins first and completes last."""
    run_state()[key] = value
    ran.append(key)
    if len(ran) == 1:
        raise OSError("later")


@workflow
def overtaking() -> Any:
    join(slow=lambda: put_late("k", 1), fast=lambda: sleep(5) or put("k", 2))  # type: ignore[func-returns-value]  # None
    return get("k")


@aio.workflow
async def aovertaking() -> Any:
    async def fast() -> None:
        await aio.sleep(5)
        await put.aio("k", 2)

    await aio.join(slow=lambda: put_late.aio("k", 1), fast=fast)
    return await get.aio("k")


@both(overtaking, aovertaking)
def test_for_one_key_the_later_commit_wins(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA3 though its entry began first; the same after a crash."""
    lab.start("r", flow)

    output = lab.run_to_end("r")
    lab.crash()

    assert (output, lab.state("r")) == (1, {"k": 1})


# --- what cannot be kept --------------------------------------------------------------------------------------------------


@step
def keep(value: Any) -> None:
    """Keeps a value deep inside another."""
    ran.append("keep")
    run_state()["cart"] = {"items": [1, value]}


@step
def keep_what_cannot_be() -> str:
    """Keeps a lock."""
    ran.append("keep")
    run_state()["cart"] = {"items": [1, threading.Lock()]}
    return "done"


@workflow
def unencodable() -> None:
    put("cart", "empty")
    keep_what_cannot_be()


@aio.workflow
async def aunencodable() -> None:
    await put.aio("cart", "empty")
    await keep_what_cannot_be.aio()


@both(unencodable, aunencodable)
def test_a_value_that_cannot_be_encoded_is_a_terminal_payload_error(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA4 with the path to it, without a retry, and the state as it was."""
    lab.start("r", flow)

    with pytest.raises(PayloadError) as caught:
        lab.run_to_end("r")

    assert caught.value.path == "$state.cart.items[1]"
    assert "$state.cart.items[1]" in str(caught.value)
    assert (ran, lab.state("r")) == (["keep"], {"cart": "empty"})
    assert lab.history("r")[1].status == "failed"


@workflow
def too_large() -> None:
    put("cart", "empty")
    keep("x" * 2000)


@aio.workflow
async def atoo_large() -> None:
    await put.aio("cart", "empty")
    await keep.aio("x" * 2000)


@both(too_large, atoo_large)
def test_a_value_that_is_too_large_is_a_terminal_payload_error(flow: Workflow[..., Any]) -> None:
    """SA4 DB7 it names the key."""
    with Lab(max_payload=1000) as lab:
        lab.start("r", flow)

        with pytest.raises(PayloadTooLarge) as caught:
            lab.run_to_end("r")

        assert caught.value.path == "$state.cart"
        assert lab.state("r") == {"cart": "empty"}


# --- who pays, and who may ------------------------------------------------------------------------------------------------


@workflow
def stateless() -> int:
    return loop(lambda: Break(step(lambda: 1, name="one")()), prune_every=1, keep=0)


@aio.workflow
async def astateless() -> int:
    async def once() -> Break[int]:
        return Break(await step(lambda: 1, name="one").aio())

    return await aio.loop(once, prune_every=1, keep=0)


@both(stateless, astateless)
def test_a_run_that_never_calls_it_stores_nothing(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA5 no base, no patches."""
    lab.start("r", flow)
    lab.run_to_end("r")

    view = lab.client.driver.load(run_number(lab))

    assert view is not None
    assert (view.state, [entry.patch for entry in view.entries]) == (None, [None])


@workflow
def only_reading() -> list[Any]:
    put("a", 1)
    return [get("a"), get("b")]


@aio.workflow
async def aonly_reading() -> list[Any]:
    await put.aio("a", 1)
    return [await get.aio("a"), await get.aio("b")]


@both(only_reading, aonly_reading)
def test_a_body_that_only_reads_stores_nothing(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA5 SA3 one patch, of the step that changed something."""
    lab.start("r", flow)
    lab.run_to_end("r")

    view = lab.client.driver.load(run_number(lab))

    assert view is not None
    assert [entry.patch is not None for entry in view.entries] == [True, False, False]


@workflow
def peeking() -> Any:
    return run_state()


@aio.workflow
async def apeeking() -> Any:
    return run_state()


@both(peeking, apeeking)
def test_workflow_code_may_not_read_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA6 since replay could not repeat the read."""
    lab.start("r", flow)

    with pytest.raises(NotInRun, match=r"in workflow code.*State is for step bodies.*replay"):
        lab.run_to_end("r")


def test_outside_a_run_it_says_so() -> None:
    """SA6 NotInRun, which names the Lab as for every primitive."""
    with pytest.raises(NotInRun, match=r"outside a run.*flowkit\.testing\.Lab"):
        run_state()


def test_a_step_called_outside_a_run_has_no_state() -> None:
    """SA6 it is an ordinary call."""
    with pytest.raises(NotInRun, match="outside a run"):
        put("a", 1)


def _undo(_: None) -> None:
    ran.append(dict(run_state()))
    run_state()["undone"] = True
    run_state()["booked"] = False


@step(rollback=_undo)
def book() -> None:
    """Can be undone."""
    run_state()["booked"] = True


@workflow
def undoing() -> None:
    checkpoint("here")
    book()
    put("more", 1)
    raise CriticalError("back")


@aio.workflow
async def aundoing() -> None:
    await aio.checkpoint("here")
    await book.aio()
    await put.aio("more", 1)
    raise CriticalError("back")


@both(undoing, aundoing)
def test_rollback_handlers_may_use_it_like_bodies(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA6 they see the committed state, and what they change stays."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.crash()

    assert ran == [{"booked": True, "more": 1}]
    assert lab.state("r") == {"booked": False, "more": 1, "undone": True}


@both(undoing, aundoing)
def test_handlers_that_use_it_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """SA6 SA1 what they change is in the commit that ends them."""

    def check(lab: Lab) -> None:
        assert lab.state("r") == {"booked": False, "more": 1, "undone": True}

    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=check)

    assert told.status == "failed"


# --- pruning, replay, recover, ephemeral ----------------------------------------------------------------------------------


@workflow
def counting(prune_every: int, keep_turns: int) -> Any:
    put("n", 0)
    put("gone", 1)
    put("other", [])

    def count(n: int) -> Continue[int] | Break[Any]:
        if n == 1:
            drop("gone")
        increase("n")
        return Continue(n + 1) if n < 5 else Break(get("n"))

    found = loop(count, 0, prune_every=prune_every, keep=keep_turns)
    sleep(60)
    return [found, get("n"), get("gone")]


@aio.workflow
async def acounting(prune_every: int, keep_turns: int) -> Any:
    await put.aio("n", 0)
    await put.aio("gone", 1)
    await put.aio("other", [])

    async def count(n: int) -> Continue[int] | Break[Any]:
        if n == 1:
            await drop.aio("gone")
        await increase.aio("n")
        return Continue(n + 1) if n < 5 else Break(await get.aio("n"))

    found = await aio.loop(count, 0, prune_every=prune_every, keep=keep_turns)
    await aio.sleep(60)
    return [found, await get.aio("n"), await get.aio("gone")]


@both(counting, acounting)
@pytest.mark.parametrize(("prune_every", "keep_turns"), [(1, 0), (1, 1), (2, 0), (4, 1), (100, 0), (100, 100)])
def test_what_pruned_turns_did_stays(lab: Lab, flow: Workflow[..., Any], prune_every: int, keep_turns: int) -> None:
    """SA7 SA3 above what an older entry that remains says, set and deleted keys alike."""
    lab.start("r", flow, prune_every, keep_turns)

    output = lab.run_to_end("r")

    assert output == [6, 6, "nothing"]
    assert lab.state("r") == {"n": 6, "other": []}


@both(counting, acounting)
def test_a_clock_that_went_back_does_not_bring_old_values_back(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA3 SA7 commits have an order of their own, also after a crash behind a pruning."""
    lab.start("r", flow, 1, 0)
    lab.crash_at(10, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    lab.clock.set(lab.now - 3600)

    output = lab.run_to_end("r")

    assert output == [6, 6, "nothing"]
    assert lab.state("r") == {"n": 6, "other": []}


@both(counting, acounting)
@pytest.mark.parametrize(("prune_every", "keep_turns"), [(1, 0), (2, 1)])
def test_state_of_pruned_turns_comes_through_a_crash_anywhere(
    flow: Workflow[..., Any], prune_every: int, keep_turns: int
) -> None:
    """SA7 folding rides in the commit of the pruning."""

    def check(lab: Lab) -> None:
        assert lab.state("r") == {"n": 6, "other": []}

    script = Script("r", scripted(lambda lab: lab.start("r", flow, prune_every, keep_turns)))

    told = crash_everywhere(script, check=check)

    assert told.output == [6, 6, "nothing"]


@workflow
def forgetting() -> None:
    def turn(n: int) -> Continue[int] | Break[None]:
        put(f"k{n}", n)
        drop(f"k{n}")
        return Continue(n + 1) if n < 30 else Break()

    loop(turn, 0, prune_every=1, keep=1)


@aio.workflow
async def aforgetting() -> None:
    async def turn(n: int) -> Continue[int] | Break[None]:
        await put.aio(f"k{n}", n)
        await drop.aio(f"k{n}")
        return Continue(n + 1) if n < 30 else Break()

    await aio.loop(turn, 0, prune_every=1, keep=1)


@both(forgetting, aforgetting)
def test_deleted_keys_leave_no_trace(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA7 a loop that sets and deletes for ever does not grow."""
    lab.start("r", flow)
    lab.run_to_end("r")

    view = lab.client.driver.load(run_number(lab))

    assert lab.state("r") == {}
    assert view is not None
    assert b"k" not in (view.state or b"").replace(b'"keys"', b"")


@workflow
def three_puts() -> Any:
    put("a", 1)
    put("b", 1)
    found = increase("a")
    sleep(60)
    return [found, increase("b")]


@aio.workflow
async def athree_puts() -> Any:
    await put.aio("a", 1)
    await put.aio("b", 1)
    found = await increase.aio("a")
    await aio.sleep(60)
    return [found, await increase.aio("b")]


@both(three_puts, athree_puts)
def test_recall_applies_nothing_again(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA7 however many passes there are."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.run_once("r")
    lab.crash()

    assert lab.run_to_end("r") == [2, 2]
    assert lab.state("r") == {"a": 2, "b": 2}


@both(three_puts, athree_puts)
@pytest.mark.parametrize(
    ("from_step", "left"),
    [(None, {}), ("put", {}), ("put#2", {"a": 1}), ("increase", {"a": 1, "b": 1}), ("sleep", {"a": 2, "b": 1})],
)
def test_after_replay_the_state_is_that_of_the_entries_that_remain(
    lab: Lab, flow: Workflow[..., Any], from_step: str | None, left: dict[str, int]
) -> None:
    """SA7 and the run comes to the same again."""
    run = lab.start("r", flow)
    lab.run_to_end("r")

    run.replay(from_step)
    rewound = lab.state("r")

    assert rewound == left
    assert lab.run_to_end("r") == [2, 2]
    assert lab.state("r") == {"a": 2, "b": 2}


@step(retries=0)
def increase_or_fail() -> int:
    """Fails the first time."""
    run_state()["n"] = run_state().get("n", 0) + 1
    ran.append("try")
    if len(ran) == 1:
        raise OSError("no")
    return int(run_state()["n"])


@workflow
def recovering() -> Any:
    put("n", 10)
    return increase_or_fail()


@aio.workflow
async def arecovering() -> Any:
    await put.aio("n", 10)
    return await increase_or_fail.aio()


@both(recovering, arecovering)
def test_after_recover_the_state_is_that_of_the_entries_that_remain(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA7 what failed left nothing."""
    run = lab.start("r", flow)
    lab.run_once("r")

    run.recover()
    rewound = lab.state("r")

    assert rewound == {"n": 10}
    assert lab.run_to_end("r") == 11
    assert lab.state("r") == {"n": 11}


brief = put.options(ephemeral=True, name="brief")


@workflow
def fleeting() -> Any:
    brief("a", 1)
    found = get("a")
    put("b", 1)
    return found


@aio.workflow
async def afleeting() -> Any:
    await brief.aio("a", 1)
    found = await get.aio("a")
    await put.aio("b", 1)
    return found


@both(fleeting, afleeting)
def test_patches_of_ephemeral_steps_ride_with_their_results(lab: Lab, flow: Workflow[..., Any]) -> None:
    """SA8 I14 in the commit of the step behind them, and later bodies see them before that."""
    lab.start("r", flow)
    lab.crash_at(1, "before")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    lost = lab.state("r")
    lab.crash_at(1, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert (lost, lab.state("r")) == ({}, {"a": 1})
    assert lab.run_to_end("r") == 1
    assert lab.state("r") == {"a": 1, "b": 1}


@both(fleeting, afleeting)
def test_ephemeral_patches_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """SA8 at each side of each commit."""

    def check(lab: Lab) -> None:
        assert lab.state("r") == {"a": 1, "b": 1}

    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))), check=check)

    assert told.output == 1
