"""Workers: joining, takeover, retention, and hearing of change."""

from __future__ import annotations

from flowkit.core.change import Finish, Park, Reply
from flowkit.drivers.base import BodyRef, Duplicate, RunQuery, Sent, WorkerInfo
from flowkit.errors import Fenced
from flowkit.testing.cases.base import CODE, NOW, Case, completed, opened, refused

__all__ = ["Retention", "Takeover", "Waiting"]

DAY = 86_400.0


class Takeover(Case):
    """Dead workers and what they held."""

    def test_the_runs_of_a_dead_worker_are_due(self) -> None:
        hold = self.held()

        assert self.driver.reap(NOW + 1, dead=[self.worker]) == 1

        row = self.row()
        assert (row.status, row.owner, row.wake_at) == ("pending", None, NOW + 1)
        assert (row.epoch, row.crashes) == (hold.epoch + 1, 1)

    def test_crashes_add_up(self) -> None:
        self.start()
        for _ in range(3):
            self.worker = self.join()
            self.claim()
            self.driver.reap(NOW, dead=[self.worker])

        assert self.row().crashes == 3

    def test_a_run_that_rolls_back_is_taken_over_so(self) -> None:
        hold = self.held()
        hold.write(status="rolling_back", ending="failed")

        self.driver.reap(NOW, dead=[self.worker])

        assert (self.row().status, self.row().wake_at) == ("rolling_back", NOW)

    def test_a_paused_run_is_taken_over_so(self) -> None:
        self.held()
        self.steer("pause")

        self.driver.reap(NOW, dead=[self.worker])

        assert (self.row().status, self.row().owner, self.row().wake_at) == ("paused", None, None)

    def test_a_wish_to_evict_ends_with_its_owner(self) -> None:
        self.held()
        self.steer("evict")

        self.driver.reap(NOW, dead=[self.worker])

        assert self.row().request == ""

    def test_many_runs_are_taken_over(self) -> None:
        self.driver.write([self.new_start(f"r{n}", worker=self.worker) for n in range(300)], NOW)

        assert self.driver.reap(NOW, dead=[self.worker]) == 300

    def test_runs_of_the_living_are_left(self) -> None:
        self.held()

        assert self.driver.reap(NOW, dead=[self.join()]) == 0
        assert self.row().owner == self.worker

    def test_runs_that_sleep_are_left(self) -> None:
        self.parked(wake_at=NOW + 60)

        self.driver.reap(NOW, dead=[self.worker])

        assert (self.row().wake_at, self.row().crashes) == (NOW + 60, 0)

    def test_a_dead_worker_cannot_claim(self) -> None:
        self.driver.reap(NOW, dead=[self.worker])
        self.start()

        with refused(Fenced):
            self.claim()

    def test_a_dead_worker_cannot_adopt(self) -> None:
        self.driver.reap(NOW, dead=[self.worker])

        with refused(Fenced):
            self.driver.adopt(self.worker, (), {"w": CODE}, 1, NOW)

    def test_a_dead_worker_cannot_beat(self) -> None:
        self.driver.reap(NOW, dead=[self.worker])

        with refused(Fenced):
            self.driver.beat(self.worker, NOW)

    def test_an_unknown_worker_cannot_claim(self) -> None:
        with refused(Fenced):
            self.claim(worker=4_711)

    def test_taking_over_twice_takes_nothing_twice(self) -> None:
        self.held()
        self.driver.reap(NOW, dead=[self.worker])

        assert self.driver.reap(NOW, dead=[self.worker]) == 0
        assert self.row().crashes == 1

    def test_a_beat_answers_with_the_stores_clock(self) -> None:
        assert self.driver.beat(self.worker, NOW + 1) >= NOW

    def test_a_beat_is_seen(self) -> None:
        self.driver.beat(self.worker, NOW + 3)

        (row,) = [row for row in self.driver.workers() if row.id == self.worker]
        assert row.seen_at >= NOW + 3

    def test_a_beat_may_tell_anew_what_the_worker_serves(self) -> None:
        self.driver.beat(self.worker, NOW, '{"a": 2}')
        self.driver.beat(self.worker, NOW + 1)

        (row,) = [row for row in self.driver.workers() if row.id == self.worker]
        assert row.info == '{"a": 2}'

    def test_a_manifest_is_kept_under_its_code(self) -> None:
        self.driver.publish("c1", b'{"steps": 1}', NOW)
        self.driver.publish("c2", b'{"steps": 2}', NOW)

        assert [self.driver.manifest(code) for code in ("c1", "c2", "c3")] == [b'{"steps": 1}', b'{"steps": 2}', None]

    def test_a_manifest_may_be_published_anew(self) -> None:
        self.driver.publish("c", b'{"steps": 1}', NOW)

        self.driver.publish("c", b'{"steps": 2}', NOW)

        assert self.driver.manifest("c") == b'{"steps": 2}'

    def test_workers_are_listed(self) -> None:
        info = WorkerInfo(name="big", host="h7", pid=42, info='{"a": 1}')
        worker = self.driver.join(info, NOW)

        (row,) = [row for row in self.driver.workers() if row.id == worker]
        assert (row.name, row.host, row.pid, row.kind, row.state) == ("big", "h7", 42, "worker", "live")
        assert (row.alive, row.owned, row.info) == (True, 0, '{"a": 1}')

    def test_workers_show_how_much_they_own(self) -> None:
        self.held("a")
        self.held("b")

        (row,) = [row for row in self.driver.workers() if row.id == self.worker]
        assert row.owned == 2

    def test_a_dead_worker_is_shown_as_dead(self) -> None:
        self.driver.reap(NOW, dead=[self.worker])

        assert not any(row.alive for row in self.driver.workers() if row.id == self.worker)

    def test_a_worker_that_left_cannot_claim(self) -> None:
        self.driver.leave(self.worker, NOW)

        with refused(Fenced):
            self.claim()

    def test_leaving_with_runs_is_dying(self) -> None:
        self.held()

        self.driver.leave(self.worker, NOW)

        assert (self.row().status, self.row().crashes, self.row().owner) == ("pending", 1, None)

    def test_clients_are_not_taken_for_dead(self) -> None:
        client = self.join("client")

        self.driver.reap(NOW + DAY / 2)

        assert any(row.id == client and row.alive for row in self.driver.workers())


