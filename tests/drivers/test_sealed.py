"""A user's codec around any driver."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import flowkit
from flowkit import CriticalError, RunFailed, receive, step, workflow
from flowkit.core.health import Report
from flowkit.drivers.base import LineQuery
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sealed import SealedDriver
from flowkit.testing import driver_suite
from tests.runtime.waiting import until

SECRET = "4000-1234"


class Masking:
    """Reversible, and nothing of what goes in can be read in what comes out."""

    def encode(self, body: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in body)

    def decode(self, body: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in body)


class TestSealed(driver_suite(lambda: SealedDriver(MemoryDriver(), Masking()))):  # type: ignore[misc]  # a class made on the spot
    """All but one: of an error in the lists only the type is left, and that case wants the whole line."""

    test_counters_are_written = None


@step(retries=0)
def pay(card: str) -> str:
    logging.getLogger("shop").warning("card %s", card)
    if card == "bad":
        raise CriticalError(f"card {SECRET} refused")
    return f"paid with {card}"


@workflow
def order(card: str) -> str:
    paid = pay(card)
    return f"{paid}, then {receive('more').data}"


def test_nothing_that_a_run_holds_can_be_read_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sealed.db"

    with flowkit.open(path, codec=Masking()) as fk:
        run = fk.start("o-1", order, SECRET)
        run.send("more", SECRET)
        result = run.result(timeout=10)
        failed = fk.start("o-2", order, "bad")
        with pytest.raises(RunFailed):
            failed.result(timeout=10)
        message = str(failed.error())
        lines = until(lambda: fk.driver.lines(LineQuery(run=fk.driver.get("o-1").seq)))

    assert [line.text.decode() for line in lines] == [f"card {SECRET}"]
    assert result == f"paid with {SECRET}, then {SECRET}"
    assert SECRET in message
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in tmp_path.glob("sealed.db*") if each.is_file())


def test_a_report_keeps_the_type_and_place_of_an_error_and_not_what_it_says() -> None:
    driver = SealedDriver(MemoryDriver(), Masking())
    said = Report(workflow="w", kind="import", type="ImportError", line="card 4711", place="app.py:3", since=1.0, last=1.0)

    driver.report("w-1/0", [said], 9.0, 1.0)

    (kept,) = driver.reports(1.0)
    assert (kept.type, kept.place, kept.line) == ("ImportError", "app.py:3", "")
