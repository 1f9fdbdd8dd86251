"""What a driver may answer for those who look over all runs, beyond the port: counts, timers, the record of verbs.

A driver need not offer it. Whoever asks falls back on the port, which gives the same answers for some hundred runs and
bounded ones beyond; so nothing here is needed to run workflows, and a new driver can leave it out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from flowkit.core.entry import Entry
from flowkit.drivers.base import BodyRef, RunQuery, RunRow

__all__ = ["Deed", "Ending", "Recorded", "Rewound", "Stop", "Survey", "Surveyed"]


class Deed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A verb as it was carried out: when, on which run, by whom, and the status it left."""

    op: str
    at: float
    run: int
    verb: str
    who: str
    result: str


class Ending(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a run stopped: its error as stored, and the entry it came from, as in a list."""

    run: int
    error: bytes | None
    entry: Entry | None


class Rewound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A replay or recovery (`why`) that set entries of a run aside; `head` is the run's head before it and names it."""

    head: int
    at: float
    why: str
    entries: int


class Stop(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """By whom and when a run was paused or cancelled, and the instant of the first thing in it that is due all the same."""

    who: str = ""
    at: float | None = None
    due: float | None = None


class Survey(Protocol):
    """Answers in a time that does not grow with the number of runs."""

    def count(self, status: str, limit: int) -> int:
        """How many runs have this status; counting stops at `limit`."""
        ...

    def tally(self) -> dict[str, int]:
        """How many runs have each status, exactly. This alone takes longer the more runs there are: some 50 ms a million."""
        ...

    def timers(self, limit: int, after: float, workflows: Collection[str] | None) -> list[RunRow]:
        """The runs, of these workflows or of all, without an owner that are due next after that instant, soonest first."""
        ...

    def endings(self, runs: Sequence[int]) -> list[Ending]:
        """Why each of these runs stopped; those whose row is damaged are left out."""
        ...

    def cut(self, query: RunQuery) -> int:
        """How many runs this query looks at, where it leaves out others that might be in its list; else 0."""
        ...

    def holding(self, runs: Sequence[int], text: str, seconds: float) -> Collection[int] | None:
        """Those of `runs` whose input holds `text`, ASCII letters in either case; None if there was not time enough."""
        ...

    def workflows(self, limit: int) -> list[str]:
        """The names of the workflows that have runs, in order."""
        ...

    def deed(self, op: str) -> Deed | None:
        """The verb that was carried out under this op."""
        ...

    def stop(self, run: int) -> Stop:
        """What stopped this run, if a verb did."""
        ...

    def rewinds(self, run: int, limit: int) -> list[Rewound]:
        """What set entries of this run aside, newest first."""
        ...

    def set_aside(self, run: int, head: int, after: int, before: int | None, limit: int) -> list[Entry]:
        """The entries that one of them set aside, in the windows of `Driver.history`."""
        ...

    def beginning(self, ref: BodyRef, most: int, length: int) -> tuple[bytes, int] | None:
        """The first `length` bytes of a body of a run or entry, and how many it has; None if those are no more than `most`.

        Unchecked, since a checksum would need all of it. What is kept as base64 has no beginning that could be shown: None.
        """
        ...

    def body_aside(self, ref: BodyRef, head: int) -> bytes | None:
        """A body of an entry that was set aside then. Raises PayloadError."""
        ...


@runtime_checkable
class Surveyed(Protocol):
    """A driver that offers a `Survey`."""

    def survey(self) -> Survey:
        """The survey of this driver's database."""
        ...


@runtime_checkable
class Recorded(Protocol):
    """A driver without a `Survey` that tells of its verbs all the same."""

    def deed(self, op: str) -> Deed | None:
        """The verb that was carried out under this op."""
        ...
