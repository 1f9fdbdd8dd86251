"""The tagger: values that JSON alone would alter, as JSON that says what they were.

A tagged document is ``{"$":…}``, and in it an object whose first key begins with ``$`` is a tag::

    {"$":{"when":{"$datetime":"2031-05-01T12:00:00+02:00"},"pair":{"$tuple":[1,2]},"id":7}}

Everything else in it is plain JSON, so a row still reads well. A document that does not begin with ``{"$":`` has no
tags at all, and a dict that would look like one is written as ``{"$dict":[[key,value],…]}``: no value of a user's can
be mistaken for a tag. Here is the recursion and its bounds; the tables are filled by `builtin` (exact builtin types)
and `records` (what users' classes make). Reading never calls what a document names: it makes instances, after
checking that a class is of the kind its tag says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flowkit.codec.plain import MAX_DEPTH, Refused, from_json, key_segment, to_json

__all__ = [
    "FAMILIES",
    "PREFIX",
    "TAGGERS",
    "UNTAGGERS",
    "Tagger",
    "Untagger",
    "decode",
    "encode",
    "tag",
    "tag_fields",
    "tag_items",
    "untag",
    "untag_fields",
    "untag_items",
]

PREFIX = b'{"$":'
"""How a tagged document begins, and no other."""

Tagger = Callable[[Any, int], Any]
"""(value, depth inside it) -> its tree."""

Untagger = Callable[[dict[str, Any], int], Any]
"""(the tag's object, depth inside it) -> the value."""

TAGGERS: dict[type, Tagger] = {}
FAMILIES: list[Callable[[type], Tagger | None]] = []
"""Asked in order for the tagger of a type that `TAGGERS` does not hold yet."""
UNTAGGERS: dict[str, Untagger] = {}

_TOO_DEEP = f"it nests deeper than {MAX_DEPTH} levels, or contains itself; store it flat, with ids in place of references."


def encode(value: Any) -> bytes:
    """`value` as a tagged document.

    Raises: PayloadError with the path to what cannot be stored.
    """
    try:
        return PREFIX + to_json(tag(value, 0)) + b"}"
    except Refused as refused:
        raise refused.error("stored") from refused.__cause__
    except RecursionError:
        raise Refused(_TOO_DEEP).error("stored") from None
    except Exception as exc:  # user code: an iterator, a property or a subclass's method raised
        raise Refused(f"{type(exc).__name__} while reading it: {exc}").error("stored") from exc


def decode(body: bytes) -> Any:
    """The value in a tagged document.

    Raises: PayloadError with the path to what cannot be read back.
    """
    try:
        document = from_json(body)
        if len(document) != 1:
            raise Refused("a tagged document has one key.")
        return untag(document["$"], 0)
    except Refused as refused:
        raise refused.error("read back") from refused.__cause__
    except RecursionError:
        raise Refused(_TOO_DEEP).error("read back") from None
    except Exception as exc:  # msgspec has several ways to say that this is not JSON
        raise Refused(f"it is not JSON that flowkit wrote: {exc}").error("read back") from exc


def tag(value: Any, depth: int) -> Any:
    """The tree of `value`, ready for JSON. `depth` is the number of containers around it."""
    kind = type(value)
    tagger = TAGGERS.get(kind) or _find_tagger(kind)
    return tagger(value, depth + 1)


def _find_tagger(kind: type) -> Tagger:
    for family in FAMILIES:
        if tagger := family(kind):
            TAGGERS[kind] = tagger
            return tagger
    raise Refused(
        f"a {kind.__module__}.{kind.__qualname__} is none of the types that can be stored; "
        f"keep what it is made from (an id, a path, a dict) and make it again where it is needed."
    )


def tag_items(values: Iterable[Any], depth: int) -> list[Any]:
    """The trees of `values` that stand at `depth`, with their places noted in the path of a refusal."""
    _check_depth(depth)
    trees = []
    for place, value in enumerate(values):
        try:
            trees.append(tag(value, depth))
        except Refused as refused:
            refused.under(f"[{place}]")
            raise
    return trees


def tag_fields(values: Iterable[tuple[str, Any]], depth: int) -> dict[str, Any]:
    """As `tag_items`, for named values."""
    _check_depth(depth)
    trees = {}
    for name, value in values:
        try:
            trees[name] = tag(value, depth)
        except Refused as refused:
            refused.under(key_segment(name))
            raise
    return trees


def untag(node: Any, depth: int) -> Any:
    """The value of a tree that came out of JSON. `depth` is the number of containers around it."""
    kind = type(node)
    if kind is list:
        return untag_items(node, depth + 1)
    if kind is not dict:
        return node
    first = next(iter(node), "")
    if first[:1] != "$":
        return untag_fields(node, depth + 1)
    untagger = UNTAGGERS.get(first)
    if untagger is None:
        raise Refused(f"its tag {first[:50]!r} is not known to this version of flowkit.")
    try:
        return untagger(node, depth + 1)
    except (Refused, RecursionError):
        raise
    except Exception as exc:  # a payload of another shape, or a user's class that refuses it
        raise Refused(f"its tag {first!r} holds what does not fit it ({type(exc).__name__}: {exc}).") from exc


def untag_items(nodes: Any, depth: int) -> list[Any]:
    """The reverse of `tag_items`."""
    if type(nodes) is not list:
        raise Refused(f"expected an array, found {type(nodes).__name__}.")
    _check_depth(depth)
    values = []
    for place, node in enumerate(nodes):
        try:
            values.append(untag(node, depth))
        except Refused as refused:
            refused.under(f"[{place}]")
            raise
    return values


def untag_fields(nodes: Any, depth: int) -> dict[str, Any]:
    """The reverse of `tag_fields`."""
    if type(nodes) is not dict:
        raise Refused(f"expected an object, found {type(nodes).__name__}.")
    _check_depth(depth)
    values = {}
    for name, node in nodes.items():
        try:
            values[name] = untag(node, depth)
        except Refused as refused:
            refused.under(key_segment(name))
            raise
    return values


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Refused(_TOO_DEEP)
