"""Lists, windows of history, and bodies."""

from __future__ import annotations

from typing import Any

from flowkit.core.change import Finish
from flowkit.drivers.base import BodyRef, RunQuery
from flowkit.testing.cases.base import NOW, Case, completed

__all__ = ["Bodies", "Histories", "Lists"]


class Lists(Case):
    """Every filter of the run list, and its pages."""

    def ids(self, **fields: Any) -> list[str]:
        return [row.id for row in self.driver.runs(RunQuery(**fields))]

    def some(self) -> None:
        """Six runs: a, b and c pending, d and e sleeping, f failed; b, d and f of workflow v; a and e tagged."""
        for n, id in enumerate("abcdef"):
            workflow = "v" if id in "bdf" else "w"
            self.start(id, workflow=workflow, tags=("t", id) if id in "ae" else (), now=NOW + n, start_at=NOW + 99)
        for id in "def":
            self.steer("pause", id)
            self.steer("resume", id, now=NOW + 100)

    def mixed(self) -> None:
        for n, id in enumerate("abcdef"):
            self.start(id, now=NOW + n, workflow="v" if id in "bdf" else "w", tags=("t",) if id in "ae" else ())
        for id in "cd":
            self.steer("pause", id)
        for id in "ef":
            self.steer("cancel", id)

    def test_the_newest_run_comes_first(self) -> None:
        self.some()

        assert self.ids() == list("fedcba")

    def test_an_empty_store_has_an_empty_list(self) -> None:
        assert self.ids() == []

    def test_a_page_has_at_most_so_many_rows(self) -> None:
        self.some()

        assert self.ids(limit=2) == ["f", "e"]

    def test_the_next_page_begins_below_the_last_row(self) -> None:
        self.some()

        assert self.ids(limit=2, after=self.row("e").seq) == ["d", "c"]

    def test_pages_together_are_the_list(self) -> None:
        self.some()
        found: list[str] = []
        after = None
        while page := self.driver.runs(RunQuery(limit=4, after=after)):
            found += [row.id for row in page]
            after = page[-1].seq

        assert found == list("fedcba")

    def test_runs_that_came_meanwhile_do_not_shift_the_pages(self) -> None:
        self.some()
        after = self.driver.runs(RunQuery(limit=3))[-1].seq
        self.start("g")

        assert self.ids(limit=3, after=after) == ["c", "b", "a"]

    def test_by_status(self) -> None:
        self.mixed()

        assert self.ids(statuses=("paused",)) == ["d", "c"]

    def test_by_several_statuses(self) -> None:
        self.mixed()

        assert self.ids(statuses=("paused", "pending")) == ["d", "c", "b", "a"]

    def test_several_statuses_are_one_page(self) -> None:
        self.mixed()

        assert self.ids(statuses=("paused", "pending", "cancelled"), limit=3) == ["f", "e", "d"]

    def test_several_statuses_go_on_below_the_last_row(self) -> None:
        self.mixed()

        assert self.ids(statuses=("paused", "pending"), limit=2, after=self.row("d").seq) == ["c", "b"]

    def test_a_status_named_twice_counts_once(self) -> None:
        self.mixed()

        assert self.ids(statuses=("paused", "paused")) == ["d", "c"]

    def test_a_status_that_no_run_has(self) -> None:
        self.mixed()

        assert self.ids(statuses=("blocked",)) == []

    def test_by_workflow(self) -> None:
        self.mixed()

        assert self.ids(workflow="v") == ["f", "d", "b"]

    def test_by_workflow_and_status(self) -> None:
        self.mixed()

        assert self.ids(workflow="v", statuses=("paused", "cancelled")) == ["f", "d"]

    def test_by_workflow_below_a_row(self) -> None:
        self.mixed()

        assert self.ids(workflow="v", after=self.row("d").seq) == ["b"]

    def test_by_tag(self) -> None:
        self.mixed()

        assert self.ids(tag="t") == ["e", "a"]

    def test_by_tag_and_status(self) -> None:
        self.mixed()

        assert self.ids(tag="t", statuses=("pending", "paused")) == ["a"]

    def test_by_tag_and_workflow(self) -> None:
        self.mixed()

        assert self.ids(tag="t", workflow="v") == []

    def test_by_tag_below_a_row(self) -> None:
        self.mixed()

        assert self.ids(tag="t", after=self.row("e").seq) == ["a"]

    def test_a_tag_is_matched_whole(self) -> None:
        self.start("x", tags=("team-a",))

        assert self.ids(tag="team") == []

    def test_by_the_instant_of_creation(self) -> None:
        self.some()

        assert self.ids(since=NOW + 2, until=NOW + 4) == ["d", "c"]

    def test_by_the_beginning_of_the_id(self) -> None:
        for id in ("order-1", "order-2", "other", "o", "order"):
            self.start(id)

        assert self.ids(id_prefix="order") == ["order", "order-2", "order-1"]

    def test_the_beginning_of_an_id_is_no_pattern(self) -> None:
        for id in ("a%b", "axb", "a_b"):
            self.start(id)

        assert (self.ids(id_prefix="a%"), self.ids(id_prefix="a_")) == (["a%b"], ["a_b"])

    def test_the_beginning_of_an_id_and_a_status(self) -> None:
        self.start("order-1")
        self.start("order-2")
        self.steer("pause", "order-1")

        assert self.ids(id_prefix="order", statuses=("paused",)) == ["order-1"]

    def test_by_the_text_of_the_error(self) -> None:
        for id, line in (("a", "ValueError: no card"), ("b", "KeyError: x"), ("c", "ValueError: no stock")):
            self.held(id).write(status="failed", error_line=line, release=True)

        assert self.ids(error="valueerror") == ["c", "a"]

    def test_the_text_of_an_error_is_no_pattern(self) -> None:
        self.held("a").write(status="failed", error_line="100% wrong", release=True)
        self.held("b").write(status="failed", error_line="1000 wrong", release=True)

        assert self.ids(error="100%") == ["a"]

    def test_an_error_that_was_retried_is_not_found(self) -> None:
        self.held("a").write(error_line="ValueError")

        assert self.ids(error="ValueError") == []

    def test_by_owner(self) -> None:
        self.held("a")
        self.start("b")
        other = self.join()
        self.claimed("b", worker=other)

        assert (self.ids(owner=self.worker), self.ids(owner=other)) == (["a"], ["b"])

    def test_a_row_is_found_by_number_and_by_id(self) -> None:
        started = self.start()

        assert self.driver.get(started.run) == self.driver.get("r")

    def test_names_may_look_like_sql(self) -> None:
        name = "x'; DROP TABLE runs; --"
        self.start(name, workflow=name, tags=(name,))

        assert self.ids(workflow=name, tag=name, id_prefix=name) == [name]


