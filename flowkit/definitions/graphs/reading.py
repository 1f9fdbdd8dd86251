"""Expressions of a workflow's code in the order in which they are evaluated, and what each call in them would make.

A function that is handed to code which is not followed is taken to be called by it, any number of times.
"""

from __future__ import annotations

import ast
import functools
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flowkit.core.graph import Node
from flowkit.definitions.graphs.primitives import primitive_named, step_maker
from flowkit.definitions.graphs.statements import Statements
from flowkit.definitions.graphs.syntax import is_followed, place, quoted, unwrapped
from flowkit.definitions.graphs.tidy import has_entry
from flowkit.definitions.graphs.values import (
    SPREAD,
    UNKNOWN,
    Env,
    Instance,
    Items,
    Live,
    Local,
    Method,
    Partial,
    Several,
    StepValue,
    StepVerb,
    Table,
    Text,
    Value,
    add_to,
    attribute,
    element,
    formatted,
    is_a,
    is_callable,
    joined,
    lifted,
    local_step,
    merged,
    name_of,
    table_of,
)
from flowkit.definitions.workflows import Workflow

if TYPE_CHECKING:
    from flowkit.definitions.graphs.charting import Chart

__all__ = ["Reader", "Site"]

_CALLS_NOTHING = (bool, callable, getattr, hasattr, id, isinstance, issubclass, len, print, repr, str, type)


@dataclass(slots=True)
class Site:
    """Where a call stands: its text and ``file:line``."""

    source: str
    text: str


