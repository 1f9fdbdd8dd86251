"""Changes that are refused, that fence, and that send."""

from __future__ import annotations

from typing import Any

from flowkit.core.change import Change, Finish, Outgoing, Park, Reply
from flowkit.drivers.base import BodyRef, Claim, Done, Duplicate, GuardFailed, Lost, Undeliverable
from flowkit.testing.cases.base import CODE, NOW, Case, Hold, completed, opened, refused

__all__ = ["Bumps", "Fences", "Guards", "Sends"]


class Fences(Case):
    """Epoch and head: writes that come too late change nothing."""

    def test_a_change_moves_the_head(self) -> None:
        hold = self.held()

        hold.write()

        assert self.row().head == 1

    def test_a_change_with_another_head_is_lost(self) -> None:
        hold = self.held()
        hold.write()

        result = self.one(hold.change(head=0, add=[completed(1)]))

        assert result == Lost(epoch=hold.epoch, head=1)
        assert not self.history(hold.run)

    def test_a_change_with_another_epoch_is_lost(self) -> None:
        hold = self.held()

        result = self.one(hold.change(epoch=hold.epoch - 1, add=[completed(1)]))

        assert result == Lost(epoch=hold.epoch, head=0)
        assert not self.history(hold.run)

    def test_a_change_of_a_run_that_is_not_there_is_lost(self) -> None:
        result = self.one(Change(run=77, epoch=1, head=0, entries=0, seen=0, owes=0))

        assert result == Lost(epoch=0, head=0)

    def test_a_repeated_change_is_lost_with_a_head_one_higher(self) -> None:
        hold = self.held()
        change = hold.change(add=[completed(1)])
        self.one(change)

        assert self.one(change) == Lost(epoch=hold.epoch, head=change.head + 1)
        assert len(self.history(hold.run)) == 1

    def test_the_old_owner_is_lost_after_a_takeover(self) -> None:
        hold = self.held()
        self.driver.reap(NOW, dead=[self.worker])

        assert isinstance(hold.write(), Lost)

    def test_the_old_owner_is_lost_after_a_cancel(self) -> None:
        hold = self.held()
        self.steer("cancel")

        assert isinstance(hold.write(status="completed", release=True), Lost)
        assert self.row().status == "cancelled"

    def test_a_lost_change_leaves_the_others_of_its_write_alone(self) -> None:
        holds = [self.held(f"r{n}") for n in range(3)]
        changes = [hold.change(add=[completed(1)]) for hold in holds]
        changes[1] = holds[1].change(head=9)

        results = self.driver.write(changes, NOW)

        assert [type(result) for result in results] == [Done, Lost, Done]
        assert [len(self.history(hold.run)) for hold in holds] == [1, 0, 1]

    def test_a_lost_change_writes_no_part_of_itself(self) -> None:
        hold = self.held()
        self.send()

        self.one(hold.change(head=5, consume=[1], replies=[Reply(message_id="x", body=b"1")], finish=Finish(output=b"1")))

        assert len(self.driver.inbox(hold.run, (), 10)) == 1
        assert self.driver.body(BodyRef(run=hold.run, field="reply", message_id="x")) is None
        assert self.driver.body(BodyRef(run=hold.run, field="output")) is None

    def test_many_changes_land_in_one_write(self) -> None:
        holds = [self.held(f"r{n}") for n in range(40)]

        results = self.driver.write([hold.change(add=[completed(1)]) for hold in holds], NOW)

        assert all(isinstance(result, Done) for result in results)
        assert all(len(self.history(hold.run)) == 1 for hold in holds)

    def test_a_write_of_nothing_is_nothing(self) -> None:
        assert self.driver.write([], NOW) == []


