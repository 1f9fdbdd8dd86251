"""Claims, leases and takeovers on PostgreSQL: what they decide, what they cost, and that nobody's lock holds them up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
import pytest

import flowkit
from flowkit.core.run import STATUSES
from flowkit.drivers.base import RunRow, Start, Started, WorkerInfo
from flowkit.drivers.postgres import PostgresDriver
from flowkit.drivers.rules import claimed
from flowkit.errors import Fenced
from flowkit.settings import Settings
from tests.drivers.pg import NOW, ask, execute, new_start, owned
from tests.drivers.pg import step as step_of
from tests.postgres.server import NEWEST, emptied_database
from tests.torture.proxy import Proxy

pytestmark = pytest.mark.timeout(60)

COLUMNS = ("status", "wake_at", "owner", "epoch", "request", "ending", "crashes", "replays", "finished_at")
ROWS = (
    "crashes = 0, request = '', ending = '', waiting = NULL, code = ''",
    "crashes = 2, request = 'evict', ending = 'cancelled', waiting = E'\\nm\\n', code = 'older', epoch = 7",
)


@pytest.fixture
def url() -> str:
    return emptied_database(NEWEST)


@pytest.fixture
def driver(url: str) -> Iterator[PostgresDriver]:
    opened = PostgresDriver(url, "process")
    yield opened
    opened.close()


def worker(driver: PostgresDriver, name: str = "w") -> int:
    return driver.join(WorkerInfo(name=name, host="h", pid=1), NOW)


def row_of(driver: PostgresDriver, run: int) -> RunRow:
    row = driver.get(run)
    assert row is not None
    return row


def spoken(driver: PostgresDriver) -> int:
    """How many statements were sent on the connection that claims and takes over."""
    link = driver.connections.clerk.link
    assert link is not None
    return link.statements


def started(driver: PostgresDriver, count: int) -> list[int]:
    starts: list[Start] = [new_start(f"r{number}", start_at=NOW + number / 1_000) for number in range(count)]
    return [result.run for result in driver.write(starts, NOW) if isinstance(result, Started)]


# --- what a claim decides ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ROWS)
def test_a_claim_decides_as_the_rules_do(driver: PostgresDriver, columns: str) -> None:
    statuses = [status for status in STATUSES if status not in ("completed", "failed", "cancelled", "paused", "blocked")]
    runs = started(driver, len(statuses))
    for run, status in zip(runs, statuses, strict=True):
        execute(driver, f"UPDATE runs SET status = %s, {columns} WHERE seq = %s", status, run)
    before = {run: row_of(driver, run) for run in runs}
    mine = worker(driver)

    found = driver.claim(mine, {"w": "code"}, 10, NOW + 1)

    assert [claim.run for claim in found.runs] == runs
    for claim in found.runs:
        was, is_now = before[claim.run], row_of(driver, claim.run)
        fate = claimed(was, mine)
        assert {name: getattr(is_now, name) for name in COLUMNS} == {name: getattr(fate, name) for name in COLUMNS}
        assert (claim.epoch, claim.crashes, claim.status) == (fate.epoch, fate.crashes, fate.status)
        assert (claim.request, claim.code, claim.head) == (was.request, was.code, was.head)
        assert (is_now.code, is_now.passes, is_now.waiting, is_now.started_at) == ("code", was.passes + 1, None, NOW + 1)
        assert driver.first_code(claim.run) == ("older" if "older" in columns else "code")


def test_a_claim_brings_what_load_gives_for_runs_that_have_written_nothing(driver: PostgresDriver) -> None:
    fresh, heard = started(driver, 2)
    execute(driver, "UPDATE runs SET inbox = 1 WHERE seq = %s", heard)

    first, second = driver.claim(worker(driver), {"w": "code"}, 10, NOW + 1).runs

    assert (first.run, second.run) == (fresh, heard)
    assert first.view == driver.load(fresh)
    assert second.view is None


@pytest.mark.parametrize("columns", ROWS)
@pytest.mark.parametrize(
    "status", [status for status in STATUSES if status not in ("completed", "failed", "cancelled", "paused")]
)
def test_taking_one_run_decides_as_the_rules_do(driver: PostgresDriver, status: str, columns: str) -> None:
    (run,) = started(driver, 1)
    execute(driver, f"UPDATE runs SET status = %s, {columns} WHERE seq = %s", status, run)
    mine, was = worker(driver), row_of(driver, run)

    claim = driver.take(mine, run, "code", NOW - 1)

    is_now, fate = row_of(driver, run), claimed(was, mine)
    assert claim is not None
    assert {name: getattr(is_now, name) for name in COLUMNS} == {name: getattr(fate, name) for name in COLUMNS}
    assert (claim.epoch, claim.crashes, claim.status) == (fate.epoch, fate.crashes, fate.status)
    assert (claim.request, claim.code, claim.head) == (was.request, was.code, was.head)
    assert (is_now.code, is_now.passes, is_now.waiting, is_now.started_at) == ("code", was.passes + 1, None, NOW - 1)
    assert driver.first_code(run) == ("older" if "older" in columns else "code")
    assert claim.view is None or claim.view == driver.load(run)


def test_a_claim_takes_the_earliest_of_all_workflows_and_tells_when_the_next_is_due(driver: PostgresDriver) -> None:
    due = [("a", 3), ("b", 1), ("a", 2), ("b", 4), ("a", 60), ("c", 0)]
    driver.write([new_start(f"{name}{at}", workflow=name, start_at=NOW + at) for name, at in due], NOW)
    mine = worker(driver)

    first = driver.claim(mine, {"a": "x", "b": "y"}, 3, NOW + 10)
    second = driver.claim(mine, {"a": "x", "b": "y"}, 3, NOW + 10)

    assert [claim.id for claim in first.runs] == ["b1", "a2", "a3"]
    assert first.next_due == NOW + 4
    assert [claim.id for claim in second.runs] == ["b4"]
    assert second.next_due == NOW + 60


def test_a_worker_that_is_dying_gets_nothing(driver: PostgresDriver) -> None:
    started(driver, 1)
    mine = worker(driver)
    execute(driver, "UPDATE workers SET state = 'dying'")

    with pytest.raises(Fenced):
        driver.claim(mine, {"w": "code"}, 10, NOW + 1)


# --- what it costs ----------------------------------------------------------------------------------------------------------


def test_a_claim_of_a_hundred_runs_is_two_statements_and_no_run_needs_another(driver: PostgresDriver) -> None:
    started(driver, 150)
    mine = worker(driver)
    before = spoken(driver)

    found = driver.claim(mine, {"w": "code"}, 100, NOW + 1)

    assert spoken(driver) - before == 2
    assert len(found.runs) == 100
    assert all(claim.view is not None for claim in found.runs)


def test_a_look_that_finds_nothing_due_is_one_statement(driver: PostgresDriver) -> None:
    mine = worker(driver)
    before = spoken(driver)

    assert driver.claim(mine, {"w": "code"}, 100, NOW + 1).runs == ()
    assert spoken(driver) - before == 1


def test_taking_one_run_is_one_statement(driver: PostgresDriver) -> None:
    (run,) = started(driver, 1)
    mine = worker(driver)
    before = spoken(driver)

    assert driver.take(mine, run, "code", NOW) is not None
    assert spoken(driver) - before == 1


def test_a_look_that_finds_nothing_to_adopt_is_one_statement(driver: PostgresDriver) -> None:
    started(driver, 3)
    mine = worker(driver)
    before = driver.statements

    found = [driver.adopt(mine, (), {"w": "code"}, 10, NOW) for _ in range(10)]

    assert [(each.runs, each.next_due) for each in found] == [((), NOW)] * 10
    assert driver.statements - before <= 10 + 2  # the bell's and a look of the news may come in between


def test_a_takeover_of_five_thousand_runs_is_a_handful_of_statements(driver: PostgresDriver) -> None:
    owned(driver, *(f"r{number}" for number in range(5_000)))
    execute(driver, "UPDATE workers SET expires_at = 0")
    before = spoken(driver)

    taken = driver.reap(NOW)

    assert taken == 5_000
    assert spoken(driver) - before <= 7


def test_a_run_with_a_history_is_loaded_in_one_trip(url: str) -> None:
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    with (
        Proxy(address.hostname, address.port) as between,
        closing(PostgresDriver(url.replace(str(address.port), str(between.port)))) as driver,
    ):
        (run,) = owned(driver, "r")
        driver.write([step_of(run)], NOW)
        driver.load(run)
        between.delay(0.5)
        began = time.monotonic()

        view = driver.load(run)

        took = time.monotonic() - began
        between.behave()
        assert view is not None
        assert len(view.entries) == 1
        assert 0.5 <= took < 1.0


# --- locks of others --------------------------------------------------------------------------------------------------------


def test_a_run_that_somebody_has_locked_is_passed_over_and_claimed_when_it_is_free(url: str, driver: PostgresDriver) -> None:
    locked, free = started(driver, 2)
    mine = worker(driver)
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM runs WHERE seq = %s FOR UPDATE", (locked,))
        assert [claim.run for claim in driver.claim(mine, {"w": "code"}, 10, NOW + 1).runs] == [free]

    assert [claim.run for claim in driver.claim(mine, {"w": "code"}, 10, NOW + 1).runs] == [locked]


def test_two_that_claim_at_once_never_get_the_same_run(url: str, driver: PostgresDriver) -> None:
    started(driver, 400)
    other = PostgresDriver(url, "process")
    taken: list[list[int]] = [[], []]

    def take(mine: PostgresDriver, name: str, into: list[int]) -> None:
        number = worker(mine, name)
        while runs := mine.claim(number, {"w": "code"}, 7, NOW + 1).runs:
            into.extend(claim.run for claim in runs)

    threads = [threading.Thread(target=take, args=args) for args in ((driver, "a", taken[0]), (other, "b", taken[1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    driver.close()
    other.close()

    assert not set(taken[0]) & set(taken[1])
    assert len(taken[0]) + len(taken[1]) == 400


def test_a_locked_run_of_a_worker_that_leaves_is_taken_over_once_it_is_free(url: str, driver: PostgresDriver) -> None:
    (run,) = owned(driver, "r")
    leaving = row_of(driver, run).owner
    assert leaving is not None
    with psycopg.connect(url) as other:
        other.execute("SELECT 1 FROM runs WHERE seq = %s FOR UPDATE", (run,))
        driver.leave(leaving, NOW)

    assert driver.reap(NOW) == 1
    row = row_of(driver, run)
    assert (row.status, row.owner) == ("pending", None)


@pytest.mark.parametrize("table", ["runs", "health"])
def test_a_worker_whose_chores_wait_for_a_lock_keeps_its_lease(url: str, table: str) -> None:
    settings = Settings(lease=1.5, beat=0.2, reap=0.05, poll=0.05, report_renew=0.1)
    standing = "SELECT state = 'live' AND expires_at > extract(epoch FROM clock_timestamp()) FROM workers WHERE kind = 'worker'"
    with flowkit.open(url, workflows=[idle], settings=settings) as fk, psycopg.connect(url) as other:
        assert fk.run("first", idle) is None
        other.execute(f"LOCK TABLE {table}".encode())
        end = time.monotonic() + 4

        while time.monotonic() < end:
            assert ask(url, standing) == [(True,)]
            time.sleep(0.05)

        other.rollback()
        assert fk.run("second", idle) is None


@flowkit.workflow
def idle() -> None:
    pass
