"""The four ways in which a step meets a workflow, so that one test covers all of them.

A plain or an async workflow calls a plain or an async body. `Colour.step` makes the step of a plain function, `one`, `all_of`,
`kept` and `caught` are the small workflows that most tests need, written once for each colour.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import flowkit.aio as aio
from flowkit import Suspended, Workflow, sleep, step, workflow

__all__ = ["ALL", "ASYNC", "BOTH", "PLAIN", "Colour", "every_colour", "native_colours"]


@dataclass(frozen=True)
class Colour:
    """Of which colour the workflow is, and of which the bodies are."""

    flow_awaits: bool
    body_awaits: bool

    def __str__(self) -> str:
        words = {True: "async", False: "plain"}
        return f"{words[self.flow_awaits]}-calls-{words[self.body_awaits]}"

    def step(self, body: Callable[..., Any], **options: Any) -> Any:
        """A step of this body, as the workflow calls it."""
        made: Any = step(_awaited(body) if self.body_awaits else body, **options)
        return made.aio if self.flow_awaits and not self.body_awaits else made

    def napping(self, naps: list[float], log: list[str], **options: Any) -> Any:
        """A step whose n-th attempt takes ``naps[n]`` seconds and says so in `log` when it starts and when it ends."""

        def nap() -> str:
            log.append("start")
            time.sleep(naps[log.count("start") - 1])
            log.append("end")
            return "rested"

        async def awaited_nap() -> str:
            log.append("start")
            await asyncio.sleep(naps[log.count("start") - 1])
            log.append("end")
            return "rested"

        options.setdefault("name", "nap")
        made: Any = step(awaited_nap if self.body_awaits else nap, **options)
        return made.aio if self.flow_awaits and not self.body_awaits else made

    def one(self, called: Any, *args: Any, **options: Any) -> Workflow[..., Any]:
        """A workflow that returns what the step returns."""

        def plain() -> Any:
            return called(*args)

        async def awaiting() -> Any:
            return await called(*args)

        return self._workflow(plain, awaiting, "one", options)

    def all_of(self, *called: Any, **options: Any) -> Workflow[..., Any]:
        """A workflow that calls the steps in order and returns the list of their values."""

        def plain() -> Any:
            return [each() for each in called]

        async def awaiting() -> Any:
            return [await each() for each in called]

        return self._workflow(plain, awaiting, "all_of", options)

    def kept(self, called: Any, seen: list[Any], *args: Any) -> Workflow[..., Any]:
        """A workflow that notes the step's value on each of its two passes."""

        def plain() -> Any:
            seen.append(called(*args))
            sleep(60)
            return seen[-1]

        async def awaiting() -> Any:
            seen.append(await called(*args))
            await aio.sleep(60)
            return seen[-1]

        return self._workflow(plain, awaiting, "kept", {})

    def caught(self, called: Any, seen: list[BaseException]) -> Workflow[..., Any]:
        """A workflow that handles the step's failure, and notes it on each of its two passes."""

        def plain() -> str:
            try:
                called()
            except Suspended:
                raise
            except BaseException as error:
                seen.append(error)
            sleep(60)
            return "handled"

        async def awaiting() -> str:
            try:
                await called()
            except Suspended:
                raise
            except BaseException as error:
                seen.append(error)
            await aio.sleep(60)
            return "handled"

        return self._workflow(plain, awaiting, "caught", {})

    def _workflow(self, plain: Any, awaiting: Any, name: str, options: dict[str, Any]) -> Workflow[..., Any]:
        made: Workflow[..., Any] = workflow(name=name, **options)(awaiting if self.flow_awaits else plain)
        return made


def _awaited(body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return body(*args, **kwargs)

    return awaited


PLAIN = Colour(False, False)
ASYNC = Colour(True, True)
BOTH = [PLAIN, ASYNC]
ALL = [PLAIN, ASYNC, Colour(False, True), Colour(True, False)]

every_colour = pytest.mark.parametrize("colour", ALL, ids=str)
native_colours = pytest.mark.parametrize("colour", BOTH, ids=str)
