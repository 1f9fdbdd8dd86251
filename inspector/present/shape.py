"""What a form must ask for, out of the JSON schema that the code has published.

A schema becomes a small tree of shapes, each with fields of its own. What no field can say, such as a choice between several
types, a type that holds itself, or nesting without end, is an area for JSON. Nothing is checked by these shapes: that is done
where the code is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "OUT", "Area", "Choice", "Empty", "Group", "Keyed", "Leaf", "Many", "Maybe", "Member", "Out", "Schema", "Shape", "inside_of",
    "read_schema", "resolved", "shape_of",
]  # fmt: skip

MAX_DEPTH = 6
_NULL: Mapping[str, object] = {"type": "null"}
_CONTROLS = {"date-time": "datetime", "date": "date", "time": "time", "duration": "duration"}

Schema = Mapping[str, object]


class Out:
    """Stands for what is left out, so that a default applies."""

    def __repr__(self) -> str:
        return "OUT"


OUT = Out()
Empty = Out | None | Literal[""]
"""What an empty field means: nothing is sent, null, or the empty text, which the code will refuse where it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One field. `control`: text, number, checkbox, date, datetime, time or duration."""

    control: str
    empty: Empty = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of some values, each told by a text."""

    options: Mapping[str, object]
    empty: Empty = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """JSON as text."""

    schema: str
    empty: Empty = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A part of a group. `default` is `OUT` where none is known."""

    name: str
    shape: Shape
    default: object = OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Named parts. `positional`: they make an array."""

    members: tuple[Member, ...]
    said: str = ""
    positional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    """A list: any number of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A mapping: any number of keys, each with a value of one shape."""

    item: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Maybe:
    """What need not be there, and is then `empty`."""

    inner: Shape
    empty: Empty


Shape = Leaf | Choice | Area | Group | Many | Keyed | Maybe


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a schema stands: the definitions, the references followed so far, and what an empty field means there."""

    defs: Schema
    inside: tuple[str, ...] = ()
    depth: int = 0
    required: bool = True
    known: bool = True
    nullable: bool = False

    def deeper(self, *, required: bool = True, known: bool = True) -> _Place:
        return _Place(self.defs, self.inside, self.depth + 1, required, known)

    @property
    def empty(self) -> Empty:
        if self.nullable and (self.required or self.known):
            return None
        return "" if self.required else OUT


def shape_of(schema: str, *, required: bool, known: bool, optional: bool) -> Shape:
    """The shape of a parameter. `known`: it has a default, and which is known."""
    found = read_schema(schema)
    return _shape(found, _Place(inside_of(found.get("$defs")), required=required, known=known, nullable=optional))


def read_schema(schema: str) -> Schema:
    """The parsed schema; empty where there is none."""
    try:
        found = json.loads(schema) if schema else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def inside_of(value: object) -> Schema:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def resolved(schema: Schema, defs: Schema) -> Schema:
    """The schema that is meant by a reference, else itself."""
    place = schema.get("$ref")
    return inside_of(defs.get(place.rpartition("/")[2])) if isinstance(place, str) else schema


def _shape(given: Schema, at: _Place) -> Shape:
    schema, at, again = _followed(given, at)
    if again or at.depth > MAX_DEPTH:
        return _area(given, at)
    parts = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(parts, list):
        return _union(given, [inside_of(part) for part in parts], at)
    if "enum" in schema or "const" in schema:
        return _choice(given, schema, at)
    match schema.get("type"):
        case "string" if schema.get("contentEncoding") is None:
            return _text(schema, at)
        case "integer" | "number":
            return Leaf(control="number", empty=at.empty)
        case "boolean":
            return _choice(given, {"enum": [True, False]}, at) if at.nullable else Leaf(control="checkbox")
        case "object":
            return _maybe(_object(given, schema, at), at)
        case "array":
            return _maybe(_array(given, schema, at), at)
    return _area(given, at)


def _followed(schema: Schema, at: _Place) -> tuple[Schema, _Place, bool]:
    """The schema behind a reference, and whether we came from there."""
    place = schema.get("$ref")
    if not isinstance(place, str):
        return schema, at, False
    inner = _Place(at.defs, (*at.inside, place), at.depth, at.required, at.known, at.nullable)
    return resolved(schema, at.defs), inner, place in at.inside


def _union(given: Schema, parts: list[Schema], at: _Place) -> Shape:
    others = [part for part in parts if part != _NULL]
    nullable = at.nullable or len(others) < len(parts)
    inner = _Place(at.defs, at.inside, at.depth, at.required, at.known, nullable)
    return _shape(others[0], inner) if len(others) == 1 else _area(given, inner)


def _text(schema: Schema, at: _Place) -> Leaf:
    control = _CONTROLS.get(str(schema.get("format")), "text")
    plain = control == "text" and "format" not in schema
    empty = at.empty
    if plain and not at.nullable and not at.required and at.known:
        empty = ""  # emptied by hand, where the default may be another text
    return Leaf(control=control, empty=empty)


def _choice(given: Schema, schema: Schema, at: _Place) -> Shape:
    values = schema.get("enum", [schema.get("const")])
    found = [value for value in values if value is not None] if isinstance(values, list) else []
    options = {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False): value for value in found}
    if len(options) < len(found) or not options or "" in options:
        return _area(given, at)
    nullable = at.nullable or (isinstance(values, list) and None in values)
    inner = _Place(at.defs, at.inside, at.depth, at.required, at.known, nullable)
    return Choice(options=options, empty="" if at.known and not nullable else inner.empty)


def _object(given: Schema, schema: Schema, at: _Place) -> Shape:
    parts = inside_of(schema.get("properties"))
    if parts:
        needed = schema.get("required")
        members = [
            _member(name, inside_of(part), at, needed=isinstance(needed, list) and name in needed) for name, part in parts.items()
        ]
        return Group(members=tuple(members), said=str(schema.get("description", "")))
    item = inside_of(schema.get("additionalProperties"))
    keys = inside_of(schema.get("propertyNames"))
    return Keyed(item=_shape(item, at.deeper())) if item and not keys.get("enum") else _area(given, at)


def _array(given: Schema, schema: Schema, at: _Place) -> Shape:
    parts = schema.get("prefixItems")
    if isinstance(parts, list):
        least = schema.get("minItems")
        needed = least if isinstance(least, int) else len(parts)
        named = [inside_of(part) for part in parts]
        members = [_member(str(part.get("title", number)), part, at, needed=number < needed) for number, part in enumerate(named)]
        return Group(members=tuple(members), said=str(schema.get("description", "")), positional=True)
    item = inside_of(schema.get("items"))
    return Many(item=_shape(item, at.deeper())) if item else _area(given, at)


def _member(name: str, schema: Schema, at: _Place, *, needed: bool) -> Member:
    default = schema.get("default", OUT)
    return Member(name=name, shape=_shape(schema, at.deeper(required=needed, known=default is not OUT)), default=default)


def _maybe(shape: Shape, at: _Place) -> Shape:
    """Whether it is there must be told where it may be null, or has a default that nobody knows here."""
    if isinstance(shape, Area) or (not at.nullable and (at.required or at.known)):
        return shape
    return Maybe(inner=shape, empty=at.empty)


def _area(schema: Schema, at: _Place) -> Area:
    whole = {**schema, "$defs": at.defs} if "$ref" in json.dumps(schema) else dict(schema)
    return Area(schema=json.dumps(whole, ensure_ascii=False) if schema else "", empty=at.empty)
