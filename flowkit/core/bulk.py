"""A verb over many runs: what was asked, and how far it has come.

A bulk walks the runs that its picks let through from the newest that was there when it was asked to the oldest. What it does
next stands in `plan` before it is done, and each run's wish has a name made of the bulk's id and the run, so whoever repeats
a piece of the plan after a crash does nothing twice and counts each run once.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

__all__ = ["Bulk", "Picks", "op_of"]


class Picks(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Which runs; fields left out do not filter. Instants are epoch seconds of the start."""

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    tag: str | None = None
    since: float | None = None
    until: float | None = None
    id_prefix: str | None = None


class Bulk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A bulk as it is stored.

    `seq` and `version` are the store's: a write is refused unless `version` is the one that was read. `expected` runs were
    counted when it was asked, with `more` at least so many. Runs below `position` have not been looked at yet; 0 says that there
    are none. `reasons` are the first runs that failed, and why. `holder` carries it on until `held_until`, unless it says more.
    """

    id: str
    verb: str
    who: str
    picks: Picks
    top: int
    expected: int
    more: bool = False
    seq: int = 0
    version: int = 0
    state: Literal["running", "stopping", "stopped", "done"] = "running"
    step: str | None = None
    """Of a replay: where each run starts over."""
    name: str | None = None
    key: str | None = None
    body: bytes | None = None
    """The name, key and data of the message that is sent to each."""
    position: int = 0
    plan: tuple[int, ...] = ()
    done: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    holder: str = ""
    held_until: float = 0.0
    created_at: float = 0.0
    updated_at: float = 0.0
    finished_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is anything left to do."""
        return self.state in ("running", "stopping")

    @property
    def signature(self) -> str:
        """Who steered a run, as the run's record of verbs has it."""
        return f"{self.who}, bulk {self.seq}"


def op_of(bulk: str, run: int) -> str:
    """The name of what this bulk wishes of this run."""
    return hashlib.sha256(f"{bulk}:{run}".encode()).hexdigest()[:32]
