"""A bulk in words: how far it is, what is left, and what happens if nobody carries it on."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit.client.bulk import Picks
from flowkit.client.reader import Bulk
from flowkit.settings import Settings
from tests.inspector.bulks import NOW, OP
from tests.inspector.given import module

# --- words ----------------------------------------------------------------------------------------------------------


def a_bulk(**fields: Any) -> Bulk:
    given: dict[str, Any] = {
        "id": OP, "verb": "recover", "who": "inspector", "picks": Picks(statuses=("failed",)), "top": 9, "expected": 200,
        "seq": 7, "version": 3, "created_at": NOW - 10, "updated_at": NOW, "held_until": NOW + 9, "holder": "x", "position": 5,
    }  # fmt: skip
    return Bulk(**{**given, **fields})


def test_a_bulk_under_way_says_how_far_it_is_and_how_long_it_takes() -> None:
    item = module("bulk").bulk_item(a_bulk(done=90, skipped=10), NOW)

    assert (item.label, item.state.word, item.percent) == ("Recover 200 runs", "running", 50)
    assert (item.speed, item.left) == ("10 runs a second", "10 s")
    assert item.can_stop


def test_a_bulk_that_nobody_carries_on_says_what_does() -> None:
    item = module("bulk").bulk_item(a_bulk(held_until=NOW - 20, updated_at=NOW - 30), NOW, "orders.db")

    assert (item.state.icon, item.state.detail) == ("unattended", "nobody carries it on")
    assert item.carry_on == "flowkit bulk --carry-on 7 --db orders.db"


def test_a_bulk_of_an_unknown_number_shows_no_share() -> None:
    item = module("bulk").bulk_item(a_bulk(expected=1_000, more=True, done=2_500), NOW)

    assert (item.percent, item.expected, item.walked, item.left) == (None, "1,000+", "2,500", "")


def test_a_finished_bulk_says_how_many_no_longer_met_its_filter() -> None:
    item = module("bulk").bulk_item(a_bulk(state="done", done=150, failed=20, finished_at=NOW), NOW)

    assert (item.untouched, item.percent, item.state.detail, item.took) == ("30", 100, "with failures", "10 s")


def test_reasons_beyond_those_that_are_kept_are_counted() -> None:
    item = module("bulk").bulk_item(a_bulk(failed=25, reasons=(("r-1", "no"), ("r-2", "no"))), NOW)

    assert [(reason.run, reason.href) for reason in item.reasons] == [("r-1", "/runs/r-1"), ("r-2", "/runs/r-2")]
    assert item.more_reasons == "23"


@pytest.mark.parametrize(
    ("typed", "count", "same"),
    [
        ("1203", "1,203", True), ("1,203", "1,203", True), ("1000", "1,000+", True), (" 1,000+ ", "1,000+", True),
        ("120", "1,203", False), ("", "", False), ("", "1,203", False), ("+", "+", False),
    ],
)  # fmt: skip
def test_a_number_is_typed_with_or_without_its_commas(typed: str, count: str, same: bool) -> None:
    assert module("bulk").same_count(typed, count) is same


def test_holding_outlasts_a_look() -> None:
    assert Settings().bulk_hold > module("bulk").ORPHAN_SECONDS
