"""What a Change and a verb make of a run's row: pure decisions, taken inside the transaction that read the row.

SQLite and the key-value stores read the row, ask here, and write the answer, so that the two cannot drift apart.
Nothing here knows how a row is stored. The tricky bit is what an *owned* row's `wake_at` means: not "due" but "owner,
look" (a bell), and that a paused row takes no status, timer or result from its owner any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from flowkit.core.change import REWINDS, Change
from flowkit.drivers.base import Tag, Verb

__all__ = [
    "ANY",
    "FINAL",
    "Fate",
    "Standing",
    "awaits",
    "claimed",
    "earliest",
    "expiry",
    "fork_op",
    "goes_forward",
    "is_quiet",
    "is_step",
    "landed",
    "lines_to_drop",
    "message_key",
    "orphaned",
    "owed",
    "retagged",
    "steered",
    "stored_key",
    "tag_verb",
]

FINAL = frozenset(("completed", "failed", "cancelled"))
ANY = "*"
LINES_DROPPED_AT_ONCE = 1_000


class Standing(Protocol):
    """The part of a run's row on which decisions depend."""

    @property
    def status(self) -> str: ...
    @property
    def wake_at(self) -> float | None: ...
    @property
    def owner(self) -> int | None: ...
    @property
    def epoch(self) -> int: ...
    @property
    def inbox(self) -> int: ...
    @property
    def owes(self) -> int: ...
    @property
    def request(self) -> str: ...
    @property
    def ending(self) -> str: ...
    @property
    def crashes(self) -> int: ...
    @property
    def replays(self) -> int: ...
    @property
    def start_at(self) -> float: ...
    @property
    def finished_at(self) -> float | None: ...


class Fate(msgspec.Struct, gc=False):
    """The columns of a row that decisions change; `keeps_waiting` leaves the awaited names as they are."""

    status: str
    wake_at: float | None
    waiting: Sequence[str] | None
    owner: int | None
    epoch: int
    request: str
    ending: str
    crashes: int
    replays: int
    finished_at: float | None
    keeps_waiting: bool = False


def _as_it_is(row: Standing) -> Fate:
    return Fate(
        row.status,
        row.wake_at,
        None,
        row.owner,
        row.epoch,
        row.request,
        row.ending,
        row.crashes,
        row.replays,
        row.finished_at,
        keeps_waiting=True,
    )


def is_step(change: Change) -> bool:
    """Whether `change` by itself asks for nothing of `Fate` but a calm: the ordinary step of an owner."""
    return (
        change.status is None
        and change.park is None
        and change.finish is None
        and not change.release
        and not change.bump
        and change.ending is None
        and change.wake_at is None
    )


def is_quiet(change: Change, row: Standing) -> bool:
    """Whether `change` leaves all of `Fate` as it is, so that its statement touches no index."""
    return is_step(change) and row.wake_at is None and not (change.calms and row.crashes)


def landed(change: Change, row: Standing, now: float) -> Fate:
    """The row after `change`, whose fence has matched."""
    fate = _as_it_is(row)
    if change.calms:
        fate.crashes = 0
    if row.status == "paused" and change.bump not in REWINDS:
        return _landed_on_paused(change, fate)
    if change.ending is not None:
        fate.ending = change.ending
    if change.status is not None:
        fate.status = change.status
    fate.waiting, fate.keeps_waiting = None, False
    fate.wake_at = change.wake_at
    if change.bump:
        _bump(change, fate)
    if fate.status in FINAL:
        fate.owner, fate.wake_at, fate.request, fate.finished_at = None, None, "", now
    elif change.park is not None:
        _park(change, row, fate, now)
    elif change.release or change.bump:
        _release(fate, now)
    if fate.status not in FINAL:
        fate.finished_at = None
    return fate


def owed(change: Change, fate: Fate) -> int:
    """How many rollbacks the run owes after `change`: none once it is completed, which a paused run cannot become."""
    return 0 if fate.status == "completed" else change.owes


def goes_forward(change: Change) -> bool:
    """Whether a run that may have been rolled back begins anew, so that nothing of it counts as undone."""
    return change.bump in REWINDS and change.status == "pending"


def _landed_on_paused(change: Change, fate: Fate) -> Fate:
    fate.wake_at = None
    if change.bump:
        fate.epoch += 1
    if change.bump or change.park is not None or change.release or change.status in FINAL:
        fate.owner, fate.request = None, ""
    return fate


def _bump(change: Change, fate: Fate) -> None:
    fate.epoch += 1
    if change.bump == "replay":
        fate.replays += 1
    if change.bump != "block":
        fate.crashes = 0


def _park(change: Change, row: Standing, fate: Fate, now: float) -> None:
    """A message that came since the pass looked makes the run due at once: sends count on the same row (no lost
    wake-up).
    """
    assert change.park is not None
    fate.owner, fate.request = None, ""
    fate.wake_at, fate.waiting = change.park.wake_at, change.park.waiting
    if fate.waiting is not None and row.inbox > change.seen:
        fate.wake_at = now
    if fate.status == "running":
        fate.status = "sleeping"


