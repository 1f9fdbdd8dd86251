"""What an expression of a workflow's code stands for, as far as that can be said without running it.

Names are looked up in the loaded modules, and attributes without their properties, so nothing of the user's is called. What
is not known is `UNKNOWN`; a name that is known in part is a `Text` with gaps.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flowkit.definitions.steps import Step
from flowkit.definitions.workflows import Workflow

__all__ = [
    "SPREAD",
    "UNKNOWN",
    "Env",
    "Instance",
    "Items",
    "Live",
    "Local",
    "Method",
    "Partial",
    "Several",
    "StepValue",
    "StepVerb",
    "Table",
    "Text",
    "Value",
    "add_to",
    "attribute",
    "element",
    "formatted",
    "is_a",
    "is_callable",
    "joined",
    "lifted",
    "local_step",
    "merged",
    "name_of",
    "table_of",
    "text_of",
]

_PERCENT = re.compile(r"%(?:\(\w*\))?[-#0 +]*[\d*]*(?:\.\d+)?[a-zA-Z]")
_BRACES = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """Anything."""


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """An object of the loaded code, `obj`."""

    obj: Any


@dataclass(frozen=True, slots=True)
class Text:
    """A text; more than one part: with anything between them."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Local:
    """A function that is made while the workflow runs."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    env: Env
    file: str

    @property
    def name(self) -> str:
        """Its `__name__`."""
        return "<lambda>" if isinstance(self.node, ast.Lambda) else self.node.name


@dataclass(frozen=True, slots=True, eq=False)
class StepValue:
    """A step of this name."""

    name: Text


@dataclass(frozen=True, slots=True, eq=False)
class StepVerb:
    """What makes a step when it is called: ``charge.options``, or ``step(name=…)``, which wants a function. `name` is the name
    that it gives, None for the function's own.
    """

    verb: Literal["options", "step"]
    name: Text | None


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """An object of this class, whatever it holds."""

    cls: type


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A function with its first argument."""

    function: Value
    owner: Value


@dataclass(frozen=True, slots=True, eq=False)
class Partial:
    """`functools.partial`."""

    function: Value
    args: tuple[Value, ...] = ()


@dataclass(slots=True, eq=False)
class Table:
    """A dictionary with texts as keys, as far as it is known; `open` if there may be more in it."""

    items: list[tuple[Text, Value]] = field(default_factory=list)
    open: bool = False


@dataclass(slots=True, eq=False)
class Items:
    """A list, tuple or set."""

    values: list[Value] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """One of these, each with the words that tell when."""

    choices: tuple[tuple[str, Value], ...]


Value = Unknown | Live | Text | Local | StepValue | StepVerb | Instance | Method | Partial | Table | Items | Several
UNKNOWN = Unknown()
SPREAD = "**"
"""Under this name stands what a call is given by keyword under names that are not known."""


@dataclass(slots=True, eq=False)
class Env:
    """The names that can be seen at a place: the function's own, those around it, and those of its module.

    `unsteady` are the function's names that are bound more than once: of these only what can be called is followed.
    """

    parent: Env | None = None
    globals: Mapping[str, Any] = field(default_factory=dict)
    names: dict[str, Value] = field(default_factory=dict)
    unsteady: frozenset[str] = frozenset()

    def get(self, name: str) -> Value:
        """What a name stands for."""
        env: Env | None = self
        while env is not None:
            if name in env.names:
                return env.names[name]
            if env.parent is None:
                break
            env = env.parent
        if env is not None and name in env.globals:
            return lifted(env.globals[name])
        return lifted(getattr(builtins, name)) if hasattr(builtins, name) else UNKNOWN

    def bind(self, name: str, value: Value, when: str = "") -> None:
        """Bind a name; one that is bound elsewhere too may be either."""
        if name not in self.unsteady:
            self.names[name] = value
        elif is_callable(value):
            self.names[name] = merged([("", self.names.get(name, UNKNOWN)), (when, value)])
        else:
            self.names[name] = UNKNOWN


def is_a(obj: Any, *types: type) -> bool:
    """As `isinstance`, without asking the object, which may be a proxy that does anything."""
    return issubclass(type(obj), types)


def lifted(obj: Any) -> Value:
    """A live object as a value."""
    if type(obj) is str:
        return Text((obj,))
    if is_a(obj, Step):
        return StepValue(Text((obj.name,)))
    return Live(obj)


def is_callable(value: Value) -> bool:
    """Whether calling it may make an entry."""
    match value:
        case Local() | StepValue() | StepVerb() | Method() | Partial():
            return True
        case Several(choices=choices):
            return any(is_callable(each) for _, each in choices)
        case Live(obj=obj):
            return is_a(obj, types.FunctionType, types.MethodType, Workflow)
        case _:
            return False


def merged(choices: Sequence[tuple[str, Value]]) -> Value:
    """Either of these; what is unknown is left out."""
    flat: list[tuple[str, Value]] = []
    for when, value in choices:
        flat.extend(value.choices if isinstance(value, Several) else [(when, value)])
    known: list[tuple[str, Value]] = []
    for when, value in flat:
        if not isinstance(value, Unknown) and not any(_same(value, each) for _, each in known):
            known.append((when, value))
    if not known:
        return UNKNOWN
    return known[0][1] if len(known) == 1 else Several(tuple(known))


