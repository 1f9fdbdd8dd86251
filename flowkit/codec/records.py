"""Tags of what users' classes make: enums, dataclasses, named tuples, structs, pydantic models, subclasses of
builtins.

An instance is taken apart into named fields and put together again without its ``__init__`` or ``__post_init__``:
they ran once, and what they computed is in the fields. A field that was added to the class since takes its default;
one that was removed is dropped. pydantic is recognised by its marks and never imported here.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from flowkit.codec.names import class_at, class_name
from flowkit.codec.plain import Refused
from flowkit.codec.tree import FAMILIES, UNTAGGERS, Tagger, tag, tag_fields, untag, untag_fields

__all__ = ["is_model"]


# Enums


def _enum_family(cls: type) -> Tagger | None:
    return _enum if issubclass(cls, enum.Enum) else None


def _enum(value: Any, depth: int) -> Any:
    cls = type(value)
    if isinstance(value, enum.Flag):  # a combination has no name of its own
        return {"$enum": class_name(cls), "value": tag(value.value, depth)}
    return {"$enum": class_name(cls), "name": value._name_}


def _untag_enum(node: dict[str, Any], depth: int) -> Any:
    cls = _checked(node["$enum"], lambda found: issubclass(found, enum.Enum), "an Enum")
    if "value" in node:
        if not issubclass(cls, enum.Flag):
            raise Refused(f"{node['$enum']} is not a Flag.")
        return cls(untag(node["value"], depth))
    members = cls.__members__  # type: ignore[attr-defined]  # it is an Enum
    if node["name"] not in members:
        raise Refused(f"{node['$enum']} has no member {node['name']!r} (any more).")
    return members[node["name"]]


def _checked(name: object, is_kind: Callable[[type], bool], kind: str) -> type:
    cls = class_at(name)
    if not is_kind(cls):
        raise Refused(f"{name} is not {kind} (any more).")
    return cls


# Dataclasses

_NOT_RECORDS = (str, int, float, bytes, list, dict, tuple, set, frozenset, BaseException)


def _is_dataclass(cls: type) -> bool:
    """Those that are nothing else besides: fields are not all there is to a dataclass that is also a list."""
    return dataclasses.is_dataclass(cls) and not issubclass(cls, _NOT_RECORDS)


def _dataclass_family(cls: type) -> Tagger | None:
    if not _is_dataclass(cls):
        return None
    names = [field.name for field in dataclasses.fields(cls)]
    return lambda value, depth: {
        "$dataclass": class_name(cls),
        "fields": tag_fields(((name, getattr(value, name)) for name in names), depth),
    }


def _untag_dataclass(node: dict[str, Any], depth: int) -> Any:
    cls = _checked(node["$dataclass"], _is_dataclass, "a dataclass")
    stored = untag_fields(node["fields"], depth)
    value: object = object.__new__(cls)
    for field in dataclasses.fields(cls):
        # Frozen classes refuse setattr(), and a class's own __setattr__ may do more than set.
        object.__setattr__(value, field.name, _field_value(field, stored, node["$dataclass"]))
    return value


def _field_value(field: dataclasses.Field[Any], stored: dict[str, Any], cls_name: str) -> Any:
    if field.name in stored:
        return stored[field.name]
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise _missing(cls_name, field.name)


def _missing(cls_name: str, name: str) -> Refused:
    return Refused(f"{cls_name} has a field {name!r} that was not stored; give it a default.")


# Named tuples


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_field_defaults")


def _namedtuple_family(cls: type) -> Tagger | None:
    if not _is_namedtuple(cls):
        return None
    return lambda value, depth: {
        "$namedtuple": class_name(cls),
        "fields": tag_fields(zip(cls._fields, tuple.__iter__(value), strict=True), depth),  # type: ignore[attr-defined]
    }


def _untag_namedtuple(node: dict[str, Any], depth: int) -> Any:
    cls: Any = _checked(node["$namedtuple"], _is_namedtuple, "a NamedTuple")
    stored = cls._field_defaults | untag_fields(node["fields"], depth)
    for name in cls._fields:
        if name not in stored:
            raise _missing(node["$namedtuple"], name)
    return tuple.__new__(cls, [stored[name] for name in cls._fields])


# msgspec structs


def _struct_family(cls: type) -> Tagger | None:
    if not issubclass(cls, msgspec.Struct):
        return None
    names = cls.__struct_fields__
    return lambda value, depth: {
        "$struct": class_name(cls),
        "fields": tag_fields(((name, getattr(value, name)) for name in names), depth),
    }


def _untag_struct(node: dict[str, Any], depth: int) -> Any:
    cls = _checked(node["$struct"], lambda found: issubclass(found, msgspec.Struct), "a Struct")
    stored = untag_fields(node["fields"], depth)
    # A Struct can only be made by calling it; its fields are not reachable before that.
    return cls(**{name: stored[name] for name in cls.__struct_fields__ if name in stored})  # type: ignore[attr-defined]


# pydantic models


def is_model(cls: object) -> bool:
    """Whether `cls` is a pydantic (2) model; pydantic need not be installed."""
    return isinstance(cls, type) and hasattr(cls, "__pydantic_core_schema__") and hasattr(cls, "model_fields")


def _model_family(cls: type) -> Tagger | None:
    return _model if is_model(cls) else None


def _model(value: Any, depth: int) -> Any:
    node = {
        "$model": class_name(type(value)),
        "fields": tag_fields(((name, value.__dict__[name]) for name in type(value).model_fields), depth),
        "set": sorted(value.__pydantic_fields_set__),
    }
    extra = value.__pydantic_extra__
    private = {name: one for name, one in (value.__pydantic_private__ or {}).items() if not _is_undefined(one)}
    if extra is not None:
        node["extra"] = tag(dict(extra), depth)
    if private:
        node["private"] = tag_fields(private.items(), depth)
    return node


def _is_undefined(value: object) -> bool:
    return type(value).__name__ == "PydanticUndefinedType"


def _untag_model(node: dict[str, Any], depth: int) -> Any:
    cls: Any = _checked(node["$model"], is_model, "a pydantic model")
    stored = untag_fields(node["fields"], depth)
    extra = untag(node["extra"], depth) if "extra" in node else None
    if stored.keys() != cls.model_fields.keys():
        return cls.model_validate({**stored, **(extra or {})})  # the model was changed: let it find its defaults
    value = cls.__new__(cls)
    private = dict(untag_fields(node.get("private", {}), depth))
    for name, part in (
        ("__dict__", stored),
        ("__pydantic_fields_set__", set(node["set"])),
        ("__pydantic_extra__", extra),
        ("__pydantic_private__", private if cls.__private_attributes__ else None),
    ):
        object.__setattr__(value, name, part)
    return value


# Subclasses of builtins: the builtin value, and what else the instance carries.


@dataclasses.dataclass(frozen=True, slots=True)
class _Base:
    """How to see a subclass's instance as its builtin, and to make one from it, without calling users' methods."""

    name: str
    plain: Callable[[Any], Any]
    make: Callable[[type, Any], Any]


def _filled(base: Any, fill: Callable[[Any, Any], Any]) -> Callable[[type, Any], Any]:
    def make(cls: type, plain: Any) -> Any:
        value = base.__new__(cls)
        fill(value, plain)
        return value

    return make


def _datetime_parts(value: Any) -> tuple[Any, ...]:
    return (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, value.tzinfo)


def _make_datetime(cls: Any, plain: datetime) -> Any:
    return datetime.__new__(cls, *_datetime_parts(plain), fold=plain.fold)


_BASES: dict[type, _Base] = {
    datetime: _Base("datetime", lambda value: _make_datetime(datetime, value), _make_datetime),
    date: _Base(
        "date",
        lambda value: date(value.year, value.month, value.day),
        lambda cls, plain: date.__new__(cls, plain.year, plain.month, plain.day),
    ),
    str: _Base("str", lambda value: str.__str__(value), str.__new__),
    int: _Base("int", lambda value: int.__pos__(value), int.__new__),
    float: _Base("float", lambda value: float.__pos__(value), float.__new__),
    complex: _Base("complex", lambda value: complex.__pos__(value), complex.__new__),
    bytes: _Base("bytes", lambda value: bytes(memoryview(value)), bytes.__new__),
    Decimal: _Base("Decimal", lambda value: Decimal(Decimal.__str__(value)), Decimal.__new__),
    tuple: _Base("tuple", lambda value: tuple(tuple.__iter__(value)), tuple.__new__),
    frozenset: _Base("frozenset", lambda value: frozenset(frozenset.__iter__(value)), frozenset.__new__),
    set: _Base("set", lambda value: set(set.__iter__(value)), _filled(set, set.update)),
    list: _Base("list", lambda value: list(list.__iter__(value)), _filled(list, list.extend)),
    dict: _Base("dict", lambda value: dict(dict.items(value)), _filled(dict, dict.update)),
}
_EXAMPLES: dict[type, Callable[[], Any]] = {date: lambda: date.min, datetime: lambda: datetime.min}  # noqa: DTZ901
_BY_NAME = {base.name: (kind, base) for kind, base in _BASES.items()}
_UNSAFE = (OrderedDict, defaultdict, deque)  # they keep more than the builtin would restore


def _is_rebuildable(cls: type, kind: type) -> bool:
    """Whether instances can be made from the builtin alone; extension types, such as numpy's, say no."""
    example = _EXAMPLES[kind]() if kind in _EXAMPLES else kind()
    try:
        return type(_BASES[kind].make(cls, example)) is cls and not any(
            vars(one).get("__slots__") for one in cls.__mro__ if one is not kind
        )
    except Exception:  # a refusal of the class's own making
        return False


