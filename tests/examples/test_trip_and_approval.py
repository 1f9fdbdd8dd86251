"""`examples/trip.py` and `examples/approval.py`."""

from __future__ import annotations

import pytest

from examples.approval import Decision, Request, approval
from examples.trip import Trip, trip
from flowkit import JoinError
from flowkit.testing import Lab


def test_a_trip_is_booked_whole() -> None:
    with Lab() as lab:
        lab.start("t", trip, Trip("Ada", "Lisbon"))

        booked = lab.run_to_end("t")

    assert booked == {what: f"{what} to Lisbon for Ada" for what in ("flight", "hotel", "car")}


def test_a_trip_that_cannot_be_had_whole_is_undone_newest_first(capsys: pytest.CaptureFixture[str]) -> None:
    with Lab() as lab:
        lab.start("t", trip, Trip("Ada", "Lisbon", cars_left=0))

        with pytest.raises(JoinError, match="no cars left in Lisbon"):
            lab.run_to_end("t")
        statuses = {entry.location.rpartition("/")[2]: entry.status for entry in lab.history("t")}

    said = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    done = [step.removeprefix("book_") for step, status in statuses.items() if status == "rolled_back"]
    assert sorted(done) == ["flight", "hotel"]
    assert statuses["book_car"] == "failed"
    assert [what for verb, what in said if verb == "cancelled"] == done[::-1]


@pytest.mark.parametrize(
    ("approved", "decision"),
    [(True, Decision(True, "bought a laptop, approved by Grace")), (False, Decision(False, "refused by Grace"))],
)
def test_a_decision_in_time_counts(approved: bool, decision: Decision) -> None:
    with Lab() as lab:
        lab.start("a", approval, Request("a laptop", 100))
        lab.run_once("a")
        lab.send("a", "decision", {"approved": approved, "by": "Grace"})

        assert lab.run_to_end("a") == decision


def test_without_a_decision_the_deadline_counts() -> None:
    with Lab() as lab:
        began = lab.now
        lab.start("a", approval, Request("a laptop", 100), deadline="2d")

        assert lab.run_to_end("a") == Decision(False, "nobody decided within 2d")
        assert lab.now - began == 2 * 86400
