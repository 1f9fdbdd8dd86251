"""A verb over many runs: each gets it once, whoever carries the bulk on and wherever it was cut short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowkit.client.bulk import Bulk, Bulks, BulkWish, Picks, narrowed
from flowkit.client.bulk_piece import do_piece
from flowkit.client.reader import Reader
from flowkit.client.walk import PIECE, Walker
from flowkit.core.bulk import op_of
from flowkit.drivers.base import RunQuery, SaveBulk, Steer
from flowkit.settings import Settings
from flowkit.testing import Lab
from tests.client.bulks import ALL, BROKEN, OP, asked, asleep, bill, counts, done, failing, nap, statuses, wait
from tests.crashing import Script, crash_everywhere

# --- once -----------------------------------------------------------------------------------------------------------


def test_a_bulk_asked_twice_is_one(lab: Lab) -> None:
    asleep(lab, 1)

    first, second = asked(lab, "pause"), asked(lab, "cancel")

    assert second == first
    assert len(lab.client.driver.bulks(9)) == 1


def test_a_piece_done_again_does_nothing_and_counts_the_same(lab: Lab) -> None:
    failing(lab, 2)
    bulk = asked(lab, "recover")
    first = do_piece(lab.client, bulk, (1, 2))
    for id in ("bill-0", "bill-1"):
        lab.run_to_end(id)

    again = do_piece(lab.client, bulk, (1, 2))

    assert again == first
    assert statuses(lab) == ["completed"] * 2


def test_a_replay_done_again_counts_the_same_although_its_step_is_gone(lab: Lab) -> None:
    failing(lab, 1)
    bulk = asked(lab, "replay", step="charge")
    first = do_piece(lab.client, bulk, (1,))

    again = do_piece(lab.client, bulk, (1,))

    assert [outcome.kind for outcome in again] == [outcome.kind for outcome in first] == ["done"]
    assert lab.client.driver.get(1).replays == 1  # type: ignore[union-attr]


def test_a_run_whose_status_changed_since_it_was_planned_is_skipped(lab: Lab) -> None:
    asleep(lab, 2)
    bulk = asked(lab, "wake")
    walker = Walker(lab.client)
    held = walker.take(bulk)
    assert held is not None
    planned = walker.step(held)
    lab.get("nap-0").pause()
    assert planned is not None

    walker.step(planned)

    assert counts(lab.client.driver.bulk(bulk.seq)) == ("done", 1, 0, 1)
    assert lab.get("nap-0").status() == "paused"


def test_a_run_that_was_deleted_since_it_was_planned_is_skipped(lab: Lab) -> None:
    assert [outcome.kind for outcome in do_piece(lab.client, asked(lab, "pause"), (7,))] == ["skipped"]


def test_a_run_that_ended_as_the_verb_came_is_skipped_however_often_it_is_asked(lab: Lab) -> None:
    asleep(lab, 1)
    bulk = asked(lab, "pause")
    lab.get("nap-0").cancel()
    lab.client.driver.write([_steer_of(bulk)], lab.now)

    assert [outcome.kind for outcome in do_piece(lab.client, bulk, (1,))] == ["skipped"]


def _steer_of(bulk: Bulk) -> Any:
    return Steer(run="nap-0", verb="pause", op=op_of(bulk.id, 1), who="tester")


def test_a_message_is_sent_once_even_when_the_record_of_messages_is_gone(lab: Lab) -> None:
    asleep(lab, 1, wait)
    bulk = asked(lab, "send", name="other")
    do_piece(lab.client, bulk, (1,))
    lab.client.driver.purge(lab.now + 2 * 86_400)

    again = do_piece(lab.client, bulk, (1,))

    assert [outcome.kind for outcome in again] == ["done"]
    assert len(lab.client.driver.inbox(1, (), 9)) == 1


def test_the_record_of_verbs_names_the_bulk(tmp_path: Path) -> None:
    with Lab(tmp_path / "bulk.db") as lab:
        failing(lab, 1)
        asleep(lab, 1)

        recovered, paused = done(lab, "recover"), done(lab, "pause", "b" * 32, picks=Picks(workflow="nap"))

        deeds = [Reader(lab.client).deed(op_of(bulk.id, run)) for bulk, run in ((recovered, 1), (paused, 2))]
    assert [(deed.verb, deed.who) for deed in deeds if deed] == [("recover", "tester, bulk 1"), ("pause", "tester, bulk 2")]


# --- holding --------------------------------------------------------------------------------------------------------


def test_what_another_one_holds_is_left_to_it(lab: Lab) -> None:
    asleep(lab, 1)
    first = Walker(lab.client)
    first.take(asked(lab, "pause"))

    assert counts(Walker(lab.client).walk(1)) == ("running", 0, 0, 0)
    assert counts(first.walk(1)) == ("done", 1, 0, 0)


def test_who_begins_a_bulk_may_hold_it_from_the_start(lab: Lab) -> None:
    asleep(lab, 1)
    bulks, walker = Bulks(lab.client, "tester"), Walker(lab.client)
    wish = BulkWish(verb="pause", picks=narrowed("pause", ALL), top=bulks.newest_run())

    bulk = bulks.begin(OP, wish, bulks.count(wish.picks, wish.top), holder=walker.holder)

    assert counts(Walker(lab.client).walk(bulk.seq)) == ("running", 0, 0, 0)
    assert counts(walker.walk(bulk.seq)) == ("done", 1, 0, 0)


def test_what_a_dead_one_held_is_carried_on(lab: Lab) -> None:
    asleep(lab, 1)
    Walker(lab.client).take(asked(lab, "pause"))

    lab.advance(Settings().bulk_hold + 1)

    assert counts(Walker(lab.client).walk(1)) == ("done", 1, 0, 0)


def test_two_that_walk_at_once_do_nothing_twice(lab: Lab) -> None:
    asleep(lab, 3, wait)
    first, second = Walker(lab.client), Walker(lab.client)
    mine = first.take(asked(lab, "send", name="other"))
    assert mine is not None
    mine = first.step(mine)
    lab.advance(Settings().bulk_hold + 1)
    yours = second.take(lab.client.driver.bulk(1))  # type: ignore[arg-type]
    assert mine is not None
    assert yours is not None

    lost, done = first.step(mine), second.step(yours)

    assert lost is None
    assert counts(done) == ("done", 3, 0, 0)
    assert [len(lab.client.driver.inbox(run, (), 9)) for run in (1, 2, 3)] == [1, 1, 1]


def test_a_walker_that_must_go_lets_another_one_carry_on_at_once(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(2 * PIECE))
    bulk = asked(lab, "pause")
    pieces = iter([True, True, False])

    cut = Walker(lab.client).walk(bulk.seq, go_on=lambda: next(pieces))

    assert counts(cut) == ("running", PIECE, 0, 0)
    assert counts(Walker(lab.client).walk(bulk.seq)) == ("done", 2 * PIECE, 0, 0)


def test_a_walker_that_does_not_hear_of_its_own_write_goes_on(lab: Lab) -> None:
    asleep(lab, 2)
    walker = Walker(lab.client)
    held = walker.take(asked(lab, "pause"))
    assert held is not None
    walker.step(held)

    again = walker.step(held)

    assert again is not None
    assert counts(walker.walk(1)) == ("done", 2, 0, 0)


def test_a_bulk_that_nobody_carried_on_for_a_month_is_stopped(lab: Lab) -> None:
    asleep(lab, 1)
    bulk = asked(lab, "pause")
    lab.advance(Settings().bulk_stale + 1)

    found = Walker(lab.client).walk(bulk.seq)

    assert counts(found) == ("stopped", 0, 0, 0)
    assert found is not None
    assert found.reasons == (("", "nobody carried it on for 30d"),)
    assert statuses(lab) == ["sleeping"]


# --- stopping -------------------------------------------------------------------------------------------------------


def test_a_bulk_that_was_not_begun_is_stopped_at_once(lab: Lab) -> None:
    asleep(lab, 1)
    bulk = asked(lab, "pause")

    assert counts(Bulks(lab.client, "tester").stop(bulk.seq)) == ("stopped", 0, 0, 0)
    assert counts(Walker(lab.client).walk(bulk.seq)) == ("stopped", 0, 0, 0)
    assert statuses(lab) == ["sleeping"]


def test_a_bulk_is_stopped_between_pieces(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(3 * PIECE))
    bulk = asked(lab, "pause")

    stopped = Walker(lab.client).walk(bulk.seq, told=lambda bulk: bulk.done and Bulks(lab.client, "t").stop(bulk.seq))

    assert counts(stopped) == ("stopped", 2 * PIECE, 0, 0)
    assert len(lab.client.runs(status="paused", limit=500)) == 2 * PIECE


def test_a_piece_under_way_is_counted_when_it_is_stopped(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(2 * PIECE))
    walker = Walker(lab.client)
    held = walker.take(asked(lab, "pause"))
    assert held is not None
    held = walker.step(held)
    Bulks(lab.client, "tester").stop(1)
    assert held is not None

    stopped = walker.step(held)

    assert counts(stopped) == ("stopped", PIECE, 0, 0)
    assert lab.client.driver.bulk(1).plan == ()  # type: ignore[union-attr]


def test_what_is_finished_is_not_stopped(lab: Lab) -> None:
    done(lab, "pause")

    assert counts(Bulks(lab.client, "tester").stop(1)) == ("done", 0, 0, 0)
    assert Bulks(lab.client, "tester").stop(99) is None


# --- crashes --------------------------------------------------------------------------------------------------------


def crashed_everywhere(verb: str, prepare: Callable[[Lab], object], check: Callable[[Lab], None], **fields: Any) -> None:
    """The bulk is asked and walked, with a crash at each write of it and before."""

    def ask(lab: Lab) -> None:
        lab.call(lambda: asked(lab, verb, picks=Picks(until=lab.now + 0.5), **fields))

    def walk(lab: Lab) -> None:
        lab.advance(Settings().bulk_hold + 1)
        lab.call(lambda: Walker(lab.client).walk(1))

    def prepared() -> Lab:
        lab = Lab()
        prepare(lab)
        return lab

    crash_everywhere(Script("first", (ask, walk)), prepared, check=check)


def heads(lab: Lab) -> list[int]:
    """How often each run was written."""
    return [row.head for row in lab.client.driver.runs(RunQuery())]


@pytest.mark.timeout(60)
def test_a_crash_at_any_write_recovers_each_run_once_and_counts_it_once() -> None:
    def prepare(lab: Lab) -> None:
        BROKEN.append(True)
        for id in ["first", *(f"bill-{number}" for number in range(11))]:
            lab.start(id, bill, 1)
            lab.run_once(id)
        BROKEN.clear()
        before[:] = heads(lab)

    def check(lab: Lab) -> None:
        assert counts(lab.client.driver.bulk(1)) == ("done", 12, 0, 0)
        assert heads(lab) == [head + 1 for head in before]

    before: list[int] = []

    crashed_everywhere("recover", prepare, check)


def test_a_crash_at_any_write_sends_each_run_one_message_and_counts_it_once() -> None:
    def prepare(lab: Lab) -> None:
        for id in ("first", "second", "third"):
            lab.start(id, wait)
            lab.run_once(id)
        lab.get("second").cancel()

    def check(lab: Lab) -> None:
        assert counts(lab.client.driver.bulk(1)) == ("done", 2, 0, 0)
        assert [len(lab.client.driver.inbox(run, (), 9)) for run in (1, 2, 3)] == [1, 0, 1]

    crashed_everywhere("send", prepare, check, name="go")


def test_a_crash_at_any_write_pauses_each_run_and_counts_it_once() -> None:
    def prepare(lab: Lab) -> None:
        for id in ("first", "second", "third"):
            lab.start(id, nap)
            lab.run_once(id)

    def check(lab: Lab) -> None:
        assert counts(lab.client.driver.bulk(1)) == ("done", 3, 0, 0)
        assert statuses(lab) == ["paused"] * 3

    crashed_everywhere("pause", prepare, check)


def test_a_write_of_a_bulk_that_is_repeated_is_read_off_the_row(lab: Lab) -> None:
    """An unknown outcome: the same write again finds its own trace."""
    bulk = asked(lab, "pause")

    again = lab.client.desk.writer.write(SaveBulk(bulk=bulk))
    lab.client.desk.writer.write(SaveBulk(bulk=bulk))

    assert lab.client.driver.bulk(1) == lab.client.driver.bulk(OP)
    assert getattr(again, "version", None) == 2
