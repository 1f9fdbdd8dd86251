"""`flowkit health`, and workers in processes of their own that cannot serve: what those who wait hear of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import Unattended, workflow
from flowkit.client import Flowkit
from flowkit.client.attending import health_now
from flowkit.core.health import Trouble
from flowkit.drivers.base import Driver, WorkerInfo
from flowkit.runtime.scouting import workflows_in_files
from tests.cli.conftest import Cli
from tests.house.source import ROOT
from tests.postgres.server import fresh_database
from tests.runtime.waiting import until

Spawn = Callable[..., "subprocess.Popen[str]"]

BROKEN = """\
from flowkit import workflow

import no_such_module

@workflow(name="order")
def takes_an_order():
    return "done"
"""
WELL = BROKEN.replace("import no_such_module\n", "")
KILLS = BROKEN.replace("import no_such_module", "import os; os._exit(9)")
HANGS_ON = """\
from flowkit import receive, workflow

@workflow(name="order")
def takes_an_order():
    receive("paid")
"""


@workflow(name="order")
def order() -> str:
    """As the clients know it, whose code is another."""
    return ""


both = pytest.mark.parametrize("db", ["file", "server"], indirect=True)
"""On a server a worker is dead when its lease has run out, which is short here."""


@pytest.fixture
def db(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a run that wants `order`, the one that commands take: a file unless the test is for both stores."""
    found = str(tmp_path / "flowkit.db")
    if getattr(request, "param", "file") == "server":
        found = fresh_database()
        for name, value in {"DB": found, "LEASE": "600ms", "BEAT": "100ms"}.items():
            monkeypatch.setenv(f"FLOWKIT_{name}", value)
    with flowkit.open(found, worker=False) as fk:
        fk.start("o-1", order)
    return found


def run_worker(folder: Path, text: str, *, name: str = "app.py") -> subprocess.CompletedProcess[str]:
    (folder / name).write_text(text)
    command = [sys.executable, "-m", "flowkit", "worker", name]
    environment = {key: value for key, value in os.environ.items() if key.startswith("FLOWKIT_")} | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=20, check=False)


def status(fk: Flowkit) -> str:
    return fk.health("order")["order"].status


@both
def test_a_worker_whose_import_breaks_is_seen_by_all_and_who_waits_is_told_why(db: str, tmp_path: Path) -> None:
    ended = run_worker(tmp_path, BROKEN)

    with flowkit.open(db, worker=False) as fk:
        until(lambda: status(fk) == "failing", 3)
        (report,) = fk.health("order")["order"].reports
        with pytest.raises(Unattended) as caught:
            fk.get("o-1").result(timeout=9, fail_fast=0.5)

    assert ended.returncode == 2
    assert (report.kind, report.type, report.place) == ("import", "ModuleNotFoundError", "app.py:3")
    assert report.line == "No module named 'no_such_module'"
    assert caught.value.reason.startswith("ModuleNotFoundError in app.py:3 on worker ")


def test_who_waits_already_is_told_why_as_soon_as_the_import_breaks(db: str, tmp_path: Path) -> None:
    heard: list[str] = []

    def wait() -> None:
        with flowkit.open(db, worker=False) as fk, pytest.raises(Unattended) as caught:
            fk.get("o-1").result(timeout=9, fail_fast=6)
        heard.append(caught.value.reason)

    waiting = threading.Thread(target=wait)
    waiting.start()
    run_worker(tmp_path, BROKEN)
    waiting.join(9)

    assert len(heard) == 1
    assert heard[0].startswith("ModuleNotFoundError in app.py:3 on worker ")


def test_workflows_whose_names_the_broken_file_hides_have_its_error_for_a_reason(db: str, tmp_path: Path) -> None:
    run_worker(tmp_path, "import no_such_module\nfrom elsewhere import order\n")

    with flowkit.open(db, worker=False) as fk:
        assert "no_such_module" in fk.health("order")["order"].reports[0].line


def test_a_file_that_is_no_python_is_reported_with_its_line(db: str, tmp_path: Path) -> None:
    run_worker(tmp_path, "x = 1\ndef order(:\n")

    with flowkit.open(db, worker=False) as fk:
        (report,) = fk.health("order")["order"].reports
    assert (report.type, report.place) == ("SyntaxError", "app.py:2")


def test_a_worker_that_is_started_again_and_again_counts_on(db: str, tmp_path: Path) -> None:
    for _ in range(3):
        run_worker(tmp_path, BROKEN)

    with flowkit.open(db, worker=False) as fk:
        (report,) = fk.health("order")["order"].reports
    assert report.count == 3
    assert report.since < report.last


