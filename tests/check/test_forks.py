"""What-if forks under a check: what they have recorded is tried, and what the original answers next is gone through."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flowkit import Workflow, removed, workflow
from flowkit.check import check_runs
from flowkit.drivers.base import RunView
from flowkit.testing import MemoryDriver
from tests.check.replays import Shop, charge, shop, validate, verdicts
from tests.client.forks import view_of

__all__ = ["shop"]


@workflow(name="shop")
def priced() -> str:
    cents = validate(1)
    charge(cents)
    return "done"


@workflow(name="shop")
def chain() -> str:
    cents = validate(1)
    charge(1)
    charge(cents)
    return "done"


@workflow(name="shop")
def without() -> str:
    charge(1)
    return "done"


@workflow(name="shop")
def taken_out() -> str:
    removed("validate", "step")
    charge(1)
    return "done"


def fork_of(shop: Shop, code: Workflow[..., Any]) -> None:
    """A run ``o`` that came to its end, and a fork ``f`` of it that asks for `charge`."""
    shop.begin("o", code)
    shop.lab.client.get("o").fork("validate", value=7, id="f")
    shop.lab.run_once("f")


class Damaged(MemoryDriver):
    """The same store, in which the records that make runs forks were damaged."""

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        view = super().load(run, after=after)
        return view if view is None or view.fork is None else msgspec.structs.replace(view, fork=b"{")


def test_an_open_fork_that_fits_goes_on_where_it_asks(shop: Shop) -> None:
    fork_of(shop, priced)

    found = shop.replay(priced)

    assert sorted(verdicts(found)) == [("goes on", False, 1), ("same", True, 1)]
    assert [place.location for each in found.findings if not each.ended for place in each.places] == ["charge"]


def test_what_the_original_will_answer_is_gone_through_up_to_where_the_fork_will_ask(shop: Shop) -> None:
    shop.begin("o", chain)
    shop.lab.client.get("o").fork("validate", value=70, id="f")

    found = shop.replay(chain)

    assert [place.location for each in found.findings if not each.ended for place in each.places] == ["charge#2"]
    assert view_of(shop.lab, "f").entries == []


def test_a_fork_whose_history_does_not_fit_is_held_as_any_run(shop: Shop) -> None:
    fork_of(shop, priced)

    found = shop.replay(without)

    held = [each for each in found.findings if each.verdict == "held" and not each.ended]
    assert [(each.samples, each.location, [line.text for line in each.lines]) for each in held] == [
        (("f",), "validate", ['removed("validate", "step")'])
    ]


def test_a_fork_whose_record_is_damaged_would_be_blocked_and_is_not_said_to_go_on(shop: Shop) -> None:
    fork_of(shop, priced)
    shop.driver = Damaged(shop.driver.kv)

    found = shop.replay(priced)

    (why,) = [each.why for each in found.findings if not each.ended]
    assert why.startswith("it would be blocked: the record that makes this run a fork cannot be read")


def test_a_fork_that_came_to_its_end_is_tried_as_any_finished_run(shop: Shop) -> None:
    fork_of(shop, priced)
    shop.lab.client.get("f").resolve(value=1, reason="paid")
    shop.lab.run_to_end("f")

    assert verdicts(shop.replay(priced)) == [("same", True, 2)]


@pytest.mark.parametrize("code", [priced, taken_out])
def test_the_quick_check_of_dev_lets_open_forks_go_on(shop: Shop, code: Workflow[..., Any]) -> None:
    fork_of(shop, priced)

    (report,) = check_runs(shop.driver, {"shop": code}).workflows

    assert (report.fit, report.held, report.unchecked) == (1, 0, [])


def test_the_quick_check_of_dev_holds_a_fork_that_does_not_fit(shop: Shop) -> None:
    fork_of(shop, priced)

    (report,) = check_runs(shop.driver, {"shop": without}).workflows

    assert (report.fit, [cause.runs for cause in report.causes], report.unchecked) == (0, [("f",)], [])
