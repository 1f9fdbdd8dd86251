"""A parameter's JSON schema for those who fill in a form: as text, and as an example that has its shape.

The schema comes from the process that has the code, as text; it is described and never applied here. What a form sends is
checked where the code is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from .shape import inside_of, read_schema, resolved
from .values import shown

__all__ = ["described", "example", "schema_text"]

_TEXTS = {"date-time": "2026-03-01T14:00:00Z", "date": "2026-03-01", "time": "14:00:00", "duration": "PT1H"}
_PLAIN: dict[str, object] = {"integer": 0, "number": 0.0, "boolean": False, "null": None}


def schema_text(schema: str) -> str:
    """The schema, pretty; nothing where there is none."""
    found = read_schema(schema)
    return shown(json.dumps(found, ensure_ascii=False, indent=2)) if found else ""


def described(schema: str) -> str:
    """What the schema says of itself in words."""
    found = read_schema(schema)
    text = resolved(found, _defs(found)).get("description")
    return shown(text) if isinstance(text, str) else ""


def example(schema: str) -> str:
    """The least value of this shape, as JSON: what must be there, and of a choice the first."""
    found = read_schema(schema)
    return shown(json.dumps(_example(found, _defs(found), ()), ensure_ascii=False, indent=2)) if found else ""


def _defs(schema: Mapping[str, object]) -> Mapping[str, object]:
    return inside_of(schema.get("$defs"))


def _example(given: Mapping[str, object], defs: Mapping[str, object], inside: tuple[object, ...]) -> object:
    """`inside` are the references followed so far: a type that holds itself ends where it would begin again."""
    if given.get("$ref", "") in inside:
        return None
    schema = resolved(given, defs)
    inside = (*inside, given["$ref"]) if "$ref" in given else inside
    if "default" in schema:
        return schema["default"]
    for several in ("enum", "anyOf", "oneOf"):
        choices = schema.get(several)
        if isinstance(choices, list) and choices:
            first = next((each for each in choices if each != {"type": "null"}), choices[0])
            return first if several == "enum" else _example(inside_of(first), defs, inside)
    return _example_of_type(schema, defs, inside)


def _example_of_type(schema: Mapping[str, object], defs: Mapping[str, object], inside: tuple[object, ...]) -> object:
    match schema.get("type"):
        case "object":
            needed = schema.get("required")
            properties = inside_of(schema.get("properties"))
            names = needed if isinstance(needed, list) else []
            return {str(name): _example(inside_of(properties.get(name)), defs, inside) for name in names}
        case "array":
            items = schema.get("prefixItems", [schema.get("items")])
            found = [_example(inside_of(item), defs, inside) for item in items if item] if isinstance(items, list) else []
            return [] if found == [None] else found
        case "string":
            return _TEXTS.get(str(schema.get("format")), "")
        case str(name):
            return _PLAIN.get(name)
        case _:
            return None
