"""A worker whose lease is about to end begins nothing: its runs may be another's any moment."""

import threading
import time
from typing import Any

from flowkit import step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import Limits
from flowkit.drivers.memory import MemoryDriver
from flowkit.errors import StoreError
from flowkit.settings import Settings
from tests.runtime.waiting import until

LEASE_SECONDS = 0.5


class CutOff(MemoryDriver):
    """Can be written; but while it is `cut` no lease is renewed."""

    cut = False

    def beat(self, *args: Any, **more: Any) -> float:
        if self.cut:
            raise StoreError("nobody answers")
        return super().beat(*args, **more)


def test_no_body_begins_when_the_lease_was_not_renewed_in_time_until_it_is_renewed() -> None:
    begun: list[float] = []
    ended = threading.Event()

    @step
    def count() -> None:
        begun.append(time.monotonic())
        time.sleep(0.01)

    @workflow(name="counts")
    def counts() -> None:
        while not ended.is_set():
            count()

    store = CutOff(limits=Limits(lease=LEASE_SECONDS))
    with Flowkit(store, settings=Settings(lease=LEASE_SECONDS, beat=0.05, poll=0.05)) as fk:
        run = fk.start("r", counts)
        until(lambda: len(begun) > 3)
        store.cut, cut_at = True, time.monotonic()
        until(lambda: time.monotonic() - begun[-1] > LEASE_SECONDS)
        last = begun[-1]

        store.cut = False
        until(lambda: begun[-1] > last)
        ended.set()

        run.result(timeout=5)
        assert last - cut_at < LEASE_SECONDS
