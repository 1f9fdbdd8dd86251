"""The PostgreSQL driver behind its port: forking, groups, messages, texts, and how many statements they take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from flowkit.core.change import Outgoing
from flowkit.core.entry import Entry
from flowkit.drivers.base import (
    Done,
    Duplicate,
    GuardFailed,
    Lost,
    RunQuery,
    Send,
    Sent,
    Steer,
    Undeliverable,
)
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.postgres_columns import Columns
from flowkit.errors import StoreError
from tests.drivers.pg import NOW, execute, new_start, owned, step
from tests.postgres.server import NEWEST, emptied_database


@pytest.fixture
def url() -> str:
    """A database without a row."""
    return emptied_database(NEWEST)


@pytest.fixture
def driver(url: str) -> Iterator[PostgresDriver]:
    opened = PostgresDriver(url, "process")
    yield opened
    opened.close()


# --- forking ----------------------------------------------------------------------------------------------------------------


def test_a_forked_child_is_refused_and_leaves_the_parents_connections_alone(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "r")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # it must leave without running the tests' own endings
        try:
            driver.get("r")
        except StoreError as error:
            os.write(writing, str(error).encode())
        driver.close()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)

    assert b"opened before fork()" in os.read(reading, 1_000)
    assert isinstance(driver.write([step(run)], NOW)[0], Done)
    os.close(reading)


# --- groups -----------------------------------------------------------------------------------------------------------------


def test_what_was_lost_does_not_disturb_the_rest_of_a_group(driver: PostgresDriver) -> None:
    first, second, third = owned(driver, "a", "b", "c")

    results = driver.write([step(first), step(second, epoch=7), step(third), step(4_711)], NOW)

    assert [type(result) for result in results] == [Done, Lost, Done, Lost]
    assert results[1] == Lost(epoch=1, head=0)
    assert [len(driver.history(run)) for run in (first, second, third)] == [1, 0, 1]


@pytest.mark.parametrize(
    "guilty",
    [
        {"set": [Entry(seq=9, location="x", kind="step", status="completed", settled_at=NOW)]},
        {"consume": [1]},
        {"rolled_back": [5]},
        {"add": [Entry(seq=1, location="x", kind="step", status="completed", settled_at=NOW)] * 2},
    ],
)
def test_a_guard_that_does_not_hold_undoes_the_whole_group(driver: PostgresDriver, guilty: dict[str, Any]) -> None:
    first, second = owned(driver, "a", "b")

    with pytest.raises(GuardFailed):
        driver.write([step(first), step(second, **guilty)], NOW)

    assert [driver.history(run) for run in (first, second)] == [[], []]
    assert [row.head for row in driver.runs(RunQuery())] == [0, 0]


def test_a_batch_of_everything_keeps_its_order(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "a")
    send = Outgoing(to="b", message_id="m1", name="m", body=b"1")

    results = driver.write(
        [
            new_start("b"), new_start("a", token="other"), step(run), step(run, head=1, seq=2, sends=[send]),
            Send(to="b", message_id="m2", name="m", body=b"2"), Steer(run="b", verb="pause", op="p"), step(run, head=2, seq=3),
        ],
        NOW,
    )  # fmt: skip

    names = [type(result).__name__ for result in results]
    assert names == ["Started", "Exists", "Done", "Done", "Sent", "Steered", "Done"]
    assert results[4] == Sent(number=2)
    row = driver.get("b")
    assert row is not None
    assert (row.status, row.inbox) == ("paused", 2)


def test_a_change_whose_message_has_no_receiver_writes_nothing(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "a")
    send = Outgoing(to="nobody", message_id="m1", name="m", body=b"1")

    (result,) = driver.write([step(run, sends=[send])], NOW)

    assert result == Undeliverable(to="nobody", why="missing")
    assert driver.history(run) == []


@pytest.mark.timeout(60)
def test_runs_that_send_to_each_other_at_once_do_not_stop(url: str) -> None:
    drivers = [PostgresDriver(url, "process") for _ in range(2)]
    runs = {0: owned(drivers[0], "a"), 1: owned(drivers[1], "b")}
    barrier = threading.Barrier(2)

    def send(side: int) -> list[object]:
        found: list[object] = []
        for n in range(60):
            message = Outgoing(to="ba"[side], message_id=f"{side}-{n}", name="m", body=b"1")
            barrier.wait(10)
            found += drivers[side].write([step(runs[side][0], head=n, seq=n + 1, sends=[message])], NOW)
        return found

    with ThreadPoolExecutor(2) as pool:
        results = [result for found in pool.map(send, (0, 1)) for result in found]

    assert {type(result) for result in results} == {Done}
    assert [row.inbox for row in drivers[0].runs(RunQuery())] == [60, 60]
    for each in drivers:
        each.close()


# --- texts ------------------------------------------------------------------------------------------------------------------


def test_bodies_come_back_byte_by_byte(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "a")
    bodies = [b"a\0b", b"\xff\xfe", "NFC é, NFD é, 💶".encode(), b"base64:x", b'{"a": "\\u0000"}', b'{"\\\\, NULL}', b""]
    entries = [
        Entry(seq=n, location=f"s{n}", kind="step", status="completed", settled_at=NOW, output=body, args=body)
        for n, body in enumerate(bodies, 1)
    ]

    driver.write([step(run, seq=len(bodies), add=entries)], NOW)

    view = driver.load(run)
    assert view is not None
    assert [entry.output for entry in view.entries] == bodies


def test_a_nul_in_the_text_of_an_error_is_shown_and_stops_nothing(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "a")

    (result,) = driver.write([step(run, error_line="bad\0byte")], NOW)

    row = driver.get("a")
    assert isinstance(result, Done)
    assert row is not None
    assert row.error_line == "bad\u2400byte"


def test_a_nul_in_one_text_of_a_group_leaves_the_other_texts_alone(driver: PostgresDriver) -> None:
    runs = owned(driver, "a", "b", "c")

    driver.write([step(run, error_line=line) for run, line in zip(runs, ['"a"', "bad\0byte", "c\\"], strict=True)], NOW)

    assert execute(driver, "SELECT error_line FROM runs ORDER BY seq") == [('"a"',), ("bad\u2400byte",), ("c\\",)]


AWKWARD = ("", "NULL", "null", "a,b", "{}", '"', "\\", '\\"', " x ", "\n", "\t", "\x01", "💶", "a\\0", "'")


@pytest.mark.parametrize("values", [AWKWARD, (*AWKWARD, None), (None, None), ("x",)], ids=["full", "gaps", "none", "one"])
def test_texts_travel_as_they_are(driver: PostgresDriver, values: tuple[str | None, ...]) -> None:
    columns = Columns("x", {"n": "int8", "value": "text"})

    with driver.connections.reading() as hand:
        sent = columns.values(list(enumerate(values)))
        found = hand.own(f"SELECT value FROM {columns.source} ORDER BY n".encode(), sent).fetchall()

    assert tuple(row[0] for row in found) == values


@pytest.mark.parametrize(
    ("type", "values"),
    [
        ("int8", (0, -1, None, 2**63 - 1, -(2**63))),
        ("float8", (0.1, None, 1e300, -5e-324, float("inf"), 1_700_000_000.1234567)),
        ("bool", (True, None, False)),
    ],
)
def test_numbers_and_truths_travel_as_they_are(
    driver: PostgresDriver, type: str, values: tuple[float | bool | None, ...]
) -> None:
    columns = Columns("x", {"n": "int8", "value": type})

    with driver.connections.reading() as hand:
        sent = columns.values(list(enumerate(values)))
        found = hand.own(f"SELECT value FROM {columns.source} ORDER BY n".encode(), sent).fetchall()

    assert tuple(row[0] for row in found) == values


def test_what_holds_a_nul_is_not_found(driver: PostgresDriver) -> None:
    owned(driver, "a")

    assert driver.get("a\0") is None
    assert driver.runs(RunQuery(id_prefix="a\0")) == []
    assert driver.runs(RunQuery(tag="\0")) == []
    assert driver.runs(RunQuery(error="\0", workflow="w")) == []


def test_an_instant_comes_back_as_exactly_the_number_that_was_written(driver: PostgresDriver) -> None:
    instant = 1_700_000_000.1234567 + 1e-7

    driver.write([new_start(start_at=instant)], NOW)

    row = driver.get("r")
    assert row is not None
    assert row.start_at == instant


# --- views ------------------------------------------------------------------------------------------------------------------


def test_the_views_show_dates(driver: PostgresDriver) -> None:
    (run,) = owned(driver, "a")
    driver.write([step(run)], NOW)

    ((id, year),) = execute(driver, "SELECT id, extract(year FROM created_at)::int FROM runs_view")
    ((location, seconds),) = execute(driver, "SELECT location, seconds FROM history_view")

    assert (id, year, location) == ("a", 2023, "s1")
    assert seconds is not None


# --- messages ---------------------------------------------------------------------------------------------------------------


def test_of_senders_that_use_one_key_at_once_one_is_first(url: str) -> None:
    drivers = [PostgresDriver(url, "process") for _ in range(2)]
    drivers[0].write([new_start()], NOW)
    barrier = threading.Barrier(2)

    def deliver(side: int) -> list[object]:
        found: list[object] = []
        for n in range(40):
            barrier.wait(10)
            found += drivers[side].write([Send(to="r", message_id=f"{side}-{n}", name="m", body=b"1", key=f"k{n}")], NOW)
        return found

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(deliver, (0, 1))

    assert [{type(first), type(second)} for first, second in zip(one, two, strict=True)] == [{Sent, Duplicate}] * 40
    row = drivers[0].get("r")
    assert row is not None
    assert row.inbox == 40
    for each in drivers:
        each.close()


def test_messages_to_many_runs_are_one_statement(driver: PostgresDriver) -> None:
    driver.write([new_start(f"r{n}") for n in range(50)], NOW)
    before = driver.statements

    results = driver.write([Send(to=f"r{n}", message_id=f"m{n}", name="m", body=b"1") for n in range(50)], NOW)

    assert results == [Sent(number=1)] * 50
    assert driver.statements - before <= 1 + 2  # the bell's and a look of the news may come in between


def test_messages_of_one_id_to_two_runs_arrive_at_both(driver: PostgresDriver) -> None:
    driver.write([new_start("a"), new_start("b")], NOW)

    results = driver.write([Send(to=to, message_id="same", name="m", body=to.encode()) for to in "ab"], NOW)

    assert results == [Sent(number=1)] * 2
    assert [message.body for run in (1, 2) for message in driver.inbox(run, (), 9)] == [b"a", b"b"]


def test_what_a_handle_commits_is_no_news_to_itself_not_even_the_first(driver: PostgresDriver) -> None:
    while driver.wait(0):
        pass

    driver.write([new_start()], NOW)

    assert not driver.wait(0.3)


def test_what_another_handle_commits_is_news(url: str, driver: PostgresDriver) -> None:
    while driver.wait(0):
        pass
    with closing(PostgresDriver(url)) as other:
        other.write([new_start()], NOW)

        assert driver.wait(5)


# --- what a Change sends ----------------------------------------------------------------------------------------------------


def outgoing(to: str, id: str = "m", **fields: Any) -> Outgoing:
    return Outgoing(to=to, message_id=id, name="n", body=b"1", **fields)


def test_a_step_that_sends_is_one_statement_if_all_its_messages_simply_arrive(driver: PostgresDriver) -> None:
    run, one, two = owned(driver, "a", "b", "c")
    link = driver.connections.writer.link
    assert link is not None
    before = link.statements

    results = driver.write([step(run, sends=[outgoing("b", "m1", key="k"), outgoing("c", "m2", sender="a")])], NOW)

    assert link.statements - before == 1
    assert isinstance(results[0], Done)
    assert [(each.id, each.seq, each.name) for each in driver.inbox(one, (), 9)] == [("m1", 1, "n")]
    assert [(each.id, each.seq, each.sender) for each in driver.inbox(two, (), 9)] == [("m2", 1, "a")]
    assert execute(driver, "SELECT wake_at FROM runs WHERE id IN ('b', 'c')") == [(NOW,), (NOW,)]
    assert driver.write([Send(to="b", message_id="m3", name="n", body=b"1", key="k")], NOW) == [Duplicate(first="m1")]


def test_a_message_whose_key_is_known_is_not_sent_again_and_the_step_is_written(driver: PostgresDriver) -> None:
    run, one = owned(driver, "a", "b")
    driver.write([step(run, sends=[outgoing("b", "m1", key="k")])], NOW)

    results = driver.write([step(run, head=1, seq=2, sends=[outgoing("b", "m2", key="k")])], NOW)

    assert isinstance(results[0], Done)
    assert [each.id for each in driver.inbox(one, (), 9)] == ["m1"]
    assert len(driver.history(run)) == 2


def test_a_step_that_sends_and_was_lost_delivers_nothing(driver: PostgresDriver) -> None:
    run, one = owned(driver, "a", "b")

    assert driver.write([step(run, epoch=7, sends=[outgoing("b")])], NOW) == [Lost(epoch=1, head=0)]
    assert driver.inbox(one, (), 9) == []


def test_two_steps_that_use_one_key_at_once_are_both_written_and_one_message_arrives(url: str, driver: PostgresDriver) -> None:
    first, second, _ = owned(driver, "a", "b", "c")
    with closing(PostgresDriver(url, "process")) as other, ThreadPoolExecutor(2) as pool:
        for turn in range(40):
            barrier = threading.Barrier(2)

            def send(mine: PostgresDriver, run: int, turn: int = turn, barrier: threading.Barrier = barrier) -> Any:
                change = step(run, head=turn, seq=turn + 1, sends=[outgoing("c", f"{run}-{turn}", key=f"k{turn}")])
                barrier.wait(10)
                return mine.write([change], NOW)[0]

            results = list(pool.map(send, (driver, other), (first, second)))
            assert [type(result) for result in results] == [Done, Done]

    ((messages, inbox),) = execute(driver, "SELECT (SELECT count(*) FROM inbox), (SELECT inbox FROM runs WHERE id = 'c')")
    assert (messages, inbox) == (40, 40)
