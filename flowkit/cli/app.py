"""Importing the user's APP, and saying what is wrong with it when that fails.

Importing a file runs it, so anything may be raised; what is shown is the error and the line of the user's code.
"""

from __future__ import annotations

import sys
import traceback as tracebacks
from collections.abc import Iterable
from difflib import get_close_matches
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from flowkit.cli.failure import NOT_FOUND, USAGE, Failure

if TYPE_CHECKING:
    from flowkit.definitions import Workflow

__all__ = ["one_workflow", "workflows_of", "your_code"]


def one_workflow(app: str, *, traceback: bool = False) -> Workflow[..., Any]:
    """The workflow that ``APP:WORKFLOW`` names; of an APP with a single one, that."""
    chosen = workflows_of(app, traceback=traceback)
    if len(chosen) > 1:
        raise Failure(f"{app} has the workflows {', '.join(sorted(chosen))}. Name one, as {app}:{min(chosen)}")
    return next(iter(chosen.values()))


def workflows_of(app: str, *, traceback: bool = False) -> dict[str, Workflow[..., Any]]:
    """The workflows of an APP by name, or the one that ``APP:WORKFLOW`` names."""
    from flowkit.definitions import workflows_in
    from flowkit.registry import split_app

    place, name = split_app(app)
    if not place or name == "":
        raise Failure(f"{app!r} is no APP. Give a file or a module, e.g. app.py or app.py:checkout")
    found = workflows_in(_import(place, traceback))
    if not found:
        raise Failure(f"{place} has no workflow. Decorate a function with @workflow.", NOT_FOUND)
    if name is None:
        return found
    if name not in found:
        near = get_close_matches(name, found, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has: {', '.join(sorted(found))}"
        raise Failure(f"{place} has no workflow {name!r}. {hint}", NOT_FOUND)
    return {name: found[name]}


def _import(place: str, traceback: bool) -> ModuleType:
    from flowkit.registry import import_app

    try:
        return import_app(place)
    except (Exception, SystemExit) as error:  # importing runs the user's file
        if not isinstance(error, SyntaxError) and _own_frame(error.__traceback__) is None:
            text = str(error) if isinstance(error, ValueError) else f"there is no file or module {place!r}"
            raise Failure(text, NOT_FOUND) from error
        raise Failure(_cannot_import(place, error, traceback), USAGE) from error


def _cannot_import(place: str, error: BaseException, traceback: bool) -> str:
    text = f"{place} cannot be imported: {type(error).__name__}: {error}"
    if not isinstance(error, SyntaxError):  # which names its file and line in its text
        text += f" ({your_code(error.__traceback__)})"
    if not traceback:
        return f"{text}. --traceback shows more."
    frames = [frame for frame in tracebacks.extract_tb(error.__traceback__) if _is_yours(frame.filename)]
    return "\n".join([text, *(line.rstrip() for line in tracebacks.format_list(frames))])


def your_code(trace: TracebackType | None) -> str:
    """``file:line`` of the innermost frame that is neither flowkit's nor Python's import machinery."""
    frame = _own_frame(trace)
    return "" if frame is None else f"{frame.filename}:{frame.lineno}"


def _own_frame(trace: TracebackType | None) -> tracebacks.FrameSummary | None:
    frames: Iterable[tracebacks.FrameSummary] = tracebacks.extract_tb(trace)
    yours = [frame for frame in frames if _is_yours(frame.filename)]
    outside = [
        frame for frame in yours if not frame.filename.startswith(sys.prefix) and not frame.filename.startswith(sys.base_prefix)
    ]
    best = outside or yours  # the user's own file rather than a library it called
    return best[-1] if best else None


def _is_yours(filename: str) -> bool:
    from flowkit.engine.source import PACKAGE

    return not filename.startswith((PACKAGE, "<frozen importlib", importlib_folder()))


def importlib_folder() -> str:
    """Where the standard library's import machinery is."""
    import importlib
    import os

    return os.path.dirname(os.path.abspath(importlib.__file__))
