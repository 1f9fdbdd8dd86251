"""A store that cannot be read for a while: whoever waits for a message waits a little longer, and no run fails of it."""

from contextlib import closing
from typing import Any

import pytest

from flowkit import aio, receive, workflow
from flowkit.client import Flowkit
from flowkit.drivers.memory import MemoryDriver, MemoryKV
from flowkit.errors import StoreError
from flowkit.settings import Settings
from tests.runtime.waiting import until


class Blind(MemoryDriver):
    """Cannot be read while it is `blind`, but for what clients ask by id."""

    blind = False
    refused = 0

    def inbox(self, *args: Any) -> Any:
        self._look()
        return super().inbox(*args)

    def get(self, run: int | str) -> Any:
        if isinstance(run, int):
            self._look()
        return super().get(run)

    def _look(self) -> None:
        if self.blind:
            self.refused += 1
            raise StoreError("the store does not answer")


@workflow(name="blind-plain")
def waits() -> str:
    return str(receive("word", timeout="1h").data)


@workflow(name="blind-awaited")
async def awaits() -> str:
    return str((await aio.receive("word", timeout="1h")).data)


@pytest.mark.parametrize("flow", [waits, awaits], ids=["plain", "async"])
def test_a_run_that_reads_its_messages_while_the_store_does_not_answer_goes_on_when_it_does(flow: Any) -> None:
    store = Blind()
    store.blind = True
    with Flowkit(store, settings=Settings(write_retry=0.01)) as fk:
        run = fk.start("r", flow)
        until(lambda: store.refused >= 3)

        store.blind = False
        run.send("word", "heard")

        assert run.result(timeout=5) == "heard"


@pytest.mark.parametrize("flow", [waits, awaits], ids=["plain", "async"])
def test_a_handle_whose_store_cannot_be_read_can_be_closed(flow: Any) -> None:
    kv = MemoryKV()
    store = Blind(kv)
    store.blind = True
    fk = Flowkit(store, grace=0.1, settings=Settings(write_retry=0.01))
    fk.start("r", flow)
    until(lambda: store.refused >= 3)

    fk.close()

    with closing(MemoryDriver(kv)) as later:
        row = later.get("r")
    assert row is not None
    assert row.status in ("pending", "running", "sleeping")
