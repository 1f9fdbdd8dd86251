"""Workflows on PostgreSQL: everything a user does, two workers, a dead one, news between processes, and what a step costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import flowkit
from flowkit import Break, Continue, Flowkit, checkpoint, join, loop, receive, send, sleep, step, workflow
from flowkit.drivers.base import BodyRef, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver
from flowkit.settings import Settings
from tests.drivers.pg import ask
from tests.postgres.server import NEWEST, emptied_database

pytestmark = pytest.mark.timeout(60)

SHORT_LEASE = Settings(lease=1.0, beat=0.2)


@pytest.fixture
def url() -> str:
    return emptied_database(NEWEST)


@pytest.fixture
def opened(url: str) -> Iterator[Callable[..., Flowkit]]:
    """Handles on one database, closed at the end."""
    with ExitStack() as stack:

        def handle(place: str = url, **options: object) -> Flowkit:
            return stack.enter_context(flowkit.open(place, **options))  # type: ignore[arg-type]  # the options of `open`

        yield handle


undone: list[str] = []


def undo(made: str) -> None:
    undone.append(made)


@step(rollback=undo)
def make(name: str) -> str:
    return name


@step(retries=0)
def fail() -> None:
    raise ValueError("no\0way")


@step
def add(total: int, number: int) -> int:
    return total + number


@workflow
def chain(length: int) -> int:
    total = 0
    for number in range(length):
        total = add(total, number)
    return total


@workflow
def turns(last: int) -> int:
    def body(state: int) -> Continue[int] | Break[int]:
        made = add.options(name="turn")(state, 1)
        return Break(made) if made == last else Continue(made)

    return int(loop(body, 0, name="turns", prune_every=5))


@workflow
def saga() -> None:
    checkpoint("order")
    make("a")
    make("b")
    fail()


@workflow
def branches() -> dict[str, int]:
    return join(one=lambda: add(1, 1), two=lambda: add(2, 2))


@workflow
def pings(other: str) -> str:
    send(other, "ping", "hello")
    return str(receive("pong", timeout="30s").data)


@workflow
def pongs(other: str) -> None:
    message = receive("ping", timeout="30s")
    sleep(0.01)
    send(other, "pong", f"{message.data} back")


outside: list[str] = []


@step
def price(item: str) -> int:
    outside.append(f"price {item}")
    return 100


@step
def charge(cents: int) -> str:
    outside.append(f"charge {cents}")
    return f"receipt for {cents}"


@workflow
def shop(item: str) -> str:
    return charge(price(item))


ALL = [chain, turns, saga, branches, pings, pongs, shop]


def test_steps_loops_and_branches_give_their_results(opened: Callable[..., Flowkit]) -> None:
    fk = opened(workflows=ALL)

    assert fk.run("c", chain, 10) == 45
    assert fk.run("t", turns, 23) == 23
    assert fk.run("j", branches) == {"one": 2, "two": 4}


def test_a_failed_run_is_rolled_back_and_recovered(opened: Callable[..., Flowkit]) -> None:
    fk = opened(workflows=ALL)
    undone.clear()

    run = fk.start("s", saga)
    with pytest.raises(flowkit.RunFailed, match="no"):
        run.result(timeout=30)

    assert undone == ["b", "a"]
    assert [entry.status for entry in run.history()] == ["completed", "rolled_back", "rolled_back", "exhausted"]
    run.recover()
    with pytest.raises(flowkit.RunFailed):
        run.result(timeout=30)
    assert undone == ["b", "a", "b", "a"]


def test_a_run_is_replayed_from_a_step(opened: Callable[..., Flowkit]) -> None:
    fk = opened(workflows=ALL)
    run = fk.start("c", chain, 4)
    run.result(timeout=30)

    run.replay("add#3")

    assert run.result(timeout=30) == 6
    assert [entry.location for entry in run.history(archived=True)] == ["add#3", "add#4"]


def test_a_fork_is_fenced_and_every_handle_sees_of_what_it_is_one(opened: Callable[..., Flowkit]) -> None:
    fk, other = opened(workflows=ALL), opened(worker=False)
    run = fk.start("o", shop, "tea")
    assert run.result(timeout=30) == "receipt for 100"
    outside.clear()

    fork = run.fork("price", value=250)

    soon(lambda: fork.status() == "paused")
    assert outside == []
    seen = other.get(fork.id)
    row = other.driver.get(fork.id)
    assert row is not None
    view = other.driver.load(row.seq)
    assert view is not None
    assert view.fork
    assert other.driver.body(BodyRef(run=row.seq, field="fork")) == view.fork
    assert next((entry.location, entry.output) for entry in seen.history()) == ("price", 250)

    seen.resolve(real=True, reason="a test account")

    assert fork.result(timeout=30) == "receipt for 250"
    assert outside == ["charge 250"]
    assert run.result() == "receipt for 100"


def soon(found: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until it is so."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_runs_talk_to_each_other_across_two_workers(opened: Callable[..., Flowkit]) -> None:
    one, two = opened(workflows=[pings]), opened(workflows=[pongs])

    two.start("pong", pongs, "ping")
    run = one.start("ping", pings, "pong")

    assert run.result(timeout=30) == "hello back"


def test_a_client_hears_of_what_a_worker_elsewhere_did(opened: Callable[..., Flowkit]) -> None:
    client = opened(worker=False)
    opened(workflows=ALL)

    assert client.start("c", chain, 5).result(timeout=30) == 10


def test_two_workers_share_the_runs_and_make_each_step_once(url: str, opened: Callable[..., Flowkit]) -> None:
    workers = [opened(workflows=[chain], concurrency=20) for _ in range(2)]

    runs = workers[0].start_many([(f"r{number}", chain, (5,)) for number in range(200)])

    assert {run.result(timeout=30) for run in runs} == {10}
    ((entries, highest, passes),) = ask(
        url, "SELECT (SELECT count(*) FROM entries), (SELECT max(attempts) FROM entries), (SELECT max(passes) FROM runs)"
    )
    assert (entries, highest, passes) == (1_000, 1, 1)


def test_the_runs_of_a_worker_whose_lease_ran_out_are_taken_over(url: str, opened: Callable[..., Flowkit]) -> None:
    driver = PostgresDriver(url, settings=SHORT_LEASE)
    client = opened(worker=False)
    run = client.start("c", chain, 3)
    dead = driver.join(WorkerInfo(name="dead", host="h", pid=1), time.monotonic())
    (claim,) = driver.claim(dead, {"chain": "code"}, 1, 4e9).runs
    opened(workflows=ALL, settings=SHORT_LEASE)

    assert run.result(timeout=30) == 3
    row = driver.get("c")
    assert row is not None
    assert (claim.epoch, row.epoch) == (1, 3)
    driver.close()


def test_with_listen_another_process_is_told_at_once(url: str, opened: Callable[..., Flowkit]) -> None:
    hearing = PostgresDriver(f"{url}?listen=1")
    telling = PostgresDriver(f"{url}?listen=1")
    while hearing.wait(0.3):
        pass

    took = []
    for number in range(3):
        while hearing.wait(1.5):  # until the polling has slowed down
            pass
        began = time.monotonic()
        telling.retain({"failed": float(number)})
        assert hearing.wait(10)
        took.append(time.monotonic() - began)

    assert min(took) < 0.2
    hearing.close()
    telling.close()


def test_a_step_costs_little_more_than_one_statement_even_alone_and_far_less_in_a_crowd(url: str) -> None:
    with flowkit.open(url, durability="process", workflows=[chain], concurrency=256) as fk:
        driver = fk.driver
        assert isinstance(driver, PostgresDriver)
        before = driver.statements
        runs = fk.start_many([(f"r{number}", chain, (20,)) for number in range(256)])
        for run in runs:
            run.result(timeout=50)
        each = (driver.statements - before) / (256 * 20)

    assert each <= 1.2


def test_a_result_that_is_there_costs_one_statement(opened: Callable[..., Flowkit]) -> None:
    opened(workflows=[chain]).start("r", chain, 3).result(timeout=30)
    client = opened(worker=False)
    run = client.get("r")
    driver = client.driver
    assert isinstance(driver, PostgresDriver)
    before = driver.statements

    results = [run.result() for _ in range(20)]

    assert results == [3] * 20
    assert driver.statements - before == 20


def test_a_worker_that_drains_for_longer_than_its_lease_keeps_it(opened: Callable[..., Flowkit]) -> None:
    begun: list[int] = []
    entered, door = threading.Event(), threading.Event()

    @step
    def long() -> str:
        begun.append(1)
        entered.set()
        door.wait(30)
        return "done once"

    @workflow(name="drained")
    def drained() -> str:
        return long()

    quick = Settings(lease=1.0, beat=0.2, reap=0.05, succession=0.1, grace=30)
    old = opened(workflows=[drained], settings=quick, version="1")
    run = old.start("r", drained)
    assert entered.wait(20)
    new = opened(workflows=[drained], settings=quick, version="2", drain_older=True)
    end = time.monotonic() + 20
    while not old.relieved:
        assert time.monotonic() < end
        time.sleep(0.02)

    longer_than_the_lease = time.monotonic() + 3
    while time.monotonic() < longer_than_the_lease:
        row = new.driver.get("r")
        assert row is not None
        assert row.epoch == 1
        time.sleep(0.1)
    door.set()

    assert run.result(timeout=20) == "done once"
    assert len(begun) == 1
