"""Verbs: what each does to a run in each status, once, and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from flowkit.core.change import Finish, Park
from flowkit.drivers.base import Done, Duplicate, Ended, Lost, Moved, NoRun, Steered, Verb
from flowkit.testing.cases.base import NOW, Case, completed, opened

__all__ = ["VerbTable", "Verbs"]

# What a verb makes of a run, by the status it had. The owes of `rolling_back` and of `paused` is 1, of the others 0.
_LEAVES = {
    "wake": {},
    "evict": {},
    "pause": dict.fromkeys(("pending", "running", "sleeping", "rolling_back", "blocked"), "paused"),
    "resume": {"paused": "pending", "blocked": "pending"},
    "cancel": dict.fromkeys(("pending", "running", "sleeping", "rolling_back", "paused", "blocked"), "cancelled"),
    "cancel_rollback": {
        **dict.fromkeys(("pending", "running", "sleeping", "blocked"), "cancelled"),
        **dict.fromkeys(("rolling_back", "paused"), "rolling_back"),
    },
}
_FINAL = ("completed", "failed", "cancelled")
_STATUSES = ("pending", "running", "sleeping", "rolling_back", "paused", "blocked", *_FINAL)


class VerbTable(Case):
    """One case for each verb and status; they are added below."""

    def bring(self, status: str) -> None:
        """A run in `status`."""
        if status == "pending":
            self.start()
            return
        hold = self.held()
        match status:
            case "sleeping":
                hold.write(status="sleeping", park=Park(wake_at=NOW + 60, waiting=("m",)))
            case "rolling_back":
                hold.write(status="rolling_back", ending="failed", owes=1)
            case "paused":
                hold.write(owes=1)
                self.steer("pause")
                hold.write(owes=1, release=True)
            case "blocked":
                hold.write(bump="block", status="blocked")
            case "completed" | "failed" | "cancelled":
                hold.write(status=status, release=True)

    def expect(self, verb: Verb, status: str) -> None:
        self.bring(status)

        result = self.steer(verb, now=NOW + 1)

        after = _LEAVES[verb].get(status, status)
        assert result == (Ended(status=status) if status in _FINAL else Steered(status=after))
        assert self.row().status == after


def _case(verb: Verb, status: str) -> Callable[[VerbTable], None]:
    def case(self: VerbTable) -> None:
        self.expect(verb, status)

    return case


for _verb in get_args(Verb):
    for _status in _STATUSES:
        setattr(VerbTable, f"test_{_verb}_of_a_run_that_is_{_status}", _case(_verb, _status))


class Verbs(Case):
    """What a verb does beside the status."""

    def test_a_verb_for_nobody_says_so(self) -> None:
        assert self.steer("wake", "nobody") == NoRun()

    def test_a_repeated_verb_is_answered_as_the_first_was(self) -> None:
        self.start()
        self.steer("pause", op="p")

        assert self.steer("pause", op="p") == Duplicate(first="paused")

    def test_a_repeated_verb_does_nothing(self) -> None:
        self.start()
        self.steer("pause", op="p")
        self.steer("resume")

        self.steer("pause", op="p")

        assert self.row().status == "pending"

    def test_a_verb_with_another_head_is_refused(self) -> None:
        hold = self.held()
        hold.write()

        assert self.steer("cancel", head=0) == Moved(head=1)
        assert self.row().status == "running"

    def test_a_verb_with_the_right_head_lands(self) -> None:
        hold = self.held()
        hold.write()

        assert self.steer("cancel", head=1) == Steered(status="cancelled")

    def test_verbs_keep_the_head(self) -> None:
        self.held()

        self.steer("evict")
        self.steer("pause")

        assert self.row().head == 0

    def test_wake_makes_a_sleeping_run_due(self) -> None:
        self.parked(wake_at=NOW + 60)

        self.steer("wake", now=NOW + 1)

        assert self.row().wake_at == NOW + 1

    def test_wake_rings_the_owners_bell(self) -> None:
        hold = self.held()

        self.steer("wake")

        assert list(self.claim().bells) == [hold.run]

    def test_wake_does_not_start_a_delayed_run(self) -> None:
        self.start(start_at=NOW + 60)

        self.steer("wake")

        assert self.row().wake_at == NOW + 60

    def test_pause_takes_the_timer_away(self) -> None:
        self.parked(wake_at=NOW + 60, waiting=("m",))

        self.steer("pause")

        assert (self.row().wake_at, self.row().waiting) == (None, None)

    def test_a_paused_run_is_not_claimed(self) -> None:
        self.start()
        self.steer("pause")

        assert not self.claim().runs

    def test_pause_rings_the_owners_bell(self) -> None:
        hold = self.held()

        self.steer("pause")

        assert list(self.claim().bells) == [hold.run]
        assert self.row().owner == self.worker

    def test_the_owner_of_a_paused_run_may_record_what_began(self) -> None:
        hold = self.held()
        self.steer("pause")

        result = hold.write(add=[completed(1)])

        assert result == Done(inbox=0, status="paused")
        assert len(self.history(hold.run)) == 1

    def test_a_paused_run_takes_no_status_and_no_result(self) -> None:
        hold = self.held()
        self.steer("pause")

        hold.write(status="completed", finish=Finish(output=b"1"), release=True)

        assert (self.row().status, self.row().owner, self.row().finished_at) == ("paused", None, None)

    def test_a_paused_run_takes_no_timer(self) -> None:
        hold = self.held()
        self.steer("pause")

        hold.write(status="sleeping", park=Park(wake_at=NOW + 9, waiting=("m",)))

        row = self.row()
        assert (row.status, row.owner, row.wake_at, row.waiting) == ("paused", None, None, None)

    def test_resume_makes_a_paused_run_due(self) -> None:
        self.parked(wake_at=NOW + 60)
        self.steer("pause")

        self.steer("resume", now=NOW + 2)

        assert self.row().wake_at == NOW + 2

    def test_resume_keeps_a_delay(self) -> None:
        self.start(start_at=NOW + 60)
        self.steer("pause")

        self.steer("resume", now=NOW + 2)

        assert self.row().wake_at == NOW + 60

    def test_resume_goes_on_rolling_back(self) -> None:
        hold = self.held()
        hold.write(status="rolling_back", ending="failed", release=True)
        self.steer("pause")

        assert self.steer("resume") == Steered(status="rolling_back")

    def test_resume_clears_the_reason_and_the_crashes(self) -> None:
        hold = self.held()
        hold.write(bump="block", status="blocked", finish=Finish(error=b'"E"'), error_line="E")

        self.steer("resume")

        view = self.view(hold.run)
        assert (view.error, view.row.error_line, view.row.crashes) == (None, None, 0)

    def test_resume_before_the_owner_let_go_strands_nothing(self) -> None:
        hold = self.held()
        self.steer("pause")
        self.steer("resume")

        hold.write(release=True)

        assert [claim.id for claim in self.claim().runs] == ["r"]

    def test_evict_asks_the_owner(self) -> None:
        hold = self.held()

        self.steer("evict")

        assert self.row().request == "evict"
        assert list(self.claim().bells) == [hold.run]

    def test_done_tells_of_an_evict(self) -> None:
        hold = self.held()
        self.steer("evict")

        assert hold.write() == Done(inbox=0, status="running", request="evict")

    def test_an_evict_is_over_when_the_run_was_given_up(self) -> None:
        hold = self.held()
        self.steer("evict")

        hold.write(status="pending", release=True)

        assert self.row().request == ""

    def test_evict_of_a_run_without_an_owner_does_nothing(self) -> None:
        self.parked(wake_at=NOW + 60)

        self.steer("evict")

        assert (self.row().request, self.row().wake_at) == ("", NOW + 60)

    def test_cancel_takes_the_run_away(self) -> None:
        hold = self.held()

        self.steer("cancel", now=NOW + 3)

        row = self.row()
        assert (row.owner, row.wake_at, row.epoch, row.finished_at) == (None, None, hold.epoch + 1, NOW + 3)

    def test_cancel_closes_open_entries(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1), opened(2)])

        self.steer("cancel", now=NOW + 3)

        first, second = self.view(hold.run).entries
        assert (first.status, first.settled_at) == ("completed", NOW)
        assert (second.status, second.settled_at) == ("cancelled", NOW + 3)

    def test_cancel_with_rollback_fences_the_owner(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1)

        self.steer("cancel_rollback", now=NOW + 3)

        row = self.row()
        assert (row.status, row.ending, row.owner, row.wake_at) == ("rolling_back", "cancelled", None, NOW + 3)
        assert isinstance(hold.write(), Lost)

    def test_cancel_with_rollback_is_claimed_as_rolling_back(self) -> None:
        hold = self.held()
        hold.write(owes=1)
        self.steer("cancel_rollback")

        (claim,) = self.claim().runs

        assert (claim.status, claim.epoch) == ("rolling_back", hold.epoch + 2)

    def test_a_paused_run_that_its_owner_completes_still_owes(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1)
        self.steer("pause")
        hold.write(status="completed", finish=Finish(output=b"1"), owes=1, release=True)

        self.steer("cancel_rollback")

        assert self.row().status == "rolling_back"

    def test_a_completed_run_owes_nothing(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1)

        hold.write(status="completed", finish=Finish(output=b"1"), owes=1, release=True)

        assert self.row().owes == 0

    def test_verbs_of_one_write_land_in_order(self) -> None:
        self.start()
        results: list[Any] = self.driver.write([self._steer("pause", "1"), self._steer("resume", "2")], NOW)

        assert [result.status for result in results] == ["paused", "pending"]

    def _steer(self, verb: Verb, op: str) -> Any:
        from flowkit.drivers.base import Steer

        return Steer(run="r", verb=verb, op=op)
