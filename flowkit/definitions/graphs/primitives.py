"""What a call of a primitive makes: its name as `flowkit.calls` would choose it, and the functions it enters.

A primitive is known by the module that defines it, in either colour, under whatever name the user's code has it.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flowkit.core.graph import Node
from flowkit.definitions.graphs.values import (
    UNKNOWN,
    Items,
    Live,
    Several,
    Table,
    Text,
    Value,
    is_a,
    name_of,
    table_of,
)
from flowkit.definitions.steps import step

if TYPE_CHECKING:
    from flowkit.definitions.graphs.reading import Reader

__all__ = ["primitive_named", "step_maker"]

_MODULES = ("flowkit.plain", "flowkit.awaited")
_ANY = Text(("", ""))

Args = Sequence[Value]
Named = dict[str, Value]
Primitive = Callable[["Reader", Args, Named, str], None]


def step_maker(obj: Any) -> bool:
    """Whether this is `step` itself."""
    return obj is step


def primitive_named(obj: Any) -> Primitive | None:
    """How to read a call of this function; None if it is no primitive that makes an entry."""
    if not is_a(obj, types.FunctionType) or obj.__module__ not in _MODULES:
        return None
    return _READERS.get(obj.__name__)


def _given(args: Args, named: Named, at: int, name: str) -> Value | None:
    """An argument by its place or name; None if it is not given, or given as None."""
    found = args[at] if 0 <= at < len(args) else named.get(name)
    return None if isinstance(found, Live) and found.obj is None else found


def _name(given: Value | None, default: Text) -> Text:
    if given is None:
        return default
    return given if isinstance(given, Text) else _ANY


def _sleep(reader: Reader, args: Args, named: Named, source: str) -> None:
    reader.chart.node(reader.out, "sleep", _name(_given(args, named, -1, "name"), Text(("sleep",))), source)


def _receive(reader: Reader, args: Args, named: Named, source: str) -> None:
    names = list(dict.fromkeys(each.parts for each in args if isinstance(each, Text)))
    alone = len(args) == 1 or len(names) == 1
    default = (Text(names[0]) if names and len(names) == len(args) else _ANY) if alone else Text(("receive",))
    if any(not isinstance(each, Text) for each in args):
        default = _ANY
    reader.chart.node(reader.out, "message", _name(_given(args, named, -1, "as_name"), default), source)


def _send(reader: Reader, args: Args, named: Named, source: str) -> None:
    reader.chart.node(reader.out, "send", _name(_given(args, named, 1, "name"), _ANY), source)


def _marks(kind: str) -> Primitive:
    """`checkpoint`, `removed` and `version`, which are given their names first."""

    def read(reader: Reader, args: Args, named: Named, source: str) -> None:
        reader.chart.node(reader.out, kind, _name(_given(args, named, 0, "name"), _ANY), source)

    return read


def _loop(reader: Reader, args: Args, named: Named, source: str) -> None:
    _entered(reader, "loop", args, named, source)


def _attempt(reader: Reader, args: Args, named: Named, source: str) -> None:
    _entered(reader, "attempt", args, named, source)


def _entered(reader: Reader, kind: str, args: Args, named: Named, source: str) -> None:
    """A loop or attempt block, named like its body unless it is a lambda."""
    body = _given(args, named, 0, "body") or UNKNOWN
    default = name_of(body) or (_ANY if body is UNKNOWN or isinstance(body, Several) else Text((kind,)))
    reader.chart.node(reader.out, kind, _name(_given(args, named, -1, "name"), default), source, _called(reader, body, source))


def _branched(kind: str) -> Primitive:
    """`join` and `race`: an optional name, then branches in a mapping or by keyword."""

    def read(reader: Reader, args: Args, named: Named, source: str) -> None:
        given = [each for each in args if not (isinstance(each, Live) and each.obj is None)]
        name = Text((kind,))
        if given and not _is_mapping(given[0]):
            name = _name(given.pop(0), name)
        table = table_of(given[:1], named)
        nodes = [_branch(reader, text, body, source) for text, body in table.items]
        if table.open:
            nodes.append(Node("branch", "…", source, ("", "")))
        reader.chart.node(reader.out, kind, name, source, nodes)

    return read


def _is_mapping(value: Value) -> bool:
    return isinstance(value, Table | Items) or (isinstance(value, Live) and type(value.obj) is dict)


def _branch(reader: Reader, name: Text, body: Value, source: str) -> Node:
    parts = name.parts
    return Node("branch", "…".join(parts), source, parts if len(parts) > 1 else (), tuple(_called(reader, body, source)))


def _called(reader: Reader, body: Value, source: str) -> list[Node]:
    """What calling a body or branch makes, in its scope."""
    inner = reader.into([])
    inner.called(body, source)
    return _unwrapped(inner.out)


def _unwrapped(nodes: list[Node]) -> list[Node]:
    """The body's own nodes: that it is a function goes without saying."""
    while len(nodes) == 1 and nodes[0].kind == "call":
        nodes = list(nodes[0].body)
    return nodes


_READERS: dict[str, Primitive] = {
    "sleep": _sleep, "sleep_until": _sleep, "receive": _receive, "receive_batch": _receive, "send": _send,
    "checkpoint": _marks("checkpoint"), "removed": _marks("removed"), "version": _marks("version"),
    "loop": _loop, "attempt": _attempt, "join": _branched("join"), "race": _branched("race"),
}  # fmt: skip
