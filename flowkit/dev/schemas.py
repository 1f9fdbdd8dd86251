"""The JSON schema of an annotation, with what a form needs besides: names of positions, and which texts are instants.

msgspec writes the schema. It knows no pydantic model, which brings its own; it leaves out the names of a NamedTuple, whose JSON
is an array, and the format of an instant that may lack a zone. Nothing of the user's is called but pydantic's own schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as seen

__all__ = ["schema_for"]


def schema_for(annotation: Any) -> dict[str, Any] | None:
    """The schema with its ``$defs``; None where there is none."""
    models: dict[str, Any] = {}
    try:
        (schema,), defs = msgspec.json.schema_components((annotation,), schema_hook=lambda kind: _of_model(kind, models))
        info = seen.type_info(annotation)
    except Exception:  # annotations are the user's, and msgspec or pydantic refuses one in several ways
        return None
    defs = {name.rpartition("/")[2]: found for name, found in defs.items()}
    for each in _classes(info):
        _name_parts(each, defs)
    _mark(info, schema)
    defs |= models
    return {**schema, "$defs": defs} if defs else schema


def _of_model(kind: Any, models: dict[str, Any]) -> dict[str, Any]:
    """The schema of a pydantic model. What it refers to is named after it, as a class of msgspec's may have the same name."""
    if not hasattr(kind, "model_json_schema"):
        raise NotImplementedError  # msgspec's own word for: this hook does not know the type
    made: dict[str, Any] = kind.model_json_schema(ref_template=f"#/$defs/{kind.__qualname__}..{{model}}")
    made["$comment"] = "pydantic"
    models |= {f"{kind.__qualname__}..{name}": each for name, each in made.pop("$defs", {}).items()}
    return made


def _classes(info: seen.Type) -> Iterator[seen.Type]:
    """The types with named parts in an annotation, each once."""
    waiting, met = [info], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, seen.DataclassType | seen.TypedDictType | seen.NamedTupleType | seen.StructType):
            if id(each) in met:
                continue
            met.add(id(each))
            yield each
            waiting.extend(field.type for field in each.fields)
        waiting.extend(_inside(each))


def _inside(info: seen.Type) -> tuple[seen.Type, ...]:
    match info:
        case seen.UnionType(types=types):
            return tuple(types)
        case seen.TupleType(item_types=types):
            return tuple(types)
        case seen.DictType(value_type=value):
            return (value,)
        case seen.CollectionType(item_type=item):
            return (item,)
    return ()


def _name_parts(info: Any, defs: dict[str, Any]) -> None:
    """Nothing is named where two classes share a name: there the schema's names do not tell which is which."""
    found = defs.get(info.cls.__name__)
    if found is None:
        return
    if isinstance(info, seen.NamedTupleType):
        parts = found.get("prefixItems", [])
        if len(parts) == len(info.fields):
            for number, field in enumerate(info.fields):
                parts[number] = {**parts[number], "title": field.name}
                _mark(field.type, parts[number])
        return
    for field in info.fields:
        _mark(field.type, found.get("properties", {}).get(field.encode_name))


def _mark(info: seen.Type, schema: Any) -> None:
    """Note where an instant is, in a schema that msgspec made of `info`."""
    if not isinstance(schema, dict) or "$ref" in schema:
        return
    match info:
        case seen.DateTimeType():
            schema.setdefault("format", "date-time")
        case seen.TimeType():
            schema.setdefault("format", "time")
        case seen.UnionType(types=types) if len(schema.get("anyOf", ())) == len(types):
            for each, part in zip(types, schema["anyOf"], strict=True):
                _mark(each, part)
        case seen.DictType(value_type=value):
            _mark(value, schema.get("additionalProperties"))
        case seen.CollectionType(item_type=item):
            _mark(item, schema.get("items"))
        case seen.TupleType(item_types=types) if len(schema.get("prefixItems", ())) == len(types):
            for each, part in zip(types, schema["prefixItems"], strict=True):
                _mark(each, part)
