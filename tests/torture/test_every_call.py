"""F1: a process that dies, or is left without an answer, at any call to its driver, ends where an undisturbed one does."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowkit.drivers import open_driver
from flowkit.drivers.base import Claim, Driver, Op, Result
from flowkit.errors import RunConflict, StoreError
from flowkit.settings import Settings
from flowkit.testing import Lab, MemoryDriver, SimulatedCrash, Stuck
from tests.crashing import seen
from tests.postgres.server import emptied_database
from tests.torture.scenarios import SCENARIOS, Scenario, scenario
from tests.torture.trials import LONG, Torture, Trial

STORES = 2
PAIRED = 10
PATIENCE = 60
MODES = ("before", "lost", "applied", "after")


class FaultDriver:
    """`plan` maps the number of a call of `write`, `take` or `reap` to a fault: "before" and "after" kill the process there,
    "lost" and "applied" leave it without an answer.
    """

    def __init__(self, inner: Driver, plan: dict[int, str]) -> None:
        self.inner = inner
        self.limits = inner.limits
        self.plan = dict(plan)
        self.calls = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        return self._faulty(lambda: self.inner.write(ops, now))

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        return self._faulty(lambda: self.inner.take(worker, run, code, now))

    def reap(self, now: float, *, dead: Sequence[int] = ()) -> int:
        return self._faulty(lambda: self.inner.reap(now, dead=dead))

    def _faulty(self, call: Any) -> Any:
        self.calls += 1
        fault = self.plan.pop(self.calls, "")
        if fault == "before":
            raise SimulatedCrash("before a call")
        if fault == "lost":
            raise StoreError("no answer, and nothing was done", outcome="unknown")
        result = call()
        if fault == "applied":
            raise StoreError("no answer, though all was done", outcome="unknown")
        if fault == "after":
            raise SimulatedCrash("after a call")
        return result

    def close(self) -> None:
        """The store is used again."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class Played:
    """What came out, how many calls it took, and how often each body began."""

    calls: int
    ending: object
    attempts: list[tuple[str, str, int]]
    begun: dict[str, int]
    again: list[str] = field(default_factory=list)


