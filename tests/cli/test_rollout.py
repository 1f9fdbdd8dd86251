"""Rolling out a version with real processes: old workers leave, runs go on, and what does not fit is said before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import flowkit
from tests.cli.conftest import Cli
from tests.postgres.server import fresh_database

APP = str(Path(__file__).with_name("rollout_app.py"))
PATIENCE_SECONDS = 60

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

Spawn = Callable[..., "subprocess.Popen[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
Data = Callable[..., Any]


def eventually(what: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and give it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
    return found


both = pytest.mark.parametrize("db", ["file", "server"], indirect=True)


@pytest.fixture
def db(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database that everybody takes: a file unless the test is for both stores."""
    is_server = getattr(request, "param", "file") == "server"
    monkeypatch.setenv("FLOWKIT_DB", fresh_database() if is_server else str(tmp_path / "orders.db"))


@pytest.fixture
def work(db: None, spawn: Spawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a worker of a version, and waits until it is ready."""
    monkeypatch.setenv("FLOWKIT_SUCCESSION", "200ms")
    monkeypatch.setenv("ROLLOUT_LOG", str(tmp_path / "log"))
    (tmp_path / "log").touch()

    def start(version: str, *options: str, app: str = APP, ready: bool = True) -> subprocess.Popen[str]:
        environment = {**os.environ, "FLOWKIT_VERSION": version}
        child = spawn("worker", app, "--grace", "5s", "--json", *options, env=environment)
        if ready:
            await_ready(child)
        return child

    return start


def await_ready(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert json.loads(child.stdout.readline() or "null"), child.communicate()[1]


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and what it said."""
    said = child.communicate(timeout=PATIENCE_SECONDS)[1]
    return child.returncode, said


def start_runs(workflow: str, count: int, first: int = 0) -> None:
    """Runs of a workflow that this process has no code of."""
    from tests.cli import rollout_app

    with flowkit.open(worker=False) as fk:
        fk.start_many(
            [(f"{workflow}-{number}", getattr(rollout_app, workflow), (number,)) for number in range(first, first + count)]
        )


@pytest.fixture(autouse=True)
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLOUT_LOG", str(tmp_path / "log"))


def test_workers_of_an_older_version_leave_and_their_runs_go_on(work: Start, tmp_path: Path, data: Data) -> None:
    old = [work("1"), work("1")]
    start_runs("order", 20)
    eventually((tmp_path / "log").read_text)

    new = work("2", "--drain-older")

    for child in old:
        code, said = ended(child)
        assert code == 0
        assert "makes room for worker" in said
        assert "version 2" in said
    eventually(lambda: {run["status"] for run in data("list")["runs"]} == {"completed"})
    (living,) = data("list", "--workers")["workers"]
    assert (living["pid"], living["version"], living["state"]) == (new.pid, "2", "working")
    bodies = Counter(line.split()[2] for line in (tmp_path / "log").read_text().splitlines())
    assert len(bodies) == 80
    assert set(bodies.values()) == {1}


def test_without_the_option_versions_work_side_by_side(work: Start, data: Data) -> None:
    first, second = work("1"), work("2")

    time.sleep(0.8)  # longer than workers take to look at one another

    assert first.poll() is None
    assert second.poll() is None
    assert {worker["version"] for worker in data("list", "--workers")["workers"]} == {"1", "2"}


@both
def test_runs_that_do_not_fit_are_held_and_named_before_anybody_leaves(work: Start, tmp_path: Path, data: Data) -> None:
    old = work("1")
    start_runs("waits", 3)
    eventually(lambda: count(data, "sleeping") == 3)

    new = work("without", "--drain-older")

    assert ended(old)[0] == 0
    assert count(data, "blocked") == 3
    new.send_signal(signal.SIGTERM)
    assert "3 runs held, as this code does not fit: waits-" in ended(new)[1]


def test_more_misfits_than_allowed_drain_nobody_and_hold_nothing(work: Start, tmp_path: Path, data: Data) -> None:
    old = work("1")
    start_runs("waits", 3)
    eventually(lambda: count(data, "sleeping") == 3)

    code, said = ended(work("without", "--drain-older", "--hold-if", "2", ready=False))

    assert code == 1
    assert "3 runs would not fit this code, and --hold-if allows 2" in said
    assert old.poll() is None
    assert count(data, "blocked") == 0


def test_of_several_versions_that_join_at_once_the_newest_stays(work: Start, data: Data) -> None:
    old = work("1")
    joining = [work(version, "--drain-older", ready=False) for version in ("2", "3", "4")]

    assert ended(old)[0] == 0
    eventually(lambda: sum(child.poll() is None for child in joining) == 1)
    (living,) = data("list", "--workers")["workers"]
    assert [child.pid for child in joining if child.poll() is None] == [living["pid"]]
    assert all(child.poll() == 0 for child in joining if child.poll() is not None)


def test_a_worker_that_dies_while_it_drains_is_taken_over(work: Start, tmp_path: Path, data: Data) -> None:
    old = work("1", "--concurrency", "4")
    start_runs("order", 8)
    eventually((tmp_path / "log").read_text)
    work("2", "--drain-older")

    eventually(lambda: old.poll() is not None or drains(data, old.pid))
    old.kill()

    eventually(lambda: {run["status"] for run in data("list")["runs"]} == {"completed"})


def test_a_signal_to_a_worker_that_makes_room_already_lets_its_bodies_end(work: Start, tmp_path: Path, data: Data) -> None:
    old = work("1")
    start_runs("pays", 1)
    eventually((tmp_path / "log").read_text)
    work("2", "--drain-older")
    eventually(lambda: drains(data, old.pid))

    old.send_signal(signal.SIGTERM)  # as a process manager does that replaces it
    time.sleep(0.5)
    (tmp_path / "door").touch()

    assert ended(old)[0] == 0
    eventually(lambda: {run["status"] for run in data("list")["runs"]} == {"completed"})
    assert [version for _, version, _ in seen(tmp_path)] == ["1"]


def count(data: Data, status: str) -> int:
    return len(data("list", "--status", status)["runs"])


def drains(data: Data, pid: int) -> bool:
    workers = data("list", "--workers")["workers"]
    return any(each["pid"] == pid and each["state"] == "draining" for each in workers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--version", ""], "a version cannot be empty (--version); it is text of 1 to 200 characters"),
        (["--version", "2\n4"], "control characters and lone surrogates are not allowed (--version)"),
        (["--drain-older"], "say which this is: --version"),
        (["--version", "2", "--hold-if", "3"], "--hold-if says when --drain-older is refused"),
    ],
)
def test_a_version_that_cannot_be_is_refused_before_anything_starts(cli: Cli, options: list[str], message: str) -> None:
    result = cli("worker", APP, "--db", "orders.db", *options)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("orders.db").exists()