@both
def test_a_mended_worker_ends_the_report(db: str, tmp_path: Path, spawn: Spawn) -> None:
    run_worker(tmp_path, BROKEN)
    (tmp_path / "app.py").write_text(WELL)

    worker = spawn("worker", "app.py")

    with flowkit.open(db, worker=False) as fk:
        until(lambda: status(fk) == "ok" and not fk.driver.reports(time.time()), 9)
        until(lambda: fk.get("o-1").status() == "completed")
    assert worker.poll() is None


@both
def test_a_process_that_dies_in_its_import_leaves_a_note_behind(db: str, tmp_path: Path) -> None:
    run_worker(tmp_path, KILLS)

    with flowkit.open(db, worker=False) as fk:
        kinds = {report.kind for report in fk.driver.reports(time.time())}
        begins = status(fk)
        later = fk.driver.reports(time.time())[0].since + 11
        found = health_now(fk.driver, later, "order")["order"]
    assert (kinds, begins, found.status) == ({"starting"}, "unattended", "failing")
    assert found.reports[0].line == "it began to import app.py, and has not come through"


def test_an_app_that_is_not_there_is_no_report(db: str, tmp_path: Path, cli: Cli) -> None:
    assert cli("worker", "nothing.py").exit_code == 3

    with flowkit.open(db, worker=False) as fk:
        assert fk.driver.reports(time.time()) == []


def test_where_there_is_no_database_none_is_made_for_a_report(tmp_path: Path) -> None:
    run_worker(tmp_path, BROKEN)

    assert not (tmp_path / "flowkit.db").exists()


@both
def test_the_report_of_a_worker_that_is_killed_does_not_count(db: str, tmp_path: Path, spawn: Spawn) -> None:
    (tmp_path / "app.py").write_text(HANGS_ON)
    worker = spawn("worker", "app.py", "--json")
    assert worker.stdout is not None
    worker.stdout.readline()
    with flowkit.open(db, worker=False) as fk:
        until(lambda: fk.get("o-1").status() == "sleeping", 9)
    held_back(db, tmp_path)
    with flowkit.open(db, worker=False) as fk:
        until(lambda: status(fk) == "failing", 9)

        worker.send_signal(signal.SIGKILL)
        worker.wait()

        until(lambda: status(fk) == "unattended", 9)


def held_back(db: str, folder: Path) -> None:
    """A second run, whose history the worker's code does not fit."""
    other = folder / "other"
    other.mkdir()
    with flowkit.open(db, workflows=[other_order]) as fk:
        run = fk.start("o-2", other_order)
        until(lambda: run.status() == "sleeping")
    with flowkit.open(db, worker=False) as fk:
        fk.send("o-2", "x")
        fk.send("o-2", "paid")


@workflow(name="order")
def other_order() -> None:
    flowkit.checkpoint("first")
    flowkit.receive("x", "paid", as_name="something-else")
    flowkit.receive("paid")


@both
def test_health_says_in_words_who_serves_and_why_not(db: str, tmp_path: Path, cli: Cli) -> None:
    run_worker(tmp_path, BROKEN)

    said = cli("health")

    assert said.exit_code == 1
    assert said.stdout.startswith("order: nobody runs it since ")
    assert "\n  ModuleNotFoundError in app.py:3 on worker " in said.stdout
    assert ": No module named 'no_such_module'\n" in said.stdout


def test_a_run_that_is_held_by_code_does_not_mean_that_nobody_serves_the_others(db: str, cli: Cli) -> None:
    with flowkit.open(db, workflows=[order]) as fk:
        until(lambda: fk.get("o-1").status() == "completed")
        assert fk.worker is not None
        fk.worker.reporter.failed("order", Trouble("misfit", "flowkit.errors.HistoryDiverged", "run o-3 is blocked", "app.py:7"))
        fk.worker.reporter.flush()

        said = cli("health")

    assert said.exit_code == 1
    assert re.match(
        r"order: served by \S+, but some runs are held by code\n  HistoryDiverged in app\.py:7 on worker ", said.stdout
    )


def test_health_is_data_for_scripts(db: str, data: Callable[..., Any], cli: Cli) -> None:
    found = data("health")

    assert not found["ok"]
    assert [(each["workflow"], each["status"], each["reports"]) for each in found["workflows"]] == [("order", "unattended", [])]
    assert json.loads(cli("health", "other", "--json").stdout)["workflows"][0]["workflow"] == "other"


