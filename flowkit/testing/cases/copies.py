"""Forks: starts that bring the history with which their run begins."""

from __future__ import annotations

from typing import Any

from flowkit.drivers.base import BodyRef, Copied, Duplicate, Exists, Started, Steer
from flowkit.drivers.rules import fork_op
from flowkit.testing.cases.base import NOW, Case, Hold, completed, opened

__all__ = ["Copies"]

FORK = b'{"origin":"o"}'


class Copies(Case):
    """Starts with a `copied`."""

    def copied(self, **fields: Any) -> Copied:
        base: dict[str, Any] = {
            "fork": FORK,
            "entries": [
                completed(2, rollback="owes", args=b"[1]", patch=b'{"set":{"k":1}}', by_hand=b'{"how":"value"}'),
                opened(4),
            ],
            "state": b'{"keys":{}}',
            "inbox": 7,
            "last": 5,
            "owes": 1,
        }
        return Copied(**{**base, **fields})

    def test_a_fork_begins_with_what_was_copied(self) -> None:
        started = self.start(copied=self.copied())

        view = self.view(started.run)
        settled, begun = view.entries
        assert (settled.seq, settled.output, settled.rollback, settled.by_hand) == (2, b'"ok"', "owes", b'{"how":"value"}')
        assert (settled.patch, settled.settled_at, begun.seq, begun.settled_at) == (b'{"set":{"k":1}}', NOW, 4, None)
        assert self.driver.body(BodyRef(run=started.run, field="args", entry=2)) == b"[1]"
        assert (view.fork, view.state) == (FORK, b'{"keys":{}}')

    def test_a_forks_record_is_a_body_of_its_run(self) -> None:
        started = self.start(copied=self.copied())

        assert self.driver.body(BodyRef(run=started.run, field="fork")) == FORK

    def test_the_making_of_a_fork_stands_in_the_record_of_verbs(self) -> None:
        self.start(token="t-1", copied=self.copied(who="me"))
        self.start(token="t-1", copied=self.copied(who="me"))

        assert self.one(Steer(run="r", verb="wake", op=fork_op("t-1"))) == Duplicate(first="pending")

    def test_a_run_that_is_no_fork_has_no_record(self) -> None:
        started = self.start()

        assert self.view(started.run).fork is None
        assert self.driver.body(BodyRef(run=started.run, field="fork")) is None

    def test_a_fork_goes_on_from_the_numbers_it_was_given(self) -> None:
        started = self.start(copied=self.copied())

        row = self.row()
        assert (started.epoch, row.status, row.head, row.entries, row.inbox, row.owes) == (0, "pending", 1, 5, 7, 1)

    def test_a_fork_without_entries_is_known_for_one_whoever_claims_it(self) -> None:
        self.start(copied=self.copied(entries=[], state=None, inbox=0, last=0, owes=0))

        (claim,) = self.claim().runs

        assert claim.head == 1
        assert self.view(claim.run).fork == FORK
        assert claim.view is None or claim.view.fork == FORK

    def test_a_fork_is_born_into_nobodys_hands(self) -> None:
        started = self.start(worker=self.worker, copied=self.copied())

        assert (started.epoch, self.row().status, self.row().owner) == (0, "pending", None)

    def test_a_message_to_a_fork_is_numbered_after_those_of_the_original(self) -> None:
        self.start(copied=self.copied())

        self.send()

        assert [message.seq for message in self.driver.inbox(self.row().seq, (), 9)] == [8]

    def test_the_same_start_again_copies_nothing_twice(self) -> None:
        op = self.new_start(copied=self.copied())
        first = self.one(op)

        again = self.one(op)

        assert first == again == Started(run=first.run, epoch=0)
        assert len(self.view(first.run).entries) == 2

    def test_a_taken_id_is_no_fork(self) -> None:
        self.start()

        result = self.one(self.new_start(token="other", copied=self.copied()))

        assert isinstance(result, Exists)
        assert self.view(result.run).entries == []
        assert self.view(result.run).fork is None

    def test_the_owner_of_a_fork_settles_what_it_began_with(self) -> None:
        self.start(copied=self.copied())
        (claim,) = self.claim().runs
        hold = Hold(self.driver, claim)
        hold.entries = 5

        hold.write(set=[completed(4)], add=[completed(6)])

        assert [entry.status for entry in self.view(claim.run).entries] == ["completed"] * 3

    def test_an_owner_may_pause_its_run_and_lets_go_of_it_with_that(self) -> None:
        hold = self.held()

        hold.write(add=[opened(1)], status="paused", release=True, current="step-1", error_line="asks: …")

        row = self.row()
        assert (row.status, row.owner, row.wake_at, row.error_line) == ("paused", None, None, "asks: …")

    def test_a_resolve_settles_an_open_entry_of_a_paused_run(self) -> None:
        hold = self.held()
        hold.write(add=[opened(1)], status="paused", release=True)

        self.one(hold.change(bump="resolve", op="op-b", status="pending", set=[completed(1, by_hand=b'{"how":"real"}')]))

        (entry,) = self.view(hold.run).entries
        assert (entry.status, entry.by_hand, self.row().status, self.row().wake_at) == (
            "completed",
            b'{"how":"real"}',
            "pending",
            NOW,
        )

    def test_a_resolve_undoes_an_entry_that_it_archives_and_adds_again(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, rollback="owes")], owes=1)
        hold.write(status="paused", ending="cancelled", release=True, owes=1)

        undone = completed(1, round=1, status="rolled_back", rollback="done", by_hand=b'{"how":"undone"}')
        self.one(
            hold.change(bump="resolve", op="op-b", status="rolling_back", rolled_back=[1], archive=[1], add=[undone], owes=0)
        )

        (entry,), row = self.view(hold.run).entries, self.row()
        assert (entry.status, entry.round, entry.by_hand) == ("rolled_back", 1, b'{"how":"undone"}')
        assert (row.status, row.undone, row.owes, row.ending) == ("rolling_back", 1, 0, "cancelled")
