"""From an annotation to a check: would msgspec give this value back exactly as it is?

msgspec is fast and readable, and forgiving where flowkit must not be: it turns NaN into null, an `IntEnum` into a
number, drops keys a `TypedDict` does not name, shortens odd time zones, and runs `__post_init__` again. So each
annotation is compiled into a check that lets through what msgspec restores exactly, as just the annotated type;
whatever does not pass is tagged instead, and a type this module does not know never passes. Positions that are open
(`Any`, `object`, a bare `dict`) let plain JSON through. A check never raises on purpose, but it may touch user
attributes, so its caller guards it.
"""

# ruff: noqa: SIM110  (loops in place of any() and all(): these run for every value, and a generator costs a frame)

from __future__ import annotations

import collections.abc as abc
import dataclasses
import enum
import sys
import types
import typing
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec

from flowkit.codec.plain import MAX_DEPTH, MAX_INT, is_plain

__all__ = ["Check", "Conformance", "conformance", "never"]

Check = Callable[[Any, int], bool]
"""(value, number of containers around it) -> whether msgspec restores it exactly."""


@dataclasses.dataclass(frozen=True, slots=True)
class Conformance:
    """What is known of an annotation: the check, and whether sets must be sorted to make equal values equal bytes."""

    check: Check
    sorted_sets: bool


def conformance(annotation: Any) -> Conformance:
    """Compile `annotation`. Never raises: what cannot be understood conforms to nothing."""
    compiler = _Compiler()
    try:
        check = compiler.check(annotation)
    except Exception:  # user classes answer here (hints, generics); a broken one must not break the import
        check = never
    if compiler.sets and compiler.mappings:
        # The sorting encoder would sort the mappings too, and the order of a dict is part of the value.
        check = never
    return Conformance(check, compiler.sets)


def never(value: object, depth: int) -> bool:
    """The check that nothing passes."""
    return False


def _exactly(kind: type) -> Check:
    def check(value: Any, depth: int) -> bool:
        return type(value) is kind

    return check


def _int(value: Any, depth: int) -> bool:
    return type(value) is int and -MAX_INT < value < MAX_INT


def _float(value: Any, depth: int) -> bool:
    return type(value) is float and value - value == 0.0


def _decimal(value: Any, depth: int) -> bool:
    return type(value) is Decimal and value.is_finite()


def _datetime(value: Any, depth: int) -> bool:
    return type(value) is datetime and not value.fold and _whole_minutes(value)


def _time(value: Any, depth: int) -> bool:
    return type(value) is time and not value.fold and _whole_minutes(value)


def _whole_minutes(value: datetime | time) -> bool:
    if value.tzinfo is None:
        return True
    offset = value.utcoffset()
    return offset is not None and not offset.microseconds and not offset.seconds % 60


def _text_key(value: Any, depth: int) -> bool:
    return type(value) is str


_EXACT: dict[Any, type] = {kind: kind for kind in (str, bool, bytes, bytearray, date, timedelta, UUID, type(None))} | {
    None: type(None)
}
_SIMPLE: dict[Any, Check] = {key: _exactly(kind) for key, kind in _EXACT.items()} | {
    Any: is_plain,
    object: is_plain,
    int: _int,
    float: _float,
    Decimal: _decimal,
    datetime: _datetime,
    time: _time,
}
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Collection)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_SETS: dict[Any, type] = {set: set, abc.Set: set, abc.MutableSet: set, frozenset: frozenset}
_WRAPPERS = (typing.Required, typing.NotRequired, typing.Final)
_KEYS = (str, int, date, UUID)


