"""Messages that wait, and those who wait for messages, over all runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from flowkit.client.across import Kept
from flowkit.client.reader import RunRow
from flowkit.core.run import TERMINAL

from ..urls import run_url, with_query
from .states import State, run_state
from .times import Stamp, stamp
from .values import shown

__all__ = ["KeptView", "WaitView", "kept_view", "waits_of", "why_kept"]

_ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptView:
    """A message in an inbox. `why` says why it is still there; `answer`: its sender waits for one."""

    place: int
    name: str
    sent: Stamp | None
    sender: str
    key: str
    answer: bool
    why: str
    run: str
    run_href: str
    state: State
    workflow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitView:
    """Runs of a workflow that wait for the same: how many, and of them the one that has waited longest."""

    names: tuple[str, ...]
    workflow: str
    count: int
    run: str
    run_href: str
    since: Stamp | None
    due: Stamp | None
    runs_href: str


def why_kept(run: RunRow, name: str) -> str:
    """Why a message is still in the inbox."""
    if run.status in TERMINAL:
        return "the run has ended"
    if run.status in ("paused", "blocked"):
        return f"the run is {run.status}"
    if run.waiting is None:
        return "the run does not wait for a message now"
    if name in run.waiting or _ANY in run.waiting:
        return "about to be taken"
    return f"nobody waits for {shown(name)}; the run waits for {shown(' or '.join(run.waiting))}"


def kept_view(message: Kept, run: RunRow, now: float) -> KeptView:
    """A message, and the run in whose inbox it is."""
    return KeptView(
        place=message.place, name=shown(message.name), sent=stamp(message.sent_at, now), sender=shown(message.sender),
        key=shown(message.key or ""), answer=message.reply, why=why_kept(run, message.name),
        run=shown(run.id), run_href=run_url(run.id, "messages"),
        state=run_state(run), workflow=shown(run.workflow),
    )  # fmt: skip


def waits_of(rows: Iterable[RunRow], now: float) -> tuple[WaitView, ...]:
    """Those who wait for a message, by workflow and names; most runs first."""
    groups: dict[tuple[str, tuple[str, ...]], list[RunRow]] = {}
    for row in rows:
        groups.setdefault((row.workflow, row.waiting or ()), []).append(row)
    views = [_group(workflow, names, group, now) for (workflow, names), group in groups.items()]
    return tuple(sorted(views, key=lambda view: (-view.count, view.workflow, view.names)))


def _group(workflow: str, names: tuple[str, ...], rows: Sequence[RunRow], now: float) -> WaitView:
    longest = min(rows, key=lambda row: row.updated_at)
    due = min((row.wake_at for row in rows if row.wake_at is not None), default=None)
    return WaitView(
        names=tuple("any message" if name == _ANY else shown(name) for name in names), workflow=shown(workflow), count=len(rows),
        run=shown(longest.id), run_href=run_url(longest.id, "messages"), since=stamp(longest.updated_at, now),
        due=stamp(due, now), runs_href=with_query("/runs", workflow=workflow, status="sleeping"),
    )  # fmt: skip