def test_health_of_what_is_served_is_a_success(db: str, cli: Cli) -> None:
    with flowkit.open(db, workflows=[order]):
        said = cli("health", "order")

    assert said.exit_code == 0
    assert said.stdout.startswith("order: served by ")


def test_health_of_an_empty_database_is_a_success(tmp_path: Path, cli: Cli) -> None:
    flowkit.open(tmp_path / "flowkit.db", worker=False).close()

    assert (cli("health").exit_code, cli("health").stdout) == (0, "no workflow has an open run or a worker\n")


def test_run_refuses_what_is_no_duration(cli: Cli, shop: str) -> None:
    assert cli("run", f"{shop}:checkout", "--fail-fast", "soon").exit_code == 2


def test_names_are_read_from_a_file_that_cannot_be_imported(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    plain = "@workflow\ndef a(): ...\n"
    named = "@fk.workflow(name='b c')\nasync def b(): ...\n"
    others = "@workflow(name=made())\ndef c(): ...\n@step\ndef d(): ...\n"
    file.write_text(plain + named + others)

    assert workflows_in_files([str(file), str(tmp_path / "gone.py"), str(tmp_path)]) == ["a", "b c"]


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=5) as reply:
        return str(reply.read().decode())


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_within_seconds_a_broken_worker_is_on_the_page_in_the_health_and_in_the_error_of_who_waits(
    db: str, tmp_path: Path, spawn: Spawn
) -> None:
    server = spawn("inspect", "--port", "0", "--read-only", "--json")
    assert server.stdout is not None
    url = json.loads(server.stdout.readline())["url"]
    heard: list[tuple[float, str]] = []

    def wait() -> None:
        with flowkit.open(db, worker=False) as fk, pytest.raises(Unattended) as caught:
            fk.get("o-1").result(timeout=60, fail_fast=3)
        heard.append((time.monotonic(), caught.value.reason))

    run_worker(tmp_path, BROKEN)
    ended_at, within = time.monotonic(), 3 * max(1.0, os.getloadavg()[0])
    waiting = threading.Thread(target=wait)
    waiting.start()
    with flowkit.open(db, worker=False) as fk:
        until(lambda: status(fk) == "failing", within)
    until(lambda: "ModuleNotFoundError" in page(url) and "app.py:3" in page(url), within)
    until(lambda: "ModuleNotFoundError" in page(f"{url}runs/o-1"), within)
    seen_at = time.monotonic()
    waiting.join(60)

    ((told_at, reason),) = heard
    assert seen_at - ended_at <= within
    assert told_at - ended_at <= 3 + within
    assert reason.startswith("ModuleNotFoundError in app.py:3 on worker ")


DIES = """\
import os
import os
import re
import signal

from flowkit import step, workflow

@step
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

@workflow(name="order")
def takes_an_order():
    dies()
"""


def die_with_the_run(driver: Driver, times: int) -> None:
    """As workers of other machines, whose deaths need not be waited for."""
    for number in range(times):
        dead = driver.join(WorkerInfo(name=f"dead-{number}", host="elsewhere", pid=1), time.time())
        driver.claim(dead, {"order": "code"}, 1, time.time())
        driver.reap(time.time(), dead=[dead])


@pytest.mark.slow
@pytest.mark.timeout(90)
@both
def test_processes_that_die_in_turn_under_a_run_are_a_crash_loop_until_other_code_does_better(
    db: str, tmp_path: Path, spawn: Spawn
) -> None:
    (tmp_path / "app.py").write_text(DIES)
    with flowkit.open(db, worker=False) as fk:
        die_with_the_run(fk.driver, 2)
    for _ in range(2):
        assert spawn("worker", "app.py").wait(timeout=30) == -signal.SIGKILL

    with flowkit.open(db, worker=False) as fk:
        (report,) = fk.health("order")["order"].reports
        with pytest.raises(Unattended) as caught:
            fk.get("o-1").result(timeout=30, fail_fast=0.5)
    assert (report.kind, report.type) == ("crash", "CrashLoop")
    assert report.line == "run o-1 has outlived 3 workers in a row that died while they had it"
    assert "CrashLoop" in caught.value.reason

    (tmp_path / "app.py").write_text(DIES.replace("os.kill(os.getpid(), signal.SIGKILL)", "return 'done'"))
    spawn("worker", "app.py")
    with flowkit.open(db, worker=False) as fk:
        until(lambda: fk.get("o-1").status() == "completed", 20)
        assert status(fk) == "failing"  # one that went well proves nothing yet
        fk.start_many([(f"n-{number}", order, ()) for number in range(3)])
        until(lambda: status(fk) == "ok", 20)
