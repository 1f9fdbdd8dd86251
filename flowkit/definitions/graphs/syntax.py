"""The syntax tree of a function that is loaded, with the line numbers of its file, and texts of pieces of it."""

from __future__ import annotations

import ast
import inspect
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

from flowkit.definitions.parsing import parsed
from flowkit.engine.source import PACKAGE, shown_path

__all__ = ["Function", "bound_twice", "function_tree", "is_followed", "place", "quoted", "unwrapped"]

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_LONGEST = 80
_WRAPPED = 25


def function_tree(function: Any) -> Function | None:
    """The part of a file that made this function; None where that leaves any doubt."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return None
    try:
        lines, _ = inspect.findsource(code)
        found = _functions("".join(lines)).get((code.co_firstlineno, code.co_name), [])
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError):  # made at run time, or its file is gone
        return None
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=64)
def _functions(text: str) -> dict[tuple[int, str], list[Function]]:
    found: dict[tuple[int, str], list[Function]] = {}
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            found.setdefault((first, node.name), []).append(node)
        elif isinstance(node, ast.Lambda):
            found.setdefault((node.lineno, "<lambda>"), []).append(node)
    return found


def unwrapped(function: Any) -> Any:
    """What decorators that follow `functools.wraps` were put around; attributes are read without running anything."""
    for _ in range(_WRAPPED):
        inner = getattr(function, "__dict__", {}).get("__wrapped__") if type(function) is FunctionType else None
        if inner is None:
            return function
        function = inner
    return function


def is_followed(file: str, root: str) -> bool:
    """Whether the graph goes into functions of this file: the project's own, and those beside the workflow."""
    if file.startswith(PACKAGE):
        return False
    if os.path.dirname(file) == os.path.dirname(root):
        return True
    return not file.startswith(_STDLIB) and f"{os.sep}site-packages{os.sep}" not in file and os.path.isabs(file)


def place(file: str, node: ast.expr | ast.stmt | ast.arg, *, method: bool = False) -> str:
    """``file:line`` as a call at this node is recorded: that of a `method` on the line of its name, which may be far below."""
    line = node.lineno
    if method and isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        line = node.func.end_lineno or line
    return f"{shown_path(file)}:{line}"


def quoted(node: ast.AST) -> str:
    """The text of an expression or pattern, on one line."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def bound_twice(function: Function) -> frozenset[str]:
    """The names of which a function's own code binds more than one value, parameters included, or that an inner one rebinds."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    count = Counter(each.arg for each in given)
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    for stmt in body:
        count.update(_bound(stmt))
    rebound = {name for each in ast.walk(function) if isinstance(each, ast.Nonlocal | ast.Global) for name in each.names}
    return frozenset({name for name, times in count.items() if times > 1} | rebound)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that are bound here and below, but not in functions of their own; one that is added to counts twice."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)