@dataclass(slots=True)
class Reader:
    """Reads the expressions of one block: notes nodes in `out`, in the order in which things happen."""

    chart: Chart
    env: Env
    file: str
    out: list[Node]

    def into(self, out: list[Node]) -> Reader:
        """The same place, noting nodes elsewhere."""
        return Reader(self.chart, self.env, self.file, out)

    def aside(self, read: Callable[[Reader], Any]) -> list[Node]:
        """What `read` notes, apart from the rest."""
        out: list[Node] = []
        read(self.into(out))
        return out

    def note(self, kind: str, name: Text | str, node: ast.expr | ast.stmt, body: Sequence[Node] = ()) -> None:
        """Note a node for a piece of the source."""
        self.chart.node(self.out, kind, name, place(self.file, node), body)

    def fork(self, node: ast.expr | ast.stmt, arms: Sequence[tuple[str, list[Node]]], kind: str = "fork") -> None:
        """Note a fork, if anything lies in one of its arms."""
        if any(body for _, body in arms):
            source = place(self.file, node)
            self.note(kind, "", node, [Node("arm", label, source, (), tuple(body)) for label, body in arms])

    # --- expressions ------------------------------------------------------------------------------------------------

    def value(self, node: ast.expr | None) -> Value:
        """What an expression stands for; what its calls make is noted."""
        match node:
            case None:
                return UNKNOWN
            case ast.Constant(value=constant):
                return Text((constant,)) if type(constant) is str else Live(constant)
            case ast.Name(id=name):
                return self.env.get(name)
            case ast.Attribute(value=base, attr=name):
                return attribute(self.value(base), name)
            case ast.Call():
                return self._call(node)
            case ast.Await(value=inner) | ast.Starred(value=inner):
                return self.value(inner)
            case ast.Lambda():
                return Local(node, self.env, self.file)
            case ast.NamedExpr(target=target, value=inner):
                found = self.value(inner)
                self.env.bind(target.id, found)
                return found
            case ast.IfExp() | ast.BoolOp():
                return self._choice(node)
            case ast.Subscript(value=base, slice=key):
                return element(self.value(base), _as_text(self.value(key)))
            case _:
                return self._compound(node)

    def _compound(self, node: ast.expr) -> Value:
        match node:
            case ast.JoinedStr(values=pieces):
                return joined([self._piece(each) for each in pieces])
            case ast.BinOp(left=left, op=op, right=right):
                first, second = self.value(left), self.value(right)
                if isinstance(op, ast.Mod) and isinstance(first, Text):
                    return formatted(first, percent=True)
                both = isinstance(op, ast.Add) and (isinstance(first, Text) or isinstance(second, Text))
                return joined([first, second]) if both else UNKNOWN
            case ast.Dict(keys=keys, values=values):
                table = Table()
                for key, each in zip(keys, values, strict=True):
                    add_to(table, None if key is None else _as_text(self.value(key)), self.value(each))
                return table
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                return Items([self.value(each) for each in elements])
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case _:
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child)
                return UNKNOWN

    def _piece(self, node: ast.expr) -> Value:
        if not isinstance(node, ast.FormattedValue):
            return self.value(node)
        found = self.value(node.value)
        return found if node.conversion == -1 and node.format_spec is None else UNKNOWN

    def _choice(self, node: ast.IfExp | ast.BoolOp) -> Value:
        if isinstance(node, ast.IfExp):
            self.value(node.test)
            cases = [(f"if {quoted(node.test)}", node.body), ("else", node.orelse)]
        else:
            first = self.value(node.values[0])
            word = "if" if isinstance(node.op, ast.And) else "unless"
            cases = [(f"{word} {quoted(node.values[0])}", each) for each in node.values[1:]]
            rest = [(label, self.aside(lambda reader, each=each: reader.value(each))) for label, each in cases]  # type: ignore[misc]
            self.fork(node, [*rest, ("else", [])])
            return first if not cases else UNKNOWN
        values: list[tuple[str, Value]] = []
        arms = [
            (label, self.aside(lambda reader, label=label, each=each: values.append((label, reader.value(each)))))  # type: ignore[misc]
            for label, each in cases
        ]
        self.fork(node, arms)
        return merged(values)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Value:
        """Its names are its own; what it evaluates for each element comes any number of times."""
        inner = Reader(self.chart, Env(parent=self.env), self.file, [])
        for at, each in enumerate(node.generators):
            Statements(self if at == 0 else inner).each_of(each.target, each.iter, inner.env)
            for test in each.ifs:
                inner.value(test)
        made: Value = UNKNOWN
        if isinstance(node, ast.DictComp):
            made = Table()
            add_to(made, _as_text(inner.value(node.key)), inner.value(node.value))
        else:
            made = Items([inner.value(node.elt)])
        if inner.out:
            label = " ".join(_clause(each) for each in node.generators)
            self.note("cycle", label, node, inner.out)
        return made

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Value:
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            base = self.value(node.func.value)
            if isinstance(base, Text):
                return formatted(base, percent=False)
        callee = self.value(node.func)
        args = [self._argument(each) for each in node.args]
        named: dict[str, Value] = {}
        spread = Table()
        for each in node.keywords:
            found = self.value(each.value)
            if each.arg is not None:
                named[each.arg] = found
            else:
                add_to(spread, None, found)
        named |= {name.parts[0]: value for name, value in spread.items if len(name.parts) == 1}
        spread.items = [(name, value) for name, value in spread.items if len(name.parts) > 1]
        if spread.items or spread.open:
            named[SPREAD] = spread
        return self.apply(callee, args, named, Site(place(self.file, node, method=self._is_method(node.func)), quoted(node.func)))

    def _is_method(self, function: ast.expr) -> bool:
        """Whether Python calls it as a method: not what is taken from a module that the file has imported."""
        if not isinstance(function, ast.Attribute):
            return False
        base = self.env.get(function.value.id) if isinstance(function.value, ast.Name) else UNKNOWN
        return not (isinstance(base, Live) and is_a(base.obj, types.ModuleType))

    def _argument(self, node: ast.expr) -> Value:
        """One that is spread out may be any number."""
        found = self.value(node)
        return UNKNOWN if isinstance(node, ast.Starred) else found

    def apply(self, callee: Value, args: Sequence[Value], named: dict[str, Value], site: Site) -> Value:
        """What calling `callee` makes; what it returns."""
        match callee:
            case Several(choices=choices):
                return self._one_of(choices, args, named, site)
            case StepValue(name=name):
                self.chart.node(self.out, "step", name, site.source)
                return UNKNOWN
            case StepVerb(verb="options", name=name):
                return StepValue(_given_name(named) or name or Text(("", "")))
            case StepVerb():
                return local_step(callee, args[0]) if args else callee
            case Local(name=name):
                return self.chart.inline(callee, name, args, named, site, self.out)
            case Method(function=function, owner=owner):
                return self.apply(function, [owner, *args], named, site)
            case Partial(function=function, args=first):
                return self.apply(function, [*first, *args], named, site)
            case Live(obj=obj):
                return self._live(obj, args, named, site)
            case _:
                return self._foreign(args, named, site)

    def _one_of(self, choices: Sequence[tuple[str, Value]], args: Sequence[Value], named: dict[str, Value], site: Site) -> Value:
        found: list[tuple[str, Value]] = []
        arms: list[Node] = []
        for when, each in choices:
            inner = self.into([])
            found.append((when, inner.apply(each, args, named, site)))
            label = when or f"if it is {'…'.join((name_of(each) or Text(('', ''))).parts)}"
            arms.append(Node("arm", label, site.source, (), tuple(inner.out)))
        if any(arm.body for arm in arms):
            self.chart.node(self.out, "fork", site.text, site.source, arms)
        return merged(found)

    def _live(self, obj: Any, args: Sequence[Value], named: dict[str, Value], site: Site) -> Value:
        maker = step_maker(obj)
        if maker:
            given = _given_name(named)
            return local_step(StepVerb("step", given), args[0]) if args else StepVerb("step", given)
        if (primitive := primitive_named(obj)) is not None:
            primitive(self, args, named, site.source)
            return UNKNOWN
        if obj is functools.partial:
            return Partial(args[0], tuple(args[1:])) if args else UNKNOWN
        if is_a(obj, functools.partial):
            return self.apply(lifted(obj.func), [*map(lifted, obj.args), *args], named, site)
        if obj is dict:
            return table_of(args[:1], named)
        if is_a(obj, Workflow):
            return self.apply(Live(obj.function), args, named, site)
        if is_a(obj, types.MethodType):
            return self.apply(lifted(obj.__func__), [Live(obj.__self__), *args], named, site)
        obj = unwrapped(obj)
        if is_a(obj, types.FunctionType) and is_followed(obj.__code__.co_filename, self.chart.root):
            return self.chart.inline(Live(obj), obj.__name__, args, named, site, self.out)
        result = Instance(obj) if is_a(obj, type) and is_followed(_file_of(obj), self.chart.root) else UNKNOWN
        is_plain = is_a(obj, type, types.FunctionType, types.BuiltinFunctionType)
        called = UNKNOWN if is_plain else attribute(Live(obj), "__call__")
        if isinstance(called, Method):
            return self.apply(called, args, named, site)
        if not any(obj is each for each in _CALLS_NOTHING):
            self._foreign(args, named, site)
        return result

    def called(self, body: Value, source: str) -> None:
        """What a primitive that is given this body makes by calling it."""
        self.apply(body, [], {}, Site(source, "the body"))

    def decorated(self, mark: ast.expr, function: Value) -> Value:
        """What a decorator makes of a function: a step, if it is `step`; else what is not known."""
        maker = self.value(mark)
        if isinstance(maker, Live) and step_maker(maker.obj):
            return local_step(StepVerb("step", None), function)
        return local_step(maker, function) if isinstance(maker, StepVerb) and maker.verb == "step" else UNKNOWN

    def _foreign(self, args: Sequence[Value], named: dict[str, Value], site: Site) -> Value:
        """Code that is not followed may call what it is given."""
        given = [value for each in (*args, *named.values()) for value in (each.values if isinstance(each, Items) else [each])]
        inner = self.into([])
        for value in given:
            if is_callable(value):
                inner.apply(value, [], {}, site)
        if has_entry(inner.out):
            self.chart.node(self.out, "cycle", f"as {site.text}() calls it", site.source, inner.out)
        return UNKNOWN


def _clause(node: ast.comprehension) -> str:
    tests = "".join(f" if {quoted(test)}" for test in node.ifs)
    return f"for {quoted(node.target)} in {quoted(node.iter)}{tests}"


def _file_of(cls: type) -> str:
    return str(getattr(sys.modules.get(cls.__module__), "__file__", "") or "")


def _given_name(named: dict[str, Value]) -> Text | None:
    """The `name=` of a call; None if there is none, or it is None."""
    found = named.get("name")
    if found is None or (isinstance(found, Live) and found.obj is None):
        return None
    return found if isinstance(found, Text) else Text(("", ""))


def _as_text(value: Value) -> Text:
    if isinstance(value, Text):
        return value
    return Text((str(value.obj),)) if isinstance(value, Live) and type(value.obj) in (int, bool) else Text(("", ""))
