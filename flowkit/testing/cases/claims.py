"""Claiming due runs, bells, adopting, and what a worker has lost."""

from __future__ import annotations

from typing import Any

from flowkit.core.change import Finish, Park
from flowkit.drivers.base import Claim
from flowkit.testing.cases.base import CODE, NOW, Case, Hold

__all__ = ["Adopting", "Claims"]

LATER = NOW + 60


class Claims(Case):
    """Due runs and bells."""

    def test_a_due_run_is_claimed(self) -> None:
        self.start()

        (claim,) = self.claim().runs

        row = self.row()
        assert (claim.id, claim.workflow, claim.epoch, claim.head, claim.status) == ("r", "w", 1, 0, "running")
        assert (row.status, row.owner, row.epoch, row.passes, row.wake_at) == ("running", self.worker, 1, 1, None)

    def test_a_claim_tells_the_code_of_the_pass_before(self) -> None:
        self.parked(wake_at=NOW)

        (claim,) = self.claim(code="code-2").runs

        assert claim.code == CODE
        assert self.row().code == "code-2"

    def test_a_claim_brings_along_the_trace_of_the_start(self) -> None:
        self.start(context="a trace")
        self.start("other")

        assert {claim.id: claim.context for claim in self.claim().runs} == {"r": "a trace", "other": ""}

    def test_a_claim_brings_along_the_trace_that_the_last_park_gave(self) -> None:
        hold = self.held(context="a trace")
        hold.write(status="sleeping", park=Park(wake_at=NOW), context="another")
        (second,) = self.claim().runs
        Hold(self.driver, second).write(status="sleeping", park=Park(wake_at=NOW))

        (third,) = self.claim().runs
        assert (second.context, third.context) == ("another", "another")

    def test_the_code_under_which_a_run_began_stays_known(self) -> None:
        hold = self.parked(wake_at=NOW)
        for code in ("code-2", "code-3"):
            (claim,) = self.claim(code=code).runs
            Hold(self.driver, claim).write(status="sleeping", park=Park(wake_at=NOW))

        assert self.driver.first_code(hold.run) == CODE
        assert self.row().code == "code-3"

    def test_a_run_that_has_had_one_code_began_under_it(self) -> None:
        hold = self.parked(wake_at=NOW)
        self.start("new")

        assert self.driver.first_code(hold.run) == CODE
        assert self.driver.first_code(self.row("new").seq) == ""

    def test_what_a_claim_brings_along_is_what_would_be_loaded(self) -> None:
        self.parked(id="old", wake_at=NOW)
        for number in range(9):
            self.start(f"r-{number}")

        claims = self.claim(limit=20).runs

        assert len(claims) == 10
        for claim in claims:
            assert claim.view is None or claim.view == self.driver.load(claim.run)

    def test_the_first_claim_is_the_start(self) -> None:
        self.parked(wake_at=NOW)

        self.claim(now=LATER)

        assert self.row().started_at == NOW

    def test_a_run_is_claimed_once(self) -> None:
        self.start()
        self.claim()

        assert not self.claim(worker=self.join()).runs

    def test_a_run_that_is_not_due_is_not_claimed(self) -> None:
        self.start(start_at=NOW + 0.001)

        assert not self.claim().runs

    def test_a_run_is_due_at_its_instant(self) -> None:
        self.start(start_at=NOW + 5)

        assert len(self.claim(now=NOW + 5).runs) == 1

    def test_a_run_without_an_instant_is_never_due(self) -> None:
        self.parked(wake_at=None)

        claimed = self.claim(now=NOW + 1e9)

        assert (list(claimed.runs), claimed.next_due) == ([], None)

    def test_the_earliest_run_comes_first(self) -> None:
        for id, delay in (("c", 3), ("a", 1), ("b", 2)):
            self.start(id, start_at=NOW + delay)

        assert [claim.id for claim in self.claim(2, now=LATER).runs] == ["a", "b"]

    def test_the_earliest_run_comes_first_over_all_workflows(self) -> None:
        for id, workflow, delay in (("a", "w", 4), ("b", "v", 1), ("c", "w", 2), ("d", "v", 3)):
            self.start(id, workflow=workflow, start_at=NOW + delay)

        claimed = self.driver.claim(self.worker, {"w": "1", "v": "2"}, 3, LATER)

        assert [claim.id for claim in claimed.runs] == ["b", "c", "d"]

    def test_no_more_runs_are_claimed_than_asked_for(self) -> None:
        for n in range(5):
            self.start(f"r{n}")

        assert [len(self.claim(2).runs) for _ in range(4)] == [2, 2, 1, 0]

    def test_with_no_room_nothing_is_claimed(self) -> None:
        self.start()

        assert not self.claim(0).runs

    def test_only_runs_of_known_workflows_are_claimed(self) -> None:
        self.start("other", workflow="v")

        assert not self.claim().runs

    def test_a_workflow_is_known_by_its_whole_name(self) -> None:
        self.start("other", workflow="ww")

        assert not self.claim().runs

    def test_a_claim_gives_each_run_the_code_of_its_workflow(self) -> None:
        self.start("a", workflow="w")
        self.start("b", workflow="v")

        self.driver.claim(self.worker, {"w": "cw", "v": "cv"}, 9, NOW)

        assert (self.row("a").code, self.row("b").code) == ("cw", "cv")

    def test_the_next_timer_is_told(self) -> None:
        self.start("a", start_at=NOW + 9)
        self.start("b", start_at=NOW + 7)

        assert self.claim().next_due == NOW + 7

    def test_runs_left_over_are_the_next_timer(self) -> None:
        self.start("a")
        self.start("b")

        assert self.claim(1).next_due == NOW

    def test_timers_of_other_workflows_are_not_told(self) -> None:
        self.start(workflow="v", start_at=NOW + 9)

        assert self.claim().next_due is None

    def test_a_claim_clears_what_was_awaited(self) -> None:
        self.parked(wake_at=NOW, waiting=("m",))

        self.claim()

        assert self.row().waiting is None

    def test_a_run_that_rolls_back_stays_so(self) -> None:
        hold = self.held()
        hold.write(status="rolling_back", ending="failed", release=True)

        (claim,) = self.claim().runs

        assert claim.status == self.row().status == "rolling_back"

    def test_a_claim_tells_the_crashes(self) -> None:
        self.held()
        self.driver.reap(NOW, dead=[self.worker])

        (claim,) = self.claim(worker=self.join()).runs

        assert (claim.crashes, claim.epoch) == (1, 3)

    def test_a_claim_tells_the_head(self) -> None:
        hold = self.held()
        hold.write()
        hold.write(status="pending", release=True)

        assert self.claim().runs[0].head == 2

    def test_a_bell_rings_once(self) -> None:
        hold = self.held()
        self.send()

        assert [list(self.claim().bells) for _ in range(2)] == [[hold.run], []]

    def test_a_bell_is_heard_with_no_room(self) -> None:
        hold = self.held()
        self.send()

        assert list(self.claim(0).bells) == [hold.run]

    def test_a_bell_is_not_heard_by_others(self) -> None:
        self.held()
        self.send()

        claimed = self.claim(worker=self.join())

        assert (list(claimed.runs), list(claimed.bells)) == ([], [])

    def test_a_change_takes_the_bell(self) -> None:
        hold = self.held()
        self.send()

        hold.write(seen=1)

        assert not self.claim().bells

    def test_a_bell_is_no_timer(self) -> None:
        self.held()
        self.send()

        assert self.claim(worker=self.join()).next_due is None

    def test_a_parked_run_is_claimed_when_its_time_has_come(self) -> None:
        self.parked(wake_at=NOW + 60)

        assert not self.claim(now=NOW + 59).runs
        assert len(self.claim(now=NOW + 60).runs) == 1

    def test_instants_before_the_epoch_are_in_order(self) -> None:
        self.start("a", start_at=-5.0)
        self.start("b", start_at=-7.0)
        self.start("c", start_at=0.0)

        assert [claim.id for claim in self.claim().runs] == ["b", "a", "c"]


