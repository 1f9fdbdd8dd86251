"""Which names the code of a workflow can still give to its calls, read off its compiled code without running it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType, ModuleType
from typing import Any

from flowkit.definitions import Step, Workflow
from flowkit.engine.source import PACKAGE

__all__ = ["names_in"]


def names_in(workflow: Workflow[..., Any]) -> frozenset[str]:
    """Every text, function and step named in the workflow and in the functions that it calls. Too many rather than too few."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting: list[Any] = [workflow.function]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Step):
            found.add(item.name)
            continue
        function = inspect.unwrap(item) if callable(item) else item
        code = getattr(function, "__code__", None)
        if not isinstance(code, CodeType) or code.co_filename.startswith(PACKAGE):
            continue
        found.update(_texts(code))
        waiting.extend(_referenced(function, code))
    return frozenset(found)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _texts(code: CodeType) -> Iterator[str]:
    for each in _codes(code):
        yield each.co_name
        yield from each.co_names
        for constant in each.co_consts:
            if isinstance(constant, str):
                yield constant
            elif isinstance(constant, tuple):
                yield from (text for text in constant if isinstance(text, str))


def _referenced(function: Any, code: CodeType) -> Iterator[Any]:
    """What the code's names stand for: globals, what it closes over, and attributes of modules among them."""
    names = {name for each in _codes(code) for name in each.co_names}
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for value in values:
        if isinstance(value, ModuleType):
            yield from (vars(value)[name] for name in names if name in vars(value))
        elif isinstance(value, Step) or callable(value):
            yield value
