"""What operators need of a server: who is in trouble is known, whose trouble is over is not, and who leaves hands his runs on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import workflow
from flowkit.client import Flowkit
from flowkit.core.health import Report
from flowkit.drivers.base import Driver, WorkerInfo
from flowkit.runtime.reporter import source_key
from flowkit.runtime.worker import Worker
from tests.cli.conftest import SHOP, Cli, cli, spawn
from tests.postgres.server import NEWEST, fresh_database, shared
from tests.runtime.waiting import until
from tests.torture.stores import ask

__all__ = ["cli", "spawn"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

LONG_SECONDS = 30.0
LOG_OF_REPORTS = """
CREATE TABLE told (reports text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told VALUES (NEW.reports); RETURN NEW; END $$;
CREATE TRIGGER tell BEFORE INSERT ON health FOR EACH ROW EXECUTE FUNCTION tell();
"""
LOGS = """
import logging
from flowkit import receive, workflow

@workflow
def waits():
    logging.getLogger("app").warning("it waits")
    return receive("go").data
"""

Spawn = Callable[..., "subprocess.Popen[str]"]


@workflow
def order() -> str:
    return "done"


@pytest.fixture
def url(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the commands find in the environment."""
    found = fresh_database()
    monkeypatch.setenv("FLOWKIT_DB", found)
    monkeypatch.setenv("FLOWKIT_PG_PAUSE_MOST", "100ms")
    return found


def serving(spawn: Spawn, *options: str) -> subprocess.Popen[str]:
    """A worker that is ready."""
    worker = spawn("worker", SHOP, "--json", "--no-logs", *options)
    assert worker.stdout is not None
    assert json.loads(worker.stdout.readline() or "null"), worker.communicate()[1]
    return worker


def said(worker: subprocess.Popen[str], words: str) -> None:
    """Wait until it says so."""
    assert worker.stderr is not None
    assert any(words in line for line in worker.stderr), f"it never said {words!r}"


def sources(driver: Driver) -> set[str]:
    return {source_key(each.source, each.worker) for each in driver.reports(time.time())}


def test_what_a_forerunner_reported_is_taken_over_once_its_lease_has_run_out(url: str) -> None:
    now = time.time()
    with flowkit.open(url, worker=False, settings={"succession": 0.05}) as fk:
        dead = fk.driver.join(WorkerInfo(name="dead", host="h", pid=1), now)
        crash = Report(workflow="order", kind="crash", since=now, last=now, source="dead", origin="here app.py", worker=dead)
        fk.driver.report(source_key("dead", dead), [crash], now + 600, now)
        with successor(fk) as worker:
            worker.tick()
            before = sources(fk.driver)

            fk.driver.reap(time.time(), dead=[dead])

            until(lambda: len(sources(fk.driver)) == 1 and not sources(fk.driver) & before)
    assert before == {source_key("dead", dead)}


@contextmanager
def successor(fk: Flowkit) -> Iterator[Worker]:
    """What a process manager starts in the place of one that died."""
    worker = Worker(fk.house, lambda: {"order": order}, origin="here app.py")
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def without_connections(url: str) -> Iterator[None]:
    """Nobody reaches the database meanwhile."""
    server, name = shared(NEWEST), url.rsplit("/", 1)[1]
    server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", name)
    yield
    server.ask(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_a_connection_that_is_down_for_a_while_is_waited_out_and_reported_afterwards_but_not_for_long(
    url: str, spawn: Spawn, cli: Cli
) -> None:
    shared(NEWEST).ask(LOG_OF_REPORTS, database=url.rsplit("/", 1)[1])
    Path("app.py").write_text(LOGS)
    run = spawn("run", "app.py:waits", "--id", "w-1")
    until(lambda: ask(url, "SELECT 1 FROM runs WHERE status = 'sleeping'"), LONG_SECONDS)
    logs = spawn("logs", "w-1", "--follow")
    assert logs.stdout is not None
    assert "it waits" in logs.stdout.readline()

    with without_connections(url):
        said(run, "could not reach the store")
        said(logs, "is not currently accepting connections")

    said(run, "the store answers again")
    said(logs, "the database answers again")
    until(lambda: len(told(url, "store")) >= 3, LONG_SECONDS)
    until(lambda: not ask(url, "SELECT 1 FROM health"), LONG_SECONDS)
    assert {(each["type"], each["workflow"]) for each in told(url, "store")} == {("StoreError", "")}
    assert len({each["since"] for each in told(url, "store")}) == 1
    assert cli("health").exit_code == 0
    cli("send", "w-1", "go", '"now"')
    assert (run.communicate(timeout=LONG_SECONDS)[0], run.returncode) == ('"now"\n', 0)
    assert logs.wait(LONG_SECONDS) == 0


def told(url: str, kind: str) -> list[dict[str, Any]]:
    """Every report of a kind that the server was ever told."""
    rows = ask(url, "SELECT reports FROM told")
    return [report for (text,) in rows for report in json.loads(text) if report["kind"] == kind]


def test_who_is_told_to_leave_hands_its_runs_on_at_once_what_its_steps_do_not_end_in_time_too(
    url: str, spawn: Spawn, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWKIT_LEASE", "10m")  # so that nothing here can be owed to a lease that ran out
    first = serving(spawn, "--grace", "500ms")
    for id, name in (("d-1", "drained"), ("n-1", "never")):
        cli("start", f"{SHOP}:{name}", f'"{id}"', "--id", id)
        until(Path(id).exists, LONG_SECONDS)
    serving(spawn)

    first.send_signal(signal.SIGTERM)

    assert first.wait(LONG_SECONDS) == 0
    until(lambda: Path("n-1").read_text() == "begun\nbegun\n", LONG_SECONDS)
    until(lambda: status(url, "d-1") == "completed", LONG_SECONDS)
    assert Path("d-1").read_text().count("begun") == 1
    assert ask(url, "SELECT DISTINCT crashes FROM runs") == [(0,)]


def status(url: str, run: str) -> Any:
    return ask(url, "SELECT status FROM runs WHERE id = ?", run)[0][0]
