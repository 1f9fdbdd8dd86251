"""Runs that pages want started: each wish goes to the generation that works, and its answer back to whoever waits for it."""

from __future__ import annotations

from concurrent.futures import Future

from flowkit.client.livecode import Fault, StartAnswer, StartWish
from flowkit.dev.generation import Generation
from flowkit.dev.protocol import Start

__all__ = ["Wishes"]


class Wishes:
    """Those that wait for their answer. One whose generation dies is given up by the page, after its own time."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[int, Future[StartAnswer]] = {}

    def pass_on(self, wish: StartWish, answer: Future[StartAnswer], serving: Generation | None) -> None:
        """Have the generation start the run."""
        if serving is None:
            answer.set_result(StartAnswer(faults=(Fault(field="", message="no code is running yet"),)))
            return
        self._count += 1
        self._waiting[self._count] = answer
        serving.order(Start(number=self._count, wish=wish))

    def answered(self, number: int, answer: StartAnswer) -> None:
        """What the generation says of a wish."""
        self._waiting.pop(number, Future()).set_result(answer)
