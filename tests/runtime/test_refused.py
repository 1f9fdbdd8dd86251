"""A write that no driver foresaw concerns its own run only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flowkit import Flowkit, HistoryDiverged, step, workflow
from flowkit.core.change import Change
from flowkit.drivers.base import Op, Result
from flowkit.drivers.memory import MemoryDriver


class Fragile(MemoryDriver):
    """Fails in a way that no driver should, for runs that record the word."""

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        if any(entry.output == b'"poison"' for op in ops if isinstance(op, Change) for entry in op.add):
            raise UnicodeError("nobody thought of this")
        return super().write(ops, now)


@step
def says(word: str) -> str:
    return word


@step
async def says_async(word: str) -> str:
    return word


@workflow
def plain(word: str) -> str:
    return says(word)


@workflow
async def awaited(word: str) -> str:
    return await says_async(word)


@pytest.mark.parametrize("flow", [plain, awaited])
def test_a_write_that_fails_in_an_unforeseen_way_blocks_its_run_and_no_other(flow: Any) -> None:
    with Flowkit(Fragile()) as fk:
        bad = fk.start("bad", flow, "poison")
        good = fk.start("good", flow, "well")

        with pytest.raises(HistoryDiverged, match="nobody thought of this"):
            bad.result(timeout=5)
        assert good.result(timeout=5) == "well"
        assert bad.status() == "blocked"


class Caller:
    """An object that is called like an async function."""

    async def __call__(self, word: str) -> str:
        return word


def test_an_object_with_an_async_call_is_an_async_step() -> None:
    said = step(Caller(), name="said")

    @workflow
    async def flow() -> str:
        return await said("yes")

    with Flowkit(MemoryDriver()) as fk:
        assert fk.run(None, flow) == "yes"