class Histories(Case):
    """Windows of a history."""

    def entries(self, count: int = 6) -> int:
        hold = self.held()
        hold.write(add=[completed(n) for n in range(1, count + 1)])
        return hold.run

    def seqs(self, run: int, **fields: Any) -> list[int]:
        return [entry.seq for entry in self.history(run, **fields)]

    def test_a_history_is_in_order(self) -> None:
        assert self.seqs(self.entries()) == [1, 2, 3, 4, 5, 6]

    def test_a_window_from_a_number_on(self) -> None:
        assert self.seqs(self.entries(), after=2, limit=3) == [3, 4, 5]

    def test_a_window_before_a_number_is_the_last_of_them(self) -> None:
        assert self.seqs(self.entries(), before=5, limit=2) == [3, 4]

    def test_a_window_between_two_numbers(self) -> None:
        assert self.seqs(self.entries(), after=1, before=4) == [2, 3]

    def test_a_history_of_nobody_is_empty(self) -> None:
        assert self.history(999) == []

    def test_a_small_output_is_in_the_history(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"1" * 4_096)])

        assert self.history(hold.run)[0].output == b"1" * 4_096

    def test_a_large_output_is_left_out(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"1" * 4_097)])

        (entry,) = self.history(hold.run)
        assert (entry.output, entry.size) == (None, 4_097)

    def test_a_large_output_is_loaded_for_a_pass(self) -> None:
        hold = self.held()
        body = b'"' + b"z" * 2_000_000 + b'"'
        hold.write(add=[completed(1, output=body)])

        assert self.view(hold.run).entries[0].output == body

    def test_a_history_brings_no_arguments(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, args=b"[1]")])

        assert self.history(hold.run)[0].args is None

    def test_archived_entries_have_windows_too(self) -> None:
        run = self.entries()
        row = self.row()
        from flowkit.core.change import Change

        self.one(Change(run=run, epoch=row.epoch, head=row.head, entries=6, seen=0, owes=0, archive=[1, 2, 3, 4]))

        assert self.seqs(run, archived=True, after=1, limit=2) == [2, 3]
        assert self.seqs(run, archived=True, before=4, limit=2) == [2, 3]


