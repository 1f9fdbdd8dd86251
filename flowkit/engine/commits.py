"""One Change in flight per run; whatever is staged meanwhile rides in the next.

Whoever wants something durable asks `commit` (or `acommit`) and returns once it is. If a Change is under way it waits for
that one and looks again: its own may have been in it, or it may be the one to lead the next, which then carries everybody
else's too. Turns taken strictly in order would make almost a commit per step where eight branches work side by side.

The commit that gives the run up is the last. Until somebody claims the run, the store would take another one of the same
epoch; and that one would take the wake time away, so that nothing ever woke the run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from flowkit.core.change import Change, Finish, Park
from flowkit.core.ledger import Ledger
from flowkit.engine.recorder import Answer, Recorder, Undelivered, Written
from flowkit.errors import Fenced, ScopeClosed

__all__ = ["Commits", "Final"]


class Final(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit says of the run itself, besides its entries."""

    status: str | None = None
    ending: str | None = None
    park: Park | None = None
    finish: Finish | None = None
    release: bool = False
    bump: str = ""
    bare: bool = False
    """Nothing staged goes with it: the pass is not to be believed."""
    still: Callable[[], bool] | None = None
    """Asked at the last moment: whether the pass that wants to park has not been ended meanwhile."""


class Commits:
    """The commits of one claim of one run. `refused` maps messages that had no receiver to the reason."""

    def __init__(self, ledger: Ledger, recorder: Recorder, heard: Callable[[Change, Written], None]) -> None:
        self.ledger = ledger
        self.recorder = recorder
        self.refused: dict[str, str] = {}
        self.failure: BaseException | None = None
        self._heard = heard
        self._lock = threading.Lock()
        self._flying = False
        self._followers: list[Future[None]] = []
        self.landed = 0
        self.left = ""
        """The run's status as the last commit left it that gave the run up; empty if there was none."""

    def commit(self, final: Final | None = None) -> None:
        """Everything staged so far is durable when this returns. Blocks.

        Raises:
            Fenced: the run has another owner.
        """
        ticket = self.ledger.version
        while (turn := self._turn(ticket, final)) is not None:
            if isinstance(turn, Future):
                turn.result()
                continue
            try:
                answer: Answer | BaseException = self.recorder.write(turn)
            except BaseException as error:  # whatever it was, the flight must end before anyone goes on
                answer = error
            self._land(turn, answer)
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, Written) and (final is not None or self.landed >= ticket):
                return

    async def acommit(self, final: Final | None = None) -> None:
        """As `commit`, awaited on the engine's loop. Cancelling the caller leaves the flight alone."""
        ticket = self.ledger.version
        while (turn := self._turn(ticket, final)) is not None:
            if isinstance(turn, Future):
                await asyncio.shield(asyncio.wrap_future(turn))
                continue
            change = turn
            done: asyncio.Future[Answer | BaseException] = asyncio.get_running_loop().create_future()

            def landed(
                answer: Answer | BaseException,
                change: Change = change,
                done: asyncio.Future[Answer | BaseException] = done,
            ) -> None:
                self._land(change, answer)
                if not done.done():
                    done.set_result(answer)

            self.recorder.submit(change, landed)
            said = await done
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, Written) and (final is not None or self.landed >= ticket):
                return

    def _turn(self, ticket: int, final: Final | None) -> Change | Future[None] | None:
        with self._lock:
            if self.failure is not None and (final is None or not final.bare):
                raise self.failure
            if final is not None and final.still is not None and not final.still():
                raise ScopeClosed("the pass was ended before it could park")
            if final is None and (self.landed >= ticket or (not self.ledger.pending and not self._flying)):
                return None
            if self._flying:
                follower: Future[None] = Future()
                self._followers.append(follower)
                return follower
            self._flying = True
            if final is None:
                return self.ledger.take()
            return self.ledger.take(
                status=final.status,
                ending=final.ending,
                park=final.park,
                finish=final.finish,
                release=final.release,
                bump=final.bump,
                bare=final.bare,
            )

    def _land(self, change: Change, answer: Answer | BaseException) -> None:
        with self._lock:
            match answer:
                case Written():
                    self.ledger.landed()
                    self.landed = self.ledger.taken_version
                    if change.release or change.park is not None or change.bump:
                        self.left = answer.status
                        self.failure = Fenced(f"run {self.ledger.run_id} was given up by this worker with its last commit")
                case Undelivered(to=to, why=why):
                    self.ledger.restore()
                    self.refused.update(dict.fromkeys(self.ledger.withdraw_sends(to), why))
                case _:
                    self.ledger.restore()
                    self.failure = answer
            self._flying = False
            followers, self._followers = self._followers, []
        if isinstance(answer, Written):
            self._heard(change, answer)
        for follower in followers:
            follower.set_result(None)
