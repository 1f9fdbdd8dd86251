"""Which runs a list shows, and a page of them. Plain data; `Reader` does the asking."""

from __future__ import annotations

from dataclasses import dataclass

from flowkit.drivers.base import RunQuery, RunRow

__all__ = ["RunFilter", "RunList", "query_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs a list shows; fields left out do not filter. `error` and `input` are texts to be searched for."""

    statuses: tuple[str, ...] = ()
    workflow: str | None = None
    tag: str | None = None
    since: float | None = None
    until: float | None = None
    id_prefix: str | None = None
    error: str | None = None
    input: str | None = None

    @property
    def searches(self) -> bool:
        """Whether a text is searched for, in which only time is the limit."""
        return self.error is not None or self.input is not None


@dataclass(frozen=True, slots=True)
class RunList:
    """A page of runs, newest first. `next` is the seq after which the next page begins. `looked_at`: only so many were looked
    at, and more of them might be in the list; 0: it is whole. `out_of_time`: a search got no further; it goes on at `next`.
    """

    rows: tuple[RunRow, ...]
    next: int | None
    looked_at: int = 0
    out_of_time: bool = False


def query_of(asked: RunFilter, *, after: int | None = None, newer_than: int | None = None, limit: int) -> RunQuery:
    """The driver's query for a page of these runs, without the texts that are searched for."""
    return RunQuery(
        statuses=asked.statuses, workflow=asked.workflow, tag=asked.tag, since=asked.since, until=asked.until,
        id_prefix=asked.id_prefix, after=after, newer_than=newer_than, limit=limit,
    )  # fmt: skip
