"""Several processes on one file: the gate, takeover, wake-ups, fork."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowkit.core.change import Park
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.errors import StoreBusy, StoreError
from tests.drivers.ops import NOW, change, owned, send, start, worker

_WORKER = """
import sys, time
from flowkit.drivers.sqlite import SQLiteDriver
from tests.drivers.ops import NOW, change, entry, owned, start, worker
driver = SQLiteDriver(sys.argv[1], "process")
"""


@pytest.fixture
def spawn(path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start processes that have the file open as `driver` and run some lines; each prints a line when it is ready."""
    processes: list[subprocess.Popen[str]] = []

    def run(lines: str) -> "subprocess.Popen[str]":
        code = _WORKER + lines
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


_HOLD = "owned(driver, 'r'); print('ready', flush=True); time.sleep(60)"


def test_the_runs_of_a_killed_process_are_taken_over_within_a_second(
    driver: SQLiteDriver, spawn: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    process = spawn(_HOLD)
    ready(process)
    assert driver.reap(NOW) == 0

    process.kill()

    until(lambda: driver.reap(NOW) == 1, 1.0)
    claimed = driver.claim(worker(driver), {"w": "c"}, 1, NOW)
    assert [(claim.id, claim.crashes) for claim in claimed.runs] == [("r", 1)]


def test_a_stopped_process_is_not_taken_for_dead(driver: SQLiteDriver, spawn: Callable[[str], "subprocess.Popen[str]"]) -> None:
    process = spawn(_HOLD)
    ready(process)

    os.kill(process.pid, signal.SIGSTOP)

    assert driver.reap(NOW + 1_000) == 0
    assert [row.alive for row in driver.workers()] == [True]


def test_a_process_that_stops_holding_the_gate_makes_others_busy(
    path: Path, spawn: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    impatient = SQLiteDriver(path, "process", busy_seconds=0.2)
    process = spawn("driver._connections._gate.enter(5); print('ready', flush=True); time.sleep(60)")
    ready(process)

    with pytest.raises(StoreBusy, match="nothing was written"):
        impatient.write([start()], NOW)

    process.kill()
    process.wait()
    assert len(impatient.write([start()], NOW)) == 1
    impatient.close()


def test_processes_get_their_turns(driver: SQLiteDriver, spawn: Callable[[str], "subprocess.Popen[str]"]) -> None:
    lines = """
(run,) = owned(driver, sys.argv[1] + str(time.time_ns()))
print("ready", flush=True)
sys.stdin.readline() if False else None
end = time.monotonic() + 1.0
count = 0
while time.monotonic() < end:
    driver.write([change(run, count, add=[entry(count + 1)])], NOW)
    count += 1
print(count, flush=True)
"""
    processes = [spawn(lines) for _ in range(2)]
    for process in processes:
        ready(process)

    counts = [int(ready(process)) for process in processes]

    assert min(counts) * 4 > max(counts)


def test_a_send_from_another_process_ends_the_wait(driver: SQLiteDriver, spawn: Callable[[str], "subprocess.Popen[str]"]) -> None:
    (run,) = owned(driver, "r")
    driver.write([change(run, status="sleeping", park=Park(wake_at=None, waiting=("n",)))], NOW)
    process = spawn(
        "from tests.drivers.ops import send\n"
        "print('ready', flush=True); time.sleep(0.1); driver.write([send()], NOW); time.sleep(60)"
    )
    ready(process)
    while driver.wait(0):
        pass

    assert driver.wait(5)
    row = driver.get("r")
    assert row is not None
    assert row.wake_at == NOW


def test_our_own_writes_do_not_end_our_wait(driver: SQLiteDriver) -> None:
    driver.write([start()], NOW)
    driver.write([send()], NOW)

    assert not driver.wait(0.03)


def test_another_handle_of_this_process_ends_our_wait(driver: SQLiteDriver, path: Path) -> None:
    other = SQLiteDriver(path, "process")
    while driver.wait(0):
        pass

    other.write([start()], NOW)

    assert driver.wait(1)
    other.close()


def test_workers_of_another_handle_are_seen_alive(driver: SQLiteDriver, path: Path) -> None:
    other = SQLiteDriver(path, "process")
    owned(other, "r")

    assert driver.reap(NOW) == 0
    other.close()
    assert driver.reap(NOW) == 1


def test_a_handle_carried_over_a_fork_refuses(driver: SQLiteDriver) -> None:
    driver.write([start()], NOW)

    def child() -> bool:
        uses = (lambda: driver.write([start("b")], NOW), lambda: driver.get("r"), lambda: driver.wait(0), driver.token)
        return all(_refuses(use) for use in uses)

    assert in_child(child)
    assert driver.get("r") is not None


def test_a_child_that_closes_an_inherited_handle_hurts_nobody(driver: SQLiteDriver) -> None:
    (run,) = owned(driver, "r")
    driver.token()

    def child() -> bool:
        driver.close()
        return True

    assert in_child(child)
    assert driver.reap(NOW) == 0
    assert len(driver.write([change(run)], NOW)) == 1


def test_a_child_does_not_keep_a_dead_parent_alive(driver: SQLiteDriver, spawn: Callable[[str], "subprocess.Popen[str]"]) -> None:
    process = spawn(
        "import os\nowned(driver, 'r')\npid = os.fork()\nif pid == 0: time.sleep(60)\nprint(pid, flush=True); time.sleep(60)"
    )
    orphan = int(ready(process))
    try:
        process.kill()
        process.wait()

        until(lambda: driver.reap(NOW) == 1, 1.0)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_child_may_open_the_file_itself(driver: SQLiteDriver, path: Path) -> None:
    driver.write([start()], NOW)

    def child() -> bool:
        mine = SQLiteDriver(path, "process")
        mine.write([start("child")], NOW)
        mine.close()
        return True

    assert in_child(child)
    assert driver.get("child") is not None


def _refuses(use: Callable[[], object]) -> bool:
    try:
        use()
    except StoreError as error:
        return "fork" in str(error)
    return False


def in_child(work: Callable[[], bool]) -> bool:
    """Whether `work` was true in a forked child."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
