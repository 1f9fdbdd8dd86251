"""`loop`: turns with a state, of which a run keeps only the newest.

Turn number and state ride on whatever the run writes next, so a turn costs no commit of its own; finished turns are deleted
in the same commit that makes them unreachable. Turns from the first one on that owes a rollback are kept, each with the
state it started from, since undoing must enter them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from flowkit.codec import Coder
from flowkit.core.entry import Entry
from flowkit.core.location import nested, turn_of, turn_segment
from flowkit.core.outcome import Done, Failed, Outcome
from flowkit.engine.ports import Port
from flowkit.engine.replay import Call
from flowkit.engine.scope import Scope
from flowkit.engine.source import place_of
from flowkit.errors import EndlessLoop, PayloadError

__all__ = ["Break", "Continue", "Loop", "LoopProgress", "read_loop"]

S = TypeVar("S")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Continue(Generic[S]):
    """Go on with the next turn, from this state."""

    state: S = None  # type: ignore[assignment]  # a stateless loop says Continue()


@dataclass(frozen=True, slots=True)
class Break(Generic[V]):
    """End the loop with this value."""

    value: V = None  # type: ignore[assignment]  # a loop that is worth nothing says Break()


class LoopProgress(msgspec.Struct, gc=False):
    """What a loop's entry holds: the turn under way and its state, how far pruning got, and kept starting states by turn."""

    turn: int = 0
    state: msgspec.Raw = msgspec.Raw(b"null")
    pruned: int = 0
    kept: dict[int, msgspec.Raw] = {}
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_read = msgspec.json.Decoder(LoopProgress)


def read_loop(entry: Entry) -> LoopProgress:
    """A loop entry's progress, or once it is settled its value."""
    return _read.decode(entry.output or b"{}")


