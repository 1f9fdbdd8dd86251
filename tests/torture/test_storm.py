"""F2: `kill -9` at random moments loses nothing, repeats nothing that was recorded, and stops nothing for good."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import ROOT
from tests.torture.checker import check
from tests.torture.log import read_log

KILLS = 10_000 if os.environ.get("FLOWKIT_TORTURE") == "long" else 100


@pytest.mark.torture
@pytest.mark.timeout(60 + KILLS)
def test_a_hundred_kills_lose_nothing_and_repeat_nothing_that_was_recorded(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(100_000))
    print(f"replay: make torture F=F2 SEED={seed}")
    database, log = tmp_path / "storm.db", tmp_path / "log"
    command = [sys.executable, "-m", "tests.torture.storm", str(database), str(log)]

    done = subprocess.run(
        [*command, "--seed", str(seed), "--kills", str(KILLS)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert check(database, log) == [], f"seed {seed}"
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    logged = read_log(log)
    assert logged.kills == KILLS
    assert len(logged.processes) > 10
