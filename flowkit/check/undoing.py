"""Whether a rollback could be done, tried without doing any of it.

A frozen pass collects the handlers, as a rollback itself does first, and what each would be given is decoded. Nothing is
called: a step that owes and can no longer be found is named now and not when it is too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowkit.check.effects import Effect
from flowkit.check.rehearsal import TooSlow, collect
from flowkit.codec import Coder
from flowkit.core.entry import Entry
from flowkit.definitions import Workflow
from flowkit.drivers.base import RunView
from flowkit.engine.passes import Pass
from flowkit.engine.source import place_of
from flowkit.errors import HistoryDiverged, PayloadError
from flowkit.primitives.step import StepCall
from flowkit.runtime.house import House
from flowkit.runtime.rollback import owing

__all__ = ["Trial", "Tried", "handler_of", "try_undoing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A step that owes a rollback: the handler that the code has for it, with ``file:line``, or why it has none."""

    location: str
    handler: str = ""
    source: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the pass found, in the order of undoing. `problem` is about the whole: nothing would be undone."""

    problem: str = ""
    steps: tuple[Tried, ...] = ()


def try_undoing(house: House, workflow: Workflow[..., Any], view: RunView, seconds: float) -> Trial:
    """Make the frozen pass, and say of each step that owes whether it could be undone, in the order of undoing."""
    try:
        collected = collect(house, workflow, view, seconds)
    except TooSlow:
        return Trial(problem=f"the workflow did not come to an end within {seconds:g} s")
    except PayloadError as error:
        return Trial(problem=str(error))
    except Effect as effect:
        return Trial(problem=f"the workflow's own code {effect}, which a frozen pass refuses")
    refusing = collected.refusing
    problem = _misfit(refusing) if isinstance(refusing, HistoryDiverged) else ""
    return Trial(problem=problem, steps=tuple(_tried(collected, entry) for entry in owing(collected)))


def _misfit(error: HistoryDiverged) -> str:
    """In a line what the error says in many: the run is not blocked, it is only tried."""
    if not error.recorded_name:
        return str(error).partition("\n")[0]
    made = f"the code makes {error.asked_kind} `{error.asked_name}`, {error.source}" if error.asked_kind else "the code lacks it"
    return f"the code does not fit the history, which has {error.recorded_kind} `{error.recorded_name}` where {made}"


def _tried(collected: Pass, entry: Entry) -> Tried:
    made = collected.handlers.get(entry.location)
    if made is None or not isinstance(made[0], StepCall):
        return Tried(location=entry.location, problem="the code no longer comes to this step")
    plan = made[0].plan
    if plan.rollback is None:
        return Tried(location=entry.location, problem="the step has no rollback any more")
    return Tried(
        location=entry.location, handler=handler_of(plan.rollback), source=place_of(plan.rollback),
        problem=_undecodable(plan.returns, entry),
    )  # fmt: skip


def _undecodable(returns: Coder, entry: Entry) -> str:
    try:
        if entry.output is not None:
            returns.decode(entry.output)
    except PayloadError as error:
        return f"its recorded output does not decode: {error}"
    return ""


def handler_of(handler: object) -> str:
    """What a handler is called."""
    name = getattr(handler, "__qualname__", None) or getattr(handler, "__name__", None) or type(handler).__name__
    return str(name).rpartition("<locals>.")[2]