class Guards(Case):
    """Writes that contradict what is stored are errors of the whole write."""

    def test_an_entry_number_is_used_once(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, "a")])

        with refused(GuardFailed):
            hold.write(add=[completed(1, "b")])

        assert [entry.location for entry in self.history(hold.run)] == ["a"]
        assert self.row().head == 1

    def test_a_settled_entry_cannot_be_set(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"1")])

        with refused(GuardFailed):
            hold.write(set=[completed(1, output=b"2")])

        assert self.history(hold.run)[0].output == b"1"

    def test_an_entry_that_is_not_there_cannot_be_set(self) -> None:
        hold = self.held()

        with refused(GuardFailed):
            hold.write(set=[completed(1)])

    def test_a_message_that_is_not_there_cannot_be_taken(self) -> None:
        hold = self.held()

        with refused(GuardFailed):
            hold.write(consume=[1])

    def test_a_message_is_taken_once(self) -> None:
        hold = self.held()
        self.send()
        hold.write(consume=[1])

        with refused(GuardFailed):
            hold.write(consume=[1])

    def test_an_open_entry_cannot_be_rolled_back(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1)])

        with refused(GuardFailed):
            hold.write(rolled_back=[1])

    def test_an_entry_that_is_not_there_cannot_be_archived(self) -> None:
        hold = self.held()

        with refused(GuardFailed):
            hold.write(archive=[1])

    def test_a_failed_guard_writes_nothing_of_the_whole_write(self) -> None:
        good, bad = self.held("good"), self.held("bad")

        with refused(GuardFailed):
            self.driver.write([good.change(add=[completed(1)]), bad.change(consume=[4])], NOW)

        assert not self.history(good.run)
        assert (self.row("good").head, self.row("bad").head) == (0, 0)

    def test_a_guard_of_a_lost_change_does_not_count(self) -> None:
        hold = self.held()

        assert isinstance(self.one(hold.change(head=3, consume=[4])), Lost)

    def test_after_a_failed_guard_the_driver_goes_on(self) -> None:
        hold = self.held()
        with refused(GuardFailed):
            hold.write(consume=[4])

        assert isinstance(hold.write(add=[completed(1)]), Done)


class Bumps(Case):
    """Recover, replay and block."""

    def bump(self, hold: Hold, bump: str, **fields: Any) -> Any:
        base: dict[str, Any] = {"op": "op-b", "who": "me", "status": "pending", "finish": Finish()}
        return self.one(hold.change(bump=bump, **{**base, **fields}))

    def test_recover_makes_a_failed_run_due(self) -> None:
        hold = self.ended(status="failed")

        result = self.bump(hold, "recover")

        row = self.row()
        assert result == Done(inbox=0, status="pending")
        assert (row.status, row.wake_at, row.epoch, row.finished_at) == ("pending", NOW, hold.epoch + 1, None)

    def test_recover_clears_error_and_crashes(self) -> None:
        hold = self.held()
        hold.write(status="failed", finish=Finish(error=b'"E"', failed_entry=2), release=True, error_line="E")

        self.bump(hold, "recover")

        view = self.view(hold.run)
        assert (view.error, view.failed_entry, view.row.error_line, view.row.crashes) == (None, None, None, 0)

    def test_replay_is_counted(self) -> None:
        hold = self.ended()

        self.bump(hold, "replay")

        assert self.row().replays == 1

    def test_recover_is_not_counted_as_a_replay(self) -> None:
        hold = self.ended(status="failed")

        self.bump(hold, "recover")

        assert self.row().replays == 0

    def test_replay_of_a_paused_run_makes_it_pending(self) -> None:
        hold = self.parked()
        self.steer("pause")

        self.bump(hold, "replay")

        assert self.row().status == "pending"

    def test_a_repeated_recover_is_a_duplicate(self) -> None:
        hold = self.ended(status="failed")
        self.bump(hold, "recover")

        assert self.bump(hold, "recover") == Duplicate(first="pending")
        assert self.row().head == hold.head + 1

    def test_a_recover_that_came_too_late_is_lost(self) -> None:
        hold = self.ended(status="failed")
        self.bump(hold, "recover")

        assert isinstance(self.bump(hold, "recover", op="another"), Lost)

    def test_block_gives_the_run_up_and_fences_it(self) -> None:
        hold = self.held()

        result = self.bump(hold, "block", op="", status="blocked", finish=Finish(error=b'"why"'))

        row = self.row()
        assert isinstance(result, Done)
        assert (row.status, row.owner, row.epoch, row.wake_at) == ("blocked", None, hold.epoch + 1, None)
        assert self.view(hold.run).error == b'"why"'

    def test_block_remembers_the_code(self) -> None:
        hold = self.held()

        self.bump(hold, "block", op="", status="blocked")

        assert self.view(hold.run).tried == (CODE,)

    def test_block_remembers_the_code_that_it_names_and_leaves_the_rows_own(self) -> None:
        hold = self.parked(wake_at=NOW + 60)

        self.bump(hold, "block", op="", status="blocked", code="code-2")

        row = self.row()
        assert (row.status, row.wake_at, row.epoch, row.code) == ("blocked", None, hold.epoch + 1, CODE)
        assert self.view(hold.run).tried == ("code-2",)

    def test_block_of_a_run_that_no_code_has_had_yet_remembers_the_code_that_it_names(self) -> None:
        run = self.start().run
        hold = Hold(self.driver, Claim(run=run, id="r", workflow="w", epoch=0, head=0, status="pending"))

        self.bump(hold, "block", op="", status="blocked", code="code-2")

        assert (self.row().status, self.row().epoch, self.view(run).tried) == ("blocked", 1, ("code-2",))

    def test_block_remembers_each_code_once(self) -> None:
        hold = self.parked()
        for code in ("code-2", "code-3", "code-2"):
            hold.write(bump="block", status="blocked", code=code)
            hold.epoch += 1

        assert self.view(hold.run).tried == ("code-2", "code-3")

    def test_block_of_a_run_that_has_moved_remembers_nothing(self) -> None:
        hold = self.parked(wake_at=NOW)
        self.claimed()

        result = self.bump(hold, "block", op="", status="blocked", code="code-2")

        assert isinstance(result, Lost)
        assert (self.row().status, self.view(hold.run).tried) == ("running", ())

    def test_block_keeps_the_crashes(self) -> None:
        self.held()
        self.driver.reap(NOW, dead=[self.worker])
        self.worker = self.join()
        hold = self.claimed()

        self.bump(hold, "block", op="", status="blocked")

        assert self.row().crashes == 1


