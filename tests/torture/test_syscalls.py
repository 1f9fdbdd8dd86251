"""F5: whatever call of the database fails, nothing is lost, no body begins meanwhile, and work goes on by itself."""

import pytest

from flowkit.drivers.sqlite import SQLiteDriver
from tests.support import require
from tests.torture.checker import check
from tests.torture.errands import ERRANDS, UNENDED
from tests.torture.failing import Refusal, begun_while_red, choose, played, traceback_in
from tests.torture.kept import kept, resumed
from tests.torture.log import read_log
from tests.torture.powercut import can_trace
from tests.torture.trials import Torture, Trial


def play(trial: Trial, refusal: Refusal, *arguments: str) -> int:
    """Run the errands under this refusal, and note what is wrong afterwards; their exit code."""
    database, log = trial.folder / "errands.db", trial.folder / "log"
    SQLiteDriver(database).close()
    told = played(database, log, refusal, *arguments)
    trial.injected += told.injected
    trial.acked += read_log(log).acks
    trial.checked += 1
    found = [*traceback_in(told.stderr), *begun_while_red(log), *kept(database, log)]
    trial.found(f"{sentence} [{refusal}]" for sentence in found)
    return told.code


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_call_that_fails_loses_nothing_and_work_goes_on_by_itself(torture: Torture) -> None:
    require(can_trace(), "failing calls need strace, and the permission to trace")

    with torture("F5", ci=36, long=3_000, seconds=12) as fault:
        for trial in fault.trials():
            refusal = choose(trial.chance)

            code = play(trial, refusal, "--patience", "0.5")

            database, log = trial.folder / "errands.db", trial.folder / "log"
            if code == UNENDED:
                trial.found([f"C8: not every run has ended by itself [{refusal}]"])
            trial.found(resumed(database, log))
            trial.found(check(database, log, ERRANDS))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_store_that_fails_for_good_takes_nothing_along(torture: Torture) -> None:
    require(can_trace(), "failing calls need strace, and the permission to trace")

    with torture("F5", ci=8, long=1_000, seconds=12) as fault:
        for trial in fault.trials():
            made = choose(trial.chance)
            refusal = Refusal(made.call, made.suffix, made.error, made.first, None)

            play(trial, refusal, "--patience", "0.3", "--seconds", "1")

            database, log = trial.folder / "errands.db", trial.folder / "log"
            trial.found(resumed(database, log))
            trial.found(check(database, log, ERRANDS))
