"""F7: a full disk stops everything and loses nothing; when there is room again, work goes on by itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import require
from tests.torture.checker import check
from tests.torture.errands import ERRANDS
from tests.torture.failing import begun_while_red, finished, traceback_in
from tests.torture.kept import kept
from tests.torture.log import read_log
from tests.torture.trials import Torture, Trial

DISK = "4m"
LONGEST_SECONDS = 60.0
MOUNT = f'mount -t tmpfs -o size={DISK} tmpfs "$0" && exec "$@"'


def unshare() -> list[str]:
    """How to have mounts of one's own: as root, or as root of a user namespace."""
    return ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]


def can_mount(folder: Path) -> bool:
    """Whether a small disk can be made here."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run([*unshare(), "sh", "-c", MOUNT, str(folder), "true"], capture_output=True, check=False)
    return done.returncode == 0


def judge(trial: Trial, done: "subprocess.CompletedProcess[str]", database: Path, log: Path) -> None:
    """Note what is wrong."""
    logged = read_log(log)
    notes = [note[:2] for note in logged.notes]
    reds = sum(note[0] == "red" for note in notes)
    trial.injected += reds
    trial.acked += logged.acks
    trial.checked += 1
    if done.returncode:
        trial.found([f"C8: the program ended with {done.returncode}; room again, not every run has ended by itself"])
    if reds == 0:
        trial.found(["the disk was not full enough for a write to fail"])
    if ["reserve", "freed"] not in notes:
        trial.found(["the reserve file was not freed when the disk was full"])
    if ["reserve", "made"] not in notes:
        trial.found(["the reserve file was not made again when there was room"])
    trial.found([*traceback_in(done.stderr), *begun_while_red(log), *kept(database, log), *check(database, log, ERRANDS)])


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room(torture: Torture, tmp_path: Path) -> None:
    require(can_mount(tmp_path), "a full disk needs unshare, and the permission to mount a small one")

    with torture("F7", ci=6, long=400, seconds=8) as fault:
        for trial in fault.trials():
            disk, log = trial.folder / "disk", trial.folder / "log"
            disk.mkdir()
            after, seconds = trial.chance.uniform(0, 0.05), trial.chance.uniform(0.3, 0.8)
            program = [sys.executable, "-m", "tests.torture.full", str(disk / "errands.db"), str(log)]
            options = ["--after", f"{after:.3f}", "--seconds-full", f"{seconds:.2f}", "--copy-to", str(trial.folder)]

            done = finished([*unshare(), "sh", "-c", MOUNT, str(disk), *program, *options], LONGEST_SECONDS)

            judge(trial, done, trial.folder / "errands.db", log)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_file_that_may_not_grow_loses_nothing_and_work_goes_on_when_it_may(torture: Torture) -> None:
    with torture("F7", ci=4, long=100, seconds=6) as fault:
        for trial in fault.trials():
            database, log = trial.folder / "errands.db", trial.folder / "log"
            seconds = trial.chance.uniform(0.3, 0.8)
            program = [sys.executable, "-m", "tests.torture.full", str(database), str(log), "--pages"]

            done = finished([*program, "--seconds-full", f"{seconds:.2f}"], LONGEST_SECONDS)

            judge(trial, done, database, log)
