"""A verb over many runs: to which it is done, and what cannot be asked."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flowkit.client.bulk import ALLOWED, Bulks, BulkWish, Found, Picks, narrowed
from flowkit.client.walk import PIECE, Walker
from flowkit.codec import Codec
from flowkit.core.run import STATUSES
from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sealed import SealedDriver
from flowkit.errors import PayloadError
from flowkit.testing import Lab
from tests.client.bulks import OP, asked, asleep, counts, done, failing, nap, special, statuses, wait
from tests.client.forks import ended, trade

# --- verbs ----------------------------------------------------------------------------------------------------------


def test_all_that_failed_are_recovered(lab: Lab) -> None:
    failing(lab, 3)
    asleep(lab, 2)

    bulk = done(lab, "recover")

    assert counts(bulk) == ("done", 3, 0, 0)
    assert statuses(lab) == ["sleeping"] * 2 + ["pending"] * 3


@pytest.mark.parametrize(
    ("verb", "after"),
    [("pause", "paused"), ("cancel", "cancelled"), ("cancel_rollback", "cancelled"), ("wake", "sleeping"), ("replay", "pending")],
)
def test_each_verb_is_done_to_all(lab: Lab, verb: str, after: str) -> None:
    asleep(lab, 3)

    bulk = done(lab, verb)

    assert counts(bulk) == ("done", 3, 0, 0)
    assert statuses(lab) == [after] * 3


def test_paused_runs_are_resumed(lab: Lab) -> None:
    asleep(lab, 2)
    done(lab, "pause")

    assert counts(done(lab, "resume", "b" * 32)) == ("done", 2, 0, 0)
    assert statuses(lab) == ["pending"] * 2


def test_forks_that_ask_are_not_resumed(lab: Lab) -> None:
    asleep(lab, 1)
    done(lab, "pause")
    forked = lab.start("o", trade, "tea")
    lab.run_once("o")
    ended(lab, forked.fork("price", value=250, id="f").id)

    assert counts(done(lab, "resume", "b" * 32)) == ("done", 1, 0, 1)
    assert lab.client.get("f").status() == "paused"


def test_a_message_is_sent_to_all_and_taken(lab: Lab) -> None:
    asleep(lab, 2, wait)

    bulk = done(lab, "send", name="go", data=b'{"n": 1}')

    assert counts(bulk) == ("done", 2, 0, 0)
    assert [lab.run_to_end(f"wait-{n}").data for n in range(2)] == [{"n": 1}] * 2


def test_a_replay_starts_over_at_the_step_that_was_named(lab: Lab) -> None:
    failing(lab, 2)

    bulk = done(lab, "replay", step="charge")

    assert counts(bulk) == ("done", 2, 0, 0)
    assert [lab.run_to_end(f"bill-{n}") for n in range(2)] == [1, 1]


def test_what_cannot_be_done_is_told_with_the_first_reasons(lab: Lab) -> None:
    failing(lab, 25)

    bulk = done(lab, "replay", step="no-such-step")

    assert counts(bulk) == ("done", 0, 25, 0)
    assert len(bulk.reasons) == 20
    assert bulk.reasons[0][0] == "bill-24"
    assert "has no entry 'no-such-step'" in bulk.reasons[0][1]


@pytest.mark.parametrize("verb", ALLOWED)
def test_no_verb_is_planned_for_a_status_that_does_not_allow_it(verb: str) -> None:
    assert set(narrowed(verb, Picks()).statuses) == ALLOWED[verb]
    assert set(narrowed(verb, Picks(statuses=STATUSES)).statuses) == ALLOWED[verb]


def test_a_rollback_under_way_is_not_left_undone_by_a_bulk() -> None:
    assert "rolling_back" not in narrowed("cancel", Picks()).statuses
    assert narrowed("cancel", Picks(statuses=("rolling_back",))).statuses == ()


# --- which runs -----------------------------------------------------------------------------------------------------


def test_runs_that_come_later_are_left_alone(lab: Lab) -> None:
    asleep(lab, 2)
    bulk = asked(lab, "pause")
    asleep(lab, 3, wait)

    assert counts(Walker(lab.client).walk(bulk.seq)) == ("done", 2, 0, 0)
    assert statuses(lab) == ["sleeping"] * 3 + ["paused"] * 2


@pytest.mark.parametrize(
    "picks",
    [
        Picks(workflow="special"), Picks(tag="vip"), Picks(id_prefix="special-"), Picks(statuses=("sleeping",), tag="vip"),
        Picks(tag="vip", workflow="special"), Picks(tag="vip", id_prefix="special"), Picks(workflow="special", id_prefix="spec"),
    ],
)  # fmt: skip
def test_only_what_the_filter_lets_through_is_walked(lab: Lab, picks: Picks) -> None:
    asleep(lab, 2)
    asleep(lab, 3, special)
    asleep(lab, 2, wait)

    bulk = done(lab, "pause", picks=picks)

    assert (counts(bulk), bulk.expected) == (("done", 3, 0, 0), 3)
    assert statuses(lab) == ["sleeping"] * 2 + ["paused"] * 3 + ["sleeping"] * 2


@pytest.mark.parametrize("tag", [None, "vip"])
def test_instants_bound_what_is_walked(lab: Lab, tag: str | None) -> None:
    for number in range(3):
        lab.start(f"s-{number}", special)
        lab.advance("1m")
    start = lab.now - 180

    bulk = done(lab, "pause", picks=Picks(since=start + 60, until=start + 120, tag=tag))

    assert counts(bulk) == ("done", 1, 0, 0)
    assert statuses(lab) == ["pending", "paused", "pending"]


def test_more_than_one_piece_is_walked_to_the_end(lab: Lab) -> None:
    count = 2 * PIECE + 1
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(count))

    bulk = done(lab, "pause")

    assert (counts(bulk), bulk.expected, bulk.more) == (("done", count, 0, 0), count, False)
    assert {item.status for item in lab.client.runs(limit=count)} == {"paused"}


def test_all_ids_of_a_beginning_are_planned_at_once(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(PIECE + 1))

    bulk = asked(lab, "pause", picks=Picks(id_prefix="n-"))

    assert len(bulk.plan) == PIECE + 1
    assert counts(Walker(lab.client).walk(bulk.seq)) == ("done", PIECE + 1, 0, 0)


def test_a_beginning_of_too_many_ids_is_refused(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(1_001))

    with pytest.raises(ValueError, match="more than 1,000 ids begin so"):
        asked(lab, "pause", picks=Picks(id_prefix="n-"))


def test_a_count_above_a_thousand_says_that_there_are_more(lab: Lab) -> None:
    lab.client.start_many((f"n-{number}", nap, ()) for number in range(1_002))
    bulks = Bulks(lab.client, "tester")

    found = bulks.count(narrowed("pause", Picks()), bulks.newest_run())

    assert (found.number, found.more) == (1_000, True)
    assert [row.id for row in found.sample[:2]] == ["n-1001", "n-1000"]


def test_a_rare_status_of_a_large_tag_is_found_beyond_what_a_list_looks_at(lab: Lab) -> None:
    """The walk goes through all of the tag, of which a list shows what is among the newest 20,000."""
    lab.client.start_many((f"s-{number}", special, ()) for number in range(5_600))
    lab.client.get("s-0").pause()
    bulks = Bulks(lab.client, "tester")

    found = bulks.count(Picks(statuses=("paused",), tag="vip"), bulks.newest_run())
    bulk = done(lab, "resume", picks=Picks(tag="vip"))

    assert (found.number, found.more) == (1, False)
    assert counts(bulk) == ("done", 1, 0, 0)


def test_a_filter_that_no_run_can_meet_finds_none(lab: Lab) -> None:
    asleep(lab, 1)

    bulk = done(lab, "pause", picks=Picks(workflow="\ud800"))

    assert (counts(bulk), bulk.expected) == (("done", 0, 0, 0), 0)


# --- what cannot be asked -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "fields", "why"),
    [
        ("destroy", {}, "no verb 'destroy'"), ("send", {"data": b"1"}, "name"), ("send", {"name": "m", "data": b"{"}, "JSON"),
        ("send", {"name": "m", "key": "\ud800"}, "lone surrogates"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    lab: Lab, verb: str, fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        Bulks(lab.client, "tester").begin(OP, BulkWish(verb=verb, picks=Picks(), top=0, **fields), Found(0, False, ()))

    assert lab.client.driver.bulks(9) == []


class Turned:
    def encode(self, data: bytes) -> bytes:
        return data[::-1]

    def decode(self, data: bytes) -> bytes:
        return data[::-1]


def test_the_message_of_a_bulk_is_sealed_in_the_store() -> None:
    inner = MemoryDriver()
    codec: Codec = Turned()
    driver: Driver = SealedDriver(inner, codec)  # type: ignore[assignment]  # what it passes on by name, mypy does not see
    with Lab(driver=driver) as lab:
        asleep(lab, 1, wait)
        bulk = asked(lab, "send", name="go", data=b'"secret"')

        Walker(lab.client).walk(bulk.seq)

        assert inner.bulk(1).body == b'"terces"'  # type: ignore[union-attr]
        assert [kept.body for kept in driver.bulks(9)] == [b'"secret"']
        assert lab.run_to_end("wait-0").data == "secret"


def test_a_damaged_message_is_not_sent(tmp_path: Path) -> None:
    with Lab(tmp_path / "bulk.db") as lab:
        asleep(lab, 1, wait)
        asked(lab, "send", name="go", data=b'"1 cent"')
    with closing(sqlite3.connect(tmp_path / "bulk.db")) as db:
        db.execute("UPDATE bulks SET body = '\"9 cent\"'")
        db.commit()

    with closing(open_driver(tmp_path / "bulk.db")) as driver, pytest.raises(PayloadError, match="the message of bulk 1"):
        driver.bulk(1)
