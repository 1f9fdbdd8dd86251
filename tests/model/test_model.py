"""A run under everything that can be done to it, in any order, against a small model (F15)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import replace

from flowkit import CriticalError, ReceiveTimeout, RunConflict, checkpoint, receive, sleep, step, workflow
from flowkit.core.change import Change
from flowkit.drivers.base import GuardFailed
from flowkit.testing import Lab, SimulatedCrash
from tests.model.reference import DONE_SECONDS, SLEEP_SECONDS, Reference
from tests.postgres.server import emptied_database
from tests.torture.trials import BRIEF, CI, LONG, Torture

EXAMPLES = {"memory": 25, "sqlite": 5, "postgres": 2}
STEPS = 100 if LONG else 50
NEVER = 1_000_000_000

_world: dict[str, bool] = {"broken": False}


def _undo(what: str) -> None:
    """Undoing always works."""


@step(rollback=_undo)
def reserve() -> str:
    return "seat"


@step(rollback=_undo)
def charge() -> str:
    if _world["broken"]:
        raise CriticalError("no money")
    return "paid"


@workflow(name="modelled", max_crashes=1_000)
def modelled() -> list[str]:
    checkpoint("c")
    got = [reserve()]
    receive("go")
    got.append(charge())
    sleep(SLEEP_SECONDS)
    try:
        receive("done", timeout=DONE_SECONDS)
    except ReceiveTimeout:
        return [*got, "late"]
    return [*got, "done"]


class Modelled(RuleBasedStateMachine):
    """The rules, over a store in memory."""

    def new_lab(self) -> Lab:
        return Lab()

    @initialize()
    def open(self) -> None:
        self.lab = self.new_lab()
        self.lab.client.driver.retain(dict.fromkeys(("completed", "failed", "cancelled"), 1.0))
        self.start()

    def start(self) -> None:
        _world["broken"] = False
        self.lab.start("r", modelled)
        self.run = self.lab.get("r")
        self.model = Reference(self.lab.now)

    def teardown(self) -> None:
        self.lab.close()

    @rule()
    def run_once(self) -> None:
        self.lab.run_once("r")
        self.model.run_once()

    @rule(go=st.booleans(), seconds=st.sampled_from((1, 10)))
    def go_on(self, go: bool, seconds: int) -> None:
        """What a run needs to get anywhere."""
        if go and self.model.waiting == "go":
            self.send("go", None)
        self.advance(seconds)
        self.run_once()

    @rule(go=st.booleans(), seconds=st.sampled_from((1, 10)))
    def go_on_further(self, go: bool, seconds: int) -> None:
        self.go_on(go, seconds)
        self.go_on(go, seconds)

    @rule(k=st.integers(1, 6), when=st.sampled_from(("before", "after")))
    def crash_in_a_pass(self, k: int, when: Any) -> None:
        self.lab.crash_at(k, when)
        try:
            self.lab.run_once("r")
        except SimulatedCrash:
            self.lab.run_once("r")
        self.lab.crash_at(NEVER, "before")
        self.model.run_once()

    @rule()
    def crash(self) -> None:
        self.lab.crash()

    @rule(seconds=st.sampled_from((1, 10, 20, 90_000)))
    def advance(self, seconds: int) -> None:
        self.lab.advance(seconds)
        self.model.now = self.lab.now

    @rule()
    def break_or_mend(self) -> None:
        _world["broken"] = self.model.broken = not self.model.broken

    @rule(name=st.sampled_from(("go", "go", "done", "other")), key=st.sampled_from((None, None, "k")))
    def send(self, name: str, key: str | None) -> None:
        if self.model.send(name, key):
            self.lab.send("r", name, key=key)
        else:
            with pytest.raises(RunConflict):
                self.lab.send("r", name, key=key)

    @rule(rollback=st.booleans(), sure=st.sampled_from((False, False, True)))
    def cancel(self, rollback: bool, sure: bool) -> None:
        if not sure:
            return
        self.run.cancel(rollback=rollback)
        self.model.cancel(rollback)

    @rule(sure=st.booleans())
    def pause(self, sure: bool) -> None:
        if not sure:
            return
        self.run.pause()
        self.model.pause()

    @rule()
    def resume(self) -> None:
        self.run.resume()
        self.model.resume()

    @rule()
    def evict(self) -> None:
        self.run.evict()

    @rule()
    def recover(self) -> None:
        self.run.recover()
        self.model.recover()

    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        start = data.draw(st.sampled_from([None, *self.model.entries]))
        if self.model.replay(start):
            self.run.replay(start)
        else:
            with pytest.raises(RunConflict):
                self.run.replay(start)

    @rule(status=st.sampled_from(("failed", "completed", "pending")))
    def overwrite(self, status: Any) -> None:
        """I10: who has the right fence and the wrong memory cannot change what is settled."""
        driver = self.lab.client.driver
        row = driver.get("r")
        assert row is not None
        settled = [entry for entry in driver.history(row.seq) if entry.settled]
        if settled:
            forged = replace(settled[-1], status=status, output=b'"forged"')
            change = Change(
                run=row.seq, epoch=row.epoch, head=row.head, set=[forged], entries=row.entries, seen=row.seen, owes=row.owes
            )
            with pytest.raises(GuardFailed):
                driver.write([change], self.lab.now)

    @precondition(lambda self: hasattr(self, "model"))
    @rule()
    def prune(self) -> None:
        gone = self.lab.client.driver.purge(self.lab.now)
        assert gone == self.model.expired()
        if gone:
            self.start()

    @invariant()
    def the_run_is_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        row = self.lab.client.driver.get("r")
        assert row is not None
        model = self.model
        found = [(entry.location, entry.status) for entry in self.lab.history("r")]
        assert row.status == model.status
        assert found == [(name, entry.status) for name, entry in model.entries.items()]
        assert [m.seq for m in self.lab.client.driver.inbox(row.seq, (), 100)] == sorted(model.inbox)
        assert row.owes == (0 if model.status == "completed" else len(model.owing()))
        if model.status == "sleeping":
            assert (row.wake_at, row.waiting) == (model.wake_at, None if model.waiting is None else (model.waiting,))
        if model.status == "completed":
            assert self.run.output() == ["seat", "paid", "late" if model.entries["done"].status == "failed" else "done"]


class ModelledInSQLite(Modelled):
    """The same over a file."""

    def new_lab(self) -> Lab:
        self.folder = tempfile.TemporaryDirectory()
        return Lab(Path(self.folder.name) / "m.db")

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class ModelledInPostgres(Modelled):
    """The same over a server."""

    def new_lab(self) -> Lab:
        return Lab(emptied_database())


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG or CI else 90)
@pytest.mark.parametrize(
    ("store", "machine"), [("memory", Modelled), ("sqlite", ModelledInSQLite), ("postgres", ModelledInPostgres)]
)
def test_a_run_is_always_as_the_model_says(torture: Torture, store: str, machine: type[Modelled]) -> None:
    """Statuses, entries, inbox, timers and output after every single act. A trial is a few examples from one seed."""
    rules = settings(
        max_examples=EXAMPLES[store], stateful_step_count=STEPS, suppress_health_check=list(HealthCheck), deadline=None,
        print_blob=True, database=None, derandomize=False,
        phases=[Phase.generate] if BRIEF else list(Phase),
    )  # fmt: skip
    with torture("F15", ci=10, long=200, seconds=10.0) as fault:
        for trial in fault.trials():
            run_state_machine_as_test(seed(trial.seed)(machine), settings=rules)

            trial.checked += EXAMPLES[store]