class Bodies(Case):
    """One body at a time, of any bytes."""

    def test_each_body_of_an_entry_is_read_alone(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"1", error=b"2", patch=b"3", args=b"4")])

        bodies = [
            self.driver.body(BodyRef(run=hold.run, entry=1, field="output")),
            self.driver.body(BodyRef(run=hold.run, entry=1, field="error")),
            self.driver.body(BodyRef(run=hold.run, entry=1, field="patch")),
            self.driver.body(BodyRef(run=hold.run, entry=1, field="args")),
        ]
        assert bodies == [b"1", b"2", b"3", b"4"]

    def test_each_body_of_a_run_is_read_alone(self) -> None:
        hold = self.held()
        hold.write(state=b"s", finish=Finish(output=b"o", error=b"e"))

        bodies = [
            self.driver.body(BodyRef(run=hold.run, field="input")),
            self.driver.body(BodyRef(run=hold.run, field="state")),
            self.driver.body(BodyRef(run=hold.run, field="output")),
            self.driver.body(BodyRef(run=hold.run, field="error")),
        ]
        assert bodies == [b"[1]", b"s", b"o", b"e"]

    def test_the_outcome_of_a_completed_run_is_its_row_with_the_output(self) -> None:
        hold = self.held()
        hold.write(status="completed", finish=Finish(output=b"o"), release=True)

        assert self.driver.outcome(hold.run) == (self.row(), b"o")

    def test_the_outcome_of_a_run_that_goes_on_is_its_row_alone(self) -> None:
        hold = self.held()

        assert self.driver.outcome(hold.run) == (self.row(), None)

    def test_an_output_is_no_outcome_until_the_run_has_completed(self) -> None:
        hold = self.held()
        hold.write(finish=Finish(output=b"o"))

        assert self.driver.outcome(hold.run) == (self.row(), None)

    def test_nobody_has_no_outcome(self) -> None:
        assert self.driver.outcome(999) is None

    def test_a_body_that_is_not_there_is_none(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1)])

        assert self.driver.body(BodyRef(run=hold.run, field="output")) is None
        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="error")) is None
        assert self.driver.body(BodyRef(run=hold.run, entry=9, field="output")) is None
        assert self.driver.body(BodyRef(run=999, field="input")) is None
        assert self.driver.body(BodyRef(run=1, field="reply", message_id="?")) is None

    def test_an_empty_body_is_not_a_missing_one(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"", error=None)])

        (entry,) = self.view(hold.run).entries
        assert (entry.output, entry.error) == (b"", None)

    def test_bodies_may_be_any_bytes(self) -> None:
        hold = self.held()
        bodies = [b"\x00", b"\xff\xfe", b"base64:", b"base64:AAAA", "ü\u2028".encode(), b"'\"\\"]
        hold.write(add=[completed(n, output=body, args=body) for n, body in enumerate(bodies, 1)])

        assert [entry.output for entry in self.view(hold.run).entries] == bodies
        for n, body in enumerate(bodies, 1):
            assert self.driver.body(BodyRef(run=hold.run, entry=n, field="args")) == body

    def test_a_body_of_an_archived_entry_can_be_read(self) -> None:
        hold = self.held()
        hold.write(add=[completed(1, output=b"old")])
        hold.write(archive=[1])

        assert self.driver.body(BodyRef(run=hold.run, entry=1, field="output")) == b"old"
