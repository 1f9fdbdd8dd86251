"""Where in the user's file a line can stand: as a statement of its own, at a place that is passed once.

A call's line is where its text stands, which may be the middle of an expression, an ``elif`` or the body of a ``for``. A line
pasted there would be no Python, or would run in every turn, and a name may be given only once.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flowkit.definitions.parsing import parsed
from flowkit.engine.source import shown_path

__all__ = ["Spot", "code_at", "spot_of", "top_of"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_TURNS = (*_LOOPS, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SIMPLE = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign)


@dataclass(frozen=True, slots=True)
class Spot:
    """The statement that a call is part of. `before` is the ``file:line`` that another may stand before and be passed once,
    `after` the one that it may stand behind, empty if there it would not be reached or be passed again.

    `alone`: the statement, at `own`, is one call, its value dropped or given to the variable `name`, and no part of a line; a
    gate may stand around it. `turns`: it is part of a Python loop, so a gate would be asked in every turn; asked before the
    loop, which is in the function defined at line `function`, it is not. `inline`: there is a lambda, so that the call may be in
    a scope of its own.
    """

    before: str
    after: str
    own: str
    last: int
    function: int
    alone: bool
    name: str
    turns: bool
    inline: bool


def spot_of(source: str) -> Spot | None:
    """The spot of the call at ``file:line``; None if there is none, or the file cannot be read."""
    filename, line = _split(source)
    way = _way(_tree(filename), line)
    inner = max((index for index, node in enumerate(way) if isinstance(node, _FUNCTIONS)), default=-1)
    body = [node for node in way[inner + 1 :] if isinstance(node, ast.stmt)]
    first = _first(body, filename)
    if first is None:
        return None
    own, inside = body[-1], list(ast.walk(body[-1]))
    whole = _begins_line(own, filename) and not _shares_line(own, way)
    once = first is own and whole
    turns = any(isinstance(node, _TURNS) for node in [*body, *inside])
    alone = whole and (once or any(isinstance(node, _LOOPS) for node in body)) and _is_one_call(own, inside)
    return Spot(
        before=f"{filename}:{first.lineno}",
        after=f"{filename}:{own.end_lineno}" if once and isinstance(own, _SIMPLE) else "",
        own=f"{filename}:{own.lineno}", last=own.end_lineno or own.lineno, function=_begin(way[inner]) if inner >= 0 else 0,
        alone=alone, name=_variable(own) if alone else "",
        turns=turns, inline=any(isinstance(node, ast.Lambda) for node in inside),
    )  # fmt: skip


def top_of(source: str) -> str:
    """The ``file:line`` of the first statement, behind its docstring, of the function that is defined at `source`, or ""."""
    filename, line = _split(source)
    for node in ast.walk(_tree(filename)):
        if isinstance(node, _FUNCTIONS) and _begin(node) == line:
            first = next(iter(node.body[ast.get_docstring(node) is not None :]), None)
            return f"{filename}:{first.lineno}" if first is not None and _begins_line(first, filename) else ""
    return ""


def code_at(source: str) -> str:
    """The user's line at ``file:line``, empty where it cannot be read."""
    filename, line = _split(source)
    return _line(filename, line).strip()


def _split(source: str) -> tuple[str, int]:
    filename, _, number = source.rpartition(":")
    return filename, int(number) if number.isdigit() else 0


def _text(filename: str) -> list[str]:
    """The file's lines. Of one that lies elsewhere only the end of its path is shown: then it is a module that is loaded."""
    if os.path.isfile(filename):
        return linecache.getlines(os.path.abspath(filename))
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    shown = [file for file in files if isinstance(file, str) and file.endswith(filename) and shown_path(file) == filename]
    return linecache.getlines(shown[0]) if len(shown) == 1 else []


def _line(filename: str, number: int) -> str:
    lines = _text(filename)
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _tree(filename: str) -> ast.Module:
    return _parsed("".join(_text(filename)))


@lru_cache(maxsize=32)
def _parsed(text: str) -> ast.Module:
    try:
        return parsed(text)
    except (SyntaxError, ValueError, RecursionError):  # not the text that was loaded, so nothing can be said of it
        return ast.Module([], [])


def _way(tree: ast.Module, line: int) -> list[ast.AST]:
    """The module, and one inside the other the blocks and statements in which the line lies; of several on it the first."""
    way: list[ast.AST] = [tree]
    while (node := next(_holders(way[-1], line), None)) is not None:
        way.append(node)
    return way


def _holders(node: ast.AST, line: int) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.match_case):
            if any(True for _ in _holders(child, line)):
                yield child
        elif isinstance(child, ast.stmt | ast.ExceptHandler) and child.lineno <= line <= (child.end_lineno or 0):
            yield child


def _first(body: list[ast.stmt], filename: str) -> ast.stmt | None:
    """The innermost of these statements, each inside the one before, that begins its line and is in none of their loops."""
    loop = next((index for index, node in enumerate(body) if isinstance(node, _LOOPS)), len(body) - 1)
    return next((node for node in reversed(body[: loop + 1]) if _begins_line(node, filename)), None)


def _begins_line(node: ast.stmt, filename: str) -> bool:
    text = _line(filename, node.lineno)
    is_elif = isinstance(node, ast.If) and text.lstrip().startswith("elif")
    return not is_elif and not text.encode()[: node.col_offset].strip()


def _shares_line(own: ast.stmt, way: list[ast.AST]) -> bool:
    """As in ``a(); b()``."""
    lines = {own.lineno, own.end_lineno}
    block = way[way.index(own) - 1]
    beside = [node for node in ast.iter_child_nodes(block) if isinstance(node, ast.stmt) and node is not own]
    return any(not lines.isdisjoint((node.lineno, node.end_lineno)) for node in beside)


def _begin(function: ast.AST) -> int:
    """The line of a function's first decorator, or of its own."""
    assert isinstance(function, _FUNCTIONS)
    return min([function.lineno, *(each.lineno for each in function.decorator_list)])


def _is_one_call(own: ast.stmt, inside: list[ast.AST]) -> bool:
    """Whether it is a call, made once: no comprehension stands in it."""
    if not isinstance(own, ast.Expr | ast.Assign | ast.AnnAssign) or any(isinstance(node, _TURNS) for node in inside):
        return False
    value = own.value.value if isinstance(own.value, ast.Await) else own.value
    return isinstance(value, ast.Call) and (isinstance(own, ast.Expr) or bool(_variable(own)))


def _variable(own: ast.stmt) -> str:
    targets = own.targets if isinstance(own, ast.Assign) else [own.target] if isinstance(own, ast.AnnAssign) else []
    (only,) = targets if len(targets) == 1 else (None,)
    return only.id if isinstance(only, ast.Name) else ""
