"""What a rollback of a fork asks: a handler has effects like any body."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import Run, RunConflict
from flowkit.testing import Lab, SimulatedCrash
from tests.client.fork_flows import failing
from tests.client.forks import asked, asks_at, done, ended, original, ran, view_of


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


def cancelled(lab: Lab) -> Run[Any]:
    """A fork whose charge was given a result by hand, and which is to be rolled back."""
    fork = original(lab).fork("price", value=250)
    ended(lab, fork.id)
    fork.resolve(value="made up", reason="x")
    lab.run_once(fork.id)
    fork.cancel(rollback=True)
    return fork


def test_a_rollback_asks_for_each_handler_newest_first(lab: Lab) -> None:
    run = ran(lab, failing)
    fork = run.fork("mark", value=5)
    ended(lab, fork.id)
    fork.resolve("broken", error=RuntimeError("no"), reason="it breaks")

    asks = []
    while ended(lab, fork.id).status == "paused":
        asks.append(asks_at(lab, fork.id))
        fork.resolve(value=None, reason="leave it")

    assert (asks, fork.status()) == (["mark"], "failed")


def test_a_handler_may_be_taken_for_done(lab: Lab) -> None:
    fork = cancelled(lab)
    assert asked(lab, fork.id) == ("paused", "asks: undo `charge` for real, or take it for undone")

    fork.resolve(value=None, reason="nothing was charged")

    assert (ended(lab, fork.id).status, done) == ("cancelled", [])
    entry = next(each for each in fork.history() if each.location == "charge")
    assert (entry.status, entry.by_hand and entry.by_hand["how"]) == ("rolled_back", "undone")
    assert view_of(lab, fork.id).row.owes == 0


def test_a_handler_may_be_called_for_real_and_gets_the_output(lab: Lab) -> None:
    fork = cancelled(lab)
    lab.run_once(fork.id)

    fork.resolve(real=True, reason="see that it works")

    assert (ended(lab, fork.id).status, done) == ("cancelled", ["refund made up"])


def test_a_handler_cannot_be_given_a_failure(lab: Lab) -> None:
    fork = cancelled(lab)
    lab.run_once(fork.id)

    with pytest.raises(ValueError, match="called for real or taken for done"):
        fork.resolve(error=RuntimeError("no"), reason="x")

    assert done == []


def test_what_the_original_has_undone_counts_as_undone(lab: Lab) -> None:
    run = ran(lab, failing)
    assert [each for each in done if each.startswith("unmark")] == ["unmark 20", "unmark 10"]
    done.clear()

    fork = run.fork("mark#2", value=20)

    made = ended(lab, fork.id)
    assert (made.status, done) == ("failed", [])
    assert [e.status for e in fork.history() if e.location.startswith("mark")] == ["rolled_back", "rolled_back"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("k", range(1, 7))
def test_a_handler_runs_only_as_allowed_whatever_write_fails(lab: Lab, k: int, when: Any) -> None:
    fork = cancelled(lab)
    lab.crash_at(k, when)
    for _ in range(3):
        try:
            ended(lab, fork.id)
            break
        except SimulatedCrash:
            continue
    assert done == []
    for _ in range(3):
        try:
            fork.resolve(value=None, reason="taken")
            ended(lab, fork.id)
            break
        except SimulatedCrash:
            continue
        except RunConflict:
            continue
    for _ in range(2):
        try:
            ended(lab, fork.id)
        except SimulatedCrash:
            continue

    assert (fork.status(), done) == ("cancelled", [])
