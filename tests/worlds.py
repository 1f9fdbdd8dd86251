"""Workflows written once and run in both colours, with steps that note what they do and fail on demand.

A *script* is a generator function over a `World`: it yields each call, as async code awaits it. In the plain world the call is
made where it stands and the yield only hands its value back; in the async one the yield awaits it. So a script is exactly
the plain or the async workflow that it reads like, but for the word in front of its calls.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

import flowkit
import flowkit.aio as aio
from flowkit import CriticalError, Workflow, step, workflow

__all__ = ["Script", "World", "both"]

Script = Callable[..., Generator[Any, Any, Any]]

both = pytest.mark.parametrize("colour", ["plain", "async"])


class World:
    """One colour's primitives, what its steps have done so far (`log`), and which of them fail (`broken`)."""

    def __init__(self, colour: str) -> None:
        self.awaits = colour == "async"
        self.log: list[str] = []
        self.broken: set[str] = set()
        self._front: Any = aio if self.awaits else flowkit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._front, name)

    def step(self, name: str, value: Any = None, *, default_name: bool = False, undo: bool = False, **options: Any) -> Any:
        """Call a step that notes its name and returns `value`, or its name; its handler notes ``undo <name>``."""

        def body() -> Any:
            self.log.append(name)
            if name in self.broken:
                raise CriticalError(f"{name} is broken")
            return name if value is None else value

        def undone() -> None:
            self.log.append(f"undo {name}")
            if f"undo {name}" in self.broken:
                raise CriticalError(f"undo {name} is broken")

        body.__name__ = name
        made: Any = step(body, name=None if default_name else name, rollback=undone if undo else None, **options)
        return made.aio() if self.awaits else made()

    def body(self, script: Script) -> Callable[..., Any]:
        """A branch, loop body or block of this colour."""
        made = _awaited(self, script) if self.awaits else _plain(self, script)
        made.__name__ = script.__name__
        made.__qualname__ = f"{script.__qualname__}-{id(script)}"  # scripts are told apart as code of their own would be
        return made

    def flow(self, script: Script, **options: Any) -> Workflow[..., Any]:
        """A workflow of this colour."""
        made: Workflow[..., Any] = workflow(name="flow", **options)(self.body(script))
        return made


def _plain(world: World, script: Script) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        work = script(world, *args)
        value = None
        while True:
            try:
                value = work.send(value)
            except StopIteration as done:
                return done.value

    return run


def _awaited(world: World, script: Script) -> Callable[..., Any]:
    async def run(*args: Any) -> Any:
        work = script(world, *args)
        go: Callable[[], Any] = lambda: work.send(None)  # noqa: E731
        while True:
            try:
                call = go()
            except StopIteration as done:
                return done.value
            try:
                value = await call
            except BaseException as error:
                go = lambda error=error: work.throw(error)  # noqa: E731
            else:
                go = lambda value=value: work.send(value)  # noqa: E731

    return run
