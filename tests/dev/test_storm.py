"""Fifty saves, good, broken and misfitting at random, with thirty runs in flight: nothing is lost, failed or done twice."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.definitions import workflow
from tests.dev.harness import Dev, alive, descendants, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

RUNS, SAVES, PARTS = 30, 50, 14
SEED = 8733

GOOD = """
import time
from pathlib import Path
from flowkit import run_info, sleep, step, workflow

LOG = Path(__file__).with_name("log")
SAVE = {number}

def note(text):
    with LOG.open("a") as file:
        file.write(text + "\\n")

@step(retries=0)
def part(number: int) -> int:
    time.sleep(0.03)
    note(f"{{run_info().id}} {{number}}")
    return number

@workflow
def parts(count: int) -> int:
    done = 0
    {extra}
    for number in range(count):
        done += part(number)
        sleep(0.5)
    return done
"""

MISFIT = 'part.options(name="early")(0)'
BROKEN = ("def (", "import nowhere_at_all", "1 / 0", "raise SystemExit", "@workflow(name='parts')\ndef again() -> None: ...")


@workflow(name="parts")
def parts(count: int) -> int:
    """As another program knows it that only starts runs."""
    return count


def text_of(number: int, chance: random.Random) -> str:
    """The APP as saved for the `number`-th time."""
    kind = chance.choice(["good", "good", "broken", "misfit"])
    good = GOOD.format(number=number, extra=MISFIT if kind == "misfit" else "pass")
    return f"{good}\n{chance.choice(BROKEN)}\n" if kind == "broken" else good


def outcome(made: Dev) -> None:
    """Wait until what was saved last has loaded, or has not."""
    before = made.count("loaded") + made.count("broken")
    until(lambda: made.count("loaded") + made.count("broken") > before, "an outcome")


def test_a_storm_of_saves_loses_nothing(dev: Callable[..., Dev], tmp_path: Path) -> None:
    chance = random.Random(SEED)
    (tmp_path / "app.py").write_text(GOOD.format(number=-1, extra="pass"))
    made = dev("app.py", "--grace", "2s")
    made.wait("loaded")
    family: set[int] = set()
    with made.client() as client:
        runs = [client.start(f"p-{number}", parts, PARTS) for number in range(RUNS)]

        for number in range(SAVES):
            made.save(text_of(number, chance))
            if chance.random() < 0.35:
                outcome(made)
            time.sleep(chance.uniform(0.02, 0.15))  # an editor's saves come when they come
            family |= {made.process.pid, *descendants(made.process.pid)}
        made.save(GOOD.format(number=SAVES, extra="pass"))

        until(lambda: all(run.status() == "completed" for run in runs), "all runs complete", seconds=30)
        results = {run.result() for run in runs}
        recorded = {run.id: [each for each in run.history() if each.kind == "step"] for run in runs}
        crashes = [row.crashes for row in (client.driver.get(run.id) for run in runs) if row is not None]
    made.interrupt()
    made.process.wait(8)

    assert results == {sum(range(PARTS))}
    assert crashes == [0] * RUNS
    assert {each.attempts for entries in recorded.values() for each in entries} == {1}
    assert not [line for line, times in Counter(made.log()).items() if times > 1]
    assert sorted(made.log()) == sorted(f"p-{run} {part}" for run in range(RUNS) for part in range(PARTS))
    assert not [pid for pid in family if alive(pid)]
    assert made.count("loaded") > 5
    assert made.count("broken") > 0