class Adopting(Case):
    """Blocked runs, runs owned without knowing it, and runs lost."""

    def blocked(self, id: str = "r", **fields: Any) -> Hold:
        hold = self.held(id)
        hold.write(bump="block", status="blocked", finish=Finish(error=b'"E"'), error_line="E", **fields)
        return hold

    def adopt(self, code: str, held: tuple[int, ...] = (), limit: int = 10, now: float = NOW + 60) -> list[str]:
        claimed = self.driver.adopt(self.worker, held, {"w": code}, limit, now)
        return [claim.id for claim in claimed.runs]

    def test_a_blocked_run_is_adopted_by_other_code(self) -> None:
        hold = self.blocked()

        assert self.adopt("code-2") == ["r"]

        row = self.row()
        assert (row.status, row.owner, row.epoch, row.code) == ("running", self.worker, hold.epoch + 2, "code-2")

    def test_a_blocked_run_is_not_adopted_by_the_code_that_blocked_it(self) -> None:
        self.blocked()

        assert self.adopt(CODE) == []

    def test_a_blocked_run_is_not_adopted_by_any_code_that_was_tried(self) -> None:
        self.blocked()
        claimed = self.driver.adopt(self.worker, (), {"w": "code-2"}, 1, NOW)
        Hold(self.driver, claimed.runs[0]).write(bump="block", status="blocked")

        assert [self.adopt(code) for code in (CODE, "code-2", "code-3")] == [[], [], ["r"]]

    def test_a_blocked_run_is_not_adopted_before_it_was_to_start(self) -> None:
        run = self.start(start_at=NOW + 100).run
        hold = Hold(self.driver, Claim(run=run, id="r", workflow="w", epoch=0, head=0, status="pending"))
        hold.write(bump="block", status="blocked", code="code-2")

        assert [self.adopt(CODE, now=NOW + wait) for wait in (60, 99, 100)] == [[], [], ["r"]]

    def test_an_adopted_run_has_no_reason_any_more(self) -> None:
        hold = self.blocked()

        self.adopt("code-2")

        view = self.view(hold.run)
        assert (view.error, view.row.error_line, view.row.crashes) == (None, None, 0)

    def test_a_run_blocked_while_rolling_back_is_adopted_so(self) -> None:
        self.blocked(ending="failed")

        self.adopt("code-2")

        assert self.row().status == "rolling_back"

    def test_blocked_runs_of_unknown_workflows_are_left(self) -> None:
        self.blocked()

        assert not self.driver.adopt(self.worker, (), {"v": "code-2"}, 9, NOW).runs

    def test_no_more_runs_are_adopted_than_asked_for(self) -> None:
        for n in range(4):
            self.blocked(f"r{n}")

        assert len(self.adopt("code-2", limit=3)) == 3

    def test_a_run_owned_but_not_held_is_adopted(self) -> None:
        hold = self.held()

        assert self.adopt(CODE) == ["r"]
        assert self.row().epoch == hold.epoch + 1

    def test_a_run_that_is_held_is_not_adopted(self) -> None:
        hold = self.held()

        assert self.adopt(CODE, held=(hold.run,)) == []

    def test_a_claim_that_is_just_on_its_way_is_not_adopted(self) -> None:
        self.held()

        assert self.adopt(CODE, now=NOW + 0.1) == []

    def test_a_paused_run_owned_but_not_held_is_let_go(self) -> None:
        self.held()
        self.steer("pause")

        assert self.adopt(CODE) == []
        assert (self.row().owner, self.row().status) == (None, "paused")

    def test_runs_of_others_are_not_adopted(self) -> None:
        self.held()
        self.worker = self.join()

        assert self.adopt(CODE) == []

    def test_a_run_taken_away_is_lost(self) -> None:
        hold = self.held()
        self.steer("cancel")

        assert list(self.driver.lost(self.worker, {hold.run: hold.epoch})) == [hold.run]

    def test_a_run_held_is_not_lost(self) -> None:
        hold = self.held()

        assert not self.driver.lost(self.worker, {hold.run: hold.epoch})

    def test_a_run_under_another_epoch_is_lost(self) -> None:
        hold = self.held()

        assert list(self.driver.lost(self.worker, {hold.run: hold.epoch - 1})) == [hold.run]

    def test_a_run_given_up_is_lost(self) -> None:
        hold = self.held()
        hold.write(status="sleeping", park=Park(wake_at=None))

        assert list(self.driver.lost(self.worker, {hold.run: hold.epoch})) == [hold.run]

    def test_nothing_held_is_nothing_lost(self) -> None:
        self.held()

        assert not self.driver.lost(self.worker, {})
