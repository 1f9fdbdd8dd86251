"""F8: from a damaged file nobody reads a wrong value, and nothing but our own errors comes out."""

import io
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowkit.cli import main
from tests.torture.damage import INDEXES, TABLES, damage, lies_of_a_worker, lies_to_a_reader, make_base
from tests.torture.trials import Torture

WORKED_ON = 0.1
"""Of these no index is damaged: an index that hides an entry makes its step run again, and only `integrity_check` sees it."""
LOOKED_AT = 0.25


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_damaged_file_gives_typed_errors_or_what_was_written(torture: Torture, tmp_path: Path) -> None:
    base = make_base(tmp_path)

    with torture("F8", ci=200, long=15_000, seconds=10) as fault:
        for trial in fault.trials():
            path = trial.folder / "damaged.db"
            worked_on = trial.chance.random() < WORKED_ON
            done = damage(base, path, trial.chance, TABLES if worked_on else (*TABLES, *INDEXES))
            trial.injected += 1
            trial.checked += len(base.truth)
            found = list(lies_to_a_reader(base, path))
            if trial.chance.random() < LOOKED_AT:
                found += complaints(path)
            if worked_on and "without" not in done:
                found += lies_of_a_worker(base, path, trial.folder / "log", trial.chance)
            trial.found(f"{sentence} [{done}]" for sentence in found)


def complaints(path: Path) -> list[str]:
    """What the command line says that it should not."""
    found = []
    for command in (["list"], ["doctor", "--full"], ["show", "b-1"]):
        stderr = io.StringIO()
        with redirect_stderr(stderr):
            result = CliRunner().invoke(main, [*command, "--db", str(path)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            found.append(f"flowkit {' '.join(command)}: {type(result.exception).__name__}: {result.exception}")
        if "Traceback" in result.output + stderr.getvalue():
            found.append(f"flowkit {' '.join(command)} shows a traceback: {result.output[-500:]}")
    return found