def _release(fate: Fate, now: float) -> None:
    """Without an owner nobody would look again, so what can go on is due."""
    fate.owner, fate.request = None, ""
    if fate.status == "running":
        fate.status = "pending"
    if fate.status in ("pending", "rolling_back"):
        if fate.wake_at is None:
            fate.wake_at = now
    elif fate.status != "sleeping":
        fate.wake_at = None


def steered(verb: Verb, row: Standing, now: float) -> Fate:
    """The row after `verb`; the row is not terminal. What `verb` does not apply to stays as it is."""
    fate = _as_it_is(row)
    match verb:
        case "wake":
            if row.owner is not None or row.status in ("sleeping", "rolling_back"):
                fate.wake_at = earliest(row.wake_at, now)
        case "evict":
            if row.owner is not None:
                fate.request, fate.wake_at = "evict", earliest(row.wake_at, now)
        case "pause":
            fate.status, fate.waiting, fate.keeps_waiting = "paused", None, False
            fate.wake_at = None if row.owner is None else now
        case "resume":
            _resume(row, fate, now)
        case "cancel":
            _cancel(fate, now)
        case "cancel_rollback":
            _cancel_rollback(row, fate, now)
    return fate


def _resume(row: Standing, fate: Fate, now: float) -> None:
    """An owner that has not let go of the paused run yet keeps it: its records are still good, and it hears the
    bell.
    """
    if row.status not in ("paused", "blocked"):
        return
    held = row.owner is not None
    fate.status = "rolling_back" if row.ending else "running" if held else "pending"
    fate.wake_at = now if held else max(now, row.start_at)
    fate.crashes = 0


def _cancel(fate: Fate, now: float) -> None:
    fate.status, fate.wake_at, fate.waiting, fate.keeps_waiting = "cancelled", None, None, False
    fate.owner, fate.request, fate.ending, fate.finished_at = None, "", "", now
    fate.epoch += 1


def _cancel_rollback(row: Standing, fate: Fate, now: float) -> None:
    if not row.owes:
        _cancel(fate, now)
        return
    fate.status, fate.wake_at, fate.waiting, fate.keeps_waiting = "rolling_back", now, None, False
    fate.owner, fate.request, fate.ending = None, "", "cancelled"
    fate.epoch += 1


def claimed(row: Standing, worker: int) -> Fate:
    """The row once `worker` has claimed it, due, blocked or its own without knowing it."""
    fate = _as_it_is(row)
    back = row.status == "rolling_back" or (row.status == "blocked" and row.ending)
    fate.status = "rolling_back" if back else "running"
    if row.status == "blocked":
        fate.crashes = 0
    fate.owner, fate.wake_at, fate.waiting, fate.keeps_waiting, fate.request = worker, None, None, False, ""
    fate.epoch += 1
    return fate


def orphaned(row: Standing, now: float) -> Fate:
    """The row of an owner that died."""
    fate = _as_it_is(row)
    fate.owner, fate.request = None, ""
    fate.epoch += 1
    fate.crashes += 1
    fate.status = "pending" if row.status == "running" else row.status
    fate.wake_at = None if row.status == "paused" else now
    return fate


def retagged(tags: Sequence[str], op: Tag) -> tuple[str, ...]:
    """The run's tags after `op`."""
    kept = [tag for tag in tags if tag not in op.remove]
    return tuple(dict.fromkeys([*kept, *(tag for tag in op.add if tag not in op.remove)]))


def tag_verb(op: Tag) -> str:
    """How `op` stands in the record of verbs."""
    return " ".join(["tag", *(f"+{tag}" for tag in op.add), *(f"-{tag}" for tag in op.remove)])


def fork_op(token: str) -> str:
    """The id under which the start of a fork stands in the record of verbs: no other wish has it."""
    return f"fork:{token}"


def awaits(waiting: Sequence[str] | None, name: str) -> bool:
    """Whether a parked run with these awaited names is woken by a message of `name`."""
    return waiting is not None and (name in waiting or ANY in waiting)


def earliest(wake_at: float | None, now: float) -> float:
    """`now`, or the instant that has come already, which keeps its place in the queue."""
    return now if wake_at is None else min(wake_at, now)


def expiry(days: Mapping[str, float], status: str, workflow: str, now: float) -> float | None:
    """When retention removes a run of `workflow` that ends in `status` now; None: never. What names the workflow goes before
    what does not, and of that what names the status.
    """
    for name in (f"{workflow}/{status}", f"{workflow}/*", status):
        if (kept := days.get(name)) is not None:
            return now + kept * 86_400
    return None


def lines_to_drop(kept: int, new: int, most: int) -> int:
    """How many of a run's `kept` lines a write of `new` ones drops, if so many are too many; never so many that others wait."""
    return min(kept - most, new + LINES_DROPPED_AT_ONCE)


def stored_key(key: str) -> str:
    """How a sender's key is written among the used keys, where ``~`` marks our own."""
    return f"~{key}" if key.startswith("~") else key


def message_key(message_id: str) -> str:
    """The used key of a message sent without one: what makes a repeated send harmless after its message was taken."""
    return f"~id:{message_id}"
