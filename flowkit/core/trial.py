"""Lines tried out on a history: what a frozen pass is told to take for granted, and what it notes for whoever asks.

A `removed()` that the code does not have yet counts its entry as met; a `version()` gate that it does not have yet skips the
call behind it where older code went past. A loop turn or branch counts once, so places are patterns: `pack/~/label` is
`label` in every turn of `pack`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Called", "Skipped", "Trial", "pattern"]

_TURN = re.compile(r"(^|/)~\d+(?=/|$)")


class Skipped(Exception):
    """The call is not made: it stands behind a gate that this run does not pass, or is done without."""


@dataclass(frozen=True, slots=True)
class Called:
    """A call that the pass made in the scope `path`; `seq` is that of its entry, None if history lacks it."""

    path: str
    name: str
    seq: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Trial:
    """`removed` are patterns of locations, `guarded` such with the ``file:line`` of the call behind the gate, `renamed` new names
    of steps with the old ones, which they are given explicitly. `without` are the ``file:line`` of `removed()` and `version()`
    calls that are passed over as if they were not there. `calls` are those made so far, in order, without the `skipped` ones;
    `moved` are those that got other arguments than were recorded; `effects` those that the code was kept from having.
    """

    removed: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    guarded: frozenset[tuple[str, str]] = frozenset()
    without: frozenset[str] = frozenset()
    calls: list[Called] = field(default_factory=list)
    skipped: list[Called] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    effects: list[BaseException] = field(default_factory=list)


def pattern(location: str) -> str:
    """The location with the numbers of its turns left out."""
    return _TURN.sub(r"\1~", location)