class Sends(Case):
    """Messages that go with a Change."""

    def test_a_send_goes_with_its_change(self) -> None:
        hold = self.held()
        self.start("to")

        hold.write(add=[completed(1, kind="send")], sends=[_outgoing("to")])

        (message,) = self.driver.inbox(self.row("to").seq, (), 10)
        assert (message.id, message.name, message.body, message.sender) == ("r/1", "m", b"1", "r")

    def test_a_send_of_a_lost_change_is_not_sent(self) -> None:
        hold = self.held()
        self.start("to")

        self.one(hold.change(head=8, sends=[_outgoing("to")]))

        assert self.row("to").inbox == 0

    def test_a_send_to_nobody_writes_nothing(self) -> None:
        hold = self.held()

        result = hold.write(add=[completed(1)], sends=[_outgoing("nobody")])

        assert result == Undeliverable(to="nobody", why="missing")
        assert not self.history(hold.run)
        assert self.row().head == 0

    def test_a_send_to_an_ended_run_writes_nothing(self) -> None:
        self.ended("to")
        hold = self.held()

        assert hold.write(sends=[_outgoing("to")]) == Undeliverable(to="to", why="ended")

    def test_one_bad_send_holds_the_others_back(self) -> None:
        self.start("to")
        hold = self.held("r")

        hold.write(sends=[_outgoing("to"), _outgoing("nobody")])

        assert self.row("to").inbox == 0

    def test_a_send_wakes_its_receiver(self) -> None:
        self.parked("to", waiting=("m",))
        hold = self.held()

        hold.write(sends=[_outgoing("to")], now=NOW + 4)

        assert self.row("to").wake_at == NOW + 4

    def test_a_send_to_itself_wakes_a_parking_run(self) -> None:
        hold = self.held()

        hold.write(sends=[_outgoing("r")], status="sleeping", park=Park(wake_at=None, waiting=("m",)))

        assert self.row().wake_at == NOW

    def test_a_send_with_a_used_key_is_not_sent_again(self) -> None:
        hold = self.held()
        self.start("to")
        hold.write(sends=[_outgoing("to", key="k")])

        result = hold.write(sends=[_outgoing("to", key="k", message_id="r/2")])

        assert isinstance(result, Done)
        assert self.row("to").inbox == 1

    def test_runs_that_send_to_each_other_in_one_write_both_receive(self) -> None:
        one, other = self.held("one"), self.held("other")

        self.driver.write([one.change(sends=[_outgoing("other")]), other.change(sends=[_outgoing("one")])], NOW)

        assert (self.row("one").inbox, self.row("other").inbox) == (1, 1)

    def test_a_send_and_the_parking_of_its_receiver_in_one_write_lose_no_wake_up(self) -> None:
        one, other = self.held("one"), self.held("other")
        parks = {"status": "sleeping", "park": Park(wake_at=None, waiting=("m",))}

        self.driver.write([one.change(sends=[_outgoing("other")]), other.change(**parks)], NOW)

        assert self.row("other").wake_at == NOW


def _outgoing(to: str, **fields: Any) -> Outgoing:
    base: dict[str, Any] = {"message_id": "r/1", "name": "m", "body": b"1", "sender": "r"}
    return Outgoing(to=to, **{**base, **fields})
