"""F6: a COMMIT fails and the process is killed. Whatever answer was given is what the file holds, and all may be repeated."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from flowkit.drivers.sqlite import SQLiteDriver
from tests.support import require
from tests.torture.doubtful import NUMBERS, is_there, operation, same_again
from tests.torture.failing import Refusal, played, traceback_in
from tests.torture.kept import whole
from tests.torture.log import read_log
from tests.torture.powercut import can_trace
from tests.torture.trials import Torture, Trial

FIRST_COMMIT_OF_A_CLIENT = 4
"""Opening and joining sync before."""
FIRST_PAGE_OF_A_CLIENT = 20

Killed = Literal["before", "after", "believing"]


def killed_in_doubt(trial: Trial, killed: Killed) -> tuple[Path, Path]:
    """The database and log of a client that was killed when one of its COMMITs had failed."""
    database, log = trial.folder / "doubtful.db", trial.folder / "log"
    SQLiteDriver(database).close()
    if trial.chance.random() < 0.7:
        first = FIRST_COMMIT_OF_A_CLIENT + trial.chance.randrange(NUMBERS - 6)
        refusal = Refusal("fdatasync", "-wal", "EIO", first, 1)
    else:
        first = FIRST_PAGE_OF_A_CLIENT + trial.chance.randrange(3 * NUMBERS)
        refusal = Refusal("pwrite64", "-wal", "EIO", first, 1)
    told = played(database, log, refusal, "--killed", killed, program="tests.torture.doubtful")
    trial.injected += told.injected
    trial.found(traceback_in(told.stderr))
    if told.injected and told.code != -signal.SIGKILL:
        trial.found([f"the client was to be killed and ended with {told.code} [{refusal}]"])
    return database, log


def lies(database: Path, log: Path) -> Iterator[str]:
    """Answers that were given and are not true."""
    driver = SQLiteDriver(database)
    try:
        for _, kind, number, answer in read_log(log).notes:
            there = is_there(driver, int(number))
            if (answer == "yes" and not there) or (answer == "no" and there):
                yield f"C1: the client was told {answer} to its {kind} {number}, and it is {'there' if there else 'not there'}"
    finally:
        driver.close()


def unrepeatable(database: Path) -> Iterator[str]:
    """What goes wrong if every operation is given again, as whoever got no answer does."""
    driver = SQLiteDriver(database)
    try:
        for number in range(NUMBERS):
            kind, op = operation(number, driver)
            landed = is_there(driver, number)
            (result,) = driver.write([op], 1.0)
            if not same_again(op, result, landed=landed) or not is_there(driver, number):
                yield f"I3: {kind} {number}, {'there' if landed else 'not there'} before, was repeated and told {result}"
    finally:
        driver.close()


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_the_answer_that_was_given_is_what_the_file_holds(torture: Torture) -> None:
    require(can_trace(), "failing calls need strace, and the permission to trace")

    with torture("F6", ci=14, long=800, seconds=6) as fault:
        for trial in fault.trials():
            database, log = killed_in_doubt(trial, trial.chance.choice(("before", "after")))
            trial.acked += len(read_log(log).notes)
            trial.found(lies(database, log))
            trial.found(unrepeatable(database))
            trial.found(whole(database))
            trial.checked += NUMBERS


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_failed_commit_that_is_believed_is_found_out(torture: Torture) -> None:
    require(can_trace(), "failing calls need strace, and the permission to trace")

    with torture("F6", ci=6, long=200, seconds=4) as fault:
        for trial in fault.trials():
            database, log = killed_in_doubt(trial, "believing")
            shown = list(lies(database, log))
            trial.control(shown, "a failed COMMIT that is taken for a no must be there after a kill, at least once")
            trial.found(whole(database))
            trial.checked += 1
