"""A run that is paused in its last pass, and cancelled with its rollback. Found by the simulation, SEED=201098."""

from __future__ import annotations

from flowkit import checkpoint, step, workflow
from flowkit.testing import Lab


def test_a_run_paused_while_it_ends_still_owes_its_rollbacks() -> None:
    """RN13, RB3: a paused row takes no result from its owner, so what its steps did is still to be undone."""
    undone: list[str] = []

    with Lab() as lab:

        def book() -> str:
            lab.get("r").pause()
            return "seat 4"

        @workflow(name="trip")
        def trip() -> str:
            checkpoint("money")
            return step(book, rollback=undone.append)()

        lab.start("r", trip)
        lab.run_once("r")
        lab.get("r").cancel(rollback=True)

        made = lab.run_once("r")

        assert made.status == "cancelled"
        assert undone == ["seat 4"]
