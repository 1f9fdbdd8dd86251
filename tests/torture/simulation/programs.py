"""Random workflow programs as data: trees of nodes, made from one seed.

A program always does the same at the same place: which of its bodies fail, and in which attempt, is a function of the seed, the
place and the attempt. A *tame* program moreover ends alike however it is interrupted, so that a run of it under faults can be
compared with one without: it has no free race, sends nothing, and no body that may run at most once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from zlib import crc32

__all__ = [
    "Block",
    "Checkpoint",
    "Fail",
    "Join",
    "Loop",
    "Node",
    "Program",
    "Race",
    "Receive",
    "Removed",
    "Send",
    "Sleep",
    "Step",
    "Try",
    "Version",
    "breaks",
    "generate",
]

MESSAGES = ("m", "n")


@dataclass(frozen=True)
class Step:
    """`mood` says how its body fails: never, "flaky" by attempt, "doomed", "critical", "rollback"."""

    id: str
    name: str
    explicit: bool
    mood: str = ""
    retries: int = 2
    ephemeral: bool = False
    once: bool = False
    undo: str = ""
    """How its rollback handler fares: "" none, "ok", "flaky", "stuck"."""
    keeps: bool = False
    """It leaves a trace in the run's state."""
    caught: bool = False
    """Called through `step.attempt`."""


@dataclass(frozen=True)
class Sleep:
    id: str
    seconds: float


@dataclass(frozen=True)
class Receive:
    """`count` 0: a single message."""

    id: str
    names: tuple[str, ...]
    timeout: float | None
    count: int = 0
    completable: bool = False


@dataclass(frozen=True)
class Send:
    id: str
    to: str
    name: str
    key: str | None


@dataclass(frozen=True)
class Loop:
    id: str
    body: tuple[Node, ...]
    turns: int
    stateful: bool
    prune_every: int
    keep: int | None


@dataclass(frozen=True)
class Join:
    id: str
    branches: dict[str, tuple[Node, ...]]


@dataclass(frozen=True)
class Race:
    id: str
    branches: dict[str, tuple[Node, ...]]


@dataclass(frozen=True)
class Block:
    id: str
    body: tuple[Node, ...]
    rollback: bool


@dataclass(frozen=True)
class Try:
    id: str
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Version:
    id: str


@dataclass(frozen=True)
class Removed:
    id: str


@dataclass(frozen=True)
class Checkpoint:
    id: str


@dataclass(frozen=True)
class Fail:
    """The workflow's own code raises."""

    id: str


Node = Step | Sleep | Receive | Send | Loop | Join | Race | Block | Try | Version | Removed | Checkpoint | Fail


@dataclass(frozen=True)
class Program:
    """`seed` decides which bodies fail."""

    seed: int
    body: tuple[Node, ...]
    tame: bool
    counts: dict[str, int] = field(default_factory=dict, compare=False)

    def has(self, *kinds: str) -> bool:
        """Whether a node of one of these kinds is in it."""
        return any(self.counts.get(kind) for kind in kinds)


def breaks(seed: int, node: Step, place: str, attempt: int, round: int) -> str:
    """How attempt number `attempt` of a body fails, "" if it does not. What `recover()` starts over succeeds."""
    if not node.mood or round > 0:
        return ""
    if node.mood != "flaky":
        return node.mood
    return "plain" if crc32(f"{seed} {place} {attempt}".encode()) % 5 < 2 else ""


def generate(rng: random.Random, *, tame: bool, partners: tuple[str, ...] = ()) -> Program:
    """A small program. `partners` are the runs it may send to."""
    maker = _Maker(rng, tame, partners)
    body = maker.block(3)
    if rng.random() < 0.6 or (tame and maker.counts.get("undo")):
        body = (Checkpoint("c"), *body)
    return Program(rng.getrandbits(32), body, tame, maker.counts)


