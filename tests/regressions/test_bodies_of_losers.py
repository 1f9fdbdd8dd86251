"""A loser's async body went on to its effects after the winner's commit (seed 13731 of the simulation)."""

from __future__ import annotations

import threading

import pytest

from flowkit.engine.threads import LoopThread
from flowkit.settings import Settings
from tests.torture.simulation.play import play


@pytest.mark.torture
def test_the_history_of_seed_13731_keeps_every_promise() -> None:
    play(13731)


def test_what_is_done_at_once_on_the_loop_waits_for_no_turn_of_it() -> None:
    loop, order, done = LoopThread(Settings()), [], threading.Event()

    def on_the_loop() -> None:
        loop.call(lambda: order.append("soon"))
        loop.at_once(lambda: order.append("at once"))
        loop.call(done.set)

    loop.call(on_the_loop)
    done.wait(5)
    loop.close()

    assert order == ["at once", "soon"]
