"""Whose workflows a test finds by name: those of its own file, whatever other files call theirs.

One process loads many test files, and its registry keeps the newer of two workflows with one name. So before each test the
workflows that its file defines or imports are remembered again. None is hidden: an APP that a test has imported is not
imported anew for the next.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType

import pytest

from flowkit import Workflow
from flowkit.registry import remember

__all__ = ["own_first", "pytest_runtest_setup"]


def own_first(module: ModuleType) -> None:
    """Have the workflows of a file found by their names."""
    for each in _workflows(module):
        remember(each)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """No fixture, because Hypothesis wants none that is made once for all examples."""
    if isinstance(item, pytest.Function):
        own_first(item.module)


@cache
def _workflows(module: ModuleType) -> tuple[Workflow[..., object], ...]:
    """Found once a file, as it takes a hundred times as long as remembering them."""
    return tuple(_reached(module, {module}))


def _reached(module: ModuleType, seen: set[ModuleType]) -> list[Workflow[..., object]]:
    """What test modules that this one imports define, then its own, which win."""
    found = []
    for value in vars(module).values():
        source = value if isinstance(value, ModuleType) else sys.modules.get(str(getattr(value, "__module__", "")))
        if source is not None and source.__name__.startswith("tests.") and source not in seen:
            seen.add(source)
            found += _reached(source, seen)
    return found + [value for value in vars(module).values() if isinstance(value, Workflow)]
