"""What a program does with an open database: start, wait, read, send."""

import threading
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import RunConflict, RunFailed, RunNotFound, WrongColour, aio, receive, sleep, step, workflow
from flowkit.client import Flowkit
from tests.runtime.waiting import until


@step
def double(number: int) -> int:
    return number * 2


@step
async def triple(number: int) -> int:
    return number * 3


@workflow
def doubled(number: int) -> int:
    return double(number)


@workflow
async def tripled(number: int) -> int:
    return await triple(number)


@workflow
def waits_for_go() -> str:
    return str(receive("go").data)


def test_a_plain_workflow_gives_its_result(fk: Flowkit) -> None:
    assert fk.run("r", doubled, 4) == 8


def test_an_async_workflow_gives_its_result(fk: Flowkit) -> None:
    assert fk.run("r", tripled, 4) == 12


def test_a_short_wait_is_sat_out_in_memory(fk: Flowkit) -> None:
    @workflow
    def naps() -> str:
        sleep(0.02)
        return "rested"

    run = fk.start("r", naps)

    assert run.result(timeout=5) == "rested"
    assert fk.driver.get("r").passes == 1


def test_a_run_that_waits_for_a_message_leaves_memory(fk: Flowkit) -> None:
    run = fk.start("r", waits_for_go)

    until(lambda: run.status() == "sleeping")
    until(lambda: fk.worker.held() == 0)

    run.send("go", "on")
    assert run.result(timeout=5) == "on"


def test_starting_an_id_twice_gives_the_same_run(fk: Flowkit) -> None:
    first = fk.start("r", doubled, 4)

    second = fk.start("r", doubled, 4)

    assert (first.created, second.created) == (True, False)
    assert second.result(timeout=5) == 8
    assert [item.id for item in fk.runs()] == ["r"]


def test_another_input_under_the_same_id_is_a_conflict(fk: Flowkit) -> None:
    fk.start("r", doubled, 4)

    with pytest.raises(RunConflict, match="another input"):
        fk.start("r", doubled, 5)


def test_another_workflow_under_the_same_id_is_a_conflict(fk: Flowkit) -> None:
    fk.start("r", doubled, 4)

    with pytest.raises(RunConflict, match="of workflow 'doubled'"):
        fk.start("r", tripled, 4)


def test_a_second_start_is_a_conflict_if_it_says_so(fk: Flowkit) -> None:
    fk.start("r", doubled, 4)

    with pytest.raises(RunConflict, match="exists already"):
        fk.start("r", doubled.options(if_exists="reject"), 4)


def test_many_runs_are_started_in_few_writes(fk: Flowkit) -> None:
    runs = fk.start_many((f"r-{number}", doubled, (number,)) for number in range(300))

    assert [run.result(timeout=8) for run in runs] == [2 * number for number in range(300)]


def test_a_bad_argument_among_many_starts_nothing(fk: Flowkit) -> None:
    with pytest.raises(TypeError):
        fk.start_many([("r-1", doubled, (1,)), ("r-2", doubled, (1, 2))])

    assert len(fk.runs()) == 0


def test_a_delayed_run_is_pending_until_it_is_due(fk: Flowkit) -> None:
    run = fk.start("r", doubled.options(delay="1h"), 4)

    assert run.status() == "pending"
    run.wake()
    run.cancel()
    assert run.status() == "cancelled"


def test_a_short_delay_passes(fk: Flowkit) -> None:
    assert fk.run("r", doubled.options(delay=0.05), 4) == 8


def test_tags_find_their_runs(fk: Flowkit) -> None:
    fk.start("r-1", doubled.options(tags=("vip",)), 4)
    fk.start("r-2", doubled, 4)

    assert [(item.id, item.tags) for item in fk.runs(tag="vip")] == [("r-1", ("vip",))]


def test_a_result_that_takes_too_long_is_a_timeout(fk: Flowkit) -> None:
    run = fk.start("r", waits_for_go)

    with pytest.raises(TimeoutError, match=r"has not ended after 0\.05 s"):
        run.result(timeout=0.05)


def test_the_run_list_comes_in_pages(fk: Flowkit) -> None:
    fk.start_many((f"r-{number}", waits_for_go.options(delay="1h"), ()) for number in range(5))

    first = fk.runs(limit=2)
    second = fk.runs(limit=2, after=first.next)
    third = fk.runs(limit=2, after=second.next)

    pages = [[item.id for item in page] for page in (first, second, third)]
    assert pages == [["r-4", "r-3"], ["r-2", "r-1"], ["r-0"]]
    assert third.next is None


@pytest.mark.parametrize("bad", [{"after": "7"}, {"limit": "7"}, {"limit": True}])
def test_a_page_is_asked_for_in_numbers(fk: Flowkit, bad: Any) -> None:
    """API section 6: text as `after` gave the first page again, for ever."""
    with pytest.raises(TypeError, match="whole number"):
        fk.runs(**bad)


