"""A process's way to the store: where its writes are counted, lost, doubted, or the last thing it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowkit.drivers.base import Driver, Op, Result
from flowkit.errors import StoreError
from tests.torture.simulation.mirror import Mirror

__all__ = ["Died", "FaultDriver"]


class Died(BaseException):
    """The process is no more."""


class FaultDriver:
    """`plan` maps the how-manieth write of this process to a fault: "before" and "after" kill it, "lost" and "applied" leave it
    without an answer.
    """

    def __init__(self, inner: Driver, mirror: Mirror, plan: dict[int, str]) -> None:
        self.inner = inner
        self.limits = inner.limits
        self.mirror = mirror
        self.plan = plan
        self.dead = False
        self.writes = 0

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        """As the inner driver's, or the planned fault."""
        if self.dead:
            raise Died("a write of a dead process")
        self.writes += 1
        fault = self.plan.pop(self.writes, "")
        if fault == "lost":
            raise StoreError("no answer, and nothing was written", outcome="unknown")
        if fault == "before":
            self._die()
        results = self.inner.write(ops, now)
        for op, result in zip(ops, results, strict=True):
            self.mirror.applied(op, result)
        if fault == "applied":
            raise StoreError("no answer, though all was written", outcome="unknown")
        if fault == "after":
            self._die()
        return results

    def _die(self) -> None:
        self.dead = True
        raise Died("in a write")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
