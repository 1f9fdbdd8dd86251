"""D: ten thousand runs asleep, opening their database again, many due at one instant, and a million beside them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from flowkit import sleep, sleep_until, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Driver, RunQuery
from flowkit.drivers.sqlite import SQLiteDriver
from tests.bench.opened import opened
from tests.bench.raw import Raw
from tests.bench.table import Row
from tests.torture.sleepers import multiply

__all__ = ["alarm", "asleep", "due_row", "measure_sleepers", "nap", "reopened"]

ASLEEP = 10_000
DUE = 1_000
MANY = 1_000_000

_woken: list[float] = []
_all_woken = threading.Event()


@workflow
def nap() -> str:
    sleep("1d")
    return "rested"


@step
def wake(instant: float) -> None:
    _woken.append(time.time() - instant)
    if len(_woken) == DUE:
        _all_woken.set()


@workflow
def alarm(instant: float) -> None:
    sleep_until(instant)
    wake(instant)


def measure_sleepers(folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    with opened(folder, "d", nap, alarm) as (fk, driver):
        yield asleep(fk, driver)
        path = folder / "d.db"
    yield _reopen(path, f"{ASLEEP:,}", 0.3)
    yield _due(folder, path, "D 1,000 due at one instant", 0.25)
    _one_more(path, "newest")  # copies take the numbers after its own
    multiply(path, "newest", MANY)
    yield _reopen(path, f"{MANY:,}", 0.5)
    yield _due(folder, path, "D the same among 1,000,000", 0.25)


def asleep(fk: Flowkit, driver: Driver) -> Row:
    """Ten thousand runs are started and go to sleep."""
    before, began = _resident(), time.perf_counter()
    fk.start_many((f"nap-{number}", nap, ()) for number in range(ASLEEP))
    while driver.runs(RunQuery(statuses=("pending", "running"), workflow="nap", limit=1)):
        time.sleep(0.005)
    took, grown = time.perf_counter() - began, (_resident() - before) / 1024
    measured = f"{took:.2f} s, {grown:+.0f} MB"
    return Row("D 10,000 runs put to sleep", measured, "", "≤ 1.5 s, ≤ +20 MB", took <= 1.5 and grown <= 20)


def _reopen(path: Path, count: str, limit: float) -> Row:
    told = [reopened(path) for _ in range(3)]
    took = statistics.median(each["seconds"] for each in told)
    held = max(each["held"] for each in told)
    measured = f"{took * 1e3:.0f} ms, {held:.0f} loaded"
    return Row(f"D reopen, {count} asleep", measured, "", f"≤ {limit:g} s, none loaded", took <= limit and held == 0)


def reopened(path: Path) -> dict[str, float]:
    """Open the database in a new process: seconds until its worker has asked what is due, and how many runs it holds then."""
    command = [sys.executable, "-m", "tests.bench.sleepers", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _due(folder: Path, path: Path, name: str, limit: float) -> Row:
    with Flowkit(SQLiteDriver(path), workflows=[nap, alarm]) as fk:
        return due_row(fk, name, limit)


def due_row(fk: Flowkit, name: str, limit: float) -> Row:
    """How late the last of many is that are due at one instant."""
    _woken.clear()
    _all_woken.clear()
    instant = time.time() + 4.0
    fk.start_many((None, alarm, (instant,)) for _ in range(DUE))
    _all_woken.wait(60)
    late = max(_woken)
    measured = f"the last {late:.2f} s late, the median {statistics.median(_woken):.2f} s"
    return Row(name, measured, f"{len(_woken)} woken", f"≤ {limit:g} s", late <= limit and len(_woken) == DUE)


def _one_more(path: Path, run_id: str) -> None:
    with Flowkit(SQLiteDriver(path), workflows=[nap, alarm]) as fk:
        run = fk.start(run_id, nap)
        while run.status() != "sleeping":
            time.sleep(0.005)


def _resident() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def _open_once(path: str) -> None:
    began = time.perf_counter()
    with Flowkit(SQLiteDriver(Path(path)), workflows=[nap, alarm]) as fk:
        assert fk.worker is not None
        codes = {workflow.name: fk.worker.code_of(workflow) for workflow in (nap, alarm)}
        fk.house.driver.claim(fk.worker.id, codes, 0, time.time())
        took = time.perf_counter() - began
        print(json.dumps({"seconds": took, "held": fk.worker.held()}))


if __name__ == "__main__":
    _open_once(sys.argv[1])
