"""Starting runs."""

from __future__ import annotations

from flowkit.drivers.base import BodyRef, Exists, Started, WorkerInfo
from flowkit.testing.cases.base import NOW, Case

__all__ = ["Starts"]


class Starts(Case):
    """New runs, taken ids and repeats."""

    def test_a_start_makes_a_pending_run(self) -> None:
        started = self.start()

        row = self.row()
        assert (row.seq, row.status, row.owner, row.epoch) == (started.run, "pending", None, 0)

    def test_a_start_is_due_at_its_instant(self) -> None:
        self.start(start_at=NOW + 60)

        assert self.row().wake_at == NOW + 60

    def test_a_start_keeps_the_instants(self) -> None:
        self.start(start_at=NOW + 60)

        row = self.row()
        assert (row.created_at, row.start_at, row.updated_at, row.started_at) == (NOW, NOW + 60, NOW, None)

    def test_a_start_keeps_an_instant_to_the_last_bit(self) -> None:
        instant = NOW + 0.1234567

        self.start(start_at=instant)

        assert self.row().wake_at == instant

    def test_a_start_stores_its_input(self) -> None:
        started = self.start(input=b'{"order": 7}')

        assert self.view(started.run).input == b'{"order": 7}'

    def test_a_start_stores_its_tags_in_order(self) -> None:
        self.start(tags=("vip", "eu"))

        assert self.row().tags == ("vip", "eu")

    def test_a_start_with_a_worker_is_running_and_owned(self) -> None:
        started = self.start(worker=self.worker, code="c")

        row = self.row()
        assert started.epoch == 1
        assert (row.status, row.owner, row.epoch, row.passes, row.code) == ("running", self.worker, 1, 1, "c")

    def test_a_start_with_a_worker_is_not_due(self) -> None:
        self.start(worker=self.worker)

        assert self.row().wake_at is None
        assert not self.claim().runs

    def test_a_start_with_a_worker_has_started(self) -> None:
        self.start(worker=self.worker)

        assert self.row().started_at == NOW

    def test_a_delayed_start_is_not_given_to_a_worker(self) -> None:
        started = self.start(worker=self.worker, start_at=NOW + 60)

        assert started.epoch == 0
        assert self.row().status == "pending"

    def test_a_start_with_a_dead_worker_is_pending(self) -> None:
        self.driver.reap(NOW, dead=[self.worker])

        started = self.start(worker=self.worker)

        assert started.epoch == 0
        assert (self.row().status, self.row().owner) == ("pending", None)

    def test_a_start_with_an_unknown_worker_is_pending(self) -> None:
        started = self.start(worker=9_999)

        assert started.epoch == 0

    def test_a_repeated_start_is_the_same_run(self) -> None:
        first = self.start()

        assert self.start() == first

    def test_a_repeated_start_with_a_worker_is_still_owned(self) -> None:
        first = self.start(worker=self.worker)

        assert self.start(worker=self.worker) == first

    def test_a_repeated_start_whose_run_was_taken_over_is_not_owned(self) -> None:
        self.start(worker=self.worker)
        self.driver.reap(NOW, dead=[self.worker])

        assert self.start(worker=self.worker).epoch == 0

    def test_a_taken_id_with_the_same_input_says_so(self) -> None:
        first = self.start()

        result = self.one(self.new_start(token="other"))

        assert result == Exists(run=first.run, same=True, workflow="w")

    def test_a_taken_id_with_another_input_says_so(self) -> None:
        self.start()

        assert not self.one(self.new_start(token="other", input_hash="h2")).same

    def test_a_taken_id_with_another_workflow_says_so(self) -> None:
        self.start()

        result = self.one(self.new_start(token="other", workflow="w2"))

        assert (result.same, result.workflow) == (False, "w")

    def test_a_taken_id_changes_nothing(self) -> None:
        started = self.start()

        self.one(self.new_start(token="other", input=b"[2]", tags=("x",)), NOW + 1)

        assert self.view(started.run).input == b"[1]"
        assert self.row().updated_at == NOW

    def test_starts_of_one_write_all_land(self) -> None:
        results = self.driver.write([self.new_start(f"r{n}") for n in range(20)], NOW)

        assert all(isinstance(result, Started) for result in results)
        assert all(self.driver.get(f"r{n}") is not None for n in range(20))

    def test_a_refused_start_leaves_the_others_alone(self) -> None:
        self.start("taken")

        results = self.driver.write([self.new_start("a"), self.new_start("taken", token="z"), self.new_start("b")], NOW)

        assert [type(result) for result in results] == [Started, Exists, Started]

    def test_numbers_of_runs_grow(self) -> None:
        numbers = [self.start(f"r{n}").run for n in range(5)]

        assert numbers == sorted(set(numbers))

    def test_ids_of_any_script_are_kept(self) -> None:
        for id in ("bestellung-ä", "注文/7", "emoji-🎉", "with space", "Zoë", "Zoe\u0308"):
            self.start(id)

            assert self.row(id).id == id

    def test_ids_differ_by_code_point(self) -> None:
        first, second = self.start("Zo\u00eb"), self.start("Zoe\u0308")

        assert first.run != second.run

    def test_an_unknown_run_is_none(self) -> None:
        assert self.driver.get("nobody") is None
        assert self.driver.get(12_345) is None
        assert self.driver.load(12_345) is None

    def test_an_input_may_be_any_bytes(self) -> None:
        for n, body in enumerate((b"", b"\x00\xff\xfe", b"base64:abc", "ü\0".encode(), b"null")):
            started = self.start(f"r{n}", input=body)

            assert self.view(started.run).input == body
            assert self.driver.body(BodyRef(run=started.run, field="input")) == body

    def test_a_large_input_is_kept(self) -> None:
        body = b'"' + b"x" * 3_000_000 + b'"'

        started = self.start(input=body)

        assert self.driver.body(BodyRef(run=started.run, field="input")) == body

    def test_worker_ids_are_never_used_again(self) -> None:
        first = self.join()
        self.driver.leave(first, NOW)

        assert self.driver.join(WorkerInfo(name="n", host="h", pid=2), NOW) > first
