"""Messages: taken once, in order, together with their record.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowkit import (
    Message,
    ReceiveTimeout,
    Workflow,
    aio,
    join,
    receive,
    receive_batch,
    sleep,
    step,
    workflow,
)
from flowkit.drivers.base import BodyRef
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import at_most, atake, both, inbox, locations, note, quick_file, scripted, take

# --- one receive ----------------------------------------------------------------------------------------------------------


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


@both(two_takes, atwo_takes)
def test_taking_and_recording_are_one_commit_in_a_file_too(tmp_path: Path, flow: Workflow[..., Any]) -> None:
    """MS5 with SQLite below."""
    numbers = itertools.count()
    sends = [lambda lab, n=n: lab.send("r", "a", n, key=f"{n}") for n in (1, 2)]
    script = Script("r", scripted(lambda lab: lab.start("r", flow), *sends))

    told = crash_everywhere(script, lambda: quick_file(tmp_path / f"{next(numbers)}.db"), check=at_most(2))

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


@both(side_by_side, aside_by_side)
def test_branches_hand_completable_messages_on(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS12 MS10 those that wait take theirs when the one in hand is completed."""
    lab.start("r", flow, True)
    lab.run_once("r")
    for n in (1, 2, 3):
        lab.send("r", "m", n)

    output = lab.run_to_end("r")

    assert sorted(output.values()) == [1, 2, 3]


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
