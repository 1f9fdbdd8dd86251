"""An interpreter of its own for the language of the simulation's programs, which knows nothing of the engine.

There are no passes, commits, ledgers or threads here: a program is walked once from its first node to its last, branch after
branch, and what a run of it must come to is written down on the way: its status, its output or the type of its error, and
for every location the kind, the status and the attempts of its entry. Time is not simulated, since none of these programs
depends on who is faster: a message was there before the run began or never comes, and only one branch of a race can win.

It stands in for goldens of another engine of this language, which do not exist in a form that could be used here. It was
written from the specified behaviour, by the same people as the engine, and shares with the simulation the nodes of a
program and the rule which attempt of which body fails.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.torture.simulation import programs as p

__all__ = ["Expected", "expected", "made_program"]

PRESENT = "here"
"""Messages whose name begins so are sent before the run begins."""


# --- programs -------------------------------------------------------------------------------------------------------


def made_program(chance: random.Random) -> p.Program:
    """A program whose end does not depend on chance, time or threads."""
    maker = _Maker(chance)
    return p.Program(chance.getrandbits(32), maker.block(3), tame=True)


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.left = chance.choice((3, 5, 8, 12, 16))
        self._next = 0

    def id(self) -> str:
        self._next += 1
        return f"i{self._next}"

    def block(self, depth: int) -> tuple[p.Node, ...]:
        wanted = self.chance.choice((2, 3, 4) if depth == 3 else (1, 1, 2, 2, 3))
        return tuple(self.node(depth) for _ in range(wanted) if self.left > 0) or (self.step(),)

    def node(self, depth: int) -> p.Node:
        self.left -= 1
        leaves = ("step", "step", "step", "step", "sleep", "receive", "receive", "fail")
        inner = ("loop", "join", "race", "block", "try", "loop", "join")
        match self.chance.choice(leaves + inner if depth > 0 else leaves):
            case "sleep":
                return p.Sleep(self.id(), self.chance.choice((0, 1, 60)))
            case "receive":
                return self.receive()
            case "fail" if self.chance.random() < 0.3:
                return p.Fail(self.id())
            case "loop":
                keep = self.chance.choice((None, None, 0, 1, 3))
                turns, every = self.chance.choice((1, 2, 3, 5)), self.chance.choice((1, 2, 20))
                return p.Loop(self.id(), self.block(depth - 1), turns, self.chance.random() < 0.5, every, keep)
            case "join":
                names = self.chance.sample("xyz", self.chance.choice((1, 2, 2, 3)))
                return p.Join(self.id(), {name: self.block(depth - 1) for name in names})
            case "race":
                return self.race(depth - 1)
            case "block":
                return p.Block(self.id(), self.block(depth - 1), False)
            case "try":
                return p.Try(self.id(), self.block(depth - 1))
        return self.step()

    def step(self) -> p.Step:
        chance, made = self.chance, self.id()
        mood = chance.choice(("",) * 8 + ("flaky",) * 4 + ("doomed", "critical"))
        explicit = chance.random() < 0.4
        name = f"s{made}" if explicit else chance.choice("abc")
        return p.Step(made, name, explicit, mood, chance.choice((0, 1, 5)), caught=chance.random() < 0.3)

    def receive(self) -> p.Receive:
        name = self.id()
        if self.chance.random() < 0.6:
            return p.Receive(name, (f"{PRESENT}-{name}",), self.chance.choice((None, 30)))
        return p.Receive(name, (f"never-{name}",), None if self.chance.random() < 0.15 else self.chance.choice((0, 30)))

    def race(self, depth: int) -> p.Race:
        """One branch may win; the other waits for ever, or fails for good."""
        made, other = self.block(depth), self.id()
        loser: p.Node = p.Receive(other, (f"never-{other}",), None)
        if self.chance.random() < 0.5:
            loser = p.Step(other, f"s{other}", True, "critical")
        return p.Race(self.id(), {"x": made, "loser": (loser,)})


# --- what they come to ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Expected:
    """What a run must come to. `error` is the name of a type; `messages` are to be sent before it begins."""

    status: str
    output: Any
    error: str
    entries: dict[str, tuple[str, str, int]]
    messages: list[str]


class Waits(Exception):
    """Here nothing ever comes."""


@dataclass
class Broken(Exception):
    """A failure on its way up: the type that code sees, and what an `Attempt` says of it, if it is one to be caught."""

    type: str
    failure: list[Any] | None = None


def expected(program: p.Program) -> Expected:
    """Walk a program."""
    walk = _Walk(program.seed)
    status, output, error = "completed", None, ""
    try:
        output = walk.block(program.body, _Scope(""))
    except Waits:
        status = "sleeping"
    except Broken as broken:
        status, error = "failed", broken.type
    return Expected(status, output, error, walk.entries, walk.messages)


@dataclass
class _Scope:
    """A place, and the names that are taken in it."""

    path: str
    taken: set[str] = field(default_factory=set)

    def at(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def named(self, name: str) -> str:
        """The name itself, or with the lowest free number."""
        made, number = name, 1
        while made in self.taken:
            number += 1
            made = f"{name}#{number}"
        self.taken.add(made)
        return made


class _Walk:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.entries: dict[str, tuple[str, str, int]] = {}
        self.messages: list[str] = []

    def block(self, nodes: tuple[p.Node, ...], scope: _Scope) -> list[Any]:
        return [self.node(node, scope) for node in nodes]

    def node(self, node: p.Node, scope: _Scope) -> Any:
        match node:
            case p.Step():
                return self.step(node, scope)
            case p.Sleep():
                self.entries[scope.at(scope.named(node.id))] = ("sleep", "completed", 0)
                return None
            case p.Receive():
                return self.receive(node, scope)
            case p.Loop():
                return self.loop(node, scope)
            case p.Join():
                return self.join(node, scope)
            case p.Race():
                return self.race(node, scope)
            case p.Block():
                try:
                    return self.block(node.body, _Scope(scope.at(scope.named(node.id))))
                except Broken as broken:
                    if broken.failure is None:
                        raise
                    return ["failed", *broken.failure]
            case p.Try():
                try:
                    return self.block(node.body, scope)
                except Broken as broken:
                    return ["caught", broken.type]
            case p.Fail():
                raise Broken("LookupError")
        raise TypeError(f"no {node} in these programs")

    def step(self, node: p.Step, scope: _Scope) -> Any:
        name = scope.named(node.name)
        place = scope.at(name)
        for attempt in range(1, node.retries + 2):
            how = p.breaks(self.seed, node, place, attempt, 0)
            if not how:
                self.entries[place] = ("step", "completed", attempt)
                return f"{place}${attempt}"
            if how == "critical":
                break
        kind, type = ("critical", "CriticalError") if how == "critical" else ("exhausted", "StepExhausted")
        self.entries[place] = ("step", "failed" if how == "critical" else "exhausted", attempt)
        failure = [kind, "step", name, attempt]
        if node.caught:
            return ["failed", *failure]
        raise Broken(type, failure)

    def receive(self, node: p.Receive, scope: _Scope) -> Any:
        (name,) = node.names
        place = scope.at(scope.named(node.id))
        if name.startswith(PRESENT):
            self.messages.append(name)
            self.entries[place] = ("message", "completed", 0)
            return [name]
        if node.timeout is None:
            self.entries[place] = ("message", "pending", 0)
            raise Waits
        self.entries[place] = ("message", "failed", 0)
        return []

    def loop(self, node: p.Loop, scope: _Scope) -> Any:
        place = scope.at(scope.named(node.id))
        keep = node.prune_every if node.keep is None else node.keep
        self.entries[place] = ("loop", "running", 0)
        for turn in range(node.turns):
            inside = _Scope(f"{place}/~{turn}")
            value = self.block(node.body, inside)
            if not node.stateful:
                self.entries[inside.at(inside.named("turn"))] = ("step", "completed", 1)
            if turn + 1 < node.turns and (turn + 1) % node.prune_every == 0:
                self.forget(place, turn + 1 - keep)
        self.forget(place, node.turns - keep)
        self.entries[place] = ("loop", "completed", 0)
        return [node.turns - 1, value]

    def forget(self, place: str, before: int) -> None:
        """The turns of a loop before that one."""
        for turn in range(before):
            self.drop(f"{place}/~{turn}/")

    def drop(self, prefix: str) -> None:
        self.entries = {place: entry for place, entry in self.entries.items() if not place.startswith(prefix)}

    def branches(self, node: p.Join | p.Race, place: str) -> tuple[dict[str, Any], dict[str, str], bool]:
        """What the branches returned, the types that others failed with, and whether any waits for ever."""
        values, errors, waits = {}, {}, False
        for name, body in node.branches.items():
            try:
                values[name] = self.block(body, _Scope(f"{place}/{name}"))
            except Broken as broken:
                errors[name] = broken.type
            except Waits:
                waits = True
        return values, errors, waits

    def join(self, node: p.Join, scope: _Scope) -> Any:
        place = scope.at(scope.named(node.id))
        self.entries[place] = ("join", "running", 0)
        values, errors, waits = self.branches(node, place)
        if waits:
            raise Waits
        if errors:
            self.entries[place] = ("join", "failed", 0)
            raise Broken("JoinError", ["critical", "join", node.id, 0])
        self.entries[place] = ("join", "completed", 0)
        return values

    def race(self, node: p.Race, scope: _Scope) -> Any:
        place = scope.at(scope.named(node.id))
        self.entries[place] = ("race", "running", 0)
        values, _, waits = self.branches(node, place)
        if values:
            self.entries[place] = ("race", "completed", 0)
            for name in node.branches:
                if name not in values:
                    self.drop(f"{place}/{name}/")
            ((name, value),) = values.items()
            return [name, value]
        if waits:
            raise Waits
        self.entries[place] = ("race", "failed", 0)
        raise Broken("RaceError", ["critical", "race", node.id, 0])
