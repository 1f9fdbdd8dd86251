"""Changes: all that one commit of a pass writes."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from flowkit.core.change import Finish, Reply
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.drivers.base import BodyRef, Done
from flowkit.testing.cases.base import NOW, Case, completed, opened

__all__ = ["Changes"]


class Changes(Case):
    """What one commit of a pass writes."""

    def test_an_entry_is_kept_as_it_was_given(self) -> None:
        hold = self.held()
        entry = Entry(
            seq=3,
            location="pack/~3/label",
            kind="step",
            status="completed",
            parent=1,
            attempts=2,
            round=1,
            created_at=NOW - 2.5,
            started_at=NOW - 2.25,
            settled_at=NOW,
            due_at=NOW + 7,
            rollback="owes",
            source="shop.py:12",
            output=b'{"a": 1}',
            patch=b'{"s": 2}',
        )

        hold.write(add=[entry])

        (stored,) = self.view(hold.run).entries
        assert {**_fields(stored), "size": 0} == _fields(entry)

    def test_a_failed_entry_keeps_its_error(self) -> None:
        hold = self.held()

        hold.write(add=[completed(1, status="failed", output=None, error=b'{"type": "E"}')])

        (entry,) = self.view(hold.run).entries
        assert (entry.output, entry.error) == (None, b'{"type": "E"}')

    def test_entries_are_loaded_in_order(self) -> None:
        hold = self.held()

        hold.write(add=[completed(2), completed(1)])
        hold.write(add=[completed(10), completed(9)])

        assert [entry.seq for entry in self.view(hold.run).entries] == [1, 2, 9, 10]

    def test_entries_are_loaded_from_a_number_on(self) -> None:
        hold = self.held()
        hold.write(add=[completed(n) for n in range(1, 6)])

        view = self.driver.load(hold.run, after=3)

        assert view is not None
        assert [entry.seq for entry in view.entries] == [4, 5]

    def test_a_load_brings_no_arguments(self) -> None:
        hold = self.held()

        hold.write(add=[completed(1, args=b"[1]")])

        (entry,) = self.view(hold.run).entries
        assert entry.args is None
        assert entry.args_crc == crc32(b"[1]")
        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="args")) == b"[1]"

    def test_a_sum_of_arguments_that_was_given_is_kept(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, args=b"[1]", args_crc=77), opened(2)])

        hold.write(set=[completed(2, args=b"[2]", args_crc=78)])

        assert [entry.args_crc for entry in self.view(hold.run).entries] == [77, 78]
        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="args")) == b"[1]"
        assert self.driver.body(BodyRef(run=hold.run, entry=2, field="args")) == b"[2]"

    def test_an_open_entry_is_set(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1)])

        hold.write(set=[completed(1, output=b"7", attempts=3)])

        (entry,) = self.view(hold.run).entries
        assert (entry.status, entry.output, entry.attempts, entry.settled_at) == ("completed", b"7", 3, NOW)

    def test_an_open_entry_may_be_set_and_stay_open(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1, kind="loop", output=b"1")])

        hold.write(set=[opened(1, kind="loop", output=b"2")])
        hold.write(set=[opened(1, kind="loop", output=b"3")])

        assert self.view(hold.run).entries[0].output == b"3"

    def test_setting_without_arguments_keeps_those_stored(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1, args=b'["x"]')])

        hold.write(set=[completed(1)])

        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="args")) == b'["x"]'
        assert self.view(hold.run).entries[0].size == len(b'"ok"') + len(b'["x"]')

    def test_setting_with_arguments_stores_them(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1)])

        hold.write(set=[completed(1, args=b'["y"]')])

        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="args")) == b'["y"]'

    def test_a_size_is_that_of_all_bodies(self) -> None:
        hold = self.held()

        hold.write(add=[completed(1, output=b"12345", error=b"123", args=b"12")])

        assert self.history(hold.run)[0].size == 10

    def test_counters_are_written(self) -> None:
        hold = self.held()

        hold.write(entries=7, seen=3, owes=2, current="pay", attempts=4, attempts_max=6, error_line="E: no")

        row = self.row()
        assert (row.entries, row.seen, row.owes) == (7, 3, 2)
        assert (row.current, row.attempts, row.attempts_max, row.error_line) == ("pay", 4, 6, "E: no")

    def test_counters_are_written_with_the_fate_of_the_run(self) -> None:
        hold = self.held()

        hold.write(status="failed", release=True, current="pay", attempts=6, attempts_max=6, error_line="E")

        row = self.row()
        assert (row.current, row.attempts, row.attempts_max, row.error_line) == ("pay", 6, 6, "E")

    def test_an_error_line_goes_with_the_next_change(self) -> None:
        hold = self.held()
        hold.write(error_line="E: no")

        hold.write()

        assert self.row().error_line is None

    def test_a_change_touches_the_update_time(self) -> None:
        hold = self.held()

        hold.write(now=NOW + 5)

        assert self.row().updated_at == NOW + 5

    def test_what_a_person_decided_stays_with_an_entry_that_is_set_rolled_back_or_archived(self) -> None:
        hold = self.held()
        note = b'{"reason":"because"}'
        hold.write(add=[opened(1, by_hand=note)])
        hold.write(set=[completed(1, by_hand=note, rollback="owes")], owes=1)
        hold.write(rolled_back=[1])

        (entry,) = self.view(hold.run).entries
        hold.write(archive=[1])

        assert (entry.status, entry.by_hand) == ("rolled_back", note)
        assert [each.by_hand for each in self.driver.history(hold.run, archived=True)] == [note]

    def test_a_rolled_back_entry_says_so(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1)

        hold.write(rolled_back=[1], owes=0)

        (entry,) = self.view(hold.run).entries
        assert (entry.status, entry.rollback, entry.output) == ("rolled_back", "done", b'"ok"')

    def test_a_row_counts_what_was_rolled_back(self) -> None:
        hold = self.held()
        hold.write(add=[completed(n, rollback="owes") for n in (1, 2, 3)], owes=3, status="rolling_back", ending="failed")

        hold.write(rolled_back=[3], owes=2)
        hold.write(rolled_back=[2, 1], owes=0, status="failed", ending="", release=True)

        assert (self.row().undone, self.row().owes) == (3, 0)

    def test_a_run_that_goes_forward_again_has_nothing_undone(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1, status="rolling_back", ending="failed")
        hold.write(rolled_back=[1], owes=0, status="failed", ending="", release=True)

        hold.write(bump="recover", status="pending", finish=Finish())

        assert self.row().undone == 0

    def test_a_rollback_that_goes_on_keeps_its_count(self) -> None:
        hold = self.held()
        hold.write(add=[completed(n, rollback="owes") for n in (1, 2)], owes=2, status="rolling_back", ending="failed")
        hold.write(rolled_back=[2], owes=1, status="failed", release=True)

        hold.write(bump="recover", status="rolling_back", owes=1)

        assert self.row().undone == 1

    def test_forgotten_ranges_are_half_open(self) -> None:
        hold = self.held()
        hold.write(add=[completed(n) for n in range(1, 9)])

        hold.write(forget=[(2, 4), (6, 7)])

        assert [entry.seq for entry in self.history(hold.run)] == [1, 4, 5, 7, 8]

    def test_forgetting_touches_its_own_run_only(self) -> None:
        one, other = self.held("one"), self.held("other")
        one.write(add=[completed(1)])
        other.write(add=[completed(1)])

        one.write(forget=[(1, 2)])

        assert len(self.history(other.run)) == 1

    def test_forgetting_takes_failed_attempts_along(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1), completed(2)], failures=[_failure(1), _failure(2)])

        hold.write(forget=[(1, 2)])

        assert [failure.entry for failure in self.driver.attempts(hold.run)] == [2]

    def test_failed_attempts_are_kept(self) -> None:
        hold = self.held()
        failure = FailedAttempt(
            entry=1,
            part="step",
            round=2,
            n=3,
            started_at=NOW,
            ended_at=NOW + 1,
            retry_at=NOW + 2,
            error=b'{"type": "E"}',
        )

        hold.write(add=[opened(1, status="retrying")], failures=[failure])

        assert self.driver.attempts(hold.run, 1) == [failure]

    def test_failed_attempts_are_in_order(self) -> None:
        hold = self.held()

        hold.write(failures=[_failure(2), _failure(1, n=2), _failure(1, part="rollback"), _failure(1)])

        found = [(failure.entry, failure.part, failure.n) for failure in self.driver.attempts(hold.run)]
        assert found == [(1, "rollback", 1), (1, "step", 1), (1, "step", 2), (2, "step", 1)]

    def test_a_load_brings_failures_of_handlers_while_the_run_has_an_ending(self) -> None:
        hold = self.held()
        hold.write(failures=[_failure(1), _failure(1, part="rollback")], status="rolling_back", ending="failed")

        assert [failure.part for failure in self.view(hold.run).handler_failures] == ["rollback"]

    def test_archived_entries_leave_the_history(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1), completed(2)])

        hold.write(archive=[2])

        assert [entry.seq for entry in self.view(hold.run).entries] == [1]
        assert [entry.seq for entry in self.history(hold.run, archived=True)] == [2]

    def test_an_archived_number_may_be_added_again(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"1")])

        hold.write(archive=[1], add=[completed(1, output=b"2", round=1)])

        assert [entry.round for entry in self.history(hold.run)] == [1]
        assert [entry.output for entry in self.history(hold.run, archived=True)] == [b"1"]

    def test_a_number_may_be_archived_several_times(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1)])

        hold.write(archive=[1], add=[completed(1, round=1)])
        hold.write(archive=[1], add=[completed(1, round=2)])

        assert [entry.round for entry in self.history(hold.run, archived=True)] == [0, 1]

    def test_a_taken_message_is_gone(self) -> None:
        hold = self.held()
        self.send(name="a")
        self.send(name="b")

        hold.write(consume=[1], add=[completed(1, kind="message")])

        assert [message.name for message in self.driver.inbox(hold.run, (), 10)] == ["b"]

    def test_a_message_put_back_has_its_old_place(self) -> None:
        hold = self.held()
        for name in "abc":
            self.send(name=name)
        (message, *_) = self.driver.inbox(hold.run, (), 10)
        hold.write(consume=[1])

        hold.write(requeue=[message])

        assert [message.name for message in self.driver.inbox(hold.run, (), 10)] == ["a", "b", "c"]
        assert self.driver.inbox(hold.run, (), 1) == [message]

    def test_a_message_put_back_is_not_counted_as_new(self) -> None:
        hold = self.held()
        hold.write(requeue=[Message(seq=1, id="m", name="a", sent_at=NOW, body=b"1")])

        assert self.row().inbox == 0

    def test_a_reply_is_kept_under_its_message(self) -> None:
        hold = self.held()

        hold.write(replies=[Reply(message_id="m-1", body=b'"yes"')])

        assert self.driver.body(BodyRef(run=hold.run, field="reply", message_id="m-1")) == b'"yes"'

    def test_the_first_reply_stands(self) -> None:
        hold = self.held()
        hold.write(replies=[Reply(message_id="m-1", body=b"1")])

        hold.write(replies=[Reply(message_id="m-1", body=b"2")])

        assert self.driver.body(BodyRef(run=hold.run, field="reply", message_id="m-1")) == b"1"

    def test_the_state_is_kept(self) -> None:
        hold = self.held()

        hold.write(state=b'{"n": 1}')

        assert self.view(hold.run).state == b'{"n": 1}'

    def test_a_change_without_state_keeps_it(self) -> None:
        hold = self.held()
        hold.write(state=b'{"n": 1}')

        hold.write()

        assert self.view(hold.run).state == b'{"n": 1}'

    def test_done_tells_the_newest_message(self) -> None:
        hold = self.held()
        self.send()
        self.send()

        assert hold.write() == Done(inbox=2, status="running")

    def test_a_step_keeps_the_owner(self) -> None:
        hold = self.held()

        hold.write(add=[completed(1)])

        assert (self.row().owner, self.row().status) == (self.worker, "running")


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__struct_fields__}


def _failure(entry: int, part: Any = "step", n: int = 1) -> FailedAttempt:
    return FailedAttempt(entry=entry, part=part, n=n, started_at=NOW, ended_at=NOW, error=b'"E"')
