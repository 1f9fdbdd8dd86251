"""Trials: one fault, injected again and again, each time by another seed, until a promise is broken or the count is reached.

    with torture("F4", ci=600, long=20_000) as fault:
        for trial in fault.trials():
            ...
            trial.found(check(database, log))

All that is random in a trial comes from its seed. The first violation ends the fault: its folder is kept, and it says how
to play it again. Seeds that were once red stand in `tests/regressions` and are played first.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType

__all__ = ["BRIEF", "CI", "LONG", "MINUTES", "Fault", "Row", "Torture", "Trial", "past_seeds"]

LONG = os.environ.get("FLOWKIT_TORTURE") == "long"
BRIEF = os.environ.get("FLOWKIT_TORTURE") == "brief"
"""Whether a guard is known to be gone, so that the first small trial should show it."""

CI = os.environ.get("FLOWKIT_REQUIRE_ALL") == "1" or BRIEF
MINUTES = float(os.environ.get("MINUTES") or "inf")
"""How long each test of the long run goes on at most; without it, to its full count."""

REGRESSIONS = Path(__file__).resolve().parents[1] / "regressions"
KEPT = Path(tempfile.gettempdir()) / "flowkit-torture"
"""Where the folder of a violation goes: those that pytest makes are gone after three runs."""

SEEDS = 1_000_000_000
SHARE = 0.3
"""Of the time that a fault asks for, in all runs but the long one: together they must fit into continuous integration."""
MORE = 4
"""How much longer a fault goes on whose control has shown nothing yet."""


@dataclass
class Row:
    """What the report says of one fault. `aim`: how many trials there are to be if time allows. `injected`, `acked` and
    `checked` are the trials' own counts.
    """

    fault: str
    aim: int = 0
    trials: int = 0
    injected: int = 0
    acked: int = 0
    checked: int = 0
    violations: int = 0
    seconds: float = 0.0
    first_seed: int | None = None
    replay: str = ""


@dataclass
class Trial:
    """One seed. Its folder is made when it is asked for, and removed when nothing was found."""

    fault: str
    seed: int
    base: Path
    injected: int = 0
    acked: int = 0
    checked: int = 0
    violations: list[str] = field(default_factory=list)
    controls: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def chance(self) -> random.Random:
        """The only source of chance in this trial."""
        return random.Random(self.seed)

    @cached_property
    def folder(self) -> Path:
        """An empty folder, under `DIR` if that is set."""
        place = self.base / f"{self.fault}-{self.seed}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def found(self, violations: Iterable[str]) -> None:
        """Note broken promises, as sentences; none is fine."""
        self.violations += violations

    def control(self, shown: object, what: str) -> None:
        """A weakened variant must show a violation at least once in the whole fault; `shown` says whether it did here."""
        self.controls[what] = self.controls.get(what, False) or bool(shown)

    def tidy(self) -> None:
        """Remove the folder."""
        if "folder" in self.__dict__:
            shutil.rmtree(self.folder, ignore_errors=True)


class Fault:
    """Plays the trials of one fault and counts. Used by `with`, which raises at the end if anything was found."""

    def __init__(self, row: Row, seeds: Iterable[int], base: Path, scenario: str, *, seconds: float | None, alone: bool) -> None:
        self.row = row
        self.violations: list[str] = []
        self._seeds = seeds
        self._base = base
        self._scenario = scenario
        self._seconds = seconds
        self._alone = alone
        self._controls: dict[str, bool] = {}
        self._current: Trial | None = None
        self._kept: Path | None = None

    def trials(self) -> Iterator[Trial]:
        """A trial per seed, until the first violation or until the time is up; a control that has not shown yet gets more."""
        began, seconds = time.monotonic(), self._seconds
        for seed in self._seeds:
            trial = self._current = Trial(self.row.fault, seed, self._base)
            if self.row.first_seed is None:
                self.row.first_seed = seed
            yield trial
            self._current = None
            self._count(trial)
            if trial.violations:
                self._keep(trial)
                return
            trial.tidy()
            if seconds is not None and time.monotonic() - began > seconds * (1 if all(self._controls.values()) else MORE):
                return

    def __enter__(self) -> Fault:
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.row.seconds = round(time.monotonic() - self._began, 1)
        if error is not None:
            self._broke_off(error)
            return
        silent = [what for what, shown in self._controls.items() if not shown]
        if silent and not self._alone and not self.violations:
            self.violations = [f"the control showed nothing, so this fault proves nothing: {what}" for what in silent]
            self.row.violations = len(silent)
        if self.violations:
            kept = f"\nkept: {self._kept}" if self._kept is not None else ""
            raise AssertionError("\n".join([self.row.replay, *self.violations]) + kept)
        if not self.row.trials:
            raise AssertionError(f"{self.row.fault} played no trial, which proves nothing")

    def _count(self, trial: Trial) -> None:
        self.row.trials += 1
        self.row.injected += trial.injected
        self.row.acked += trial.acked
        self.row.checked += trial.checked
        for what, shown in trial.controls.items():
            self._controls[what] = self._controls.get(what, False) or shown

    def _broke_off(self, error: BaseException) -> None:
        """An error inside a trial is a violation, a time limit too; an interrupt or a missing tool is not."""
        trial = self._current
        if trial is None or isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Skipped":
            return
        self._count(trial)
        trial.violations.append(f"{type(error).__name__}: {error}")
        self._keep(trial)
        error.add_note(f"{self.row.replay}\nkept: {self._kept}")

    def _keep(self, trial: Trial) -> None:
        """Print how to play it again, and write beside its files what belongs into `tests/regressions`."""
        self.violations = trial.violations
        self.row.violations += len(trial.violations)
        self.row.replay = f"replay: make torture F={trial.fault} SEED={trial.seed}"
        self._kept = KEPT / f"{trial.fault}-{trial.seed}"
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.copytree(trial.folder, self._kept, ignore_dangling_symlinks=True)
        trial.tidy()
        print("\n".join([self.row.replay, *trial.violations]))
        past = {"fault": trial.fault, "seed": trial.seed, "scenario": self._scenario, "git": _git_hash()}
        text = json.dumps({**past, "violations": trial.violations}, indent=1)
        (self._kept / f"{trial.fault}-{trial.seed}.json").write_text(text + "\n")


class Torture:
    """Makes faults: `torture("F4", ci=600, long=20_000)`.

    `report` hears of each fault's row as it ends. `scenario` is the test's name: past seeds are those of this very test.
    """

    def __init__(self, base: Path, scenario: str, report: Callable[[dict[str, object]], None]) -> None:
        self._base = Path(os.environ["DIR"]) if os.environ.get("DIR") else base
        self._scenario = scenario
        self._report = report

    def __call__(self, fault: str, *, ci: int, long: int, seconds: float | None = None, counted: bool = False) -> _Reported:
        """`ci` trials, or `long` ones; `seconds` bounds all runs but the long one, `MINUTES` that one.

        Where a trial tries all that there is to try, it is `counted`: its seed is its number, from 0.
        """
        only = os.environ.get("SEED") or None
        count = 1 if only is not None else long if LONG else ci
        seeds: Iterable[int]
        if only is not None:
            seeds = [int(only)]
        elif counted:
            seeds = range(count)
        else:
            base = random.SystemRandom().randrange(SEEDS)
            print(f"{fault}: {count} trials from seed {base}")
            seeds = [*past_seeds(fault, self._scenario), *_derived(base, count)]
        limit = MINUTES * 60 if LONG else None if BRIEF or seconds is None else seconds * SHARE
        made = Fault(Row(fault, count), seeds, self._base, self._scenario, seconds=limit, alone=only is not None)
        return _Reported(made, self._report)


class _Reported:
    def __init__(self, fault: Fault, report: Callable[[dict[str, object]], None]) -> None:
        self._fault = fault
        self._report = report

    def __enter__(self) -> Fault:
        return self._fault.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._fault.__exit__(kind, error, trace)
        finally:
            self._report(asdict(self._fault.row))


def past_seeds(fault: str, scenario: str, folder: Path = REGRESSIONS) -> list[int]:
    """Seeds of this fault and test that were red once."""
    past = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [known["seed"] for known in past if (known["fault"], known["scenario"]) == (fault, scenario)]


def _derived(base: int, count: int) -> Iterator[int]:
    chance = random.Random(base)
    for _ in range(count):
        yield chance.randrange(SEEDS)


def _git_hash() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REGRESSIONS, capture_output=True, text=True, check=False)
    return done.stdout.strip()
