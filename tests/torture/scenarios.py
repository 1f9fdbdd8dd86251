"""Small programs for the crash at every call: one for each thing that is recorded, in both colours.

A step notes when its body begins, and looks into the store whether its outcome is already there: that is never to be. Names
of steps occur once in a program, so that a name is enough to find the entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flowkit import Break, Continue, CriticalError, JoinError, ReceiveTimeout, StepExhausted, StepInterrupted, Workflow, step
from flowkit.drivers.base import Driver
from flowkit.testing import Lab
from tests.worlds import Script, World

__all__ = ["SCENARIOS", "Scenario", "Stage", "scenario"]

Act = Callable[..., object]
"""Takes the Lab, and the id of the run as `run`."""


class Stage(World):
    """A world whose bodies look into the store before they do anything."""

    def __init__(self, colour: str) -> None:
        super().__init__(colour)
        self.driver: Driver | None = None
        self.run = ""
        self.begun: Counter[str] = Counter()
        self.again: list[str] = []
        self.failed: Counter[str] = Counter()

    def begins(self, name: str) -> None:
        """A body of this step begins."""
        self.begun[name] += 1
        assert self.driver is not None
        row = self.driver.get(self.run)
        assert row is not None
        for entry in self.driver.history(row.seq):
            if entry.location.split("/")[-1] == name and entry.status in ("completed", "failed", "exhausted"):
                self.again.append(f"I10: the body of {name} began although it is {entry.status}")

    def step(
        self, name: str, value: Any = None, *, default_name: bool = False, undo: bool = False, fails: bool = False, **options: Any
    ) -> Any:
        """Call a step that gives `value` or its name, or always fails."""

        def body() -> Any:
            self.begins(name)
            if fails:
                self.failed[name] += 1
                raise ValueError(f"{name} fails")
            if name in self.broken:
                raise CriticalError(f"{name} is broken")
            return name if value is None else value

        made: Any = step(body, name=name, backoff=0.0, rollback=self._handler(name) if undo else None, **options)
        return made.aio() if self.awaits else made()

    def _handler(self, name: str) -> Callable[[Any], None]:
        def undone(output: Any) -> None:
            self.begun[f"undo {name}"] += 1

        return undone


@dataclass(frozen=True)
class Scenario:
    """A workflow and what is done to it: each act may be repeated, as a user would after a crash."""

    name: str
    stage: Stage
    flow: Workflow[..., Any]
    acts: tuple[Act, ...]
    at_most_once: bool = False

    def begin(self, store: Driver, run: str) -> tuple[Callable[[Lab], object], ...]:
        """A new play in this store, of a run with this id: what is done, one after the other."""
        self.stage.driver, self.stage.run = store, run
        self.stage.begun.clear()
        self.stage.again.clear()
        self.stage.failed.clear()
        return (lambda lab: lab.start(run, self.flow), *(partial(act, run=run) for act in self.acts))


def _end(lab: Lab, run: str) -> object:
    return lab.run_to_end(run)


def _pass(lab: Lab, run: str) -> object:
    return lab.run_once(run)


def _send(name: str, key: str) -> Act:
    return lambda lab, run: lab.send(run, name, key, key=key)


def _send_once(number: int) -> Act:
    """Without a key, as somebody who looks first whether the message has come."""

    def act(lab: Lab, run: str) -> object:
        row = lab.client.driver.get(run)
        assert row is not None
        return None if row.inbox >= number else lab.send(run, "go", f"message {number}")

    return act


def _steps(w: Any) -> Any:
    a = yield w.step("a")
    b = yield w.step("b")
    return [a, b, (yield w.step("nothing", value=0))]


def _ephemeral(w: Any) -> Any:
    a = yield w.step("a", ephemeral=True)
    b = yield w.step("b", ephemeral=True)
    return [a, b, (yield w.step("c"))]


def _at_most_once(w: Any) -> Any:
    try:
        return (yield w.step("only", at_most_once=True))
    except StepInterrupted:
        return "interrupted"


def _exhausted(w: Any) -> Any:
    try:
        yield w.step("hopeless", fails=True, retries=2)
    except StepExhausted as error:
        return [str(error), (yield w.step("after"))]


def _sleeping(w: Any) -> Any:
    a = yield w.step("a")
    yield w.sleep(60)
    yield w.sleep(3600, name="long")
    return [a, (yield w.step("b"))]


def _messages(w: Any) -> Any:
    first = yield w.receive("go")
    a = yield w.step("a")
    second = yield w.receive("go", "stop")
    return [first.data, a, second.data, (yield w.step("b"))]


def _batch(w: Any) -> Any:
    taken = yield w.receive_batch("go", count=5)
    return [[message.data for message in taken], (yield w.step("a"))]


def _completable(w: Any) -> Any:
    message = yield w.receive("go", completable=True)
    a = yield w.step("a")
    yield message.complete("done")
    return [message.data, a]


def _too_late(w: Any) -> Any:
    try:
        yield w.receive("never", timeout=60)
    except ReceiveTimeout:
        return (yield w.step("late"))


def _looping(w: Any) -> Any:
    def turn(w: Any, number: int) -> Any:
        yield w.step(f"turn-{number}")
        return Continue(number + 1) if number < 4 else Break(number)

    last = yield w.loop(w.body(turn), 0, name="turns", prune_every=2, keep=1)
    return [last, (yield w.step("after"))]


def _looping_over_messages(w: Any) -> Any:
    def turn(w: Any, words: list[str]) -> Any:
        message = yield w.receive("go", as_name="next")
        words = [*words, message.data]
        yield w.step(f"use-{len(words)}")
        return Continue(words) if len(words) < 3 else Break(words)

    return (yield w.loop(w.body(turn), [], name="letters", prune_every=1, keep=0))


def _branch(name: str, *steps: str) -> Script:
    def branch(w: Any) -> Any:
        found = ()
        for each in steps:
            found = (*found, (yield w.step(each)))
        return list(found)

    branch.__name__ = name
    return branch


def _joining(w: Any) -> Any:
    both = yield w.join(left=w.body(_branch("left", "l1", "l2")), right=w.body(_branch("right", "r1")))
    return [both["left"], both["right"], (yield w.step("after"))]


def _joining_failures(w: Any) -> Any:
    def bad(w: Any) -> Any:
        yield w.step("bad", fails=True, retries=1)

    try:
        yield w.join(good=w.body(_branch("good", "g1")), bad=w.body(bad))
    except JoinError as error:
        return [sorted(error.errors), (yield w.step("after"))]


def _racing(w: Any) -> Any:
    def waits(w: Any) -> Any:
        yield w.receive("never")

    winner = yield w.race(quick=w.body(_branch("quick", "q1")), waits=w.body(waits))
    return [winner.name, winner.value, (yield w.step("after"))]


def _rolling_back(w: Any) -> Any:
    yield w.checkpoint("all")
    yield w.step("seat", undo=True)
    yield w.step("hotel", undo=True)
    yield w.step("money", fails=True, retries=0)


def _rolling_back_later(w: Any) -> Any:
    yield w.checkpoint("all")
    yield w.step("seat", undo=True)
    yield w.sleep(60)
    yield w.step("hotel", undo=True)
    w.broken.add("money")
    yield w.step("money")


def _sending_to_itself(w: Any) -> Any:
    yield w.send(w.run, "go", "to myself", key="mine")
    message = yield w.receive("go")
    return [message.data, (yield w.step("a"))]


def _versions(w: Any) -> Any:
    number = yield w.version("gate", 3)
    yield w.removed("old", "step")
    yield w.checkpoint("c")
    return [number, (yield w.step("a"))]


def _attempting(w: Any) -> Any:
    def block(w: Any) -> Any:
        yield w.step("inside")
        yield w.step("wrong", fails=True, retries=0)

    found = yield w.attempt(w.body(block), name="try")
    return [found.ok, found.failure.name, (yield w.step("after"))]


def _cancelled(lab: Lab, run: str) -> object:
    return lab.get(run).cancel()


def _undone(lab: Lab, run: str) -> object:
    return lab.get(run).cancel(rollback=True)


def _paused(lab: Lab, run: str) -> object:
    lab.get(run).pause()
    lab.run_once(run)
    return lab.get(run).resume()


_GO = (_send("go", "k1"), _send("go", "k2"), _send("stop", "k3"))
_ACTS: tuple[tuple[Script, tuple[Act, ...]], ...] = (
    (_steps, (_end,)),
    (_exhausted, (_end,)),
    (_messages, (_pass, _send_once(1), _send_once(2), _send_once(3), _end)),
    (_ephemeral, (_end,)),
    (_at_most_once, (_end,)),
    (_sleeping, (_pass, _end)),
    (_messages, (_pass, *_GO, _end)),
    (_batch, (*_GO, _end)),
    (_completable, (_send("go", "k1"), _end)),
    (_too_late, (_pass, _end)),
    (_looping, (_end,)),
    (_looping_over_messages, (*_GO[:2], _pass, _send("go", "k4"), _end)),
    (_joining, (_end,)),
    (_joining_failures, (_end,)),
    (_racing, (_end,)),
    (_rolling_back, (_end,)),
    (_rolling_back_later, (_pass, _end)),
    (_sending_to_itself, (_end,)),
    (_versions, (_end,)),
    (_attempting, (_end,)),
    (_messages, (_pass, _send("go", "k1"), _pass, _cancelled, _end)),
    (_rolling_back_later, (_pass, _undone, _end)),
    (_messages, (_pass, _send("go", "k1"), _paused, *_GO[1:], _end)),
)
SCENARIOS = 2 * len(_ACTS)


def scenario(number: int) -> Scenario:
    """The scenario of this number: even ones are plain, odd ones are async."""
    script, acts = _ACTS[number // 2 % len(_ACTS)]
    stage = Stage(("plain", "async")[number % 2])
    flow = stage.flow(script, max_crashes=50)
    return Scenario(f"{script.__name__.strip('_')}, {('plain', 'async')[number % 2]}", stage, flow, acts, script is _at_most_once)
