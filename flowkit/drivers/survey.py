"""What a driver may answer for those who look over all runs, beyond the port: counts, timers, the record of verbs.

A driver need not offer it. Whoever asks falls back on the port, which gives the same answers for some hundred runs and
bounded ones beyond; so nothing here is needed to run workflows, and a new driver can leave it out.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from flowkit.drivers.base import RunRow

__all__ = ["Deed", "Survey", "Surveyed"]


class Deed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A verb as it was carried out: when, on which run, by whom, and the status it left."""

    op: str
    at: float
    run: int
    verb: str
    who: str
    result: str


class Survey(Protocol):
    """Answers in a time that does not grow with the number of runs."""

    def count(self, status: str, limit: int) -> int:
        """How many runs have this status; counting stops at `limit`."""
        ...

    def timers(self, limit: int) -> list[RunRow]:
        """The runs without an owner that are due next, soonest first, overdue ones included."""
        ...

    def workflows(self, limit: int) -> list[str]:
        """The names of the workflows that have runs, in order."""
        ...

    def deed(self, op: str) -> Deed | None:
        """The verb that was carried out under this op."""
        ...

    def first_code(self, run: int) -> str:
        """The fingerprint of the code under which the run began."""
        ...


@runtime_checkable
class Surveyed(Protocol):
    """A driver that offers a `Survey`."""

    def survey(self) -> Survey:
        """The survey of this driver's database."""
        ...