AT_ONCE = Settings(write_retry=0)
"""A write that was left without an answer is repeated at once."""


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 300)
def test_no_single_fault_at_any_call_makes_a_difference(torture: Torture) -> None:
    with torture("F1", ci=SCENARIOS * STORES, long=SCENARIOS * STORES, counted=True) as fault:
        for trial in fault.trials():
            plans = ({k: mode} for k in range(1, 10_000) for mode in MODES)
            play_all(trial, scenario(trial.seed // STORES), plans)


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 300)
def test_no_single_fault_at_any_call_makes_a_difference_on_a_server(torture: Torture) -> None:
    with torture("F1", ci=SCENARIOS, long=SCENARIOS, seconds=8.0) as fault:
        for trial in fault.trials():
            plans = ({k: mode} for k in range(1, 10_000) for mode in MODES)
            play_all(trial, scenario(trial.seed), plans, open_driver(emptied_database()))


@pytest.mark.torture
@pytest.mark.timeout(14_400 if LONG else 300)
def test_no_pair_of_faults_makes_a_difference(torture: Torture) -> None:
    with torture("F1", ci=PAIRED, long=PAIRED * STORES, counted=True, seconds=10.0) as fault:
        for trial in fault.trials():
            made = scenario(trial.seed * 3)
            with closing(MemoryDriver()) as store:
                calls = played(made, store, {}, "counted").calls
            pairs = [
                {k: one, other: two}
                for k, other in itertools.combinations(range(1, calls + 4), 2)
                for one, two in itertools.product(MODES, repeat=2)
            ]
            play_all(trial, made, pairs if LONG else trial.chance.sample(pairs, 100))


def play_all(
    trial: Trial, made: Scenario, plans: Iterator[dict[int, str]] | list[dict[int, str]], server: Driver | None = None
) -> None:
    """Play the scenario undisturbed, then under each plan as long as it has so many calls; all must come out alike."""
    with closing(store_of(trial) if server is None else server) as store:
        expected = played(made, store, {}, "undisturbed")
        trial.found(unrecorded(made, expected))
        for number, plan in enumerate(plans):
            if min(plan) > expected.calls:
                break
            found = played(made, store, plan, f"r{number}")
            trial.injected += len(plan)
            trial.acked += found.calls - len(plan)
            trial.checked += 1
            trial.found(f"{made.name}, {plan}: {line}" for line in differences(made, expected, found, len(plan)))
            if trial.violations:
                return


def unrecorded(made: Scenario, undisturbed: Played) -> Iterator[str]:
    """I13: every attempt that failed is there with its number. What a rollback or a prune takes away never fails here."""
    for name, count in made.stage.failed.items():
        numbers = [n for location, part, n in undisturbed.attempts if part == "step" and location.split("/")[-1] == name]
        if numbers != list(range(1, count + 1)):
            yield f"{made.name}: I13: {name} failed {count} times, recorded are the attempts {numbers}"


def differences(made: Scenario, expected: Played, found: Played, faults: int) -> Iterator[str]:
    """What the faults changed that they must not."""
    yield from found.again
    if found.ending != expected.ending and not (made.at_most_once and "interrupted" in str(found.ending)):
        yield f"C10: it ended otherwise: {found.ending}, undisturbed {expected.ending}"
    for name, count in found.begun.items():
        more = 0 if made.at_most_once else faults
        if count > expected.begun.get(name, 0) + more:
            yield f"I10: the body of {name} began {count} times, undisturbed {expected.begun.get(name, 0)}"


def store_of(trial: Trial) -> Driver:
    """A new store: in memory for even trials, a file for odd ones."""
    return open_driver(trial.folder / "store.db", durability="process") if trial.seed % STORES else MemoryDriver()


def played(made: Scenario, store: Driver, plan: dict[int, str], run: str) -> Played:
    """One play. Each act is repeated until it comes through; what ends the run otherwise is told by its status."""
    faulty: Any = FaultDriver(store, plan)
    acts = made.begin(store, run)
    with Lab(driver=faulty, settings=AT_ONCE) as lab:
        for act in acts:
            if not any(come_through(lab, act) for _ in range(PATIENCE)):
                raise AssertionError(f"{made.name}, {plan}: an act never came through")
        ending, attempts = ending_of(lab, store, run)
        return Played(faulty.calls, ending, attempts, dict(made.stage.begun), list(made.stage.again))


def ending_of(lab: Lab, store: Driver, run: str) -> tuple[object, list[tuple[str, str, int]]]:
    """All that is compared: how the run ended, its entries, failed attempts and inbox, by location as numbers may differ; and
    the failed attempts.
    """
    row = store.get(run)
    assert row is not None
    history = store.history(row.seq)
    places = {entry.seq: entry.location for entry in history}
    attempts = sorted((places[each.entry], each.part, each.n) for each in store.attempts(row.seq) if each.entry in places)
    inbox = [(message.seq, message.key) for message in store.inbox(row.seq, (), 100)]
    counted = sorted((entry.location, entry.attempts, entry.rollback) for entry in history)
    return (seen(lab, run), attempts, inbox, counted, row.owes, row.inbox), attempts


def come_through(lab: Lab, act: Any) -> bool:
    """Whether `act` was done. What a fault interrupted is followed by the loss of all memory."""
    try:
        act(lab)
    except (SimulatedCrash, StoreError):
        return forgotten(lab)
    except RunConflict as conflict:  # a claim that landed without an answer; a sent message to a run that ended
        return "somebody else" not in str(conflict) or forgotten(lab)
    except Stuck:
        raise
    except Exception:  # the run failed or was cancelled: that is told by its status and error
        return True
    return True


def forgotten(lab: Lab) -> bool:
    """The process starts over; its start may meet a fault too. Always False."""
    for _ in range(PATIENCE):
        try:
            lab.crash()
        except (SimulatedCrash, StoreError):
            continue
        return False
    raise AssertionError("the process could not start over")
