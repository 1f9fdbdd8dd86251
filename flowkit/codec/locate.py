"""Where in a body msgspec's complaint is.

msgspec gives a path, but writes ``[...]`` for any key of a mapping. Here the key is found by halving the mapping and
asking again, on the error path only.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from flowkit.codec.plain import from_json, key_segment, to_json

__all__ = ["explain"]

_PLACE = re.compile(r"^(?P<why>.*) - at `(?:(?P<key>key)` in `)?(?P<path>\$[^`]*)`$", re.DOTALL)
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")

Read = Callable[[bytes], Any]


def explain(read: Read, body: bytes, exc: Exception) -> tuple[str, str]:
    """What is wrong, and the path to it."""
    if isinstance(exc, RecursionError):
        return "it nests too deep.", "$"
    if not isinstance(exc, (msgspec.MsgspecError, UnicodeDecodeError)):
        return f"{type(exc).__name__}: {exc}.", "$"
    why, path = _split(str(exc))
    if "[...]" in path:
        with contextlib.suppress(Exception):  # a better path is a courtesy; the error itself must come out
            path = _locate(read, body, path)
    return f"{why}.", path


def _split(message: str) -> tuple[str, str]:
    place = _PLACE.match(message)
    if place is None:
        return message, "$"
    why = f"a key of it: {place['why']}" if place["key"] else place["why"]
    return why, place["path"]


def _locate(read: Read, body: bytes, path: str) -> str:
    document = from_json(body)
    node, found = document, "$"
    for step in _STEP.finditer(path):
        if step["any"] and isinstance(node, dict):
            key: Any = _guilty_key(read, document, node, path[: step.end()])
            found += key_segment(key)
        else:
            key = int(step["index"]) if step["index"] else step["name"]
            found += step.group()
        node = node[key] if isinstance(node, dict | list) else None
    return found


def _guilty_key(read: Read, document: Any, node: dict[str, Any], upto: str) -> str:
    """Keep the half that still fails at the same place, in place, until one key is left."""
    while len(node) > 1:
        items = list(node.items())
        half = len(items) // 2
        node.clear()
        node.update(items[:half])
        if not _fails(read, document, upto):
            node.clear()
            node.update(items[half:])
    return next(iter(node))


def _fails(read: Read, document: Any, upto: str) -> bool:
    try:
        read(to_json(document))
    except Exception as exc:  # msgspec's own errors, and those of users' validators
        return _split(str(exc))[1].startswith(upto)
    return False