class _Maker:
    def __init__(self, rng: random.Random, tame: bool, partners: tuple[str, ...]) -> None:
        self.rng = rng
        self.tame = tame
        self.partners = partners
        self.counts: dict[str, int] = {}
        self.left = rng.choice((3, 4, 5, 6, 8, 10, 12))
        self._next = 0

    def id(self) -> str:
        self._next += 1
        return f"i{self._next}"

    def block(self, depth: int) -> tuple[Node, ...]:
        """One to three nodes, as long as the budget lasts."""
        return tuple(
            self.node(depth) for _ in range(self.rng.choice((2, 3, 4) if depth == 3 else (1, 1, 2, 2, 3))) if self.left > 0
        ) or (self.step(),)

    def node(self, depth: int) -> Node:
        self.left -= 1
        kinds = ["step"] * 9 + ["sleep", "sleep", "receive", "receive", "send", "version", "fail", "removed"]
        kinds += [] if self.tame else ["receive"] * 4
        if depth > 0:
            kinds += ["loop"] * 4 + ["join"] * 4 + ["race"] * 3 + ["block"] * 3 + ["try"] * 3
        kind = self.rng.choice(kinds)
        if kind == "send" and (self.tame or not self.partners):
            kind = "step"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        match kind:
            case "loop":
                return self.loop(depth - 1)
            case "join":
                return self.join(depth - 1)
            case "race":
                return self.race(depth - 1)
            case "block":
                return Block(self.id(), self.block(depth - 1), self.rng.random() < 0.3)
            case "try":
                return Try(self.id(), self.block(depth - 1))
        return self.leaf(kind)

    def leaf(self, kind: str) -> Node:
        match kind:
            case "sleep":
                return Sleep(self.id(), self.rng.choice((0, 1, 5, 60)))
            case "receive":
                return self.receive()
            case "send":
                return self.send()
            case "version":
                return Version(self.id())
            case "removed":
                return Removed(self.id())
            case "fail" if self.rng.random() < 0.3:
                return Fail(self.id())
        return self.step()

    def step(self) -> Step:
        rng = self.rng
        mood = rng.choice(("",) * 12 + ("flaky",) * 6 + ("doomed", "critical", "rollback"))
        explicit = rng.random() < 0.5
        made = self.id()
        once = not self.tame and rng.random() < 0.08
        if once:
            self.counts["once"] = 1
        ephemeral = rng.random() < 0.2
        if ephemeral:
            self.counts["ephemeral"] = 1
        undo = rng.choice(("", "", "", "", "ok", "ok", "flaky", "stuck" if not self.tame and rng.random() < 0.3 else ""))
        if undo:
            self.counts["undo"] = 1
        return Step(
            made, f"s{made}" if explicit else rng.choice("abc"), explicit, mood, rng.choice((0, 1, 5, 5)), ephemeral, once, undo,
            rng.random() < 0.15, rng.random() < (0.7 if mood in ("doomed", "critical") else 0.2),
        )  # fmt: skip

    def receive(self) -> Receive:
        rng = self.rng
        names = rng.choice((("m",), ("n",), ("m", "n"), ()))
        timeout = rng.choice((0, 2, 30)) if self.tame or rng.random() < 0.5 else None
        count = rng.choice((0, 0, 0, 2))
        return Receive(self.id(), names, timeout, count, not self.tame and rng.random() < 0.2)

    def send(self) -> Send:
        return Send(self.id(), self.rng.choice(self.partners), self.rng.choice(MESSAGES), self.rng.choice((None, None, "k1")))

    def loop(self, depth: int) -> Loop:
        rng = self.rng
        keep = rng.choice((None, None, 0, 1))
        return Loop(self.id(), self.block(depth), rng.choice((1, 2, 3, 5)), rng.random() < 0.5, rng.choice((1, 2, 20)), keep)

    def join(self, depth: int) -> Join:
        return Join(self.id(), {name: self.block(depth) for name in self.rng.sample("xyz", self.rng.choice((1, 2, 2, 3)))})

    def race(self, depth: int) -> Race:
        if not self.tame:
            return Race(self.id(), {name: self.block(depth) for name in self.rng.sample("xyz", self.rng.choice((1, 2, 2, 3)))})
        return Race(self.id(), {"x": self.block(depth), "never": (Receive(self.id(), ("never",), None),)})