class _Compiler:
    """One compilation; classes are kept so that one which contains itself is compiled once."""

    def __init__(self) -> None:
        self.sets = False
        self.mappings = False
        self._classes: dict[type, Check] = {}

    def check(self, annotation: Any) -> Check:
        simple: Check | None = _lookup(_SIMPLE, annotation)
        if simple is not None:
            self.mappings |= simple is is_plain
            return simple
        origin = typing.get_origin(annotation)
        if origin is not None:
            return self._special(annotation, origin, typing.get_args(annotation))
        if isinstance(annotation, typing.TypeVar):
            self.mappings = True
            return never if annotation.__bound__ or annotation.__constraints__ else is_plain
        if isinstance(annotation, typing.NewType):
            return self.check(annotation.__supertype__)
        if sys.version_info >= (3, 12) and isinstance(annotation, typing.TypeAliasType):
            return self.check(annotation.__value__)
        if annotation in (*_LISTS, *_MAPPINGS, *_SETS, tuple):
            return self._container(annotation, ())
        return self._class(annotation) if isinstance(annotation, type) else never

    def _special(self, annotation: Any, origin: Any, args: tuple[Any, ...]) -> Check:
        if origin is typing.Union or origin is types.UnionType:
            return _union([self.check(arg) for arg in args])
        if origin is typing.Literal:
            return _literal(args)
        if origin is typing.Annotated:
            return self._annotated(annotation, args)
        if origin in _WRAPPERS or getattr(origin, "_name", "") == "ReadOnly":
            return self.check(args[0])
        return self._container(origin, args)

    def _annotated(self, annotation: Any, args: tuple[Any, ...]) -> Check:
        check = self.check(args[0])
        if not any(isinstance(extra, msgspec.Meta) for extra in args[1:]):
            return check

        def within_limits(value: Any, depth: int) -> bool:
            if not check(value, depth):
                return False
            try:
                msgspec.convert(value, annotation)
            except msgspec.ValidationError:
                return False
            return True

        return within_limits

    def _container(self, origin: Any, args: tuple[Any, ...]) -> Check:
        if origin in _LISTS:
            (item,) = args or (Any,)
            return _items(list, self.check(item), _lookup(_EXACT, item))
        if origin in _MAPPINGS:
            self.mappings = True
            key, value = args or (Any, Any)
            return _mapping(self._key(key), self.check(value))
        if origin in _SETS:
            self.sets = True
            (item,) = args or (Any,)
            return _items(_SETS[origin], self.check(item), _lookup(_EXACT, item))
        if origin is tuple:
            if not args or args[-1] is Ellipsis:
                item = args[0] if args else Any
                return _items(tuple, self.check(item), _lookup(_EXACT, item))
            return _fixed(tuple, [self.check(arg) for arg in args])
        return never  # generic classes: what their variables stand for is not followed

    def _key(self, annotation: Any) -> Check:
        """Only keys of one kind that cannot meet in JSON: `1` and `"1"` would become the same text."""
        if annotation is Any:
            return _text_key
        if annotation in _KEYS:
            return _SIMPLE[annotation]
        if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
            return _enum(annotation)
        return never

    def _class(self, cls: type) -> Check:
        if cls in self._classes:
            return self._classes[cls]
        known: list[Check] = []
        self._classes[cls] = lambda value, depth: known[0](value, depth)  # for a class that contains itself
        known.append(self._record(cls))
        return known[0]

    def _record(self, cls: type) -> Check:
        if issubclass(cls, enum.Enum):
            return _enum(cls)
        if typing.is_typeddict(cls):
            self.mappings = True
            return _typed_dict(cls, {name: self.check(hint) for name, hint in _hints(cls).items()})
        if getattr(cls, "__parameters__", ()) or hasattr(cls, "__post_init__"):
            return never  # __post_init__ would run again, on values it has changed already
        names = _field_names(cls)
        if names is None:
            return never
        hints = _hints(cls)
        checks = [self.check(hints.get(name, Any)) for name in names]
        if issubclass(cls, tuple):
            return _fixed(cls, checks)
        return _attributes(cls, names, checks, [_lookup(_EXACT, hints[name]) for name in names])


