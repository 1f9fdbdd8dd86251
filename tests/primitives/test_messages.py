"""Messages: taken once, in order, together with their record; completable ones stay until they are answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import (
    Break,
    FlowkitError,
    JoinError,
    Message,
    MessageNotCompleted,
    PayloadError,
    PayloadTooLarge,
    ReceiveTimeout,
    RunCancelled,
    RunConflict,
    RunFailed,
    RunNotFound,
    Workflow,
    aio,
    join,
    loop,
    race,
    receive,
    receive_batch,
    send,
    sleep,
    step,
    workflow,
)
from flowkit.drivers.base import BodyRef
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, both, locations, note, ran, scripted
from tests.runtime.waiting import until


@pytest.fixture(autouse=True)
def _nothing_ran() -> Iterator[None]:
    ran.clear()
    yield
    ran.clear()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


def inbox(lab: Lab, run: str = "r") -> list[str]:
    """The names of the messages that are in the run's inbox, in order."""
    row = lab.client.driver.get(run)
    assert row is not None
    return [message.name for message in lab.client.driver.inbox(row.seq, (), 1000)]


# --- one receive ----------------------------------------------------------------------------------------------------------


@workflow
def take(names: list[str], times: int = 1, timeout: float | None = None) -> list[Any]:
    return [receive(*names, timeout=timeout).data for _ in range(times)]


