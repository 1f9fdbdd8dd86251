"""A clock that is set back while a run makes up its mind whether to wait in memory. Found by the simulation, SEED=975."""

from __future__ import annotations

import threading

from flowkit import join, sleep, step, stopping, workflow
from flowkit.testing import Lab


def test_a_run_whose_near_wake_became_a_far_one_parks() -> None:
    """SL4: it was not parked, as the sleep was over, and then the sleep was not over any more."""
    with Lab() as lab:

        def meddle() -> None:
            stopping(wait=0.2)  # until the other branch waits
            lab.advance("2m")
            threading.Timer(0.2, lambda: lab.clock.set(lab.now - 120)).start()

        @workflow(name="nap")
        def nap() -> None:
            join(waits=lambda: sleep("1m"), meddles=step(meddle))

        lab.start("r", nap)

        made = lab.run_once("r")

        assert made.status == "sleeping"
