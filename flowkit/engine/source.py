"""Which line of the user's code made a call."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextvars import ContextVar
from functools import lru_cache
from types import FrameType

__all__ = ["PACKAGE", "branches_at", "caller", "named_by_type", "place_of", "shown_path"]

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
"""The folder of flowkit itself: its frames are never the user's."""


_MACHINERY = (threading.__file__, os.path.dirname(asyncio.__file__) + os.sep)

branches_at: ContextVar[str] = ContextVar("flowkit_branches_at", default="")
"""``file:line`` of the join or race whose branch this is. A step given to it as it is has no other line of the user's."""


def caller(depth: int = 1) -> str:
    """``file:line`` of the nearest frame outside flowkit; in a branch that has none, that of its join or race."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return branches_at.get()
    if frame.f_code.co_filename.startswith(_MACHINERY) and (source := branches_at.get()):
        return source
    return f"{shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"


def place_of(function: object) -> str:
    """``file:line`` where a function is defined; of what has no code, the name of it or of its type."""
    code = getattr(function, "__code__", None)
    return named_by_type(function) if code is None else f"{shown_path(code.co_filename)}:{code.co_firstlineno}"


def named_by_type(function: object) -> str:
    """A callable without code of its own: a repr may hold an address, which is another in each process, or raise."""
    called = function if hasattr(function, "__qualname__") else type(function)
    return f"{called.__module__}.{getattr(called, '__qualname__', '')}"


@lru_cache(maxsize=1024)
def shown_path(filename: str) -> str:
    """A path as people want to read it: relative to the working folder where it lies below, else the last two parts."""
    try:
        inside = os.path.relpath(filename)
    except ValueError:  # another drive
        inside = filename
    return inside if not inside.startswith("..") else os.path.join(*filename.split(os.sep)[-2:])