def test_a_version_of_the_environment_that_cannot_be_is_refused_by_its_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_VERSION", "")

    result = cli("worker", APP, "--db", "orders.db")

    assert result.exit_code == 2
    assert "a version cannot be empty (environment FLOWKIT_VERSION); it is text of 1 to 200 characters" in result.stderr
    assert not Path("orders.db").exists()


@contextmanager
def load() -> Iterator[list[str]]:
    """Runs are started all the while; the list of their ids."""
    from tests.cli.rollout_app import order

    started: list[str] = []
    enough = threading.Event()

    def start() -> None:
        with flowkit.open(worker=False) as fk:
            while not enough.wait(0.1):
                started.append(fk.start(f"order-{len(started)}", order, len(started)).id)

    thread = threading.Thread(target=start)
    thread.start()
    yield started
    enough.set()
    thread.join()


def four(work: Start, version: str, *options: str) -> list[subprocess.Popen[str]]:
    """Workers of a version, all ready."""
    started = [work(version, "--concurrency", "10", *options, ready=False) for _ in range(4)]
    for child in started:
        await_ready(child)
    return started


@both
def test_four_workers_are_upgraded_under_load_and_back_without_a_gap(
    work: Start, tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWKIT_SUCCESSION")
    workers = four(work, "1")
    with load() as started:
        for version in ("2", "1b"):
            eventually(lambda: seen(tmp_path)[-1:])
            older, workers = workers, four(work, version, "--drain-older")
            assert [ended(child)[0] for child in older] == [0, 0, 0, 0]
            eventually(lambda version=version: seen(tmp_path)[-1][1] == version)
    statuses = eventually(lambda: all_ended(data, len(started)))

    assert statuses == {"completed"}
    lines = seen(tmp_path)
    bodies = Counter(number for _, _, number in lines)
    assert len(bodies) == 4 * len(started)
    assert set(bodies.values()) == {1}
    begun = sorted(float(at) for at, _, _ in lines)
    gap = max(later - earlier for earlier, later in pairwise(begun))
    assert gap <= max(1.0, os.getloadavg()[0])  # a second on a machine that has one for us


def seen(tmp_path: Path) -> list[list[str]]:
    """Instant, version and number of each body that began."""
    return [line.split() for line in (tmp_path / "log").read_text().splitlines()]


def all_ended(data: Data, count: int) -> set[str]:
    """The statuses of these runs, once all have ended."""
    runs = data("list", "--limit", "10000")["runs"]
    statuses = {run["status"] for run in runs}
    return statuses if len(runs) == count and statuses <= {"completed", "failed", "cancelled", "blocked"} else set()
