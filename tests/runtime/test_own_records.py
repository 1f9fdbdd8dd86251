"""flowkit's own log records say which run, step and attempt they are about."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import flowkit
import flowkit.aio
from flowkit import CriticalError, RetryAfter, RunFailed, checkpoint, receive, step, workflow
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
    assert {record.workflow for record in caplog.records} == {"order"}  # type: ignore[attr-defined]  # as above


def test_a_record_about_no_run_has_the_fields_too(caplog: pytest.LogCaptureFixture) -> None:
    own_log(logging.getLogger("shop.flows")).warning("the store is slow", extra={"seconds": 3})

    (record,) = caplog.records
    assert (record.name, record.run, record.step, record.attempt, record.seconds) == ("shop.flows", "", "", 0, 3)  # type: ignore[attr-defined]  # as above
    assert (record.workflow, record.worker) == ("", 0)  # type: ignore[attr-defined]  # as above
    assert record.filename == "test_own_records.py"


def test_a_log_for_some_records_keeps_what_it_said_before() -> None:
    log = own_log(logging.getLogger("shop.flows")).of(run="r").of(step="charge")

    _, said = log.process("", {"extra": {"attempt": 2}})

    assert said["extra"] == {"run": "r", "step": "charge", "attempt": 2, "workflow": "", "worker": 0}


@pytest.mark.parametrize("code", [tries, raises, books], ids=["step", "run", "rollback"])
def test_a_worker_says_its_number_and_the_workflow_on_the_logger_that_it_was_given(
    path: Path, caplog: pytest.LogCaptureFixture, code: Any
) -> None:
    with flowkit.open(path, workflows=[code], on_error=fails, logger=logging.getLogger("shop.flows")) as fk:
        with pytest.raises(RunFailed):
            fk.start("r", code).result(10)
        number = fk.worker.id if fk.worker is not None else 0

    records = [record for record in caplog.records if record.name in ("shop.flows", "flowkit")]
    assert {record.name for record in records} == {"shop.flows"}
    assert {(record.run, record.workflow, record.worker) for record in records} == {("r", code.name, number)}  # type: ignore[attr-defined]  # as above
    assert number > 0


def test_what_the_engine_says_of_a_run_goes_to_the_logger_that_was_given(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    @step(backoff=0.001)
    def waits() -> None:
        tried.append(1)
        if len(tried) < 2:
            raise RetryAfter(-1)

    @workflow
    def order() -> None:
        waits()

    with flowkit.open(path, workflows=[order], logger=logging.getLogger("shop.flows")) as fk:
        fk.start("r", order).result(10)

    (record,) = [record for record in caplog.records if record.name in ("shop.flows", "flowkit")]
    assert (record.name, record.run, record.step, record.attempt, record.workflow) == ("shop.flows", "r", "waits", 1, "order")  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize("opens", [flowkit.open, flowkit.aio.open], ids=["plain", "async"])
@pytest.mark.parametrize("given", ["flowkit", 3, logging])
def test_what_is_no_logger_is_refused(path: Path, opens: Any, given: Any) -> None:
    async def open_it() -> None:
        await opened

    with pytest.raises(TypeError, match=r"logger is a logging\.Logger"):  # noqa: PT012  the plain one raises at the call
        opened = opens(path, logger=given)
        asyncio.run(open_it())


def test_a_logger_may_be_an_adapter(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whose own fields the records have, too: an adapter by itself would put them in place of flowkit's."""
    adapter = logging.LoggerAdapter(logging.getLogger("shop.flows"), {"shop": "north"})
    with flowkit.open(path, workflows=[raises], on_error=fails, logger=adapter) as fk, pytest.raises(RunFailed):
        fk.start("r", raises).result(10)

    assert [(record.run, record.shop) for record in caplog.records if record.name == "shop.flows"] == [("r", "north")]  # type: ignore[attr-defined]  # as above
