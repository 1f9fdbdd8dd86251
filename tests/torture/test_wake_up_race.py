"""F13: a run parks at the very moment at which somebody sends to it, and is woken all the same."""

from __future__ import annotations

import random
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from flowkit.core.change import Change, Park
from flowkit.drivers.base import Done, Driver, Send, Sent, Start
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sqlite import SQLiteDriver
from tests.drivers.ops import NOW, worker
from tests.torture.trials import LONG, Torture, Trial

RACES = 100
ANY_NUMBER = 1_000_000_000
MOST_SPINS = 400


class Racers:
    """Two handles of one store: the worker that parks a run, and the client that sends to it."""

    def __init__(self, parker: Driver, sender: Driver, chance: random.Random) -> None:
        self.parker = parker
        self.sender = sender
        self.chance = chance
        self.worker = worker(parker)
        self.start = threading.Barrier(2)
        start = Start(id="r", workflow="w", input=b"[]", input_hash="h", start_at=NOW, token="t")
        parker.write([start], NOW)
        row = parker.get("r")
        assert row is not None
        self.run = row.seq

    def race(self, pool: ThreadPoolExecutor, *, weak: bool) -> bool:
        """Whether a wake-up was lost: the message is there, and nothing will ever make the run due."""
        claim = self.parker.take(self.worker, self.run, "c", NOW)
        assert claim is not None
        row = self._row()
        park = self._park(claim.epoch, claim.head, row.inbox, weak=weak)
        sent = pool.submit(self._after_start, self.chance.randrange(MOST_SPINS), self._send)
        self._after_start(self.chance.randrange(MOST_SPINS), park)
        assert isinstance(sent.result(), Sent)
        row = self._row()
        lost = row.owner is None and row.wake_at is None
        self._consume(row.inbox)
        return lost

    def _row(self) -> Any:
        row = self.parker.get(self.run)
        assert row is not None
        return row

    def _after_start(self, spins: int, act: Callable[[], Any]) -> Any:
        self.start.wait()
        for _ in range(spins):
            pass
        return act()

    def _send(self) -> Any:
        message = Send(to="r", message_id=uuid.UUID(int=self.chance.getrandbits(128)).hex, name="n", body=b"1")
        return self.sender.write([message], NOW)[0]

    def _park(self, epoch: int, head: int, seen: int, *, weak: bool) -> Callable[[], Any]:
        """Weak: look whether the inbox is empty, and if so park, whatever has come since."""

        def park() -> Any:
            if weak and self.parker.inbox(self.run, ("n",), 1):
                return None
            return self._change(
                epoch, head, ANY_NUMBER if weak else seen, status="sleeping", park=Park(wake_at=None, waiting=("n",))
            )

        return park

    def _consume(self, number: int) -> None:
        """Take the message, and give the run up: ready for the next race."""
        row = self._row()
        epoch, head = row.epoch, row.head
        if row.owner is None:
            claim = self.parker.take(self.worker, self.run, "c", NOW)
            assert claim is not None
            epoch, head = claim.epoch, claim.head
        taken = self._change(epoch, head, number, consume=[number], status="pending", release=True, wake_at=NOW)
        assert isinstance(taken, Done)

    def _change(self, epoch: int, head: int, seen: int, **fields: Any) -> Any:
        change = Change(run=self.run, epoch=epoch, head=head, entries=0, seen=seen, owes=0, **fields)
        return self.parker.write([change], NOW)[0]


@pytest.fixture(autouse=True)
def eager_threads() -> Iterator[None]:
    """The interpreter changes threads so often that a race in memory is one."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@contextmanager
def racers(trial: Trial) -> Iterator[Racers]:
    """In memory for even seeds, two handles of a file for odd ones."""
    if trial.seed % 2 == 0:
        memory = MemoryDriver()
        yield Racers(memory, memory, trial.chance)
        memory.close()
        return
    drivers = [SQLiteDriver(trial.folder / "race.db", "process") for _ in range(2)]
    yield Racers(drivers[0], drivers[1], trial.chance)
    for driver in drivers:
        driver.close()


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG else 120)
def test_no_message_that_comes_while_a_run_parks_is_slept_over(torture: Torture) -> None:
    with ThreadPoolExecutor(1) as pool, torture("F13", ci=30, long=10_000, seconds=8.0) as fault:
        for trial in fault.trials():
            with racers(trial) as made:
                lost = [number for number in range(RACES) if made.race(pool, weak=False)]
                lost_by_weak = [number for number in range(RACES // 2) if made.race(pool, weak=True)]

            trial.injected += RACES
            trial.acked += 2 * RACES
            trial.checked += RACES
            trial.found([f"C6: races {lost} lost their wake-up"] if lost else [])
            store = "a file" if trial.seed % 2 else "memory"
            trial.control(lost_by_weak, f"a run that looks into its inbox and then parks must lose some wake-ups in {store}")
