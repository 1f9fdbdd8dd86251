"""Clients that wait for a run while the server is away: they go on waiting, until their limit, or until waiting is no use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import pytest

import flowkit
from flowkit import Flowkit, RunFailed, StoreError, receive, workflow
from tests.drivers.pg import ask
from tests.postgres.server import NEWEST, Server, new_database, owned

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[Server]:
    with owned(NEWEST) as own:
        yield own


@pytest.fixture
def fk(server: Server) -> Iterator[Flowkit]:
    with flowkit.open(server.url(), workflows=[waiting, failing, late]) as handle:
        yield handle


@workflow
def waiting() -> str:
    receive("go")
    return str(receive("end").data)


@workflow
def failing() -> None:
    receive("go")
    raise ValueError("no way")


def meanwhile(work: Callable[[], T]) -> Future[T]:
    """What `work` gives, in a thread that has begun."""
    begun = threading.Event()

    def job() -> T:
        begun.set()
        return work()

    pool = ThreadPoolExecutor(1)
    future = pool.submit(job)
    pool.shutdown(wait=False)
    assert begun.wait(10)
    return future


def sent(fk: Flowkit, run: str, name: str, data: object = None) -> None:
    """The message, once the server takes it."""
    end = time.monotonic() + 60
    while True:
        try:
            return fk.send(run, name, data, key=name)
        except StoreError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_a_result_is_waited_for_while_the_server_is_away(server: Server, fk: Flowkit) -> None:
    run, bad = fk.start("r", waiting), fk.start("f", failing)
    result, failure = meanwhile(lambda: run.result(90)), meanwhile(lambda: bad.result(90))

    server.crash()
    time.sleep(1)
    assert not result.done()
    server.start()
    sent(fk, "r", "go")
    sent(fk, "r", "end", "done")
    sent(fk, "f", "go")

    assert result.result(90) == "done"
    with pytest.raises(RunFailed, match="no way"):
        failure.result(90)


def test_a_watch_goes_on_when_the_server_is_back(server: Server, fk: Flowkit) -> None:
    run = fk.start("r", waiting)
    seen = meanwhile(lambda: [snapshot.status for snapshot in run.watch()])

    server.crash()
    time.sleep(0.5)
    server.start()
    sent(fk, "r", "go")
    sent(fk, "r", "end", "done")

    assert seen.result(90)[-1] == "completed"


def test_an_answer_is_waited_for_while_the_server_is_away(server: Server, fk: Flowkit) -> None:
    run = fk.start("r", late)
    answer = meanwhile(lambda: run.request("ask", timeout=90))
    end = time.monotonic() + 30
    while not ask(server.url(), "SELECT 1 FROM inbox"):
        assert time.monotonic() < end
        time.sleep(0.02)

    server.crash()
    time.sleep(0.5)
    server.start()
    sent(fk, "r", "go")

    assert answer.result(90) == "answer"


def test_a_request_that_is_made_while_the_server_is_away_is_answered_when_it_is_back(server: Server, fk: Flowkit) -> None:
    run = fk.start("r", late)
    server.crash()

    answer = meanwhile(lambda: run.request("ask", timeout=90))
    time.sleep(0.5)
    server.start()
    sent(fk, "r", "go")

    assert answer.result(90) == "answer"


@workflow
def late() -> None:
    receive("go")
    receive("ask", completable=True).complete("answer")


def test_a_wait_with_a_limit_ends_at_it_though_the_server_is_away(server: Server, fk: Flowkit) -> None:
    run = fk.start("r", waiting)
    server.crash()
    began = time.monotonic()

    with pytest.raises(TimeoutError, match="has not ended after 1 s, as far as is known"):
        run.result(1)

    assert time.monotonic() - began < 15
    server.start()


def test_a_database_that_was_dropped_is_told_at_once(server: Server) -> None:
    url = new_database(server, name="doomed")
    with flowkit.open(url, worker=False) as fk:
        run = fk.start("r", waiting)
        result = meanwhile(lambda: run.result(90))

        server.ask("DROP DATABASE doomed WITH (FORCE)")

        with pytest.raises(StoreError, match="Create the database first"):
            result.result(30)


def test_a_password_that_is_asked_for_from_now_on_is_told_at_once(server: Server) -> None:
    with flowkit.open(server.url(), worker=False) as fk:
        run = fk.start("r", waiting)
        snapshots = run.watch()
        next(snapshots)
        more = meanwhile(lambda: next(snapshots))
        access = server.data / "pg_hba.conf"
        access.write_text("host all all 127.0.0.1/32 scram-sha-256\n" + access.read_text())

        server.crash()
        server.start()

        with pytest.raises(StoreError, match="password"):
            more.result(30)
