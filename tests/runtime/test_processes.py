"""Workers in processes of their own: shared work, sudden death, SIGTERM, fork."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import flowkit
from flowkit import RunConflict, StoreError
from flowkit.client import Flowkit
from tests.house.source import ROOT
from tests.runtime import flows
from tests.runtime.waiting import until

_WORKER = """
import os, signal, sys, threading
import flowkit
from tests.runtime import flows

leave = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: leave.set())
with flowkit.open(sys.argv[1]) as fk:
    print("ready", flush=True)
    leave.wait(30)
"""

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bodies of all processes report."""
    path = tmp_path / "log"
    path.touch()
    monkeypatch.setenv("FLOWKIT_TEST_LOG", str(path))
    return path


@pytest.fixture
def spawn(path: Path, log: Path) -> Iterator[Spawn]:
    """Starts workers in processes of their own, ready when they are given; `do` is what bodies there are told."""
    processes: list[subprocess.Popen[str]] = []

    def start(do: str = "", *, wait: bool = True) -> "subprocess.Popen[str]":
        environment = os.environ | {"FLOWKIT_TEST_LOG": str(log), "FLOWKIT_TEST_DO": do}
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        )
        processes.append(process)
        assert process.stdout is not None
        if wait:
            assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def client(path: Path) -> Iterator[Flowkit]:
    with flowkit.open(path, worker=False) as opened:
        yield opened


def bodies(log: Path) -> list[int]:
    """The processes in which bodies began, in order."""
    return [int(line.split()[1]) for line in log.read_text().splitlines()]


def test_two_processes_share_the_runs(client: Flowkit, spawn: Spawn) -> None:
    spawn()
    spawn()

    runs = client.start_many((f"r-{number}", flows.shares, ()) for number in range(250))

    outputs = [run.result(timeout=8) for run in runs]
    assert len({pid for output in outputs for pid in output}) == 2
    assert {len(output) for output in outputs} == {10}


def test_the_run_of_a_killed_process_goes_on_long_before_a_lease_is_over(path: Path, log: Path, spawn: Spawn) -> None:
    process = spawn("hang")
    with flowkit.open(path, worker=False) as client:
        run = client.start("r", flows.stands_by)
        until(lambda: bodies(log) == [process.pid])

    with flowkit.open(path) as fk:
        killed = time.monotonic()
        process.kill()
        output = fk.get("r").result(timeout=5)
        took = time.monotonic() - killed

    assert (output, run.id) == (os.getpid(), "r")
    assert took < 5.0  # a third of the lease; the storm of kills measures it


def test_each_death_of_a_worker_counts_until_the_run_is_quarantined(client: Flowkit, spawn: Spawn) -> None:
    run = client.start("r", flows.dies)
    for _ in range(2):
        assert spawn("die", wait=False).wait(5) == -signal.SIGKILL

    spawn()

    with pytest.raises(RunConflict, match=r"quarantined.*resume\(\)"):
        run.result(timeout=5)
    run.resume()
    assert run.result(timeout=5) == "alive"
    assert client.driver.get("r").crashes == 0


def test_progress_sets_the_crashes_to_none(client: Flowkit, spawn: Spawn) -> None:
    run = client.start("r", flows.dies)
    assert spawn("die", wait=False).wait(5) == -signal.SIGKILL

    spawn()

    assert run.result(timeout=5) == "alive"
    assert client.driver.get("r").crashes == 0


def test_sigterm_lets_bodies_end_and_gives_runs_back(client: Flowkit, log: Path, spawn: Spawn) -> None:
    process = spawn()
    run = client.start("r", flows.lingers)
    until(lambda: bodies(log) == [process.pid])

    process.terminate()

    assert process.wait(5) == 0
    assert [(entry.location, entry.output) for entry in run.history()] == [("linger", "told")]
    assert (run.status(), client.driver.get("r").crashes) in [("pending", 0), ("completed", 0)]
    spawn()
    assert run.result(timeout=5) == "told"
    assert bodies(log) == [process.pid]


def test_a_request_is_answered_by_another_process(client: Flowkit, spawn: Spawn) -> None:
    spawn()
    run = client.start("r", flows.answers)

    assert run.request("question", 41, timeout=5) == 42


_FORK = """
import os, sys
import flowkit
from tests.runtime import flows

with flowkit.open(sys.argv[1]) as fk:
    fk.start("r", flows.answers)
    child = os.fork()
    if child == 0:
        refused = []
        for call in (lambda: fk.start("s", flows.answers), fk.runs, lambda: fk.get("r"), lambda: fk.send("r", "question", 1)):
            try:
                call()
            except flowkit.StoreError as error:
                refused.append("fork" in str(error))
        fk.close()
        with flowkit.open(sys.argv[1]) as own:
            answer = own.get("r").request("question", 41, timeout=5)
            os._exit(0 if refused == [True] * 4 and answer == 42 and own.worker.id != fk.worker.id else 1)
    _, status = os.waitpid(child, 0)
    fk.get("r").result(timeout=5)  # the answer comes before the end, and the child may have left in between
    assert [row.alive for row in fk.driver.workers() if row.id == fk.worker.id] == [True]
    sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_is_refused_and_opens_the_database_anew(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=9, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


_FORK_AIO = """
import asyncio, os, sys
from flowkit import aio
from tests.runtime import flows

async def use(name):
    async with aio.open(sys.argv[1]) as fk:
        return await fk.run(name, flows.shares)

asyncio.run(use("parent"))
child = os.fork()
if child == 0:
    asyncio.run(use("child"))
    os._exit(0)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_may_use_the_awaitable_handle_too(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK_AIO, str(path)],
        cwd=ROOT, capture_output=True, text=True, timeout=9, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_a_handle_that_was_closed_refuses_to_wait(path: Path) -> None:
    fk = flowkit.open(path)
    run = fk.start("r", flows.answers)
    fk.close()

    with pytest.raises(StoreError, match="closed"):
        run.result(timeout=5)