def _same(one: Value, other: Value) -> bool:
    match one, other:
        case Live(obj=a), Live(obj=b):
            return a is b
        case StepValue(name=a), StepValue(name=b):
            return bool(a == b)
        case Local(node=a), Local(node=b):
            return a is b
        case _:
            return one is other


# --- attributes and elements ------------------------------------------------------------------------------------------


def attribute(base: Value, name: str) -> Value:
    """`base.name`, without calling a property or anything else of the user's."""
    match base:
        case StepValue():
            return _of_step(base, name)
        case Several(choices=choices):
            return merged([(when, attribute(each, name)) for when, each in choices])
        case Instance(cls=cls):
            return _bound(inspect.getattr_static(cls, name, None), base)
        case Live(obj=obj) if is_a(obj, types.ModuleType):
            found = vars(obj).get(name)
            return UNKNOWN if found is None else lifted(found)
        case Live(obj=obj) if is_a(obj, type):
            found = inspect.getattr_static(obj, name, None)
            return _bound(found.__func__ if is_a(found, staticmethod) else found, None)
        case Live(obj=obj):
            return _bound(inspect.getattr_static(obj, name, None), base)
        case _:
            return UNKNOWN


def _of_step(step: StepValue, name: str) -> Value:
    match name:
        case "aio" | "plain" | "attempt":
            return step
        case "options":
            return StepVerb("options", step.name)
        case "name" | "__name__":
            return step.name
        case _:
            return UNKNOWN


def _bound(found: Any, owner: Value | None) -> Value:
    if found is None:
        return UNKNOWN
    if is_a(found, staticmethod):
        return lifted(found.__func__)
    if is_a(found, classmethod):
        return Method(lifted(found.__func__), UNKNOWN)
    if is_a(found, types.FunctionType) and owner is not None:
        return Method(lifted(found), owner)
    return UNKNOWN if is_a(found, property, types.MemberDescriptorType) else lifted(found)


def element(base: Value, key: Value) -> Value:
    """`base[key]`; where the key is not known, any of its elements that can be called."""
    match base:
        case Table(items=items):
            return _chosen([(f"{text_of(name)}", name, value) for name, value in items], key)
        case Items(values=values):
            return merged([("", value) for value in values])
        case Live(obj=obj) if type(obj) is dict:
            return _chosen([(k, Text((k,)), lifted(v)) for k, v in obj.items() if type(k) is str], key)
        case Live(obj=obj) if type(obj) in (list, tuple):
            return merged([("", value) for each in obj if is_callable(value := lifted(each))])
        case _:
            return UNKNOWN


def _chosen(items: Sequence[tuple[str, Text, Value]], key: Value) -> Value:
    same = [value for _, name, value in items if name == key]
    if isinstance(key, Text) and len(key.parts) == 1 and same:
        return same[-1]
    return merged([(when, value) for when, _, value in items if is_callable(value)])


def add_to(table: Table, key: Text | None, value: Value) -> None:
    """Set a key; without one, add all that another table has."""
    if key is not None:
        table.items.append((key, value))
    elif isinstance(value, Table):
        table.items.extend(value.items)
        table.open = table.open or value.open
    elif isinstance(value, Live) and type(value.obj) is dict:
        table.items.extend((Text((name,)), lifted(each)) for name, each in value.obj.items() if type(name) is str)
    else:
        table.open = True


def table_of(mappings: Sequence[Value], named: Mapping[str, Value]) -> Table:
    """What `dict` makes of these."""
    table = Table()
    for each in (*mappings, *(value for name, value in named.items() if name == SPREAD)):
        add_to(table, None, each)
    table.items += [(Text((name,)), value) for name, value in named.items() if name != SPREAD]
    return table


# --- texts ------------------------------------------------------------------------------------------------------------


def text_of(text: Text) -> str:
    """A text as it is shown: gaps as ``…``."""
    return "…".join(text.parts)


def joined(pieces: Sequence[Value]) -> Text:
    """Texts one after the other, with a gap for whatever is not known."""
    parts = [""]
    for piece in pieces:
        inner = piece.parts if isinstance(piece, Text) else ("", "")
        parts[-1] += inner[0]
        parts.extend(inner[1:])
    return Text(_squeezed(parts))


def formatted(text: Text, *, percent: bool) -> Text:
    """A text into which values are set, by ``%`` or by `format`."""
    holes = _PERCENT if percent else _BRACES
    return Text(_squeezed([piece for part in text.parts for piece in holes.split(part)]))


def _squeezed(parts: Sequence[str]) -> tuple[str, ...]:
    """Two gaps side by side are one."""
    inner = [part for part in parts[1:-1] if part]
    return (parts[0], *inner, parts[-1]) if len(parts) > 1 else (parts[0],)


def local_step(maker: StepVerb, function: Value) -> Value:
    """The step that ``step(…)`` makes of a function."""
    if maker.name is not None:
        return StepValue(maker.name)
    return StepValue(name_of(function) or Text(("", "")))


def name_of(function: Value) -> Text | None:
    """What a function is called; None for a lambda, or if it is not known."""
    match function:
        case Local(name=name) if name != "<lambda>":
            return Text((name,))
        case StepValue(name=name):
            return name
        case Method(function=inner):
            return name_of(inner)
        case Live(obj=obj) if is_a(obj, types.FunctionType, types.MethodType, Workflow) and obj.__name__ != "<lambda>":
            return Text((obj.__name__,))
        case _:
            return None
