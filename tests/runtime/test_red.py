"""A store that fails while runs are under way: no body begins, all goes on by itself, and closing does not wait for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flowkit import step, workflow
from flowkit.client import Flowkit
from flowkit.errors import StoreError
from flowkit.settings import Settings
from tests.drivers.flaky import Flaky, Listener
from tests.drivers.ops import start
from tests.runtime.waiting import until

FOR_EVER = ["no"] * 1_000_000


@pytest.fixture
def store() -> Flaky:
    return Flaky()


@pytest.fixture
def fk(store: Flaky) -> Iterator[Flowkit]:
    with Flowkit(store, patience_seconds=0.1, grace=0.2, settings=Settings(write_retry=0.05)) as opened:
        yield opened
        store.plan = []


class Gate:
    """Two moments of a run: `entered` the first body, which goes on when it is `freed`; `begun` the second."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.freed = threading.Event()
        self.begun = threading.Event()


def plain(gate: Gate) -> Any:
    @step(ephemeral=True)
    def first() -> None:
        gate.entered.set()
        gate.freed.wait(5)

    @step
    def second() -> str:
        gate.begun.set()
        return "done"

    @workflow(name="red-plain")
    def two() -> str:
        first()
        return second()

    return two


def awaited(gate: Gate) -> Any:
    @step(ephemeral=True)
    async def first() -> None:
        gate.entered.set()
        await asyncio.to_thread(gate.freed.wait, 5)

    @step
    async def second() -> str:
        gate.begun.set()
        return "done"

    @workflow(name="red-awaited")
    async def two() -> str:
        await first()
        return await second()

    return two


def turn_red(fk: Flowkit, store: Flaky) -> None:
    store.plan = list(FOR_EVER)
    fk.house.writer.submit(start("never given up"), 0, Listener())
    until(lambda: not fk.house.writer.healthy)


@pytest.mark.parametrize("flow", [plain, awaited])
def test_no_body_begins_while_the_store_fails(fk: Flowkit, store: Flaky, flow: Callable[[Gate], Any]) -> None:
    gate = Gate()
    run = fk.start("r", flow(gate))
    assert gate.entered.wait(5)
    turn_red(fk, store)

    gate.freed.set()

    assert not gate.begun.wait(0.3)
    store.plan = []
    assert run.result(timeout=5) == "done"


def test_a_worker_goes_on_although_nobody_repeats_the_write_that_failed(fk: Flowkit, store: Flaky) -> None:
    gate = Gate()
    flow = plain(gate)
    run = fk.start("r", flow)
    assert gate.entered.wait(5)
    store.plan = list(FOR_EVER)
    with pytest.raises(StoreError):
        fk.start("given up", flow)
    store.plan = []

    gate.freed.set()

    assert run.result(timeout=5) == "done"


def test_a_lease_that_could_not_be_renewed_is_renewed_a_second_later() -> None:
    class Unsteady(Flaky):
        beats = 0

        def beat(self, worker: int, now: float, *info: Any) -> float:
            self.beats += not info
            if self.beats == 1 and not info:
                raise StoreError("disk")
            return super().beat(worker, now, *info)

    store = Unsteady()

    with Flowkit(store):
        until(lambda: store.beats >= 2, 3)


def test_a_run_that_cannot_be_loaded_takes_no_other_along() -> None:
    class Unreadable(Flaky):
        def load(self, run: int, *, after: int = 0) -> Any:
            if run == 1:
                raise StoreError("this page is damaged")
            return super().load(run, after=after)

    @workflow(name="red-readable")
    def nothing() -> str:
        return "done"

    store = Unreadable()
    with Flowkit(store, worker=False) as client:
        client.start_many([(f"r-{number}", nothing, ()) for number in range(3)])
        with Flowkit(store, workflows=[nothing], grace=0.2):
            assert [client.get(f"r-{number}").result(timeout=1.5) for number in (1, 2)] == ["done", "done"]


@pytest.mark.parametrize("flow", [plain, awaited])
def test_closing_ends_although_the_store_fails(store: Flaky, flow: Callable[[Gate], Any]) -> None:
    fk = Flowkit(store, patience_seconds=0.1, grace=0.2, settings=Settings(write_retry=0.05))
    gates = [Gate() for _ in range(5)]
    for number, gate in enumerate(gates):
        fk.start(f"r-{number}", flow(gate))
        assert gate.entered.wait(5)
    turn_red(fk, store)
    for gate in gates:
        gate.freed.set()

    began = time.monotonic()
    fk.close()

    assert time.monotonic() < began + 4


def test_closing_ends_although_a_result_cannot_be_written(store: Flaky) -> None:
    fk = Flowkit(store, patience_seconds=0.1, grace=0.2, settings=Settings(write_retry=0.05))
    gate = Gate()

    @step
    def lengthy() -> None:
        gate.entered.set()
        gate.freed.wait(5)

    @workflow(name="red-lengthy")
    def one() -> None:
        lengthy()

    fk.start("r", one)
    assert gate.entered.wait(5)
    store.plan = list(FOR_EVER)
    gate.freed.set()
    until(lambda: not fk.house.writer.healthy)

    began = time.monotonic()
    fk.close()

    assert time.monotonic() < began + 4