BAD = [
    {"url": 7},
    {"url": b"orders.db"},
    {"on_error": 7},
    {"workflows": [7]},
    {"workflows": doubled},
    {"max_payload": "much"},
    {"concurrency": 0},
    {"durability": "none"},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_arguments_are_refused_before_anything_is_opened(path: Path, bad: Any) -> None:
    """API section 5: ValueError or TypeError, as anywhere in Python."""
    with pytest.raises((TypeError, ValueError)):
        flowkit.open(**{"url": path, **bad})

    assert list(path.parent.iterdir()) == []


def test_an_unknown_run_is_not_found(fk: Flowkit) -> None:
    with pytest.raises(RunNotFound):
        fk.get("nobody")
    with pytest.raises(RunNotFound):
        fk.send("nobody", "go")


def test_a_send_to_an_ended_run_is_a_conflict(fk: Flowkit) -> None:
    fk.run("r", doubled, 4)

    with pytest.raises(RunConflict, match="has ended, it is completed"):
        fk.send("r", "go")


@workflow
def answers() -> None:
    message = receive("question", completable=True)
    message.complete(message.data + 1)


def test_a_request_brings_the_answer(fk: Flowkit) -> None:
    run = fk.start("r", answers)

    assert run.request("question", 41, timeout=5) == 42


def test_an_answer_of_this_process_is_heard_of_without_looking_for_it(fk: Flowkit, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fk.start("r", answers)
    monkeypatch.setattr(fk.desk.bulletin, "look", 3_600.0)

    assert run.request("question", 41, timeout=5) == 42


def test_a_request_to_a_run_that_ends_silently_is_a_conflict(fk: Flowkit) -> None:
    run = fk.start("r", waits_for_go)
    until(lambda: run.status() == "sleeping")
    fk.send("r", "go", "on")

    with pytest.raises(RunConflict, match="ended"):
        run.request("question", timeout=5)


def test_a_failed_run_raises_what_it_recorded(fk: Flowkit) -> None:
    @workflow
    def breaks() -> None:
        raise LookupError("no such order")

    with pytest.raises(RunFailed, match="no such order") as caught:
        fk.run("r", breaks)

    assert caught.value.error == fk.get("r").error()
    assert (caught.value.type, caught.value.message) == ("LookupError", "no such order")
    assert 'raise LookupError("no such order")' in caught.value.traceback


def test_a_pure_client_leaves_the_work_to_others(path: Path) -> None:
    with flowkit.open(path, worker=False) as client:
        run = client.start("r", doubled, 4)
        assert run.status() == "pending"

        with flowkit.open(path):
            assert run.result(timeout=5) == 8


def test_watching_ends_with_the_run(fk: Flowkit) -> None:
    run = fk.start("r", waits_for_go)
    snapshots = run.watch()
    seen = [next(snapshots)]
    until(lambda: run.status() == "sleeping")
    run.send("go", "on")

    seen += snapshots

    assert seen[-1].status == "completed"
    assert {entry.location for snapshot in seen for entry in snapshot.entries} == {"go"}


def test_a_primitive_of_the_wrong_colour_fails_the_run(fk: Flowkit) -> None:
    @workflow
    async def plain_in_async() -> None:
        sleep(1)

    @workflow
    def async_in_plain() -> None:
        return aio.sleep(1)  # type: ignore[return-value]

    for name, mixed in (("r-1", plain_in_async), ("r-2", async_in_plain)):
        with pytest.raises(RunFailed, match="WrongColour"):
            fk.start(name, mixed).result(timeout=5)


def test_a_plain_step_in_an_async_workflow_names_aio(fk: Flowkit) -> None:
    @workflow
    async def mixed() -> int:
        return double(4)

    run = fk.start("r", mixed)

    with pytest.raises(RunFailed, match="WrongColour"):
        run.result(timeout=5)
    assert WrongColour.__name__ in run.error().type
    assert run.history() == []


def test_many_threads_may_wait_for_one_run(fk: Flowkit) -> None:
    run = fk.start("r", waits_for_go)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(run.result(timeout=5))) for _ in range(8)]
    for thread in threads:
        thread.start()

    run.send("go", "on")

    for thread in threads:
        thread.join(5)
    assert results == ["on"] * 8


def test_error_hooks_hear_of_the_run_once(path: Path) -> None:
    heard: list[object] = []

    @workflow
    def breaks() -> None:
        raise LookupError("no such order")

    with flowkit.open(path, on_error=heard.append) as fk, pytest.raises(RunFailed):
        fk.run("r", breaks)

    assert [type(event).__name__ for event in heard] == ["RunError"]
