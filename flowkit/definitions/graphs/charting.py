"""The graph of a workflow, read from its source and that of the project's functions it calls, without running any of it.

A function that is called is read where it is called, with the values that it is given, so that its entries stand in the scope
of the caller. One that is under way already is not entered again, and there is an end to how much a graph holds.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flowkit.core.graph import Graph, Node
from flowkit.definitions.graphs.reading import Reader, Site
from flowkit.definitions.graphs.statements import Statements
from flowkit.definitions.graphs.syntax import Function, bound_twice, function_tree, unwrapped
from flowkit.definitions.graphs.tidy import has_entry, tidy
from flowkit.definitions.graphs.values import (
    UNKNOWN,
    Env,
    Instance,
    Live,
    Local,
    Text,
    Value,
    is_a,
    is_callable,
    lifted,
    merged,
)
from flowkit.definitions.workflows import Workflow

__all__ = ["graph_of"]

MOST_NODES = 2_000
_DEEPEST = 25


def graph_of(workflow: Workflow[..., Any]) -> Graph:
    """The graph of a workflow's code; without nodes, and with the reason, where its source is not to be had."""
    function = unwrapped(workflow.function)
    tree = function_tree(function)
    if tree is None:
        return Graph(why="its source is not to be had")
    chart = Chart(function.__code__.co_filename)
    try:
        nodes, _ = chart.enter(Live(function), [], {})
    except RecursionError:
        return Graph(why="its source is nested too deeply")
    return Graph(nodes=tidy(nodes), cut=chart.cut)


@dataclass(slots=True)
class Chart:
    """Reads functions. `cut` once there was more than a graph holds."""

    root: str
    cut: bool = False
    _made: int = 0
    _active: list[object] = field(default_factory=list)
    _returned: list[list[Value]] = field(default_factory=list)

    def node(self, out: list[Node], kind: str, name: Text | str, source: str, body: Sequence[Node] = ()) -> None:
        """Note a node, unless there are too many already."""
        self._made += 1
        if self._made > MOST_NODES:
            self.cut = True
            return
        parts = name.parts if isinstance(name, Text) else (name,)
        shown = "…".join(parts)
        out.append(Node(kind, shown, source, parts if len(parts) > 1 else (), tuple(body)))

    def returns(self, value: Value) -> None:
        """The function that is being read returns this."""
        self._returned[-1].append(value)

    # --- functions --------------------------------------------------------------------------------------------------

    def enter(self, function: Value, args: Sequence[Value], named: dict[str, Value]) -> tuple[list[Node], Value]:
        """What calling a function with a source would make, and what it returns."""
        match function:
            case Local(node=tree, env=around, file=file):
                env = Env(parent=around, unsteady=bound_twice(tree))
                defaults: dict[str, Value] = {}
            case Live(obj=live):
                found = function_tree(live)
                if found is None:
                    return [], UNKNOWN
                tree, file = found, live.__code__.co_filename
                outer = Env(globals=live.__globals__, names=_closed_over(live))
                env, defaults = Env(parent=outer, unsteady=bound_twice(tree)), _defaults(live)
            case _:
                return [], UNKNOWN
        _bind(env, tree, args, defaults | named)
        self._active.append(tree)
        self._returned.append([])
        out: list[Node] = []
        if isinstance(tree, ast.Lambda):
            self.returns(Reader(self, env, file, out).value(tree.body))
        else:
            Statements(Reader(self, env, file, out)).block(tree.body)
        self._active.pop()
        found_values = self._returned.pop()
        result = found_values[0] if len(found_values) == 1 else merged([("", v) for v in found_values if is_callable(v)])
        return _without_last_return(out), result

    def inline(
        self, function: Value, name: str, args: Sequence[Value], named: dict[str, Value], site: Site, out: list[Node]
    ) -> Value:
        """A call of a function of the project, whose entries lie in the scope of the caller."""
        tree = function.node if isinstance(function, Local) else function_tree(getattr(function, "obj", None))
        if tree is None:
            return UNKNOWN
        if any(tree is each for each in self._active):
            self.node(out, "again", name, site.source)
            return UNKNOWN
        if len(self._active) > _DEEPEST or self._made > MOST_NODES:
            self.cut = True
            return UNKNOWN
        body, result = self.enter(function, args, named)
        if has_entry(body):
            self.node(out, "call", name, site.source, body)
        return result


def _closed_over(function: Any) -> dict[str, Value]:
    names: dict[str, Value] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            names[name] = lifted(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return names


def _defaults(function: Any) -> dict[str, Value]:
    code, given = function.__code__, function.__defaults__ or ()
    last = code.co_varnames[: code.co_argcount][code.co_argcount - len(given) :]
    found = dict(zip(last, given, strict=True)) | (function.__kwdefaults__ or {})
    return {name: lifted(value) for name, value in found.items() if is_callable(lifted(value)) or type(value) is str}


def _bind(env: Env, tree: Function, args: Sequence[Value], named: dict[str, Value]) -> None:
    """Give the parameters their values: as the call says, else any, of the class that is annotated."""
    arguments = tree.args
    for at, each in enumerate([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]):
        value = named.get(each.arg, UNKNOWN)
        if at < len(args) and each not in arguments.kwonlyargs:
            value = args[at]
        if value is UNKNOWN:
            value = _annotated(env, each.annotation)
        env.bind(each.arg, value)
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            env.bind(rest.arg, UNKNOWN)


def _annotated(env: Env, annotation: ast.expr | None) -> Value:
    name = annotation.value if isinstance(annotation, ast.Constant) else getattr(annotation, "id", None)
    found = env.get(name) if isinstance(name, str) else UNKNOWN
    return Instance(found.obj) if isinstance(found, Live) and is_a(found.obj, type) else UNKNOWN


def _without_last_return(nodes: list[Node]) -> list[Node]:
    return nodes[:-1] if nodes and nodes[-1].kind == "end" and nodes[-1].name.startswith("return") else nodes
