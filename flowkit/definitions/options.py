"""What step and workflow options have in common: checks that say at decoration what is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flowkit.core.events import ErrorEvent
from flowkit.core.location import check_name
from flowkit.errors import InvalidName

__all__ = ["LARGEST", "Duration", "OnError", "count", "function_name", "is_async"]

LARGEST = 1 << 62
"""The largest whole number that is taken: a database can still be asked for more than so many."""

Duration = float | timedelta | str
OnError = Callable[[ErrorEvent], object]


def function_name(function: Callable[..., Any], what: str) -> str:
    """The default name of what is made of `function`."""
    name = getattr(function, "__name__", None)
    if name is None:
        name = getattr(getattr(function, "func", None), "__name__", "")  # functools.partial
    if not name or name == "<lambda>":
        raise InvalidName(f'a {what} made of a lambda or another nameless callable needs a name: {what}(…, name="charge")')
    return check_name(name, f"{what} name")


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` gives something to await: an async function, wrapped or not, or an object with an async call."""
    found = inspect.unwrap(function)
    return any(map(inspect.iscoroutinefunction, (function, found, type(found).__call__)))


def count(number: int, what: str) -> int:
    """`number`, if it is a whole number from 0 on that a database can hold."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a whole number, not {number!r}")
    if number < 0:
        raise ValueError(f"{what} cannot be negative: {number}")
    if number > LARGEST:
        raise ValueError(f"{what} is at most {LARGEST}, not {number}")
    return number
