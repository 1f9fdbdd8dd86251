"""Workflows that carry a value through each place where a run keeps one, and look at it whenever they get it.

What a workflow gets is compared with the value made afresh, and then spoiled: a run must never see what a pass before it, or
the body that returned it, did to an object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowkit import Break, Continue, Workflow, loop, receive, run_state, step, workflow
from tests.codec.values import same

__all__ = ["CARRIERS", "SEEN", "VALUES", "alike", "through"]

VALUES: dict[str, Callable[[], Any]] = {}
"""Key → makes the value."""

SEEN: dict[str, list[bool]] = {}
"""Key → for each time that the code got the value, whether it was the same."""


def alike(left: Any, right: Any) -> bool:
    """As `same`, also for what nests as deep as may be: the way down is a loop, for comparing takes more of Python's stack than
    storing does.
    """
    while type(left) is type(right) and type(left) in (list, tuple, dict) and len(left) == len(right) == 1:
        if type(left) is dict and not same(list(left), list(right)):
            return False
        ((left,), (right,)) = (left.values(), right.values()) if type(left) is dict else (left, right)
    return same(left, right)


def look(key: str, got: Any) -> None:
    SEEN.setdefault(key, []).append(alike(got, VALUES[key]()))
    spoil(got)


def spoil(value: Any) -> None:
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        if part is not value and isinstance(part, dict | list | set | bytearray):
            part.clear()
    if isinstance(value, dict | list | set | bytearray):
        value.clear()


@step(retries=0)
def give(key: str) -> Any:
    """Returns the value."""
    return VALUES[key]()


@step(retries=0)
def keep(key: str) -> None:
    """Puts the value into the run's state, and spoils its own afterwards."""
    value = VALUES[key]()
    run_state()["kept"] = value


@step(retries=0)
def read(key: str) -> bool:
    """Whether the value is in the run's state."""
    return alike(run_state()["kept"], VALUES[key]())


@workflow
def by_step(key: str) -> None:
    """The output of a step."""
    look(key, give(key))
    receive("go")


@workflow
def by_input(key: str, value: Any) -> None:
    """An argument."""
    look(key, value)
    receive("go")


@workflow
def by_message(key: str) -> None:
    """The data of a message."""
    look(key, receive("value").data)
    receive("go")


@workflow
def by_state(key: str) -> None:
    """The run's state."""
    keep(key)
    receive("go")
    SEEN.setdefault(key, []).append(read(key))


@workflow
def by_loop(key: str) -> None:
    """The state of a loop."""

    def turn(state: Any) -> Any:
        if state == "first":
            return Continue(VALUES[key]())
        look(key, state)
        receive("go")
        return Break(None)

    loop(turn, "first")


@workflow
def by_result(key: str) -> Any:
    """The output of the run, which it only returns when the pass begins anew."""
    receive("go")
    return VALUES[key]()


CARRIERS: dict[str, Workflow[..., Any]] = {
    "step": by_step, "input": by_input, "message": by_message, "state": by_state, "loop": by_loop, "result": by_result,
}  # fmt: skip


def through(kind: str, key: str) -> tuple[Any, ...]:
    """The arguments of a carrier."""
    return (key, VALUES[key]()) if kind == "input" else (key,)
