"""Tags of the builtin types and of the standard library's values; fills the tables of `tree`."""

from __future__ import annotations

import importlib
import sys
from base64 import b64decode, b64encode
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from flowkit.codec.plain import MAX_INT, Refused, key_segment, to_json
from flowkit.codec.tree import FAMILIES, TAGGERS, UNTAGGERS, Tagger, tag_fields, tag_items, untag, untag_items

__all__: list[str] = []

_FACTORIES = {kind.__name__: kind for kind in (list, dict, set, int, float, str, tuple, bool)}
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")


def _itself(value: Any, depth: int) -> Any:
    return value


def _int(value: int, depth: int) -> Any:
    return value if -MAX_INT < value < MAX_INT else {"$int": hex(value)}


def _float(value: float, depth: int) -> Any:
    return value if value - value == 0.0 else {"$float": repr(value)}


def _text(value: str, depth: int) -> Any:
    return value if _is_unicode(value) else {"$text": value.encode("unicode_escape").decode("ascii")}


def _is_unicode(value: str) -> bool:
    """Whether it has no lone surrogates, which UTF-8 cannot hold."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unescape(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape")


def _dict(value: dict[Any, Any], depth: int) -> Any:
    for key in value:
        if type(key) is not str or key[:1] == "$" or not _is_unicode(key):
            return {"$dict": _pairs(value.items(), depth)}
    return tag_fields(value.items(), depth)


def _pairs(items: Iterable[tuple[Any, Any]], depth: int) -> list[list[Any]]:
    pairs = []
    for key, item in items:
        try:
            # Keys and values go through the same bounds as the items of a list.
            pairs.append(tag_items((key, item), depth))
        except Refused as refused:
            refused.segments[-1] = key_segment(key) if refused.segments[-1] == "[1]" else f"<key {key_segment(key)}>"
            raise
    return pairs


def _untag_pairs(nodes: Any, depth: int) -> list[tuple[Any, Any]]:
    pairs = []
    for place, node in enumerate(nodes):
        try:
            key, value = untag_items(node, depth)
        except Refused as refused:
            refused.under(f"[{place}]")
            raise
        pairs.append((key, value))
    return pairs


def _sorted_items(values: Iterable[Any], depth: int) -> list[Any]:
    """The order of a set differs from process to process; equal sets are to give equal bytes."""
    return sorted(tag_items(values, depth), key=to_json)


def _instant(name: str) -> Callable[[Any, int], Any]:
    def tagger(value: datetime | time, depth: int) -> Any:
        offset = value.utcoffset()
        if offset is None and value.tzinfo is not None:
            raise Refused(f"its zone {value.tzinfo} has no offset for a bare {name}; use a datetime, or an offset.")
        node: dict[str, Any] = {f"${name}": value.isoformat()}
        if offset is not None and offset.microseconds:  # Python's own parser loses some of these
            node = {f"${name}": value.replace(tzinfo=None).isoformat(), "offset": msgspec.to_builtins(offset)}
        if value.fold:
            node["fold"] = 1
        return node

    return tagger


def _untag_instant(name: str, kind: type[Any]) -> Callable[[dict[str, Any], int], Any]:
    def untagger(node: dict[str, Any], depth: int) -> Any:
        value = kind.fromisoformat(node[f"${name}"])
        if "offset" in node:
            value = value.replace(tzinfo=timezone(msgspec.convert(node["offset"], timedelta)))
        return value.replace(fold=1) if node.get("fold") else value

    return untagger


def _path_family(cls: type) -> Tagger | None:
    """Paths, without importing pathlib for programs that have none."""
    pathlib = sys.modules.get("pathlib")
    return _path if pathlib and cls in [getattr(pathlib, name) for name in _PATHS] else None


def _path(value: Any, depth: int) -> Any:
    return {"$path": _text(str(value), depth), "class": type(value).__name__}


def _untag_path(node: dict[str, Any], depth: int) -> Any:
    if node["class"] not in _PATHS:
        raise Refused(f"{node['class']!r} is no class of paths.")
    return getattr(importlib.import_module("pathlib"), node["class"])(untag(node["$path"], depth))


def _defaultdict(value: defaultdict[Any, Any], depth: int) -> Any:
    factory = value.default_factory
    if factory is not None and _FACTORIES.get(getattr(factory, "__name__", "")) is not factory:
        raise Refused(f"its default_factory is not one of {', '.join(_FACTORIES)}; store dict(value).")
    name = None if factory is None else factory.__name__
    return {"$defaultdict": _pairs(value.items(), depth), "factory": name}


def _untag_defaultdict(node: dict[str, Any], depth: int) -> Any:
    factory = None if node["factory"] is None else _FACTORIES[node["factory"]]
    return defaultdict(factory, _untag_pairs(node["$defaultdict"], depth))


def _untag_range(node: dict[str, Any], depth: int) -> range:
    start, stop, step = [untag(part, depth) for part in node["$range"]]
    return range(start, stop, step)


def _untag_complex(node: dict[str, Any], depth: int) -> complex:
    real, imaginary = [untag(part, depth) for part in node["$complex"]]
    return complex(real, imaginary)


def _untag_float(node: dict[str, Any], depth: int) -> float:
    return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[node["$float"]]


def _to_base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode("ascii")


def _from_base64(text: str) -> bytes:
    return b64decode(text.encode("ascii"), validate=True)


def _register(kind: type, name: str, to_node: Callable[[Any, int], Any], from_node: Callable[[dict[str, Any], int], Any]) -> None:
    TAGGERS[kind] = to_node
    UNTAGGERS[name] = from_node


def _as_text(kind: type, name: str, to_text: Callable[[Any], Any], from_text: Callable[[Any], Any]) -> None:
    """A type that is a text in JSON."""
    _register(kind, name, lambda value, depth: {name: to_text(value)}, lambda node, depth: from_text(_a_text(node[name])))


def _a_text(node: Any) -> str:
    if type(node) is not str:
        raise Refused(f"expected text, found {type(node).__name__}.")
    return node


def _as_items(kind: type, name: str, order: Callable[[Iterable[Any], int], list[Any]]) -> None:
    """A type that is an array in JSON."""
    _register(
        kind,
        name,
        lambda value, depth: {name: order(value, depth)},
        lambda node, depth: kind(untag_items(node[name], depth)),
    )


def _fill_tables() -> None:
    TAGGERS.update({type(None): _itself, bool: _itself, list: tag_items})
    _register(int, "$int", _int, lambda node, depth: int(_a_text(node["$int"]), 16))
    _register(float, "$float", _float, _untag_float)
    _register(str, "$text", _text, lambda node, depth: _unescape(_a_text(node["$text"])))
    _register(dict, "$dict", _dict, lambda node, depth: dict(_untag_pairs(node["$dict"], depth)))
    _register(datetime, "$datetime", _instant("datetime"), _untag_instant("datetime", datetime))
    _register(time, "$time", _instant("time"), _untag_instant("time", time))
    _as_text(date, "$date", date.isoformat, date.fromisoformat)
    _as_text(timedelta, "$timedelta", msgspec.to_builtins, lambda text: msgspec.convert(text, timedelta))
    _as_text(Decimal, "$decimal", str, Decimal)
    _as_text(UUID, "$uuid", str, UUID)
    _as_text(bytes, "$bytes", _to_base64, _from_base64)
    _as_text(bytearray, "$bytearray", _to_base64, lambda text: bytearray(_from_base64(text)))
    _as_items(tuple, "$tuple", tag_items)
    _as_items(set, "$set", _sorted_items)
    _as_items(frozenset, "$frozenset", _sorted_items)
    _fill_collections()
    _register(
        range,
        "$range",
        lambda value, depth: {"$range": [_int(part, depth) for part in (value.start, value.stop, value.step)]},
        _untag_range,
    )
    _register(
        complex,
        "$complex",
        lambda value, depth: {"$complex": [_float(part, depth) for part in (value.real, value.imag)]},
        _untag_complex,
    )
    FAMILIES.append(_path_family)
    UNTAGGERS["$path"] = _untag_path


def _fill_collections() -> None:
    _register(
        OrderedDict,
        "$ordereddict",
        lambda value, depth: {"$ordereddict": _pairs(value.items(), depth)},
        lambda node, depth: OrderedDict(_untag_pairs(node["$ordereddict"], depth)),
    )
    _register(defaultdict, "$defaultdict", _defaultdict, _untag_defaultdict)
    _register(
        deque,
        "$deque",
        lambda value, depth: {"$deque": tag_items(value, depth), "maxlen": value.maxlen},
        lambda node, depth: deque(untag_items(node["$deque"], depth), node["maxlen"]),
    )


_fill_tables()
