"""Carrying a bulk out, a piece at a time, by whoever holds it.

A piece is written down before it is done, and done before it is counted. If the process dies in between, the next holder does
the same piece again: each run's wish has the same name as before, so what was done then is answered and not repeated, and is
counted once. A holder keeps others away for a few seconds at a time; should two walk at once all the same, one of them finds
that the bulk has moved on, and lets go.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from flowkit.client.bulk import following
from flowkit.client.bulk_piece import Outcome, do_piece
from flowkit.core.bulk import Bulk
from flowkit.drivers.base import Kept, SaveBulk
from flowkit.durations import format_seconds

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["Walker"]

PIECE = 100
LONG_PIECE = 10
"""For verbs that read each run's history."""

_MOST_REASONS = 20


class Walker:
    """Walks bulks of an open `Flowkit`."""

    def __init__(self, flowkit: Flowkit) -> None:
        self._flowkit = flowkit
        self._driver = flowkit.driver
        self._hold, self._stale = flowkit.settings.bulk_hold, flowkit.settings.bulk_stale
        self.holder = uuid.uuid4().hex

    def walk(
        self, seq: int, *, go_on: Callable[[], bool] = lambda: True, told: Callable[[Bulk], object] = lambda bulk: None
    ) -> Bulk | None:
        """Carry a bulk out until it is finished, somebody else has it, or `go_on` says no; as it stands then."""
        bulk = self._driver.bulk(seq)
        held = None if bulk is None else self.take(bulk)
        while held is not None and held.is_open:
            if not go_on():
                self._save(replace(held, held_until=0.0))
                break
            held = self.step(held)
            if held is not None:
                told(held)
        return self._driver.bulk(seq)

    def take(self, bulk: Bulk) -> Bulk | None:
        """Hold a bulk; None if it is finished, or another one's."""
        now = self._now()
        if not bulk.is_open or (bulk.holder != self.holder and bulk.held_until > now):
            return None
        if now - bulk.updated_at > self._stale:  # what it has done may be forgotten, and would be done again
            return self._save(_ended(bulk, "stopped", now, f"nobody carried it on for {format_seconds(self._stale)}"))
        return self._save(replace(bulk, holder=self.holder, held_until=now + self._hold))

    def give_up(self, bulk: Bulk, reason: str) -> None:
        """Stop a bulk that cannot be carried on."""
        self._save(_ended(bulk, "stopped", self._now(), reason))

    def step(self, held: Bulk) -> Bulk | None:
        """Do the next piece of a bulk that is held, and write how far it is; None: it is no longer held."""
        size = LONG_PIECE if held.verb in ("recover", "replay") else PIECE
        piece = held.plan[:size]
        counted = _counted(held, do_piece(self._flowkit, held, piece))
        now = self._now()
        if held.state == "stopping":
            return self._written(held, _ended(counted, "stopped", now))
        moved = replace(counted, plan=held.plan[size:], held_until=now + self._hold)
        return self._written(held, moved if moved.plan else self._planned(moved, now))

    def _planned(self, bulk: Bulk, now: float) -> Bulk:
        """The bulk with the next runs in its plan, or done."""
        if not bulk.position:
            return _ended(bulk, "done", now)
        size = LONG_PIECE if bulk.verb in ("recover", "replay") else PIECE
        rows, position = following(self._driver, bulk.picks, bulk.position, size)
        planned = replace(bulk, plan=tuple(row.seq for row in rows), position=position)
        return planned if planned.plan or position else _ended(planned, "done", now)

    def _written(self, held: Bulk, moved: Bulk) -> Bulk | None:
        """Write `moved` over `held`; somebody may have asked to stop meanwhile, or have taken it."""
        saved = self._save(moved)
        if saved is not None:
            return saved
        found = self._driver.bulk(held.seq)
        if found is None or found.holder != self.holder:
            return None
        if found.state == "stopping" and found.version == held.version + 1 and held.state == "running":
            stopped = _ended(replace(moved, version=found.version), "stopped", self._now())
            return self._save(stopped)
        return found if found.is_open else None  # a write of ours of which we did not hear

    def _save(self, bulk: Bulk) -> Bulk | None:
        result = self._flowkit.desk.writer.write(SaveBulk(bulk=bulk))
        return replace(bulk, version=result.version) if isinstance(result, Kept) else None

    def _now(self) -> float:
        return self._flowkit.house.clock.now()


def _ended(bulk: Bulk, state: Literal["stopped", "done"], now: float, reason: str = "") -> Bulk:
    reasons = (*bulk.reasons, ("", reason)) if reason else bulk.reasons
    return replace(bulk, state=state, plan=(), held_until=0.0, finished_at=now, reasons=reasons)


def _counted(bulk: Bulk, outcomes: Sequence[Outcome]) -> Bulk:
    kinds = [outcome.kind for outcome in outcomes]
    failed = [(outcome.id, outcome.reason) for outcome in outcomes if outcome.kind == "failed"]
    return replace(
        bulk,
        done=bulk.done + kinds.count("done"),
        failed=bulk.failed + kinds.count("failed"),
        skipped=bulk.skipped + kinds.count("skipped"),
        reasons=(*bulk.reasons, *failed)[:_MOST_REASONS],
    )
