"""Completable messages: they stay in the inbox until they are answered, and nothing else is received until then.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from flowkit import (
    Break,
    FlowkitError,
    MessageNotCompleted,
    PayloadError,
    Workflow,
    aio,
    join,
    loop,
    race,
    receive,
    receive_batch,
    sleep,
    step,
    workflow,
)
from flowkit.client.requests import answer_to
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both, inbox, note, ran, scripted
from tests.runtime.waiting import until

# --- completable messages -------------------------------------------------------------------------------------------------


@workflow
def answering() -> list[Any]:
    message = receive("ask", completable=True)
    sleep(60)
    message.complete({"got": message.data})
    sleep(60)
    return [message.data, receive("ask").data]


@aio.workflow
async def aanswering() -> list[Any]:
    message = await aio.receive("ask", completable=True)
    await aio.sleep(60)
    await message.complete({"got": message.data})
    await aio.sleep(60)
    return [message.data, (await aio.receive("ask")).data]


@both(answering, aanswering)
def test_a_completable_message_stays_in_the_inbox_until_it_is_completed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS11 the entry settles when it takes the message and changes no more."""
    lab.start("r", flow)
    lab.send("r", "ask", 1)
    lab.run_once("r")
    open_entry, open_inbox = lab.history("r")[0], inbox(lab)
    lab.advance(60)

    lab.run_once("r")

    assert (open_entry.status, open_inbox, inbox(lab)) == ("completed", ["ask"], [])
    assert lab.history("r")[0] == open_entry


@both(answering, aanswering)
def test_completing_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS11 MS14 the response and the removal are one commit, before and after which a crash makes no difference."""
    script = Script(
        "r",
        scripted(
            lambda lab: lab.start("r", flow),
            lambda lab: lab.send("r", "ask", 1, key="1"),
            lambda lab: lab.send("r", "ask", 2, key="2"),
        ),
    )

    told = crash_everywhere(script)

    assert told.output == [1, 2]


@both(answering, aanswering)
def test_the_response_is_stored_with_the_removal(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS11 one commit."""
    lab.start("r", flow)
    message_id = lab.client.desk.deliver("r", "ask", 1, key=None, reply=True)
    lab.run_once("r")
    lab.advance(60)
    lab.crash_at(1, "after")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert inbox(lab) == []
    assert answer_to(message_id, "ask", lab.client.get("r"), 0) == {"got": 1}


@workflow
def two_at_once() -> list[Any]:
    receive("a", completable=True)
    try:
        receive("b", timeout=0)
    except MessageNotCompleted as error:
        caught = str(error)
    sleep(60)
    try:
        receive_batch(count=2)
    except MessageNotCompleted:
        return [caught]
    return []


@aio.workflow
async def atwo_at_once() -> list[Any]:
    await aio.receive("a", completable=True)
    try:
        await aio.receive("b", timeout=0)
    except MessageNotCompleted as error:
        caught = str(error)
    await aio.sleep(60)
    try:
        await aio.receive_batch(count=2)
    except MessageNotCompleted:
        return [caught]
    return []