@dataclass(frozen=True, slots=True)
class Loop:
    """`stateful` tells a loop with ``state=None`` from one without a state."""

    name: str
    explicit: bool
    body: Callable[..., Any]
    stateful: bool
    state: Any
    states: Coder
    values: Coder
    prune_every: int
    keep: int
    kind: ClassVar[str] = "loop"
    frontier: ClassVar[str] = "new"

    def recall(self, scope: Scope, entry: Entry) -> Any:
        value = read_loop(entry).value
        if value is msgspec.UNSET:
            raise scope.frontier()
        return self.values.decode(bytes(value))

    async def perform(self, call: Call, port: Port) -> Outcome[Any]:
        if call.entry is None:
            start = msgspec.Raw(self.states.encode(self.state, limit=call.scope.running.host.max_payload))
            call.open(self.kind, "running", output=msgspec.json.encode(LoopProgress(state=start)))
        progress = read_loop(self._entry(call))
        if call.scope.running.collects:
            await self._earlier_turns(call, port, progress)
        running = call.scope.running
        restless, waits, most = 0, running.waits, running.host.settings.loop_turns
        while True:
            restless, waits = (restless + 1, waits) if running.waits == waits else (1, running.waits)
            if restless > most:
                what = f"loop {self.name!r} ({place_of(self.body)}) made {most:,} turns and never waited"
                return Failed(running.outgrew(EndlessLoop, call.location, what, "loop_turns"))
            outcome = await self._turn(call, port, progress.turn, progress.state)
            if isinstance(outcome, Failed):
                return outcome
            if isinstance(outcome.value, Break):
                return await self._end(call, progress, outcome.value.value)
            if (error := self._wrong(outcome.value)) is not None:
                return Failed(error)
            self._advance(call, progress, outcome.value)
            if progress.turn % self.prune_every == 0:
                self._prune(call, progress)
                await port.commit(call.scope)

    async def revisit(self, call: Call, port: Port) -> None:
        progress = read_loop(self._entry(call))
        await self._earlier_turns(call, port, progress)
        if progress.value is msgspec.UNSET:  # cut short, in a branch that lost: its last turn is in nobody's keep
            await self._turn(call, port, progress.turn, progress.state)

    # --- turns ------------------------------------------------------------------------------------------------------

    async def _turn(self, call: Call, port: Port, turn: int, state: msgspec.Raw) -> Outcome[Any]:
        scope = call.scope.inside(nested(call.location, turn_segment(turn)))
        if not self.stateful:
            return await port.call(scope, self.body)
        try:
            value = self.states.decode(bytes(state))
        except PayloadError as error:
            return Failed(call.scope.running.unreadable(call.location, error))
        return await port.call(scope, self.body, value)

    async def _earlier_turns(self, call: Call, port: Port, progress: LoopProgress) -> None:
        """Enter the finished turns that are kept because they owe a rollback. What they come to is known already."""
        for turn in sorted(progress.kept):
            if turn < progress.turn or progress.value is not msgspec.UNSET:
                outcome = await self._turn(call, port, turn, progress.kept[turn])
                if isinstance(outcome, Failed) and call.scope.strand.stop is not None:
                    raise call.scope.strand.stop

    def _advance(self, call: Call, progress: LoopProgress, said: Any) -> None:
        ledger = call.scope.running.ledger
        here = nested(call.location, turn_segment(progress.turn))
        if progress.kept or ledger.owing_below(here):
            progress.kept[progress.turn] = progress.state
        if self.stateful:
            state = self.states.encode(said.state, limit=call.scope.running.host.max_payload)
            progress.state = msgspec.Raw(state)
        progress.turn += 1
        call.entry = call.scope.stage(
            msgspec.structs.replace(self._entry(call), output=msgspec.json.encode(progress), attempts=progress.turn)
        )

    async def _end(self, call: Call, progress: LoopProgress, value: Any) -> Outcome[Any]:
        ledger = call.scope.running.ledger
        body = self.values.encode(value, limit=call.scope.running.host.max_payload)
        here = nested(call.location, turn_segment(progress.turn))
        if progress.kept or ledger.owing_below(here):
            progress.kept[progress.turn] = progress.state
        progress.value = msgspec.Raw(body)
        with ledger.lock:  # no other branch's commit may carry only half of this
            self._forget_old(call, progress, progress.turn + 1)
            call.finish(self.kind, "completed", output=msgspec.json.encode(progress), attempts=progress.turn + 1)
        return Done(self.values.decode(body))

    # --- pruning ----------------------------------------------------------------------------------------------------

    def _prune(self, call: Call, progress: LoopProgress) -> None:
        before = progress.pruned
        with call.scope.running.ledger.lock:
            self._forget_old(call, progress, progress.turn)
            if progress.pruned != before:
                call.entry = call.scope.stage(msgspec.structs.replace(self._entry(call), output=msgspec.json.encode(progress)))

    def _forget_old(self, call: Call, progress: LoopProgress, turns: int) -> None:
        """Delete the turns older than the newest `keep` of `turns`, but none from the first that owes a rollback on."""
        running = call.scope.running
        if running.journal.frozen:
            return
        until = max(0, turns - self.keep)
        if progress.kept:
            until = min(until, min(progress.kept))
        ledger = running.ledger
        gone: list[Entry] = []
        for segment in list(ledger.inner.get(call.location, ())):
            turn = turn_of(segment)
            if turn is not None and turn < until:
                gone.extend(ledger.below(nested(call.location, segment)))
        if gone:
            running.fold_state(gone)
            ledger.forget(gone)
        progress.pruned = max(progress.pruned, until)

    def _entry(self, call: Call) -> Entry:
        assert call.entry is not None
        return call.entry

    def _wrong(self, said: Any) -> TypeError | None:
        """The error of a body that returned what no loop can go on with."""
        if isinstance(said, Continue) or (said is None and not self.stateful):
            return None
        got = "nothing" if said is None else f"a {type(said).__name__}"
        state = "Continue(state)" if self.stateful else "Continue(), nothing"
        return TypeError(
            f"the body of loop {self.name!r} ({place_of(self.body)}) returned {got}. Return {state} to go on with the next "
            f"turn, or Break(value) to end the loop."
        )
