"""Resolve: a settled entry in place of the one that stopped a run, and what a person decided, kept with it."""

from __future__ import annotations

from typing import Any

from flowkit.core.change import Finish
from flowkit.drivers.base import Duplicate, Lost
from flowkit.testing.cases.base import Case, Hold, completed

__all__ = ["Resolves"]


class Resolves(Case):
    """Changes with the bump ``"resolve"``."""

    def bump(self, hold: Hold, bump: str, **fields: Any) -> Any:
        base: dict[str, Any] = {"op": "op-b", "who": "me", "status": "pending", "finish": Finish()}
        return self.one(hold.change(bump=bump, **{**base, **fields}))

    def test_resolve_puts_a_settled_entry_in_place_of_the_one_that_failed(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, status="failed", output=None, error=b'"E"')])
        hold.write(status="failed", finish=Finish(error=b'"E"', failed_entry=1), release=True)

        self.bump(hold, "resolve", archive=[1], add=[completed(1, round=1, output=b"7", by_hand=b'{"reason":"because"}')])

        (entry,), (row,) = self.view(hold.run).entries, [self.row()]
        assert (entry.status, entry.output, entry.by_hand) == ("completed", b"7", b'{"reason":"because"}')
        assert (row.status, row.epoch, row.replays, row.owner) == ("pending", hold.epoch + 1, 0, None)
        assert [each.by_hand for each in self.driver.history(hold.run, archived=True)] == [None]

    def test_resolve_of_a_paused_run_makes_it_pending(self) -> None:
        hold = self.parked()
        self.steer("pause")

        self.bump(hold, "resolve")

        assert self.row().status == "pending"

    def test_a_repeated_resolve_is_a_duplicate(self) -> None:
        hold = self.ended(status="failed")
        self.bump(hold, "resolve")

        assert self.bump(hold, "resolve") == Duplicate(first="pending")
        assert self.row().head == hold.head + 1

    def test_a_resolve_that_came_too_late_is_lost(self) -> None:
        hold = self.ended(status="failed")
        self.bump(hold, "recover")

        assert isinstance(self.bump(hold, "resolve", op="another"), Lost)
