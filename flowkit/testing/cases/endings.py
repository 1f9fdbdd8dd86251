"""Changes that end a run, park it, or give it up."""

from __future__ import annotations

from flowkit.core.change import Finish, Park
from flowkit.drivers.base import BodyRef
from flowkit.testing.cases.base import NOW, Case, completed, opened

__all__ = ["Endings"]


class Endings(Case):
    """A run that ends, parks, or is given up."""

    def test_completing_stores_the_output(self) -> None:
        hold = self.held()

        hold.write(now=NOW + 3, status="completed", finish=Finish(output=b'"paid"'), release=True)

        row = self.row()
        assert (row.status, row.owner, row.finished_at, row.wake_at) == ("completed", None, NOW + 3, None)
        assert self.driver.body(BodyRef(run=hold.run, field="output")) == b'"paid"'

    def test_failing_stores_the_error_and_its_entry(self) -> None:
        hold = self.held()

        hold.write(status="failed", finish=Finish(error=b'{"type": "E"}', failed_entry=4), release=True)

        view = self.view(hold.run)
        assert (view.error, view.failed_entry, view.row.status) == (b'{"type": "E"}', 4, "failed")

    def test_completing_clears_an_earlier_error(self) -> None:
        hold = self.held()
        hold.write(finish=Finish(error=b'"E"', failed_entry=1))

        hold.write(status="completed", finish=Finish(output=b"1"), release=True)

        view = self.view(hold.run)
        assert (view.error, view.failed_entry) == (None, None)

    def test_a_run_that_ended_has_no_owner(self) -> None:
        hold = self.held()

        hold.write(status="completed")

        assert self.row().owner is None

    def test_parking_gives_the_run_up(self) -> None:
        hold = self.held()

        hold.write(status="sleeping", park=Park(wake_at=NOW + 60, waiting=("a", "b")))

        row = self.row()
        assert (row.status, row.owner, row.wake_at, row.waiting) == ("sleeping", None, NOW + 60, ("a", "b"))

    def test_parking_with_an_unseen_message_is_due_at_once(self) -> None:
        hold = self.held()
        self.send()

        hold.write(now=NOW + 2, status="sleeping", park=Park(wake_at=None, waiting=("other",)), seen=0)

        assert self.row().wake_at == NOW + 2

    def test_parking_with_a_seen_message_waits(self) -> None:
        hold = self.held()
        self.send()

        hold.write(status="sleeping", park=Park(wake_at=None, waiting=("other",)), seen=1)

        assert self.row().wake_at is None

    def test_parking_for_time_alone_does_not_look_at_messages(self) -> None:
        hold = self.held()
        self.send()

        hold.write(status="sleeping", park=Park(wake_at=NOW + 60, waiting=None), seen=0)

        assert self.row().wake_at == NOW + 60

    def test_an_evicted_run_is_due_now(self) -> None:
        hold = self.held()

        hold.write(now=NOW + 1, status="pending", release=True)

        row = self.row()
        assert (row.status, row.owner, row.wake_at) == ("pending", None, NOW + 1)

    def test_an_evicted_run_may_be_due_later(self) -> None:
        hold = self.held()

        hold.write(status="rolling_back", ending="failed", release=True, wake_at=NOW + 9)

        assert (self.row().status, self.row().wake_at) == ("rolling_back", NOW + 9)

    def test_releasing_without_a_status_strands_nothing(self) -> None:
        hold = self.held()

        hold.write(release=True)

        row = self.row()
        assert (row.status, row.owner, row.wake_at) == ("pending", None, NOW)

    def test_a_change_that_calms_clears_the_crashes(self) -> None:
        self.held()
        self.driver.reap(NOW, dead=[self.worker])
        self.worker = self.join()
        hold = self.claimed()

        hold.write(add=[completed(1)], calms=True)

        assert self.row().crashes == 0

    def test_a_change_that_does_not_calm_keeps_the_crashes(self) -> None:
        self.held()
        self.driver.reap(NOW, dead=[self.worker])
        self.worker = self.join()
        hold = self.claimed()

        hold.write(add=[opened(1)])

        assert self.row().crashes == 1

    def test_rolling_back_keeps_the_owner_and_says_the_ending(self) -> None:
        hold = self.held()

        hold.write(status="rolling_back", ending="failed", finish=Finish(error=b'"E"'))

        row = self.row()
        assert (row.status, row.ending, row.owner) == ("rolling_back", "failed", self.worker)

    def test_an_ending_can_be_cleared(self) -> None:
        hold = self.held()
        hold.write(status="rolling_back", ending="failed")

        hold.write(status="failed", ending="", release=True)

        assert self.row().ending == ""