class Retention(Case):
    """What is kept, and for how long."""

    def test_runs_are_kept_for_ever_by_default(self) -> None:
        self.ended()

        assert self.driver.purge(NOW + 10_000 * DAY) == 0
        assert self.row().expire_at is None

    def test_a_run_is_removed_when_its_time_is_over(self) -> None:
        self.driver.retain({"completed": 2})
        self.ended()

        assert self.driver.purge(NOW + 2 * DAY - 1) == 0
        assert self.driver.purge(NOW + 2 * DAY) == 1
        assert self.driver.get("r") is None

    def test_retention_is_by_status(self) -> None:
        self.driver.retain({"completed": 1})
        self.ended("ok")
        self.ended("bad", status="failed")

        self.driver.purge(NOW + 9 * DAY)

        assert self.driver.get("ok") is None
        assert self.driver.get("bad") is not None

    def test_retention_is_by_workflow_before_status(self) -> None:
        self.driver.retain({"completed": 9, "checkout/completed": 1, "pack/*": 2, "pack/failed": 4})
        for workflow, status in (("checkout", "completed"), ("pack", "completed"), ("pack", "failed"), ("ship", "completed")):
            self.ended(f"{workflow} {status}", status=status, workflow=workflow)

        left = [len(self.driver.runs(RunQuery()))]
        for day in (1, 2, 4, 9):
            self.driver.purge(NOW + day * DAY)
            left.append(len(self.driver.runs(RunQuery())))

        assert left == [4, 3, 2, 1, 0]

    def test_a_cancelled_run_expires_by_its_workflow_too(self) -> None:
        self.driver.retain({"checkout/*": 1})
        self.start(workflow="checkout")
        self.steer("cancel")

        assert self.driver.purge(NOW + DAY) == 1

    def test_ended_runs_can_be_removed_at_once(self) -> None:
        first, second = self.ended("a"), self.ended("b", status="failed")
        kept = self.ended("c")
        rows = {run: self.driver.get(run) for run in (first.run, second.run)}

        removed = self.driver.remove({run: row.head for run, row in rows.items() if row is not None})

        assert removed == 2
        assert [row.seq for row in self.driver.runs(RunQuery())] == [kept.run]
        assert self.driver.load(first.run) is None

    def test_a_run_that_goes_on_again_is_not_removed(self) -> None:
        hold = self.ended(status="failed")
        row = self.row()
        hold.write(bump="recover", op="o", status="pending", finish=Finish())

        assert self.driver.remove({row.seq: row.head, row.seq + 1: 0}) == 0
        assert self.driver.get(row.seq) is not None

    def test_a_run_that_has_not_ended_is_not_removed(self) -> None:
        self.start()
        row = self.row()

        assert self.driver.remove({row.seq: row.head}) == 0

    def test_a_cancelled_run_expires_too(self) -> None:
        self.driver.retain({"cancelled": 1})
        self.start()
        self.steer("cancel")

        assert self.driver.purge(NOW + DAY) == 1

    def test_a_removed_run_leaves_nothing_behind(self) -> None:
        self.driver.retain({"completed": 1})
        hold = self.held(tags=("t",))
        self.send()
        hold.write(add=[completed(1), completed(2)], archive=[], replies=[Reply(message_id="x", body=b"1")])
        hold.write(archive=[2])
        hold.write(status="completed", finish=Finish(output=b"1"), release=True)

        self.driver.purge(NOW + DAY)

        assert self.driver.load(hold.run) is None
        assert not self.driver.inbox(hold.run, (), 9)
        assert not self.history(hold.run)
        assert not self.history(hold.run, archived=True)
        assert not self.driver.runs(RunQuery(tag="t"))
        assert self.driver.body(BodyRef(run=hold.run, field="input")) is None

    def test_a_removed_id_can_be_started_again(self) -> None:
        self.driver.retain({"completed": 1})
        old = self.ended()
        self.driver.purge(NOW + DAY)

        assert self.start().run > old.run

    def test_no_more_runs_are_removed_than_asked_for(self) -> None:
        self.driver.retain({"completed": 1})
        for n in range(5):
            self.ended(f"r{n}")

        assert self.driver.purge(NOW + DAY, limit=3) == 3
        assert len(self.driver.runs(RunQuery())) == 2

    def test_a_recovered_run_does_not_expire(self) -> None:
        self.driver.retain({"failed": 1})
        hold = self.ended(status="failed")
        hold.write(bump="recover", op="o", status="pending", finish=Finish())

        assert self.driver.purge(NOW + DAY) == 0
        assert self.row().expire_at is None

    def test_replies_are_kept_a_day(self) -> None:
        hold = self.held()
        hold.write(replies=[Reply(message_id="x", body=b"1")])
        ref = BodyRef(run=hold.run, field="reply", message_id="x")

        self.driver.purge(NOW + DAY - 1)
        before = self.driver.body(ref)
        self.driver.purge(NOW + DAY)

        assert (before, self.driver.body(ref)) == (b"1", None)

    def test_used_keys_are_kept_as_long_as_the_run(self) -> None:
        self.start()
        self.send(message_id="first", key="k")

        self.driver.purge(NOW + 400 * DAY)

        assert self.send(key="k") == Duplicate(first="first")

    def test_verbs_are_remembered_for_weeks(self) -> None:
        self.start()
        self.steer("pause", op="p")

        self.driver.purge(NOW + 60 * DAY)

        assert self.steer("pause", op="p") == Duplicate(first="paused")

    def test_open_runs_are_never_removed(self) -> None:
        self.driver.retain(dict.fromkeys(("completed", "failed", "cancelled"), 0.0))
        hold = self.held()
        hold.write(add=[opened(1)])

        assert self.driver.purge(NOW + 1_000 * DAY) == 0
        assert self.send() == Sent(number=1)


