"""F9: the clock of one of two workers jumps or stands still; timers follow it within a second, and no lease is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import flowkit
from flowkit.client import Flowkit
from flowkit.core.run import TERMINAL
from tests.house.source import ROOT
from tests.support import require
from tests.torture.checker import check
from tests.torture.jumping import Clock, naps, sleeps, waits
from tests.torture.log import Log, read_log
from tests.torture.trials import LONG, Torture, Trial

HOUR, DAY = 3600.0, 86_400.0
JUMPS = (HOUR, -HOUR, DAY, -DAY, HOUR, DAY, None)
"""None: the clock stands still."""

NOTICED_SECONDS = 1.0
PASS_SECONDS = 0.5
PEACE_SECONDS = 15.0


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that shifts the wall clock of a process, built here."""
    require(sys.platform == "linux" and shutil.which("gcc"), "the clock of a process is shifted by a library that gcc builds")
    built = tmp_path_factory.mktemp("shim") / "clockshim.so"
    source = Path(__file__).with_name("clockshim.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", str(built), str(source), "-lm"], check=True)
    return built


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 200)
def test_timers_follow_a_clock_that_jumps_and_leases_do_not(torture: Torture, shim: Path) -> None:
    with torture("F9", ci=12, long=500, seconds=8.0) as fault:
        for trial in fault.trials():
            jump(trial, shim)


def jump(trial: Trial, shim: Path) -> None:
    """Runs that sleep, wait and work; one worker's clock jumps once or, in the long run, walks; then all is let go."""
    database, log = trial.folder / "clock.db", trial.folder / "log"
    clock, stderr = Clock(trial.folder / "clock"), trial.folder / "stderr"
    first = trial.chance.choice(JUMPS)
    length = abs(first) if first is not None else HOUR
    flowkit.open(database, worker=False).close()
    with workers(database, log, trial.folder / "clock", shim, stderr), flowkit.open(database, worker=False) as fk:
        ids = start(fk, log, "before", length)
        forward = first is not None and first > 0
        until_asleep(fk, ids if forward else ids[:2])
        time.sleep(trial.chance.uniform(0, 0.5))
        jumped = set_clock(clock, first)
        trial.injected += 1
        if forward:
            trial.found(late(jumped, until_woken(log)))
        ids += start(fk, log, "after", length)
        for _ in range(trial.chance.randrange(6) if LONG else 1):
            time.sleep(trial.chance.uniform(0, 0.5))
            set_clock(clock, trial.chance.choice((*JUMPS, 0.0)))
            trial.injected += 1
        time.sleep(0.3)
        clock.shift(3 * DAY)
        trial.found(not_ended(fk, ids))
    trial.acked += read_log(log).acks
    trial.checked += len(ids)
    trial.found(check(database, log, stderr=stderr.read_text(), now=time.time() + 3 * DAY))
    trial.found(taken_over(database, log, stderr.read_text()))


def set_clock(clock: Clock, jump: float | None) -> float:
    """When that was, by the monotonic clock."""
    if jump is None:
        clock.freeze()
    else:
        clock.shift(jump)
    return time.monotonic()


def start(fk: Flowkit, log: Path, prefix: str, seconds: float) -> list[str]:
    """One run of each kind. The long ones wait a little less than the jump is long."""
    kinds = [("sleeps", sleeps, (seconds - 30,)), ("waits", waits, (seconds - 30,)), ("naps", naps, ()), ("more", naps, ())]
    runs = fk.start_many((f"{prefix}-{name}", flow, args) for name, flow, args in kinds)
    lines = Log(log)
    for run in runs:
        lines.write("ack", "start", run.id)
    lines.close()
    return [run.id for run in runs]


def until_asleep(fk: Flowkit, ids: list[str]) -> None:
    """Both long ones sleep, so that the jump has something to wake; others have ended, whose writes would wake the workers."""
    end = time.monotonic() + PEACE_SECONDS
    wanted = ["sleeping", "sleeping", *("completed" for _ in ids[2:])]
    while [fk.get(id).status() for id in ids] != wanted:
        assert time.monotonic() < end, "the runs never went to sleep"
        time.sleep(0.01)


def until_woken(log: Path) -> dict[str, float]:
    """When those that slept before the jump noted that they were awake, by the monotonic clock; as far as they were."""
    end = time.monotonic() + PEACE_SECONDS
    while True:
        woke = {note[1]: float(note[2]) for note in read_log(log).notes if note[0] == "woke" and note[1].startswith("before")}
        if len(woke) == 2 or time.monotonic() > end:
            return woke
        time.sleep(0.02)


def late(jumped: float, woke: dict[str, float]) -> Iterator[str]:
    """C6: a jump of the clock is noticed within a second."""
    for run in ("before-sleeps", "before-waits"):
        if run not in woke:
            yield f"C6: {run} slept on after its time had come by a jump"
        elif woke[run] - jumped > NOTICED_SECONDS + PASS_SECONDS:
            yield f"C6: {run} was woken {woke[run] - jumped:.2f} s after the jump"


def not_ended(fk: Flowkit, ids: list[str]) -> Iterator[str]:
    """L3: with a clock far ahead of every deadline, all runs end."""
    end = time.monotonic() + PEACE_SECONDS
    while (left := {id: fk.get(id).status() for id in ids if fk.get(id).status() not in TERMINAL}) and time.monotonic() < end:
        time.sleep(0.02)
    yield from (f"L3: {id} is {status}" for id, status in left.items())


def taken_over(database: Path, log: Path, stderr: str) -> Iterator[str]:
    """I6: nobody was taken for dead: no body ran twice, no run was taken from its owner, nobody had to join anew."""
    for (run, location), tokens in read_log(log).ran.items():
        if len(tokens) > 1:
            yield f"I6: {location} of {run} ran {len(tokens)} times"
    with flowkit.open(database, worker=False) as fk:
        crashed = [row.id for row in fk.runs(limit=100) if (found := fk.driver.get(row.id)) is not None and found.crashes]
    if crashed:
        yield f"I6: runs {crashed} were taken over"
    if "dead" in stderr or "defect" in stderr or "WARNING" in stderr or "ERROR" in stderr:
        yield f"I6: a worker complained: {stderr}"


@contextmanager
def workers(database: Path, log: Path, clock: Path, shim: Path, stderr: Path) -> Iterator[None]:
    """Two workers, one of which lives by the clock of that file."""
    command = [sys.executable, "-m", "tests.torture.jumping", str(database), str(log)]
    shifted = {**os.environ, "LD_PRELOAD": str(shim), "CLOCK_FILE": str(clock)}
    with stderr.open("w") as errors:
        started = [
            subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
            for environment in (shifted, dict(os.environ))
        ]
        try:
            for process in started:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n", stderr.read_text()
            yield
            for process in started:
                process.terminate()
            codes = [process.wait(20) for process in started]
            assert codes == [0, 0], codes
        finally:
            for process in started:
                process.kill()
                process.communicate()
