"""What the bench measures and how it is shown: many values of one thing, and lines of one table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row", "Spread"]


@dataclass(frozen=True)
class Spread:
    """Many measurements of one thing."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def at(self, share: float) -> float:
        """The value below which `share` of them lie."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Row:
    """A line of the table. `target` is text; `met` None where there is none; `ratio` is what a share of R is measured in."""

    name: str
    measured: str
    spread: str = ""
    target: str = ""
    met: bool | None = None
    ratio: float | None = None