class Waiting(Case):
    """Nudges, tokens, wake-ups."""

    def settle(self) -> None:
        """Hear of all that has happened so far."""
        while self.driver.wait(0):
            pass

    def test_a_nudge_ends_a_wait(self) -> None:
        self.settle()
        self.driver.nudge()

        assert self.driver.wait(5)

    def test_a_nudge_is_heard_once(self) -> None:
        self.driver.nudge()
        self.settle()

        assert not self.driver.wait(0)

    def test_a_wait_ends_when_its_time_is_over(self) -> None:
        self.settle()

        assert not self.driver.wait(0.01)

    def test_the_token_differs_after_a_write(self) -> None:
        before = self.driver.token()

        self.start()

        assert self.driver.token() != before

    def test_the_token_differs_after_a_claim(self) -> None:
        self.start()
        before = self.driver.token()

        self.claim()

        assert self.driver.token() != before

    def test_the_token_stays_when_nothing_happens(self) -> None:
        self.start()
        before = self.driver.token()
        self.driver.get("r")

        assert self.driver.token() == before

    def test_parking_and_sending_lose_no_wake_up_in_either_order(self) -> None:
        for n in range(10):
            hold = self.held(f"r{n}")
            park = hold.change(status="sleeping", park=Park(wake_at=None, waiting=("m",)))
            from flowkit.drivers.base import Send

            send = Send(to=f"r{n}", message_id=f"m{n}", name="m", body=b"1")
            self.driver.write([send, park] if n % 2 else [park, send], NOW)

            assert [claim.id for claim in self.claim().runs] == [f"r{n}"]
