"""flowkit's own log records say which run, step and attempt they are about."""

import logging
from typing import Any

import pytest

from flowkit import CriticalError, RetryAfter, checkpoint, receive, step, workflow
from flowkit.core.fields import own_log
from flowkit.testing import Lab


def about(caplog: pytest.LogCaptureFixture) -> list[tuple[Any, Any, Any]]:
    """Run, step and attempt of each record of flowkit's."""
    return [(record.run, record.step, record.attempt) for record in caplog.records if record.name == "flowkit"]  # type: ignore[attr-defined]  # they are what is tested


def fails(event: object) -> None:
    raise RuntimeError("a broken hook")


@step(retries=1)
def refused() -> None:
    raise CriticalError("no")


@workflow
def tries() -> None:
    refused()


@workflow
def raises() -> None:
    raise ValueError("no")


def undo() -> None:
    raise CriticalError("cannot")


@step(rollback=undo)
def book() -> None:
    return None


@workflow
def books() -> None:
    checkpoint("all")
    book()
    raise CriticalError("no")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (tries, [("r", "refused", 1)]),
        (raises, [("r", "", 0)]),
        (books, [("r", "", 0), ("r", "book", 1)]),
    ],
    ids=["step", "run", "rollback"],
)
def test_a_hook_that_raised_is_told_of_with_what_it_was_told_of(
    caplog: pytest.LogCaptureFixture, code: Any, said: list[object]
) -> None:
    with Lab(on_error=fails) as lab:
        lab.start("r", code)
        with pytest.raises((CriticalError, ValueError)):
            lab.run_to_end("r")

    assert about(caplog) == said


def test_other_arguments_are_told_of_with_run_and_step(caplog: pytest.LogCaptureFixture) -> None:
    @step
    def charge(n: int) -> int:
        return n

    amounts = [1, 2, 3]

    @workflow
    def order() -> None:
        for amount in amounts:
            charge(amount)
        receive("go")

    with Lab() as lab:
        lab.start("r", order)
        lab.run_once("r")
        amounts[:] = [1, 7, 3]
        lab.send("r", "go")
        lab.run_once("r")

    assert about(caplog) == [("r", "charge#2", 0)]


def test_a_delay_that_cannot_be_is_told_of_with_its_attempt(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    @step
    def waits() -> None:
        tried.append(1)
        if len(tried) < 3:
            raise RetryAfter(-1)

    @workflow
    def order() -> None:
        waits()

    with Lab() as lab:
        lab.start("r", order)
        lab.run_to_end("r")

    assert about(caplog) == [("r", "waits", 1), ("r", "waits", 2)]


def test_a_record_about_no_run_has_the_fields_too(caplog: pytest.LogCaptureFixture) -> None:
    own_log(logging.getLogger("shop.flows")).warning("the store is slow", extra={"seconds": 3})

    (record,) = caplog.records
    assert (record.name, record.run, record.step, record.attempt, record.seconds) == ("shop.flows", "", "", 0, 3)  # type: ignore[attr-defined]  # as above
    assert record.filename == "test_own_records.py"
