"""What pages want done where the code is. Each wish goes to the generation that works, and its answer back to who asked."""

from __future__ import annotations

from concurrent.futures import Future
from typing import assert_never

from flowkit.client.livecode import Answer, Fault, ResolveWish, StartAnswer, StartWish, UndoTrial, UndoWish
from flowkit.dev.generation import Generation
from flowkit.dev.protocol import Resolve, Start, TryUndoing

__all__ = ["Wishes"]

_NO_CODE = "no code is running yet"


class Wishes:
    """Those that wait for their answer. One whose generation dies is given up by the page, after its own time."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[int, Future[StartAnswer | Answer | UndoTrial]] = {}

    def pass_on(
        self,
        wish: StartWish | ResolveWish | UndoWish,
        answer: Future[StartAnswer | Answer | UndoTrial],
        serving: Generation | None,
    ) -> None:
        """Have the generation do it."""
        if serving is None:
            answer.set_result(_unserved(wish))
            return
        self._count += 1
        self._waiting[self._count] = answer
        match wish:
            case ResolveWish():
                serving.order(Resolve(number=self._count, wish=wish))
            case UndoWish(run=run):
                serving.order(TryUndoing(number=self._count, run=run))
            case StartWish():
                serving.order(Start(number=self._count, wish=wish))
            case _:
                assert_never(wish)

    def answered(self, number: int, answer: StartAnswer | Answer | UndoTrial) -> None:
        """What the generation says of a wish."""
        self._waiting.pop(number, Future()).set_result(answer)


def _unserved(wish: StartWish | ResolveWish | UndoWish) -> StartAnswer | Answer | UndoTrial:
    match wish:
        case ResolveWish():
            return Answer("refused", _NO_CODE)
        case UndoWish():
            return UndoTrial(problem=_NO_CODE)
        case StartWish():
            return StartAnswer(faults=(Fault(field="", message=_NO_CODE),))
