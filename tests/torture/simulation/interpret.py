"""One workflow per colour that does what a program says.

The interpreter is written once, as a coroutine: the plain colour drives it to its end on the spot. Bodies report to the stage,
which is whatever the program was put on under its key; they find out where they stand from the engine, so that their log says
the location that history will say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import flowkit.aio as aio
import flowkit.plain as plain
from flowkit import CriticalError, FlowkitError, ReceiveTimeout, RollbackError, Step, Suspended, run_state, step, workflow
from flowkit.core.location import nested, split, turn_of
from flowkit.engine.replay import drive
from flowkit.engine.scope import current_body, in_run
from flowkit.primitives.loop import Break, Continue
from tests.torture.simulation import programs as p

__all__ = ["STAGES", "Place", "Stage", "location_of", "sim_async", "sim_plain"]


@dataclass(frozen=True)
class Place:
    """Where a body runs, and for the how-manieth time as far as the run knows."""

    location: str
    run: int
    epoch: int
    attempt: int
    round: int


class Stage(Protocol):
    """Where a program is put on."""

    program: p.Program

    def body(self, place: Place, node: p.Step) -> str:
        """A body begins; its token. Raises if it fails."""
        ...

    def undo(self, token: str, mood: str) -> None:
        """A rollback handler begins."""
        ...

    def saw(self, what: str, value: Any) -> None:
        """The workflow got `value` at the location `what`."""
        ...

    def breathe(self) -> None:
        """Anything may happen here."""
        ...

    def hops(self) -> int:
        """How many turns of the loop an async body takes."""
        ...


STAGES: dict[str, Stage] = {}


class Broken(Exception):
    """An ordinary failure of a body."""


def location_of(token: str) -> str:
    """The location at which a token was made."""
    return token.rpartition("$")[0]


# --- bodies ---------------------------------------------------------------------------------------------------------


def _place() -> Place:
    body = current_body()
    assert body is not None
    scope = body.scope
    location, ledger = scope.visits.busy, scope.running.ledger
    assert location is not None
    entry = ledger.entries.get(location)
    finished = 0 if entry is None else entry.attempts - (entry.status == "running")
    if entry is not None and entry.status == "running" and body.name.startswith("once"):
        finished = entry.attempts - 1
    return Place(location, ledger.run, ledger.epoch, finished + 1, entry.round if entry is not None else 0)


def _begin(key: str, node: p.Step) -> tuple[Stage, str]:
    stage, place = STAGES[key], _place()
    token = stage.body(place, node)
    if node.keeps:
        run_state()[place.location] = f"attempt {place.attempt}"
    stage.breathe()
    match p.breaks(stage.program.seed, node, place.location, place.attempt, place.round):
        case "plain" | "doomed":
            raise Broken(f"{place.location} attempt {place.attempt}")
        case "critical":
            raise CriticalError(place.location)
        case "rollback":
            raise RollbackError(place.location)
    return stage, token


def _undoing(mood: str, awaits: bool) -> Callable[..., Any]:
    def undo(token: str, key: str) -> None:
        STAGES[key].undo(token, mood)

    async def aundo(token: str, key: str) -> None:
        for _ in range(STAGES[key].hops()):
            await asyncio.sleep(0)
        STAGES[key].undo(token, mood)

    return aundo if awaits else undo


@lru_cache(maxsize=20_000)
def made_step(node: p.Step, awaits: bool) -> Step[..., Any]:
    """The step that a node stands for."""

    def body(key: str) -> str:
        return _begin(key, node)[1]

    async def abody(key: str) -> str:
        for _ in range(STAGES[key].hops()):
            await asyncio.sleep(0)
        stage, token = _begin(key, node)
        for _ in range(stage.hops()):
            await asyncio.sleep(0)
        return token

    function: Callable[..., Any] = abody if awaits else body
    function.__name__ = node.name
    return step(
        function, name=node.name if node.explicit else None, retries=node.retries, ephemeral=node.ephemeral,
        at_most_once=node.once, rollback=_undoing(node.undo, awaits) if node.undo else None, timeout=None,
        retry_on=None,
    )  # fmt: skip


@step(name="turn", timeout=None)
def plain_turn() -> int:
    """Which turn of the loop around it this is."""
    return _turn()


@step(name="turn", timeout=None)
async def async_turn() -> int:
    """Which turn of the loop around it this is."""
    return _turn()


def _turn() -> int:
    location = _place().location
    number = turn_of(split(split(location)[0])[1])
    assert number is not None
    return number


# --- the two colours ------------------------------------------------------------------------------------------------


class Colour:
    """The primitives of one colour, all of them to be awaited."""

    def __init__(self, awaits: bool) -> None:
        self.awaits = awaits
        self.module: Any = aio if awaits else plain

    async def call(self, primitive: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a primitive."""
        answer = getattr(self.module, primitive)(*args, **kwargs)
        return await answer if self.awaits else answer

    async def step(self, node: p.Step, key: str) -> Any:
        """Call a step, through `attempt` if the node says so."""
        made = made_step(node, self.awaits and not node.id.endswith("7"))
        if self.awaits and node.id.endswith("7"):
            made = made.aio  # a plain body in an async workflow
        answer = (made.attempt if node.caught else made)(key)
        return await answer if self.awaits else answer

    async def turn(self) -> Any:
        """Which turn this is."""
        return await async_turn() if self.awaits else plain_turn()

    async def complete(self, message: Any) -> None:
        """Complete a message."""
        done = message.complete("thanks")
        if self.awaits:
            await done

    def function(self, work: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        """`work` as a branch or a loop's body of this colour."""
        return work if self.awaits else lambda *args: drive(work(*args))  # type: ignore[arg-type]  # coroutines all


class Reader:
    """Does what a program says, in one colour."""

    def __init__(self, key: str, colour: Colour) -> None:
        self.key = key
        self.stage = STAGES[key]
        self.do = colour

    async def block(self, nodes: tuple[p.Node, ...]) -> list[Any]:
        """All nodes in order; what they came to."""
        return [await self.node(node) for node in nodes]

    async def node(self, node: p.Node) -> Any:
        match node:
            case p.Step():
                return await self.step(node)
            case p.Sleep():
                return await self.do.call("sleep", node.seconds, name=node.id)
            case p.Receive():
                return await self.receive(node)
            case p.Send():
                return await self.send(node)
            case p.Loop():
                return await self.loop(node)
            case p.Join() | p.Race():
                return await self.branches(node)
            case p.Block():
                return await self.attempt(node)
            case p.Try():
                return await self.attempted(node)
            case p.Version():
                return await self.do.call("version", node.id, 3)
            case p.Removed():
                return await self.do.call("removed", node.id, "step")
            case p.Checkpoint():
                return await self.do.call("checkpoint", node.id)
            case p.Fail():
                raise LookupError(f"the code of {node.id} fails")

    async def step(self, node: p.Step) -> Any:
        token = await self.do.step(node, self.key)
        if node.caught:
            if not token.ok:
                return ["failed", token.failure.kind, token.failure.source, token.failure.name, token.failure.attempts]
            token = token.value
        if not node.ephemeral:
            self.stage.saw(location_of(token), token)
        return token

    async def receive(self, node: p.Receive) -> Any:
        scope = in_run()
        assert scope is not None
        here = nested(scope.path, node.id)
        options: dict[str, Any] = {"timeout": node.timeout, "completable": node.completable, "as_name": node.id}
        try:
            if node.count:
                got = await self.do.call("receive_batch", *node.names, count=node.count, **options)
            else:
                got = [await self.do.call("receive", *node.names, **options)]
        except ReceiveTimeout:
            got = []
        self.stage.saw(here, [message.id for message in got])
        for message in got if node.completable else ():
            await self.do.complete(message)
        return [message.name for message in got]

    async def send(self, node: p.Send) -> str:
        try:
            await self.do.call("send", node.to, node.name, "from a run", key=node.key)
        except FlowkitError as error:
            return type(error).__name__
        return "sent"

    async def loop(self, node: p.Loop) -> Any:
        options: dict[str, Any] = {"name": node.id, "prune_every": node.prune_every, "keep": node.keep}

        async def turn(state: list[int]) -> Any:
            value = await self.block(node.body)
            return Continue([state[0] + 1]) if state[0] + 1 < node.turns else Break([state[0], value])

        async def stateless() -> Any:
            value = await self.block(node.body)
            number = await self.do.turn()
            return None if number + 1 < node.turns else Break([number, value])

        if node.stateful:
            return await self.do.call("loop", self.do.function(turn), [0], **options)
        return await self.do.call("loop", self.do.function(stateless), **options)

    async def branches(self, node: p.Join | p.Race) -> Any:
        functions = {name: self.do.function(self.branch(body)) for name, body in node.branches.items()}
        if isinstance(node, p.Join):
            return await self.do.call("join", node.id, functions)
        won = await self.do.call("race", node.id, functions)
        return [won.name, won.value]

    def branch(self, body: tuple[p.Node, ...]) -> Callable[[], Awaitable[Any]]:
        return lambda: self.block(body)

    async def attempt(self, node: p.Block) -> Any:
        catch = ("step", "join", "race", "rollback") if node.rollback else ("step", "join", "race")
        made = await self.do.call("attempt", self.do.function(self.branch(node.body)), name=node.id, catch=catch)
        if made.ok:
            return made.value
        return ["failed", made.failure.kind, made.failure.source, made.failure.name, made.failure.attempts]

    async def attempted(self, node: p.Try) -> Any:
        try:
            return await self.block(node.body)
        except Suspended:
            raise
        except Exception as error:  # the failure of whatever stands in the block
            return ["caught", type(error).__name__]


PLAIN = Colour(False)
ASYNC = Colour(True)


@workflow(name="sim-plain", max_crashes=1_000_000)
def sim_plain(key: str) -> Any:
    """Does what the program under `key` says."""
    return drive(Reader(key, PLAIN).block(STAGES[key].program.body))


@workflow(name="sim-async", max_crashes=1_000_000)
async def sim_async(key: str) -> Any:
    """Does what the program under `key` says."""
    return await Reader(key, ASYNC).block(STAGES[key].program.body)