def _subclass_family(cls: type) -> Tagger | None:
    for kind, base in _BASES.items():
        if issubclass(cls, kind):
            return None if issubclass(cls, _UNSAFE) or not _is_rebuildable(cls, kind) else _subclass_tagger(cls, base)
    return None


def _subclass_tagger(cls: type, base: _Base) -> Tagger:
    def tagger(value: Any, depth: int) -> Any:
        node = {"$subclass": class_name(cls), "of": base.name, "value": _inner(base.plain(value), depth)}
        if state := getattr(value, "__dict__", None):
            node["state"] = tag_fields(state.items(), depth)
        return node

    return tagger


def _inner(plain: Any, depth: int) -> Any:
    """The builtin inside a subclass stands for the instance itself, so it is not one level deeper."""
    return tag(plain, depth - 1)


def _untag_subclass(node: dict[str, Any], depth: int) -> Any:
    kind, base = _BY_NAME[node["of"]]
    cls = _checked(node["$subclass"], lambda found: issubclass(found, kind) and _subclass_family(found) is not None, f"a {kind}")
    plain = untag(node["value"], depth - 1)
    if type(plain) is not kind:
        raise Refused(f"expected {base.name}, found {type(plain).__name__}.")
    value = base.make(cls, plain)
    if "state" in node:
        value.__dict__.update(untag_fields(node["state"], depth))
    return value


def _exception_family(cls: type) -> Tagger | None:
    if issubclass(cls, BaseException):
        raise Refused("an exception is not a value; store its text, or the ErrorInfo of a failure.")
    return None


def _fill_tables(families: Iterable[Callable[[type], Tagger | None]]) -> None:
    FAMILIES.extend(families)
    UNTAGGERS["$enum"] = _untag_enum
    UNTAGGERS["$dataclass"] = _untag_dataclass
    UNTAGGERS["$namedtuple"] = _untag_namedtuple
    UNTAGGERS["$struct"] = _untag_struct
    UNTAGGERS["$model"] = _untag_model
    UNTAGGERS["$subclass"] = _untag_subclass


_fill_tables(
    (
        _exception_family,
        _enum_family,
        _model_family,
        _struct_family,
        _dataclass_family,
        _namedtuple_family,
        _subclass_family,
    )
)
