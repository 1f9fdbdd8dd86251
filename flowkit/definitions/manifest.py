"""What a project's code consists of: its workflows with their graphs, the steps that each can reach, and hashes of the bodies.

A hash is that of the parsed source, so that a comment or another line break is no change. Steps are found by following names
from the workflow through the functions that it calls; one that is made inside a function while it runs is not found. The
manifest is kept in the store under the code, so that a step is still known when it has got another name.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import msgspec

from flowkit.core.graph import Graph
from flowkit.definitions.graphs import graph_of
from flowkit.definitions.parsing import parsed
from flowkit.definitions.steps import Step
from flowkit.definitions.workflows import Workflow
from flowkit.engine.source import PACKAGE, named_by_type

__all__ = ["Manifest", "bodies_of", "hashes_of", "manifest_of", "read_manifest", "steps_of"]


class Manifest(msgspec.Struct, frozen=True):
    """Workflow → step → hash of its body, whatever the step is called and decorated with. `places` is where each workflow's
    function can be imported from, ``module:name``; `graphs` are what each can do.
    """

    workflows: Mapping[str, Mapping[str, str]] = {}
    places: Mapping[str, str] = {}
    graphs: Mapping[str, Graph] = {}

    def also(self, more: Manifest) -> Manifest:
        """With the workflows of another one of the same code."""
        return Manifest({**self.workflows, **more.workflows}, {**self.places, **more.places}, {**self.graphs, **more.graphs})

    def encode(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self)


def manifest_of(workflows: Iterable[Workflow[..., Any]]) -> Manifest:
    """The manifest of the code in which these workflows are."""
    known = list(workflows)
    return Manifest(
        {each.name: hashes_of(each) for each in known},
        {each.name: f"{each.function.__module__}:{each.function.__qualname__}" for each in known},
        {each.name: graph_of(each) for each in known},
    )


def hashes_of(workflow: Workflow[..., Any]) -> dict[str, str]:
    """Step → hash of its body."""
    return {step.name: _body_hash(inspect.unwrap(step)) for step in steps_of(workflow)}


def read_manifest(body: bytes | None) -> Manifest:
    """A stored manifest; an empty one if there is none, or if other versions of this program wrote it otherwise."""
    try:
        return Manifest() if body is None else msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError:
        return Manifest()


def bodies_of(workflow: Workflow[..., Any]) -> dict[str, str]:
    """Step → hash of its source, name and decorators included; under ``""`` the workflow's own."""
    hashes = {step.name: _source_hash(inspect.unwrap(step)) for step in steps_of(workflow)}
    return {"": _source_hash(workflow.function)} | hashes


# --- steps ------------------------------------------------------------------------------------------------------------


def steps_of(workflow: Workflow[..., Any]) -> list[Step[..., Any]]:
    """The steps that the workflow's code can reach, in the order in which they are named."""
    found: dict[str, Step[..., Any]] = {}
    seen: set[int] = set()
    waiting: list[Any] = [workflow.function]
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Step):
            found.setdefault(item.name, item)
            continue
        if isinstance(item, Workflow):
            continue  # started as a run of its own
        function = inspect.unwrap(item)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType) and not code.co_filename.startswith(PACKAGE):
            waiting.extend(_named(function, code))
    return list(found.values())


def _named(function: Any, code: CodeType) -> Iterator[Any]:
    """What the names in a function's code stand for: globals, attributes of modules among them, what it closes over."""
    names = list(dict.fromkeys(name for each in _codes(code) for name in each.co_names))
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for value in values:
        if isinstance(value, ModuleType):
            values_of = vars(value)
            yield from (values_of[name] for name in names if isinstance(values_of.get(name), Step | types.FunctionType))
        elif isinstance(value, Step | types.FunctionType):
            yield value


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


# --- hashes -----------------------------------------------------------------------------------------------------------


def _source_hash(function: Any) -> str:
    """Of the source without comments and layout; of the compiled code where there is no source."""
    tree = _parsed(function)
    return _short(ast.dump(tree) if tree is not None else _compiled(function))


def _body_hash(function: Any) -> str:
    """As `_source_hash`, without the function's own name and its decorators."""
    tree = _parsed(function)
    made = tree.body[0] if tree is not None and len(tree.body) == 1 else None
    if not isinstance(made, ast.FunctionDef | ast.AsyncFunctionDef):
        return _short(_compiled(function))
    made.name, made.decorator_list = "", []
    return _short(ast.dump(made))


def _parsed(function: Any) -> ast.Module | None:
    try:
        return parsed(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):  # made at run time, or a lambda in the middle of a line
        return None


def _compiled(function: Any) -> str:
    code = getattr(function, "__code__", None) or getattr(type(function).__call__, "__code__", None)
    if not isinstance(code, CodeType):  # by its type: its repr may hold an address, or raise
        return named_by_type(function)
    constants = [[each for each in one.co_consts if not isinstance(each, CodeType)] for one in _codes(code)]
    return repr([(one.co_code, one.co_names) for one in _codes(code)] + constants)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
