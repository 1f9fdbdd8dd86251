"""F19: what a run keeps comes back exactly as it was, after a crash and in a replay, or is refused and nothing is written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowkit import InvalidName, PayloadError, RunNotFound
from flowkit.testing import Lab
from tests.codec.values import same
from tests.torture.carriers import CARRIERS, SEEN, VALUES, alike, through
from tests.torture.oddities import LIMIT, Oddity, odd_name, odd_value
from tests.torture.trials import Torture, Trial

ON_DISK = 0.05
VALUES_OF_A_TRIAL = 4
"""Each in a run of its own: to open, crash and close an engine costs more than to carry a value."""


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_every_value_comes_back_as_it_was_or_is_refused(torture: Torture) -> None:
    with torture("F19", ci=2_000 // VALUES_OF_A_TRIAL, long=200_000 // VALUES_OF_A_TRIAL, seconds=6) as fault:
        for trial in fault.trials():
            with lab_of(trial) as lab:
                kept = carry(trial, lab)
            trial.control(any(kept), "some values are kept")
            trial.control(not all(kept), "some values are refused")


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_every_id_names_its_own_run_or_is_refused(torture: Torture) -> None:
    with torture("F19", ci=200, long=2_000, seconds=2) as fault:
        for trial in fault.trials():
            with lab_of(trial) as lab:
                trial.injected, trial.checked = 1, 1
                name, good = odd_name(trial.chance)
                other, fine = odd_name(trial.chance)
                trial.found(named(lab, name, good))
                if same(name, other) or not (good and fine):
                    continue
                trial.found(named(lab, other, fine))
                trial.found(f"{name!r} and {other!r} are one run" for _ in [0] if len(lab.client.runs().items) != 2)


@contextmanager
def lab_of(trial: Trial) -> Iterator[Lab]:
    """An engine over memory, or now and then over a file."""
    on_disk = random.Random(f"store {trial.seed}").random() < ON_DISK
    with Lab(trial.folder / "values.db" if on_disk else None, max_payload=LIMIT) as lab:
        yield lab


@dataclass
class Carried:
    """One value on its way through a place of a run. The run is called as the value's key is."""

    key: str
    kind: str
    oddity: Oddity
    complaints: list[str] = field(default_factory=list)

    def step(self, work: Callable[[Lab, str, str], Iterable[str]], lab: Lab) -> None:
        """The next part of the way, unless something was wrong before."""
        try:
            self.complaints += [] if self.complaints else work(lab, self.kind, self.key)
        except PayloadError as error:
            self.complaints.append(f"refused what is to be kept, {error}")


def carry(trial: Trial, lab: Lab) -> list[bool]:
    """Bring the trial's values through places of runs, two passes in two processes each; which of them are kept."""
    every = [carried(f"{trial.seed} {number}") for number in range(VALUES_OF_A_TRIAL)]
    trial.injected += len(every)
    trial.checked += len(every)
    kept = [one for one in every if one.oddity.kept]
    for one in every:
        one.step(begin if one.oddity.kept else refused_by, lab)
    for work in (go_on, look_back):
        lab.crash()
        for one in kept:
            one.step(work, lab)
    for one in every:
        trial.found(f"{one.kind}: {complaint}: {short(one.oddity.value)}" for complaint in one.complaints)
        del VALUES[one.key]
        SEEN.pop(one.key, None)
    return [one.oddity.kept for one in every]


def carried(key: str) -> Carried:
    VALUES[key] = lambda: odd_value(random.Random(key)).value
    kind = random.Random(f"place {key}").choice(list(CARRIERS))
    return Carried(key, kind, odd_value(random.Random(key)))


def begin(lab: Lab, kind: str, key: str) -> list[str]:
    """The first pass, which gets the value and then waits."""
    lab.start(key, CARRIERS[kind], *through(kind, key))
    if kind == "message":
        lab.send(key, "value", VALUES[key]())
    first = lab.run_once(key)
    return [] if first.status == "sleeping" else [f"the first pass ends {first.status}, {first.error}"]


def go_on(lab: Lab, kind: str, key: str) -> list[str]:
    """The second pass, which finds it in history."""
    lab.send(key, "go")
    last = lab.run_once(key)
    return [] if last.status == "completed" else [f"the run is {last.status}, {last.error}"]


def look_back(lab: Lab, kind: str, key: str) -> Iterator[str]:
    """What the code saw, what is shown from outside, and what a replay sees."""
    if not all(SEEN.get(key, [True])):
        yield f"the code got another value, {SEEN[key]}"
    if kind == "result" and not alike(lab.get(key).output(), VALUES[key]()):
        yield "the output is another value"
    if kind == "step" and not alike(lab.history(key)[0].output, VALUES[key]()):
        yield "history shows another value"
    if kind == "message":
        lab.get(key).replay()
        lab.run_to_end(key)
        if not all(SEEN[key]):
            yield "after a replay the code got another value"
    if kind != "result" and len(SEEN[key]) < (1 if kind == "state" else 2):
        yield f"the code got the value {len(SEEN[key])} times, and made two passes"


def refused_by(lab: Lab, kind: str, key: str) -> list[str]:
    """A value that nothing may be written of."""
    workflow = CARRIERS[kind]
    if kind == "input":
        if not raises(PayloadError, lambda: lab.start(key, workflow, *through(kind, key))):
            return ["it was taken"]
        return [] if raises(RunNotFound, lambda: lab.get(key)) else ["it was refused, and a run is there"]
    lab.start(key, workflow, *through(kind, key))
    if kind == "message":
        if not raises(PayloadError, lambda: lab.send(key, "value", VALUES[key]())):
            return ["it was taken"]
        row = lab.client.driver.get(key)
        return [] if row is not None and row.inbox == 0 else ["it was refused, and a message is there"]
    lab.send(key, "go")
    last = lab.run_once(key)
    if last.status != "failed" or not isinstance(last.error, PayloadError):
        return [f"the run is {last.status}, {last.error!r}"]
    completed = [entry.location for entry in lab.history(key) if entry.status == "completed" and entry.kind == "step"]
    return [f"it was refused, and {completed} is recorded as done"] if completed or lab.state(key) else []


def named(lab: Lab, name: Any, good: bool) -> list[str]:
    """A run of that name can be started, found again and is the only one that has it."""
    start = lambda: lab.start(name, CARRIERS["result"], "no key")  # noqa: E731
    if not good:
        if not raises(InvalidName, start):
            return [f"a run got the id {name!r}"]
        return [] if not lab.client.runs().items else [f"{name!r} was refused, and a run is there"]
    start()
    lab.crash()
    found = lab.get(name).id
    return [] if same(found, name) else [f"the run {name!r} is called {found!r}"]


def raises(kind: type[Exception], work: Any) -> bool:
    try:
        work()
    except kind:
        return True
    return False


def short(value: Any) -> str:
    """A value as far as it can be shown."""
    try:
        return f"{value!r:.500}"
    except (RecursionError, ValueError):  # too deep, or a number of too many digits
        return f"a {type(value).__name__}"