@both(two_at_once, atwo_at_once)
def test_a_second_receive_while_one_is_open_is_refused(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 MS13 whether or not a message is there, in a later pass too, and recorded as that receive's failure."""
    lab.start("r", flow)
    lab.send("r", "a", 1)

    [said] = lab.run_to_end("r")

    assert said.startswith("'a' was received as completable and is still open")
    assert [(e.location, e.status) for e in lab.history("r")] == [
        ("a", "completed"),
        ("b", "failed"),
        ("sleep", "completed"),
        ("receive", "failed"),
    ]


@workflow
def taken_thrice() -> Any:
    def turn(n: int) -> Break[None]:
        receive("m", completable=True)
        return Break()

    loop(turn, 0)
    loop(turn, 0, name="again")


@aio.workflow
async def ataken_thrice() -> Any:
    async def turn(n: int) -> Break[None]:
        await aio.receive("m", completable=True)
        return Break()

    await aio.loop(turn, 0)
    await aio.loop(turn, 0, name="again")


@both(taken_thrice, ataken_thrice)
def test_the_guard_counts_anywhere_in_the_run(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 also in another loop's turn."""
    lab.start("r", flow)
    lab.send("r", "m", 1)

    with pytest.raises(MessageNotCompleted):
        lab.run_to_end("r")


@both(taken_thrice, ataken_thrice)
def test_after_recover_the_guard_still_counts(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 MS13 the receive that was refused starts over, and is refused again instead of waiting for ever."""
    lab.start("r", flow)
    lab.send("r", "m", 1)
    lab.run_once("r")
    lab.get("r").recover()

    with pytest.raises(MessageNotCompleted):
        lab.run_to_end("r")


@workflow
def held_in_a_branch() -> dict[str, Any]:
    def holding() -> Any:
        sleep(10)
        message = receive("a", completable=True)
        sleep(100)
        message.complete()
        return message.data

    def waiting() -> Any:
        return receive("b").data

    return join(hold=holding, wait=waiting)


@aio.workflow
async def aheld_in_a_branch() -> dict[str, Any]:
    async def holding() -> Any:
        await aio.sleep(10)
        message = await aio.receive("a", completable=True)
        await aio.sleep(100)
        await message.complete()
        return message.data

    async def waiting() -> Any:
        return (await aio.receive("b")).data

    return await aio.join(hold=holding, wait=waiting)


@both(held_in_a_branch, aheld_in_a_branch)
def test_a_receive_that_waited_already_takes_nothing_while_one_is_open(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 until it is completed; a message that comes meanwhile makes one quick pass and no more."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.send("r", "a", 1)
    lab.advance(10)
    lab.run_once("r")
    lab.send("r", "b", 2)

    made = lab.run_once("r")
    again = lab.run_once("r")

    assert (made.status, made.wake_at, again.wake_at) == ("sleeping", lab.now + 100, lab.now + 100)
    assert inbox(lab) == ["a", "b"]
    assert lab.run_to_end("r") == {"hold": 1, "wait": 2}


@both(held_in_a_branch, aheld_in_a_branch)
def test_a_held_message_beside_a_waiting_branch_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS12 MS11 with both messages there from the start."""
    script = Script(
        "r",
        scripted(
            lambda lab: lab.start("r", flow),
            lambda lab: lab.send("r", "a", 1, key="a"),
            lambda lab: lab.run_once("r"),
            lambda lab: lab.send("r", "b", 2, key="b"),
        ),
    )

    told = crash_everywhere(script)

    assert told.output == {"hold": 1, "wait": 2}


@workflow
def completing_twice() -> list[str]:
    message = receive("m", completable=True)
    sleep(60)
    said = []
    for response in (1, 2):
        try:
            message.complete(response)
        except FlowkitError as error:
            said.append(type(error).__name__)
    sleep(60)
    return said


@aio.workflow
async def acompleting_twice() -> list[str]:
    message = await aio.receive("m", completable=True)
    await aio.sleep(60)
    said = []
    for response in (1, 2):
        try:
            await message.complete(response)
        except FlowkitError as error:
            said.append(type(error).__name__)
    await aio.sleep(60)
    return said


@both(completing_twice, acompleting_twice)
def test_completing_twice_within_a_pass_is_an_error_on_every_pass(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS14 I12 the first response stands, and replay sees the same."""
    lab.start("r", flow)
    message_id = lab.client.desk.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == ["FlowkitError"]
    assert answer_to(message_id, "m", lab.client.get("r"), 0) == 1


@workflow
def completing_badly() -> str:
    message = receive("m", completable=True)
    try:
        message.complete(object())
    except PayloadError as error:
        said = error.path
    message.complete("well")
    return said


@aio.workflow
async def acompleting_badly() -> str:
    message = await aio.receive("m", completable=True)
    try:
        await message.complete(object())
    except PayloadError as error:
        said = error.path
    await message.complete("well")
    return said


@both(completing_badly, acompleting_badly)
def test_a_complete_that_failed_may_be_repeated(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS14 a response that cannot be stored leaves the message open."""
    lab.start("r", flow)
    message_id = lab.client.desk.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == "$"
    assert answer_to(message_id, "m", lab.client.get("r"), 0) == "well"


@workflow
def not_completable() -> str:
    message = receive("m")
    try:
        message.complete()
    except FlowkitError as error:
        return str(error)
    return ""


@aio.workflow
async def anot_completable() -> str:
    message = await aio.receive("m")
    try:
        await message.complete()
    except FlowkitError as error:
        return str(error)
    return ""


@both(not_completable, anot_completable)
def test_a_message_that_was_not_received_as_completable_cannot_be_completed(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS14 it says how."""
    lab.start("r", flow)
    lab.send("r", "m")

    assert "completable=True" in lab.run_to_end("r")


@workflow
def loser_completes() -> list[Any]:
    message = receive("m", completable=True)
    inside, gate = threading.Event(), threading.Event()

    def losing() -> None:
        note("in")
        inside.set()
        gate.wait(5)
        try:
            message.complete("from the loser")
        finally:
            ran.append("tried")

    winner = race(lose=losing, win=lambda: step(inside.wait, name="await")(5))
    gate.set()
    until(lambda: "tried" in ran)
    message.complete("from the run")
    return [winner.name]


def test_a_race_loser_cannot_complete_a_message_of_the_run(lab: Lab) -> None:
    """MS14 MS21 its scope is closed, and what it does is dropped."""
    lab.start("r", loser_completes)
    message_id = lab.client.desk.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == ["win"]
    assert answer_to(message_id, "m", lab.client.get("r"), 0) == "from the run"


# --- races ----------------------------------------------------------------------------------------------------------------


@workflow
def losing_messages(completable: bool) -> list[Any]:
    def losing() -> Any:
        receive("m", completable=completable)
        sleep("1h")

    def winning() -> str:
        sleep(10)
        return "won"

    won = race(lose=losing, win=winning).value
    return [won, receive("m", timeout=0).data]


@aio.workflow
async def alosing_messages(completable: bool) -> list[Any]:
    async def losing() -> Any:
        await aio.receive("m", completable=completable)
        await aio.sleep("1h")

    async def winning() -> str:
        await aio.sleep(10)
        return "won"

    won = (await aio.race(lose=losing, win=winning)).value
    return [won, (await aio.receive("m", timeout=0)).data]


@both(losing_messages, alosing_messages)
@pytest.mark.parametrize(("completable", "taken"), [(False, 2), (True, 1)])
def test_what_a_loser_consumed_stays_consumed_and_what_it_held_goes_back(
    lab: Lab, flow: Workflow[..., Any], completable: bool, taken: int
) -> None:
    """MS21 to its old place."""
    lab.start("r", flow, completable)
    lab.send("r", "m", 1)
    lab.send("r", "m", 2)

    assert lab.run_to_end("r") == ["won", taken]


@both(losing_messages, alosing_messages)
@pytest.mark.parametrize("completable", [False, True])
def test_a_loser_with_a_message_comes_through_a_crash_anywhere(flow: Workflow[..., Any], completable: bool) -> None:
    """MS21 at each side of each commit."""
    script = Script(
        "r",
        scripted(
            lambda lab: lab.start("r", flow, completable),
            lambda lab: lab.send("r", "m", 1, key="1"),
            lambda lab: lab.send("r", "m", 2, key="2"),
        ),
    )

    told = crash_everywhere(script)

    assert told.output[0] == "won"


@workflow
def loser_beside_a_waiter() -> dict[str, Any]:
    def losing() -> Any:
        receive("m", completable=True)
        sleep("1h")

    def racing() -> Any:
        race(lose=losing, win=lambda: sleep(10))

    def waiting() -> Any:
        sleep(1)
        return receive("m").data

    first = join(racing=racing, wait=waiting)
    return {"wait": first["wait"], "left": receive("m", timeout=0).data}


@aio.workflow
async def aloser_beside_a_waiter() -> dict[str, Any]:
    async def losing() -> Any:
        await aio.receive("m", completable=True)
        await aio.sleep("1h")

    async def racing() -> Any:
        await aio.race(lose=losing, win=lambda: aio.sleep(10))

    async def waiting() -> Any:
        await aio.sleep(1)
        return (await aio.receive("m")).data

    first = await aio.join(racing=racing, wait=waiting)
    return {"wait": first["wait"], "left": (await aio.receive("m", timeout=0)).data}


@both(loser_beside_a_waiter, aloser_beside_a_waiter)
def test_a_message_that_goes_back_is_taken_by_who_waits_for_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS21 I19 in the pass that decides the race; nothing else would wake it."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance(1)
    lab.run_once("r")
    lab.send("r", "m", 1)
    lab.send("r", "m", 2)

    output = lab.run_to_end("r")

    assert sorted(output.values()) == [1, 2]
