"""What a run's row says of it, which is all that lists read: where it is, in which attempt, and how it failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flowkit import CriticalError, StepExhausted, Workflow, aio, checkpoint, join, receive, sleep, step, workflow
from flowkit.drivers.base import RunRow
from flowkit.testing import Lab, SimulatedCrash
from tests.primitives.pairs import both

_fails: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_fails() -> Iterator[None]:
    _fails.clear()
    yield
    _fails.clear()


def row(lab: Lab, id: str = "r") -> RunRow:
    found = lab.client.driver.get(id)
    assert found is not None
    return found


def shown(lab: Lab) -> tuple[str | None, int, int, str | None]:
    """Location, attempts, attempts at most, error line."""
    found = row(lab)
    return found.current, found.attempts, found.attempts_max, found.error_line


@step(retries=5, backoff="1h", backoff_max="1h")
def charge(order: str) -> str:
    raise ValueError(f"no {order}")


@step(rollback=lambda _: None)
def reserve() -> str:
    return "reserved"


@step(rollback=lambda _: None)
def book() -> str:
    return "booked"


def _refund(_: Any) -> None:
    if _fails:
        raise OSError("bank closed")


@step(rollback=_refund, rollback_retries=1, backoff="1h", backoff_max="1h")
def pay() -> str:
    return "paid"


@step
def refuse() -> None:
    raise CriticalError("sold out")


# --- waiting --------------------------------------------------------------------------------------------------------------


@workflow
def pays() -> str:
    reserve_nothing()
    return charge("order")


@aio.workflow
async def apays() -> str:
    await reserve_nothing.aio()
    return await charge.aio("order")


@step
def reserve_nothing() -> None:
    return None


@both(pays, apays)
def test_a_run_that_retries_names_the_step_and_both_counts(lab: Lab, flow: Workflow[..., Any]) -> None:
    lab.start("r", flow)

    lab.run_once("r")
    first = shown(lab)
    lab.advance("1h")
    lab.run_once("r")

    assert first == ("charge", 1, 6, "ValueError: no order")
    assert shown(lab) == ("charge", 2, 6, "ValueError: no order")


@both(pays, apays)
def test_a_run_that_retries_says_the_same_after_a_pass_that_came_too_early(lab: Lab, flow: Workflow[..., Any]) -> None:
    lab.start("r", flow)
    lab.run_once("r")

    lab.run_once("r")

    assert shown(lab) == ("charge", 1, 6, "ValueError: no order")


@workflow
def cools_off() -> None:
    reserve_nothing()
    sleep("2h", name="cool-off")


@aio.workflow
async def acools_off() -> None:
    await reserve_nothing.aio()
    await aio.sleep("2h", name="cool-off")


@both(cools_off, acools_off)
def test_a_run_that_sleeps_names_the_sleep(lab: Lab, flow: Workflow[..., Any]) -> None:
    lab.start("r", flow)

    lab.run_once("r")

    assert shown(lab) == ("cool-off", 0, 0, None)


@workflow
def waits() -> None:
    reserve_nothing()
    receive("paid", timeout="3d")


@aio.workflow
async def awaits() -> None:
    await reserve_nothing.aio()
    await aio.receive("paid", timeout="3d")


@both(waits, awaits)
def test_a_run_that_waits_for_a_message_names_the_receive(lab: Lab, flow: Workflow[..., Any]) -> None:
    lab.start("r", flow)

    lab.run_once("r")

    assert (shown(lab)[0], row(lab).waiting) == ("paid", ("paid",))


@workflow
def waits_for_the_first() -> None:
    join({"soon": lambda: charge("order"), "late": lambda: sleep("3h", name="cool-off")})


@workflow
def waits_for_the_second() -> None:
    join({"late": lambda: charge("order"), "soon": lambda: sleep("30m", name="cool-off")})


@pytest.mark.parametrize(
    ("flow", "place"),
    [(waits_for_the_first, ("join/soon/charge", 1, 6)), (waits_for_the_second, ("join/soon/cool-off", 0, 0))],
    ids=["a retry", "a sleep"],
)
def test_of_several_branches_the_one_that_wakes_first_is_named(
    lab: Lab, flow: Workflow[..., Any], place: tuple[str, int, int]
) -> None:
    lab.start("r", flow)

    lab.run_once("r")

    assert shown(lab)[:3] == place


# --- failing --------------------------------------------------------------------------------------------------------------


@workflow
def fails_at_charge() -> None:
    checkpoint("before")
    reserve()
    book()
    charge("order")


@aio.workflow
async def afails_at_charge() -> None:
    await aio.checkpoint("before")
    await reserve.aio()
    await book.aio()
    await charge.aio("order")


@both(fails_at_charge, afails_at_charge)
def test_a_failed_run_that_was_rolled_back_still_says_where_and_why(lab: Lab, flow: Workflow[..., Any]) -> None:
    lab.start("r", flow)

    with pytest.raises(StepExhausted):
        lab.run_to_end("r")

    line = "StepExhausted: step 'charge' failed 6 times, the last time with ValueError: no order"
    assert (row(lab).status, row(lab).undone, row(lab).owes) == ("failed", 2, 0)
    assert shown(lab) == ("charge", 6, 6, line)


@both(fails_at_charge, afails_at_charge)
def test_it_still_does_where_another_process_has_undone_it(lab: Lab, flow: Workflow[..., Any]) -> None:
    _stop_in_rollback(lab, flow)

    lab.run_once("r")

    assert (row(lab).status, row(lab).undone) == ("failed", 2)
    assert shown(lab)[:3] == ("charge", 6, 6)
    assert "ValueError: no order" in (shown(lab)[3] or "")


def _stop_in_rollback(lab: Lab, flow: Workflow[..., Any]) -> None:
    """The process dies once the first handler is recorded."""
    lab.start("r", flow)
    for _ in range(5):
        lab.run_once("r")
        lab.advance("1h")
    lab.crash_at(3, "after")
    with pytest.raises(SimulatedCrash):
        lab.run_once("r")
    assert (row(lab).status, row(lab).undone, row(lab).owes) == ("rolling_back", 1, 1)


@workflow
def sold_out() -> None:
    join({"a": refuse, "b": reserve_nothing})


def test_a_failed_run_names_the_entry_its_error_came_from(lab: Lab) -> None:
    lab.start("r", sold_out)

    lab.run_once("r")

    assert row(lab).status == "failed"
    assert shown(lab)[0] == "join"


@workflow
def trips() -> None:
    reserve_nothing()
    raise LookupError("no such order")


def test_a_run_that_its_own_code_failed_names_no_entry(lab: Lab) -> None:
    lab.start("r", trips)

    lab.run_once("r")

    assert shown(lab) == (None, 0, 0, "LookupError: no such order")


@workflow
def pays_and_trips() -> None:
    checkpoint("before")
    reserve()
    pay()
    refuse()


def test_a_handler_that_failed_names_itself_and_its_attempts(lab: Lab) -> None:
    _fails.append("refund")
    lab.start("r", pays_and_trips)

    lab.run_once("r")

    assert row(lab).status == "rolling_back"
    assert shown(lab) == ("pay", 1, 2, "OSError: bank closed")


def test_a_rollback_that_stopped_says_at_which_handler(lab: Lab) -> None:
    _fails.append("refund")
    lab.start("r", pays_and_trips)

    lab.run_once("r")
    lab.advance("1h")
    lab.run_once("r")

    assert (row(lab).status, row(lab).ending, row(lab).owes, row(lab).undone) == ("failed", "failed", 2, 0)
    assert shown(lab) == ("pay", 2, 2, "OSError: bank closed")


def test_a_run_that_was_cancelled_and_undone_shows_no_error(lab: Lab) -> None:
    lab.start("r", cools_off_with_rollback)
    lab.run_once("r")
    lab.get("r").cancel(rollback=True)

    lab.run_once("r")

    assert (row(lab).status, row(lab).undone) == ("cancelled", 1)
    assert shown(lab) == (None, 0, 0, None)


@workflow
def cools_off_with_rollback() -> None:
    checkpoint("before")
    reserve()
    sleep("2h")