def _lookup(table: dict[Any, Any], annotation: Any) -> Any:
    try:
        return table.get(annotation)
    except TypeError:  # unhashable, as Annotated with a list may be
        return None


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _field_names(cls: type) -> list[str] | None:
    """The fields msgspec writes and restores, or None where it does that differently from Python."""
    if issubclass(cls, msgspec.Struct):
        return list(cls.__struct_fields__)
    if issubclass(cls, tuple):
        names: tuple[str, ...] | None = getattr(cls, "_fields", None)
        return None if names is None else list(names)
    if not dataclasses.is_dataclass(cls) or cls.__new__ is not object.__new__:
        return None
    fields = dataclasses.fields(cls)
    return [field.name for field in fields] if all(field.init for field in fields) else None


def _union(checks: list[Check]) -> Check:
    def check(value: Any, depth: int) -> bool:
        for one in checks:
            if one(value, depth):
                return True
        return False

    return check


def _literal(values: tuple[Any, ...]) -> Check:
    allowed = {(type(value), value) for value in values}

    def check(value: Any, depth: int) -> bool:
        return type(value) in (str, int, type(None)) and (type(value), value) in allowed

    return check


def _items(kind: Any, item: Check, exact: type | None) -> Check:
    only = {exact}

    def check(values: Any, depth: int) -> bool:
        if type(values) is not kind or depth >= MAX_DEPTH:
            return False
        if exact is not None:
            return not values or set(map(type, values)) == only
        depth += 1
        for value in values:
            if not item(value, depth):
                return False
        return True

    return check


def _mapping(key: Check, item: Check) -> Check:
    def each(value: Any, depth: int) -> bool:
        if type(value) is not dict or depth >= MAX_DEPTH:
            return False
        depth += 1
        for name, one in value.items():
            if not key(name, depth) or not item(one, depth):
                return False
        return True

    return each


def _fixed(kind: Any, checks: list[Check]) -> Check:
    def check(value: Any, depth: int) -> bool:
        if type(value) is not kind or depth >= MAX_DEPTH or len(value) != len(checks):
            return False
        return _each(checks, value, depth + 1)

    return check


def _each(checks: list[Check], values: Iterable[Any], depth: int) -> bool:
    for check, value in zip(checks, values, strict=True):
        if not check(value, depth):
            return False
    return True


def _typed_dict(cls: Any, checks: dict[str, Check]) -> Check:
    required: frozenset[str] = cls.__required_keys__

    def check(value: Any, depth: int) -> bool:
        if type(value) is not dict or depth >= MAX_DEPTH or not required <= value.keys():
            return False
        for key, one in value.items():
            known = checks.get(key)
            if known is None or not known(one, depth + 1):
                return False
        return True

    return check


def _attributes(cls: type, names: list[str], checks: list[Check], exact: list[type | None]) -> Check:
    """Fields whose type alone decides are compared in one sweep; only the others are checked one by one."""
    if not names:
        return lambda value, depth: type(value) is cls and depth < MAX_DEPTH
    get: Callable[[Any], Any] = attrgetter(*names)
    others = [(place, check) for place, (check, kind) in enumerate(zip(checks, exact, strict=True)) if kind is None]
    sure = [(place, kind) for place, kind in enumerate(exact) if kind is not None]
    single = len(names) == 1

    def check(value: Any, depth: int) -> bool:
        if type(value) is not cls or depth >= MAX_DEPTH:
            return False
        found = (get(value),) if single else get(value)
        for place, kind in sure:
            if type(found[place]) is not kind:
                return False
        for place, test in others:
            if not test(found[place], depth + 1):
                return False
        return True

    return check


def _enum(cls: type[enum.Enum]) -> Check:
    """Members go by value: texts only or numbers only, and no flags, whose combinations are no members."""
    kinds = {type(member.value) for member in cls}
    return _exactly(cls) if kinds in ({str}, {int}) and not issubclass(cls, enum.Flag) else never