@aio.workflow
async def atake(names: list[str], times: int = 1, timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109 - of receive
    return [(await aio.receive(*names, timeout=timeout)).data for _ in range(times)]


@both(take, atake)
def test_a_waiting_receive_is_one_open_entry_with_its_deadline(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS1 and the run waits for its names."""
    lab.start("r", flow, ["a", "b"], timeout=60)

    made = lab.run_once("r")

    assert (made.status, made.wake_at, made.waiting_for) == ("sleeping", lab.now + 60, ["a", "b"])
    [entry] = lab.history("r")
    assert (entry.location, entry.kind, entry.status, entry.due_at) == ("receive", "message", "pending", lab.now + 60)


@both(take, atake)
def test_a_receive_of_one_name_is_named_after_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS1 and numbered where the name is used again."""
    lab.start("r", flow, ["a"], 3)
    lab.send("r", "a", 1)

    lab.run_once("r")

    assert locations(lab) == ["a", "a#2"]


@both(take, atake)
def test_a_receive_without_names_waits_for_any(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS1 LB5 shown as a star."""
    lab.start("r", flow, [])

    made = lab.run_once("r")
    lab.send("r", "whatever", 5)

    assert made.waiting_for == ["*"]
    assert lab.run_once("r").output == [5]


@workflow
def named_receive() -> list[Any]:
    return [receive("a", as_name="mine").data, *[m.data for m in receive_batch("a", count=2, as_name="more")]]


@aio.workflow
async def anamed_receive() -> list[Any]:
    first = await aio.receive("a", as_name="mine")
    return [first.data, *[m.data for m in await aio.receive_batch("a", count=2, as_name="more")]]


@both(named_receive, anamed_receive)
def test_as_name_names_the_entry(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS1 the message's own name stays what it is."""
    lab.start("r", flow)
    lab.send("r", "a", 1)
    lab.send("r", "a", 2)

    output = lab.run_to_end("r")

    assert output == [1, 2]
    assert locations(lab) == ["mine", "more"]


@both(take, atake)
def test_several_names_take_the_first_that_came(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS2 in inbox order, not in the order of the names; repeated names count once."""
    lab.start("r", flow, ["a", "b", "a"], 4)
    for name, data in (("b", 1), ("c", 2), ("a", 3), ("b", 4), ("a", 5)):
        lab.send("r", name, data)

    output = lab.run_to_end("r")

    assert output == [1, 3, 4, 5]
    assert inbox(lab) == ["c"]


@both(take, atake)
def test_no_names_take_any_in_order(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS2 MS3 first in, first out."""
    lab.start("r", flow, [], 3)
    for name, data in (("b", 1), ("a", 2), ("c", 3), ("d", 4)):
        lab.send("r", name, data)

    output = lab.run_to_end("r")

    assert output == [1, 2, 3]
    assert inbox(lab) == ["d"]


@both(take, atake)
def test_messages_sent_before_the_wait_are_kept_and_others_stay_in_place(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS3 the order is the inbox's, also when the clock went back."""
    lab.start("r", flow, ["a"], 2, 60)
    for name, data in (("x", 0), ("a", 1), ("y", 0), ("a", 2)):
        lab.send("r", name, data)
        lab.clock.set(lab.now - 100)

    output = lab.run_to_end("r")

    assert output == [1, 2]
    assert inbox(lab) == ["x", "y"]


@both(take, atake)
def test_a_message_that_nobody_waits_for_wakes_nobody(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS3 the run stays asleep."""
    lab.start("r", flow, ["a"])
    lab.run_once("r")
    lab.send("r", "other")

    row = lab.client.driver.get("r")
    made = lab.run_once("r")

    assert row is not None
    assert row.wake_at is None
    assert (made.status, made.waiting_for, inbox(lab)) == ("sleeping", ["a"], ["other"])


@both(take, atake)
def test_a_name_of_a_star_is_a_name_like_any_other(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS2 it takes its own messages only."""
    lab.start("r", flow, ["*"])
    lab.send("r", "a", 1)
    lab.send("r", "*", 2)

    assert lab.run_once("r").output == [2]


SENDERS: list[Any] = []


@step
def sending(*messages: tuple[str, int]) -> None:
    """Has another thread send, while the pass runs."""
    [lab] = SENDERS
    thread = threading.Thread(target=lambda: [lab.send("r", name, data) for name, data in messages])
    thread.start()
    thread.join()


@pytest.fixture
def sender(lab: Lab) -> Iterator[Lab]:
    SENDERS[:] = [lab]
    yield lab
    SENDERS.clear()


@workflow
def hearing() -> list[Any]:
    sending(("y", 1), ("x", 2), ("x", 3))
    first = [receive("x").data, receive().data, receive("x", "y").data]
    sending(("z", 4))
    return [*first, receive("z", timeout=0).data]


@aio.workflow
async def ahearing() -> list[Any]:
    await sending.aio(("y", 1), ("x", 2), ("x", 3))
    first = [(await aio.receive("x")).data, (await aio.receive()).data, (await aio.receive("x", "y")).data]
    await sending.aio(("z", 4))
    return [*first, (await aio.receive("z", timeout=0)).data]


@both(hearing, ahearing)
def test_a_message_sent_while_the_pass_runs_is_seen_by_it(sender: Lab, flow: Workflow[..., Any]) -> None:
    """MS4 MS2 and in inbox order, although a later one was read before."""
    sender.start("r", flow)

    made = sender.run_once("r")

    assert made.output == [2, 1, 3, 4]


@both(take, atake)
def test_more_messages_than_are_read_ahead_keep_their_order(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS3 with a wanted name behind 300 that nobody takes."""
    lab.start("r", flow, ["y", "x"], 3)
    for n in range(300):
        lab.send("r", "noise", n)
    for name, data in (("y", 1), ("x", 2), ("y", 3)):
        lab.send("r", name, data)

    assert lab.run_once("r").output == [1, 2, 3]


@workflow
def reading_on() -> list[Any]:
    return [receive("x").data, receive("x", "y").data, receive().data]


@aio.workflow
async def areading_on() -> list[Any]:
    return [(await aio.receive("x")).data, (await aio.receive("x", "y")).data, (await aio.receive()).data]


@both(reading_on, areading_on)
def test_what_was_read_by_chance_does_not_overtake(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS2 behind 300 others, the second x was read with the first, but y stands before it."""
    lab.start("r", flow)
    for n in range(300):
        lab.send("r", "noise", n)
    for name, data in (("y", 1), ("x", 2), ("x", 3)):
        lab.send("r", name, data)

    assert lab.run_once("r").output == [2, 1, 0]


@both(take, atake)
def test_five_hundred_messages_are_taken_in_order(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS3 more than are read at once."""
    lab.start("r", flow, ["m"], 500)
    for n in range(500):
        lab.send("r", "m", n)

    assert lab.run_once("r").output == list(range(500))


@workflow
def two_takes() -> list[Any]:
    first = receive("a").data
    note(first)
    second = receive("a", timeout=60).data
    note(second)
    return [first, second]


@aio.workflow
async def atwo_takes() -> list[Any]:
    first = (await aio.receive("a")).data
    await note.aio(first)
    second = (await aio.receive("a", timeout=60)).data
    await note.aio(second)
    return [first, second]


@both(two_takes, atwo_takes)
def test_taking_and_recording_are_one_commit(flow: Workflow[..., Any]) -> None:
    """MS5 a crash on either side neither loses nor doubles a message."""
    script = Script(
        "r",
        scripted(
            lambda lab: lab.start("r", flow),
            lambda lab: lab.send("r", "a", 1, key="1"),
            lambda lab: lab.run_once("r"),
            lambda lab: lab.send("r", "a", 2, key="2"),
        ),
    )

    told = crash_everywhere(script, check=at_most(2))

    assert told.output == [1, 2]


@both(take, atake)
def test_what_a_message_says_is_the_same_on_every_pass(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS5 ST3 data comes back as the type it was."""
    lab.start("r", flow, ["a"], 2)
    lab.send("r", "a", {"tags": {"x"}, 1: (2, 3)})
    lab.run_once("r")
    lab.send("r", "a", None)

    assert lab.run_once("r").output == [{"tags": {"x"}, 1: (2, 3)}, None]


# --- batches --------------------------------------------------------------------------------------------------------------


@workflow
def batch(count: int, timeout: float | None = None) -> list[list[Any]]:
    first = [message.data for message in receive_batch("a", count=count, timeout=timeout)]
    return [first, [message.data for message in receive_batch(count=count, timeout=timeout)]]


@aio.workflow
async def abatch(count: int, timeout: float | None = None) -> list[list[Any]]:  # noqa: ASYNC109 - of receive
    first = [message.data for message in await aio.receive_batch("a", count=count, timeout=timeout)]
    return [first, [message.data for message in await aio.receive_batch(count=count, timeout=timeout)]]


@both(batch, abatch)
def test_a_batch_does_not_wait_to_be_full(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS6 one is enough, and count is the most."""
    lab.start("r", flow, 2)
    waiting = lab.run_once("r").waiting_for
    lab.send("r", "a", 1)
    lab.run_once("r")
    for n in (2, 3, 4):
        lab.send("r", "b", n)

    output = lab.run_to_end("r")

    assert (waiting, output, inbox(lab)) == (["a"], [[1], [2, 3]], ["b"])


@both(batch, abatch)
def test_a_batch_of_hundreds_is_taken_in_one_commit(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS6 MS5 also where it is larger than what is read ahead."""
    lab.start("r", flow, 400)
    for n in range(500):
        lab.send("r", "a", n)
    before = lab.commits

    made = lab.run_once("r")

    assert made.output == [list(range(400)), list(range(400, 500))]
    assert lab.commits - before == 3


@both(batch, abatch)
@pytest.mark.parametrize("count", [0, -3])
def test_a_batch_of_nothing_is_a_value_error(lab: Lab, flow: Workflow[..., Any], count: int) -> None:
    """MS6 and nothing is recorded."""
    lab.start("r", flow, count)

    with pytest.raises(ValueError, match="count"):
        lab.run_to_end("r")

    assert lab.history("r") == []


@both(batch, abatch)
def test_batches_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS6 MS5 MS7 with a full one and an empty one."""
    sends = [lambda lab, n=n: lab.send("r", "a", n, key=f"{n}") for n in (1, 2, 3)]
    script = Script("r", scripted(lambda lab: lab.start("r", flow, 2, 60), *sends))

    told = crash_everywhere(script)

    assert told.output == [[1, 2], [3]]


# --- when time is up ------------------------------------------------------------------------------------------------------


@workflow
def timed_out() -> list[Any]:
    try:
        first = receive("a", timeout=60).data
    except ReceiveTimeout as error:
        first = str(error)
    second = receive_batch("a", count=3, timeout=60)
    sleep(60)
    return [first, second, receive("a").data]


@aio.workflow
async def atimed_out() -> list[Any]:
    try:
        first = (await aio.receive("a", timeout=60)).data
    except ReceiveTimeout as error:
        first = str(error)
    second = await aio.receive_batch("a", count=3, timeout=60)
    await aio.sleep(60)
    return [first, second, (await aio.receive("a")).data]


@both(timed_out, atimed_out)
def test_when_time_is_up_that_is_recorded(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS7 replay neither waits again nor takes a message that came later."""
    lab.start("r", flow)
    lab.run_once("r")
    lab.advance(60)
    lab.run_once("r")
    lab.advance(60)
    lab.run_once("r")
    lab.send("r", "a", 1)

    output = lab.run_to_end("r")

    assert output == ["no message of 'a' came in time", [], 1]
    assert [(e.location, e.status) for e in lab.history("r")] == [
        ("a", "failed"),
        ("a#2", "completed"),
        ("sleep", "completed"),
        ("a#3", "completed"),
    ]


@both(timed_out, atimed_out)
def test_timeouts_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS7 SL1 the stored deadlines hold."""
    minute = lambda lab: lab.advance(60)  # noqa: E731 - an act
    once = lambda lab: lab.run_once("r")  # noqa: E731 - an act
    acts = (lambda lab: lab.start("r", flow), once, minute, once, minute, once, lambda lab: lab.send("r", "a", 1, key="1"))

    told = crash_everywhere(Script("r", scripted(*acts, minute)))

    assert told.output == ["no message of 'a' came in time", [], 1]


@both(take, atake)
def test_an_unhandled_timeout_fails_the_run(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS7 with ReceiveTimeout."""
    lab.start("r", flow, ["a"], 1, 60)

    with pytest.raises(ReceiveTimeout, match="'a'"):
        lab.run_to_end("r")

    assert lab.get("r").status() == "failed"


@both(take, atake)
def test_after_recover_the_wait_begins_anew(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS7 RN15 with a new deadline."""
    lab.start("r", flow, ["a"], 1, 60)
    lab.run_once("r")
    lab.advance(60)
    lab.run_once("r")

    lab.get("r").recover()
    made = lab.run_once("r")
    lab.send("r", "a", 1)

    assert (made.status, made.wake_at) == ("sleeping", lab.now + 60)
    assert lab.run_to_end("r") == [1]


@both(take, atake)
@pytest.mark.parametrize(("sent_after", "status"), [(59, "completed"), (60, "completed"), (60.5, "failed")])
def test_what_counts_is_when_the_store_accepted_the_message(
    lab: Lab, flow: Workflow[..., Any], sent_after: float, status: str
) -> None:
    """MS8 the run wakes an hour later, and takes what came by the deadline only."""
    lab.start("r", flow, ["a"], 1, 60)
    lab.run_once("r")
    lab.advance(sent_after)
    lab.send("r", "a", 1)
    lab.advance("1h")

    assert lab.run_once("r").status == status


@both(batch, abatch)
def test_a_batch_leaves_what_came_after_its_deadline(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS8 for the next receive."""
    lab.start("r", flow, 5, 60)
    lab.run_once("r")
    lab.advance(60)
    lab.send("r", "a", 1)
    lab.advance(1)
    lab.send("r", "a", 2)
    lab.advance("1h")

    assert lab.run_once("r").output == [[1], [2]]


@both(take, atake)
def test_a_timeout_of_nothing_takes_what_is_there(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS9 whatever the clock said when it was sent."""
    lab.start("r", flow, ["a"], 2, 0)
    lab.send("r", "a", 1)
    lab.clock.set(lab.now - 3600)
    lab.send("r", "a", 2)
    lab.clock.set(lab.now - 3600)

    assert lab.run_once("r").output == [1, 2]


@both(take, atake)
def test_a_timeout_of_nothing_times_out_at_once(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS9 in that pass."""
    lab.start("r", flow, ["a"], 1, 0)

    assert lab.run_once("r").status == "failed"


@both(take, atake)
def test_a_negative_timeout_is_a_value_error(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS9 and no wait."""
    lab.start("r", flow, ["a"], 1, -1)

    with pytest.raises(ValueError, match="timeout"):
        lab.run_to_end("r")


# --- branches -------------------------------------------------------------------------------------------------------------


@workflow
def side_by_side(completable: bool = False) -> dict[str, Any]:
    def take_one() -> Any:
        message = receive("m", completable=completable, as_name="take")
        if completable:
            message.complete(message.data)
        return note(message.data)

    return join(one=take_one, two=take_one, three=take_one)


@aio.workflow
async def aside_by_side(completable: bool = False) -> dict[str, Any]:
    async def take_one() -> Any:
        message = await aio.receive("m", completable=completable, as_name="take")
        if completable:
            await message.complete(message.data)
        return await note.aio(message.data)

    return await aio.join(one=take_one, two=take_one, three=take_one)


def by_seq(lab: Lab) -> list[Any]:
    """The data that the receives took, in the order of their entries."""
    return [e.output.data for e in lab.history("r") if e.kind == "message"]


@both(side_by_side, aside_by_side)
def test_branches_that_find_messages_on_their_first_pass_take_different_ones(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS10 the earlier entry the earlier message."""
    lab.start("r", flow)
    for n in (1, 2, 3):
        lab.send("r", "m", n)

    lab.run_to_end("r")

    assert by_seq(lab) == [1, 2, 3]


@both(side_by_side, aside_by_side)
def test_branches_that_wait_and_are_woken_together_take_different_messages(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS10 on replay."""
    lab.start("r", flow)
    waiting = lab.run_once("r").waiting_for
    for n in (1, 2, 3):
        lab.send("r", "m", n)

    lab.run_once("r")

    assert (waiting, by_seq(lab)) == (["m"], [1, 2, 3])


@both(side_by_side, aside_by_side)
def test_branches_that_are_woken_one_by_one_go_by_the_order_of_their_entries(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS10 each message goes to the earliest entry that waits."""
    lab.start("r", flow)
    lab.run_once("r")
    taken = []
    for n in (1, 2, 3):
        lab.send("r", "m", n)
        lab.run_once("r")
        taken.append([e.output.data for e in lab.history("r") if e.kind == "message" and e.status == "completed"])

    assert taken == [[1], [1, 2], [1, 2, 3]]


@both(side_by_side, aside_by_side)
def test_branches_that_wait_for_one_name_come_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS10 MS5 each message is taken once. Which branch asks first is a race, so only what must hold is compared."""
    sends = [lambda lab, n=n: lab.send("r", "m", n, key=f"{n}") for n in (1, 2, 3)]
    acts = (lambda lab: lab.start("r", flow), lambda lab: lab.run_once("r"), *sends)

    def check(lab: Lab) -> None:
        assert by_seq(lab) == [1, 2, 3]
        assert inbox(lab) == []

    for k in range(1, 10):
        with Lab() as lab:
            _play_to_the_end(lab, acts, k)
            check(lab)
    at_most(100)(lab)


def _play_to_the_end(lab: Lab, acts: Any, k: int) -> None:
    lab.crash_at(k, "after")
    for act in (*acts, lambda lab: lab.run_to_end("r")):
        try:
            act(lab)
        except SimulatedCrash:
            act(lab)


@both(side_by_side, aside_by_side)
def test_a_hundred_rounds_of_branches_never_take_one_message_twice(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS10 I17 with messages there before the branches begin, which is when they race."""
    outputs = []
    for n in range(100):
        lab.start(f"r{n}", flow)
        for data in (1, 2, 3):
            lab.send(f"r{n}", "m", data)
        outputs.append(sorted(lab.run_to_end(f"r{n}").values()))

    assert outputs == [[1, 2, 3]] * 100


@workflow
def picky() -> dict[str, Any]:
    return join(a=lambda: receive("a", "b").data, b=lambda: receive("b").data, any=lambda: receive().data)


@aio.workflow
async def apicky() -> dict[str, Any]:
    async def one(*names: str) -> Any:
        return (await aio.receive(*names)).data

    return await aio.join(a=lambda: one("a", "b"), b=lambda: one("b"), any=lambda: one())


@both(picky, apicky)
def test_branches_with_different_names_leave_each_other_theirs(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS10 MS2 whatever the order in which they began to wait."""
    lab.start("r", flow)
    waiting = lab.run_once("r").waiting_for
    lab.send("r", "z", 1)
    lab.run_once("r")
    lab.send("r", "a", 2)
    lab.run_once("r")
    lab.send("r", "b", 3)

    assert waiting == ["*"]
    assert lab.run_to_end("r") == {"a": 2, "b": 3, "any": 1}


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
    message_id = lab.client.deliver("r", "ask", 1, key=None, reply=True)
    lab.run_once("r")
    lab.advance(60)
    lab.crash_at(1, "after")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    assert inbox(lab) == []
    assert lab.client.get("r").answer(message_id, "ask", timeout=0) == {"got": 1}


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


@both(side_by_side, aside_by_side)
def test_branches_hand_completable_messages_on(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 MS10 those that wait take theirs when the one in hand is completed."""
    lab.start("r", flow, True)
    lab.run_once("r")
    for n in (1, 2, 3):
        lab.send("r", "m", n)

    output = lab.run_to_end("r")

    assert sorted(output.values()) == [1, 2, 3]


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
    message_id = lab.client.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == ["FlowkitError"]
    assert lab.client.get("r").answer(message_id, "m", timeout=0) == 1


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
    message_id = lab.client.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == "$"
    assert lab.client.get("r").answer(message_id, "m", timeout=0) == "well"


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
    gate = threading.Event()

    def losing() -> None:
        note("in")
        gate.wait(5)
        try:
            message.complete("from the loser")
        finally:
            ran.append("tried")

    winner = race(lose=losing, win=lambda: note("won"))
    gate.set()
    until(lambda: "tried" in ran)
    message.complete("from the run")
    return [winner.name]


def test_a_race_loser_cannot_complete_a_message_of_the_run(lab: Lab) -> None:
    """MS14 MS21 its scope is closed, and what it does is dropped."""
    lab.start("r", loser_completes)
    message_id = lab.client.deliver("r", "m", 0, key=None, reply=True)

    output = lab.run_to_end("r")

    assert output == ["win"]
    assert lab.client.get("r").answer(message_id, "m", timeout=0) == "from the run"


# --- sending --------------------------------------------------------------------------------------------------------------


@workflow
def telling(to: str, times: int = 1, key: str | None = None) -> list[str]:
    said = []
    for n in range(times):
        try:
            send(to, "news", n, key=key)
        except (RunNotFound, RunConflict) as error:
            said.append(type(error).__name__)
    sleep(60)
    return said


@aio.workflow
async def atelling(to: str, times: int = 1, key: str | None = None) -> list[str]:
    said = []
    for n in range(times):
        try:
            await aio.send(to, "news", n, key=key)
        except (RunNotFound, RunConflict) as error:
            said.append(type(error).__name__)
    await aio.sleep(60)
    return said


@both(telling, atelling)
def test_a_send_is_an_entry_and_replay_does_not_send_again(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS15 once in the inbox after two passes."""
    lab.start("to", take, ["other"])
    lab.start("r", flow, "to")

    lab.run_to_end("r")

    assert inbox(lab, "to") == ["news"]
    assert next((e.location, e.kind, e.status) for e in lab.history("r")) == ("news", "send", "completed")


@both(telling, atelling)
def test_message_wake_and_entry_are_one_commit(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS15 the receiver is due at once."""
    lab.start("to", take, ["news"])
    lab.run_once("to")
    lab.start("r", flow, "to")
    lab.crash_at(1, "after")

    with pytest.raises(SimulatedCrash):
        lab.run_once("r")

    row = lab.client.driver.get("to")
    assert row is not None
    assert (row.wake_at, inbox(lab, "to"), locations(lab)) == (lab.now, ["news"], ["news"])


@both(telling, atelling)
def test_a_send_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS15 MS16 the receiver gets each once."""
    script = Script(
        "to",
        (
            lambda lab: lab.start("to", take, ["news"], 3),
            lambda lab: lab.start("r", flow, "to", 3),
            lambda lab: lab.run_to_end("r"),
            lambda lab: lab.run_to_end("to"),
        ),
    )

    def check(lab: Lab) -> None:
        assert inbox(lab, "to") == []

    told = crash_everywhere(script, check=check)

    assert told.output == [0, 1, 2]


def letters(lab: Lab, run: str) -> list[str]:
    """The ids of the messages in the run's inbox."""
    row = lab.client.driver.get(run)
    assert row is not None
    return [message.id for message in lab.client.driver.inbox(row.seq, (), 1000)]


@both(telling, atelling)
def test_a_send_that_runs_again_after_replay_is_a_new_message(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS16 with an id of its own."""
    lab.start("to", take, ["other"])
    lab.start("r", flow, "to")
    lab.run_to_end("r")

    lab.get("r").replay()
    lab.run_to_end("r")

    assert inbox(lab, "to") == ["news", "news"]
    assert len(set(letters(lab, "to"))) == 2


@workflow
def telling_late(to: str) -> None:
    send(to, "news")


@aio.workflow
async def atelling_late(to: str) -> None:
    await aio.send(to, "news")


@both(telling_late, atelling_late)
def test_a_send_that_failed_is_sent_after_recover(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS16 MS17 once the receiver exists."""
    lab.start("r", flow, "to")
    failed = lab.run_once("r")
    lab.start("to", take, ["other"])

    lab.get("r").recover()
    lab.run_to_end("r")

    assert isinstance(failed.error, RunNotFound)
    assert inbox(lab, "to") == ["news"]


@both(telling, atelling)
def test_a_send_to_an_unknown_run_is_a_recorded_failure(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS17 recalled, though the run exists by then."""
    lab.start("r", flow, "nobody", 2)
    lab.run_once("r")
    lab.start("nobody", take, ["news"])

    output = lab.run_to_end("r")

    assert output == ["RunNotFound", "RunNotFound"]
    assert [(e.location, e.status) for e in lab.history("r")][:2] == [("news", "failed"), ("news#2", "failed")]
    assert inbox(lab, "nobody") == []


@both(telling, atelling)
def test_a_send_to_a_run_that_has_ended_is_a_recorded_failure(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS17 RunConflict."""
    lab.start("over", take, [], 0)
    lab.run_to_end("over")
    lab.start("r", flow, "over")

    assert lab.run_to_end("r") == ["RunConflict"]


@both(telling, atelling)
@pytest.mark.parametrize("receiver", ["nobody", "over"])
def test_a_refused_send_comes_through_a_crash_anywhere(flow: Workflow[..., Any], receiver: str) -> None:
    """MS17 it is never recorded as sent."""
    script = Script(
        "r",
        scripted(
            lambda lab: lab.start("over", take, [], 0),
            lambda lab: lab.run_to_end("over"),
            lambda lab: lab.start("r", flow, receiver, 2),
        ),
    )

    told = crash_everywhere(script)

    assert len(told.output) == 2


@workflow
def telling_all() -> dict[str, Any]:
    return join(good=lambda: send("to", "news"), bad=lambda: send("nobody", "news"), note=lambda: note("x"))  # type: ignore[func-returns-value]  # None


@aio.workflow
async def atelling_all() -> dict[str, Any]:
    return await aio.join(good=lambda: aio.send("to", "news"), bad=lambda: aio.send("nobody", "news"), note=lambda: note.aio("x"))


@both(telling_all, atelling_all)
def test_a_refused_send_takes_nothing_of_its_siblings_with_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS17 I21 what rode in the same commit lands."""
    lab.start("to", take, ["other"])
    lab.start("r", flow)

    with pytest.raises(JoinError) as caught:
        lab.run_to_end("r")

    assert {name: type(error) for name, error in caught.value.errors.items()} == {"bad": RunNotFound}
    assert (inbox(lab, "to"), ran) == (["news"], ["x"])
    assert sorted((e.location, e.status) for e in lab.history("r") if "/" in e.location) == [
        ("join/bad/news", "failed"),
        ("join/good/news", "completed"),
        ("join/note/note", "completed"),
    ]


@both(telling, atelling)
def test_runs_that_sleep_or_are_paused_accept_messages(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS17 and take them when they go on."""
    lab.start("to", take, ["news"])
    lab.run_once("to")
    lab.get("to").pause()
    lab.start("r", flow, "to")
    lab.run_to_end("r")

    paused = lab.run_once("to").status
    lab.get("to").resume()

    assert paused == "paused"
    assert lab.run_to_end("to") == [0]


@workflow(name="take")
def misfit(names: list[str], times: int = 1, timeout: float | None = None) -> list[Any]:
    note("new")
    return [receive(*names).data]


@both(telling, atelling)
def test_runs_that_are_blocked_accept_messages(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS17 and take them once the code fits."""
    lab.start("to", take, ["news"])
    lab.run_once("to")
    blocked = lab.run_once("to", workflow=misfit).status
    lab.start("r", flow, "to")

    lab.run_to_end("r")

    assert blocked == "blocked"
    assert lab.run_to_end("to", workflow=take) == [0]


@workflow
def monologue() -> list[Any]:
    send("r", "self", 1)
    first = receive("self", timeout=0).data
    talk = join(say=lambda: send("r", "self", 2), hear=lambda: receive("self", timeout=60).data)  # type: ignore[func-returns-value]  # None
    return [first, talk["hear"]]


@aio.workflow
async def amonologue() -> list[Any]:
    async def hear() -> Any:
        return (await aio.receive("self", timeout=60)).data

    await aio.send("r", "self", 1)
    first = (await aio.receive("self", timeout=0)).data
    talk = await aio.join(say=lambda: aio.send("r", "self", 2), hear=hear)
    return [first, talk["hear"]]


@both(monologue, amonologue)
def test_a_run_may_send_to_itself(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS4 MS15 and hears it in the same pass."""
    lab.start("r", flow)

    assert lab.run_once("r").output == [1, 2]


@both(monologue, amonologue)
def test_sending_to_itself_comes_through_a_crash_anywhere(flow: Workflow[..., Any]) -> None:
    """MS15 MS5 each message once."""
    told = crash_everywhere(Script("r", scripted(lambda lab: lab.start("r", flow))))

    assert told.output == [1, 2]


@both(telling, atelling)
def test_one_key_is_delivered_once_whoever_sends_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS18 also after the first was taken, and after replay()."""
    lab.start("to", take, ["news"], 2)
    lab.send("to", "news", "first", key="k")
    lab.run_once("to")
    lab.start("r", flow, "to", 2, "k")

    lab.run_to_end("r")
    lab.get("r").replay()
    lab.run_to_end("r")
    lab.send("to", "news", "again", key="k")

    assert inbox(lab, "to") == []
    assert lab.run_once("to").status == "sleeping"


@both(telling, atelling)
def test_one_key_to_two_runs_is_two_messages(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS18 keys are the receiver's."""
    lab.start("to", take, ["other"])
    lab.start("too", take, ["other"])
    lab.send("too", "news", key="k")
    lab.start("r", flow, "to", 1, "k")

    lab.run_to_end("r")

    assert (inbox(lab, "to"), inbox(lab, "too")) == (["news"], ["news"])


@workflow
def telling_too_much(size: int) -> list[str]:
    said = []
    for data in (object(), "x" * size):
        try:
            send("r", "news", data)
        except PayloadError as error:
            said.append(type(error).__name__)
    return said


@aio.workflow
async def atelling_too_much(size: int) -> list[str]:
    said = []
    for data in (object(), "x" * size):
        try:
            await aio.send("r", "news", data)
        except PayloadError as error:
            said.append(type(error).__name__)
    return said


@both(telling_too_much, atelling_too_much)
def test_what_cannot_be_stored_is_not_sent(flow: Workflow[..., Any]) -> None:
    """MS15 DB7 checked before anything is written."""
    with Lab(max_payload=1000) as lab:
        lab.start("r", flow, 2000)

        output = lab.run_to_end("r")

        assert output == ["PayloadError", "PayloadTooLarge"]
        assert inbox(lab) == []


def test_a_client_cannot_send_what_cannot_be_stored() -> None:
    """MS15 DB7 at the edge too."""
    with Lab(max_payload=1000) as lab:
        lab.start("r", take, ["a"])

        with pytest.raises(PayloadTooLarge):
            lab.send("r", "a", "x" * 2000)

        assert inbox(lab) == []


def test_a_client_that_sends_to_nobody_is_told() -> None:
    """MS17 unknown, and ended."""
    with Lab() as lab:
        lab.start("r", take, [], 0)
        lab.run_to_end("r")

        with pytest.raises(RunNotFound, match="nobody"):
            lab.send("nobody", "a")
        with pytest.raises(RunConflict, match="ended"):
            lab.send("r", "a")


# --- requests -------------------------------------------------------------------------------------------------------------


@workflow
def desk(how: str) -> str:
    message = receive("ask", completable=how != "plainly")
    if how == "completes":
        message.complete({"answer": (message.data, 42)})
    if how == "fails":
        raise ValueError("no desk")
    if how == "sleeps":
        sleep(60)
        message.complete("late")
    return how


@aio.workflow
async def adesk(how: str) -> str:
    message = await aio.receive("ask", completable=how != "plainly")
    if how == "completes":
        await message.complete({"answer": (message.data, 42)})
    if how == "fails":
        raise ValueError("no desk")
    if how == "sleeps":
        await aio.sleep(60)
        await message.complete("late")
    return how


@both(desk, adesk)
def test_a_request_returns_the_decoded_response(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS19 tuples and all."""
    run = lab.start("r", flow, "completes")

    assert run.request("ask", 1) == {"answer": (1, 42)}


@both(desk, adesk)
def test_a_request_that_is_taken_by_a_plain_receive_is_answered_with_none(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS19 at once."""
    run = lab.start("r", flow, "plainly")

    assert run.request("ask", 1) is None


@both(desk, adesk)
def test_a_request_whose_time_is_up_stays_sent(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS20 TimeoutError, the builtin."""
    run = lab.start("r", flow, "sleeps")

    with pytest.raises(TimeoutError, match="stays sent"):
        run.request("ask", 1, timeout=0)

    assert inbox(lab) == ["ask"]
    assert lab.run_to_end("r") == "sleeps"


@both(desk, adesk)
@pytest.mark.parametrize(("how", "error"), [("fails", RunFailed), ("returns", RunConflict)])
def test_a_request_to_a_run_that_ends_without_answering_says_how_it_ended(
    lab: Lab, flow: Workflow[..., Any], how: str, error: type[Exception]
) -> None:
    """MS20 failed, or just ended."""
    run = lab.start("r", flow, how)

    with pytest.raises(error):
        run.request("ask", 1)


@both(desk, adesk)
def test_a_request_to_a_run_that_is_cancelled_says_so(tmp_path: Path, flow: Workflow[..., Any]) -> None:
    """MS20 RunCancelled, as soon as it is."""
    with flowkit.open(tmp_path / "x.db") as fk:
        run = fk.start("r", flow, "sleeps")
        caught: list[BaseException] = []

        def asking() -> None:
            try:
                run.request("ask", 1, timeout=5)
            except RunCancelled as error:
                caught.append(error)

        thread = threading.Thread(target=asking)
        thread.start()
        until(lambda: [e for e in run.history() if e.kind == "sleep"])
        run.cancel()
        thread.join(5)

        assert len(caught) == 1


def test_a_request_is_answered_by_a_real_worker(tmp_path: Path) -> None:
    """MS19 MS4 from another thread, both colours side by side."""
    with flowkit.open(tmp_path / "x.db") as fk:
        runs = [fk.start("p", desk, "completes"), fk.start("a", adesk, "completes")]

        answers = [run.request("ask", n, timeout=5) for n, run in enumerate(runs)]

        assert answers == [{"answer": (0, 42)}, {"answer": (1, 42)}]


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


# --- replay ---------------------------------------------------------------------------------------------------------------


@both(two_takes, atwo_takes)
def test_replay_puts_messages_back_in_their_places(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS3 RN25 before those that came later."""
    lab.start("r", flow)
    for n in (1, 2, 3):
        lab.send("r", "a", n)
    lab.run_once("r")

    lab.get("r").replay("note")
    output = lab.run_to_end("r")

    assert output == [1, 2]
    assert inbox(lab) == ["a"]


@both(desk, adesk)
def test_an_answer_that_was_given_stands_after_replay(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS19 RN25 the run takes the message again and completes it, and the sender keeps what it got."""
    run = lab.start("r", flow, "completes")
    first = run.request("ask", 1)

    run.replay()

    assert lab.run_to_end("r") == "completes"
    assert first == {"answer": (1, 42)}


def test_a_message_says_who_it_is(lab: Lab) -> None:
    """MS1 in the history, too."""
    lab.start("r", take, ["a"])
    lab.send("r", "a", 1)
    lab.run_once("r")

    message = lab.history("r")[0].output

    assert isinstance(message, Message)
    assert (message.name, message.data, message.sent_at) == ("a", 1, lab.now)
    row = lab.client.driver.get("r")
    assert row is not None
    assert lab.client.driver.body(BodyRef(run=row.seq, field="reply", message_id=message.id)) is None
