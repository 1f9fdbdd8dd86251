"""Which workflows a file would have defined that cannot be imported: read from its text, nothing of it is executed.

A guess for those who look for the reason why nobody serves a workflow. It sees functions decorated with `workflow`, under
whatever module's name, with a default name or a constant one; what is made otherwise it does not see.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

from flowkit.definitions.parsing import parsed
from flowkit.registry import is_yours, split_app

__all__ = ["files_of", "workflows_in_files"]

_LARGEST = 2_000_000


def files_of(app: str, error: BaseException | None = None) -> list[str]:
    """The file of an APP, where it can be told from its name, and those of the project that stand in an error's traceback."""
    place, _ = split_app(app)
    path = Path(place)
    parts = place.split(".")
    guesses = [path] if place.endswith(".py") else [Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")]
    found = [str(guess) for guess in guesses if guess.is_file()]
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    return list(dict.fromkeys([*found, *(frame.filename for frame in frames if is_yours(frame.filename))]))


def workflows_in_files(files: Iterable[str]) -> list[str]:
    """The names of the workflows that these files define, as far as their text says; a file that is no Python has none."""
    found: set[str] = set()
    for file in files:
        try:
            text = Path(file).read_bytes()
            tree = parsed(text) if len(text) <= _LARGEST else None
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        found.update(_names(tree) if tree is not None else ())
    return sorted(found)


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                yield from _name(decorator, node.name)


def _name(decorator: ast.expr, default: str) -> Iterator[str]:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) != "workflow":
        return
    given = next((each.value for each in getattr(decorator, "keywords", ()) if each.arg == "name"), None)
    if given is None:
        yield default
    elif isinstance(given, ast.Constant) and isinstance(given.value, str):
        yield given.value
