"""Many small histories of random programs under random faults, each decided by one seed.

A test run plays as many as half a minute allows, `make torture` a million, and `SEED=81234` plays one
again. The last tests break the engine on purpose: a simulation that stays green then proves nothing.
"""

from __future__ import annotations

import time

import pytest

from flowkit.core.ledger import Ledger
from flowkit.core.mail import Mail
from tests.torture.simulation.mirror import Violation
from tests.torture.simulation.play import play
from tests.torture.trials import CI, LONG, Torture

PARTS = 4
BUDGET_SECONDS = 9.0
FEW_SEEDS = 1_500


def first_red(seeds: range, seconds: float) -> int | None:
    """The first of these seeds whose history breaks a promise, looking for so many seconds."""
    end = time.monotonic() + seconds
    for seed in seeds:
        try:
            play(seed)
        except Violation:
            return seed
        if time.monotonic() > end:
            break
    return None


@pytest.mark.torture
@pytest.mark.timeout(7200 if LONG or CI else 90)
@pytest.mark.parametrize("part", range(PARTS))
def test_every_history_keeps_every_promise(torture: Torture, part: int) -> None:
    """F14: safety during faults, liveness after them, and the same end as without them."""
    with torture("F14", ci=12_000 // PARTS, long=1_000_000 // PARTS, seconds=BUDGET_SECONDS) as fault:
        for trial in fault.trials():
            world = play(trial.seed)

            trial.injected += world.injected
            trial.acked += len(world.acked)
            trial.checked += 1


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_the_same_seed_is_the_same_history() -> None:
    """What fails can be played again: the story of each seed is the same twice."""
    stories = [[play(seed, sqlite=False).story for seed in range(40)] for _ in range(2)]

    assert stories[0] == stories[1]


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_a_refused_write_that_is_forgotten_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: without `restore` what a refused write held is lost."""

    def forget(self: Ledger) -> None:
        self._flying = None

    monkeypatch.setattr(Ledger, "restore", forget)

    assert first_red(range(FEW_SEEDS), 30.0) is not None


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_a_settle_in_a_closed_scope_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: without the look at the gate a loser's late result is recorded."""
    stage = Ledger.stage
    monkeypatch.setattr(Ledger, "stage", lambda self, entry, gate=None: stage(self, entry))

    assert first_red(range(FEW_SEEDS), 30.0) is not None


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_a_message_taken_by_no_commit_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: a message that is recorded and stays in the inbox is taken twice."""
    monkeypatch.setattr(Ledger, "stage_message", lambda self, **taken: None)

    assert first_red(range(FEW_SEEDS), 30.0) is not None


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_a_later_message_taken_first_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: messages of one name are taken in the order in which they came."""
    matching = Mail.matching
    monkeypatch.setattr(Mail, "matching", lambda self, names: matching(self, names)[::-1])

    assert first_red(range(FEW_SEEDS), 30.0) is not None


@pytest.mark.torture
@pytest.mark.timeout(60)
def test_a_request_that_is_taken_and_never_answered_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """F23: the answer is in the commit that takes the message."""
    stage = Ledger.stage_message
    monkeypatch.setattr(Ledger, "stage_message", lambda self, consume=None, reply=None: stage(self, consume=consume))

    assert first_red(range(FEW_SEEDS), 30.0) is not None
