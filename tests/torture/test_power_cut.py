"""F4: after a power cut everything that was acknowledged is there, and the file is whole."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from flowkit.drivers.sqlite import SQLiteDriver
from tests.support import require
from tests.torture.checker import check
from tests.torture.errands import ERRANDS
from tests.torture.kept import kept, resumed, whole
from tests.torture.log import read_log
from tests.torture.powercut import Recording, can_trace, record
from tests.torture.trials import Torture, Trial

CUTS_OF_A_RECORDING = 100
RESUMED_CUTS = 0.02
RUNS = 8


class Recorder:
    """A recording, made anew every hundred cuts."""

    def __init__(self, folder: Path, durability: str) -> None:
        require(can_trace(), "power cuts need strace, and the permission to trace")
        self._folder = folder
        self._durability = durability
        self._cuts = 0
        self._made: Recording | None = None

    def cut(self, trial: Trial) -> tuple[Path, Path]:
        """The files after a cut at a moment of the trial's choice."""
        if self._made is None or self._cuts % CUTS_OF_A_RECORDING == 0:
            self._made = self._record()
        self._cuts += 1
        trial.injected += 1
        return self._made.rebuild(trial.folder, self._made.moment(trial.chance), trial.chance)

    def _record(self) -> Recording:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        database, log = self._folder / "errands.db", self._folder / "log"
        SQLiteDriver(database).close()
        options = ["--runs", str(RUNS), "--durability", self._durability, "--abandon"]
        return record(self._folder, database, log, ["tests.torture.errands", str(database), str(log), *options])


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_power_cut_loses_nothing_that_was_acknowledged(torture: Torture, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recording", "full")

    with torture("F4", ci=500, long=16_000, seconds=8) as fault:
        for trial in fault.trials():
            database, log = recorder.cut(trial)
            trial.acked += read_log(log).acks
            trial.checked += 1
            trial.found(kept(database, log))
            if not trial.violations and trial.chance.random() < RESUMED_CUTS:
                trial.found(resumed(database, log))
                trial.found(check(database, log, ERRANDS))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_without_the_promise_a_power_cut_loses_the_newest_commits_only(torture: Torture, tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recording", "process")

    with torture("F4", ci=100, long=4_000, seconds=4) as fault:
        for trial in fault.trials():
            database, log = recorder.cut(trial)
            trial.checked += 1
            lost = missing(database, log)
            trial.control(any(lost), 'durability="process" must lose acknowledged writes, or the cut proves nothing')
            trial.found(whole(database))
            if lost != sorted(lost):
                trial.found([f"a commit is there and one before it is gone: {lost}"])
            if trial.chance.random() < RESUMED_CUTS:
                trial.found(resumed(database, trial.folder / "log of the rest"))


def missing(database: Path, log: Path) -> list[bool]:
    """For each acknowledged commit, in order, whether it is gone."""
    connection = sqlite3.connect(database)
    try:
        heads = dict(connection.execute("SELECT seq, head FROM runs"))
    finally:
        connection.close()
    lines = [line.split() for line in log.read_text().splitlines()]
    return [heads.get(int(words[1]), -1) < int(words[3]) for words in lines if words[0] == "commit"]
