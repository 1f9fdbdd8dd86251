"""Sending to other runs, recorded and delivered once; and requests, which wait for the answer.

Longer than 400 lines because every workflow is written twice, plain and async.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import (
    JoinError,
    PayloadError,
    PayloadTooLarge,
    RunCancelled,
    RunConflict,
    RunFailed,
    RunNotFound,
    Workflow,
    aio,
    join,
    receive,
    send,
    sleep,
    workflow,
)
from flowkit.testing import Lab, SimulatedCrash
from tests.crashing import Script, crash_everywhere
from tests.primitives.pairs import both, inbox, locations, note, ran, scripted, take
from tests.runtime.waiting import until

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


@both(desk, adesk)
def test_an_answer_that_was_given_stands_after_replay(lab: Lab, flow: Workflow[..., Any]) -> None:
    """MS19 RN25 the run takes the message again and completes it, and the sender keeps what it got."""
    run = lab.start("r", flow, "completes")
    first = run.request("ask", 1)

    run.replay()

    assert lab.run_to_end("r") == "completes"
    assert first == {"answer": (1, 42)}
