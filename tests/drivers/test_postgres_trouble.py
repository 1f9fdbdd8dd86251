"""PostgreSQL connections that break, fall silent or cannot be had: what is told, and that work goes on by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

import flowkit
from flowkit import Run, step, workflow
from flowkit.clock import SystemClock
from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Done, RunRow, Start, Started, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.postgres_connections import Connections
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreBusy, StoreError
from flowkit.settings import Settings
from tests.drivers.pg import ask, execute
from tests.postgres.server import NEWEST, emptied_database, owned
from tests.runtime.waiting import until
from tests.torture.proxy import Proxy

pytestmark = pytest.mark.timeout(90)

NOW = 1_700_000_000.0
_END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'flowkit'"
)


@pytest.fixture
def url() -> str:
    return emptied_database(NEWEST)


@pytest.fixture
def driver(url: str) -> Iterator[PostgresDriver]:
    opened = PostgresDriver(url)
    yield opened
    opened.close()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    with Proxy(address.hostname, address.port) as between:
        yield between


def through(proxy: Proxy, url: str) -> str:
    """`url`, by way of the proxy."""
    return url.replace(str(urlsplit(url).port), str(proxy.port))


def held(driver: PostgresDriver) -> int:
    """A new run in the hands of a new worker."""
    worker = driver.join(WorkerInfo(name="x", host="h", pid=1), NOW)
    start = Start(id="r", workflow="w", input=b"1", input_hash="h", start_at=NOW, token="t", worker=worker)
    (started,) = driver.write([start], NOW)
    assert isinstance(started, Started)
    return started.run


def step_of(run: int, head: int = 0) -> Change:
    entry = Entry(seq=head + 1, location=f"s{head}", kind="step", status="completed", settled_at=NOW, output=b"1")
    return Change(run=run, epoch=1, head=head, entries=head + 1, seen=0, owes=0, add=[entry])


def soon(found: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.02)


def test_connections_that_the_server_has_ended_are_made_anew_unnoticed(url: str, driver: PostgresDriver) -> None:
    run = held(driver)
    ask(url, _END_ALL)
    time.sleep(0.3)  # they count as fresh for so long

    assert isinstance(driver.write([step_of(run)], NOW)[0], Done)
    assert driver.get("r") is not None
    assert driver.beat(1, NOW) > NOW


def test_a_read_whose_connection_dies_is_asked_again(url: str, driver: PostgresDriver) -> None:
    held(driver)
    assert driver.get("r") is not None
    ask(url, _END_ALL)

    assert driver.get("r") is not None


def test_a_write_whose_answer_was_lost_is_unknown_and_repeating_it_tells_that_it_landed(url: str, proxy: Proxy) -> None:
    driver = PostgresDriver(through(proxy, url))
    run = held(driver)
    driver.write([step_of(run)], NOW)
    writer = Writer(driver, SystemClock(), settings=Settings(write_retry=0.01))

    with driver.connections.pulse.mutex:  # or the bell's answer may be the one that is cut
        proxy.cut_after(1, "down")
        with pytest.raises(StoreError) as caught:
            driver.write([step_of(run, 1)], NOW)
    result = writer.write(step_of(run, 2), patient=True)

    assert caught.value.outcome == "unknown"
    assert isinstance(result, Done)
    assert [entry.seq for entry in driver.history(run)] == [1, 2, 3]
    writer.close()
    driver.close()


def test_a_transaction_that_breaks_before_its_commit_is_certainly_not_written(url: str, driver: PostgresDriver) -> None:
    run = held(driver)

    def broken(hand: Hand) -> None:
        hand.execute("UPDATE runs SET entries = 99")
        ask(url, _END_ALL)
        hand.execute("SELECT 1")

    with pytest.raises(StoreError) as caught:
        driver.connections.transact(broken)

    row = until(lambda: _readable(driver, run), seconds=10)
    assert caught.value.outcome == "no"
    assert row.entries == 0


def _readable(driver: PostgresDriver, run: int) -> RunRow | None:
    """The run once the server is asked again: all connections were ended, that of the lease among them."""
    try:
        return driver.get(run)
    except StoreError:
        return None


def test_a_silent_server_is_given_up_and_asked_again(url: str, proxy: Proxy) -> None:
    driver = PostgresDriver(through(proxy, url), silence_seconds=0.5)
    run = held(driver)
    proxy.hold()

    began = time.monotonic()
    with pytest.raises(StoreError) as caught:
        driver.write([step_of(run)], NOW)
    took = time.monotonic() - began
    (again,) = driver.write([step_of(run)], NOW)

    assert caught.value.outcome == "unknown"
    assert took < 10
    assert isinstance(again, Done)
    driver.close()


def test_who_finds_a_row_locked_for_too_long_is_told_that_nothing_was_written(url: str) -> None:
    driver = PostgresDriver(url, settings=Settings(pg_lock=1.0))
    run = held(driver)
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM runs FOR UPDATE")
        with pytest.raises(StoreBusy):
            driver.write([step_of(run)], NOW)

    assert isinstance(driver.write([step_of(run)], NOW)[0], Done)
    driver.close()


def test_two_transactions_that_cross_are_repeated(url: str, driver: PostgresDriver) -> None:
    other = PostgresDriver(url)
    execute(driver, "INSERT INTO meta (key, value) VALUES ('a', '0'), ('b', '0') ON CONFLICT DO NOTHING")
    barrier = threading.Barrier(2)
    tries = []

    def cross(connections: Connections, keys: str) -> None:
        def work(hand: Hand) -> None:
            tries.append(keys)
            first = len(tries) <= 2
            for number, key in enumerate(keys):
                hand.execute("UPDATE meta SET value = value || '.' WHERE key = ?", (key,))
                if number == 0 and first:
                    barrier.wait(10)

        connections.transact(work)

    threads = [
        threading.Thread(target=cross, args=(driver.connections, "ab")),
        threading.Thread(target=cross, args=(other.connections, "ba")),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    values = execute(driver, "SELECT value FROM meta WHERE key IN ('a', 'b')")
    execute(driver, "DELETE FROM meta WHERE key IN ('a', 'b')")
    assert values == [("0..",), ("0..",)]
    assert len(tries) == 3
    other.close()


def answers(run: Run[int]) -> str:
    """The run's status, if the server can tell."""
    try:
        return run.status()
    except StoreError:
        return ""


@step
def one(number: int) -> int:
    return number


@workflow
def chain(length: int) -> int:
    return sum(one(number) for number in range(length))


@pytest.mark.slow
def test_work_goes_on_by_itself_when_the_server_has_crashed_and_come_back() -> None:
    with owned(NEWEST) as server:
        url = server.url()
        with flowkit.open(url, workflows=[chain], settings=Settings(write_retry=0.05)) as fk:
            assert fk.run("before", chain, 3) == 3
            run = fk.start("during", chain, 400)
            soon(lambda: len(run.history()) > 5)

            server.crash()
            with pytest.raises(StoreError):
                fk.get("before")
            server.start()

            soon(lambda: answers(run) == "completed", 60)
            assert run.result() == sum(range(400))
        entries, highest = ask(url, "SELECT count(*), max(attempts) FROM entries WHERE run = 2")[0]
    assert entries == 400
    assert highest <= 2
