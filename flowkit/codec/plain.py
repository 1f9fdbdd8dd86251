"""What plain JSON is: which values it holds unaltered, how deep they nest, and how a path to trouble is written.

Knows nothing of annotations or tags. The tricky bit is `too_deep`, which bounds the nesting of a stored body before a
recursive decoder sees it, without looking at its bytes one by one in Python.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any

import msgspec

from flowkit.errors import PayloadError

__all__ = ["MAX_DEPTH", "MAX_INT", "Refused", "from_json", "is_plain", "key_segment", "to_json", "too_deep"]

MAX_DEPTH = 200
"""Containers in containers, at most; the 201st is refused."""

MAX_INT = 1 << 1900
"""Whole numbers from here on have more digits than Python surely converts (the limit may be set down to 640 digits)."""

to_json = msgspec.json.Encoder().encode
from_json = msgspec.json.Decoder().decode

_LEAVES = frozenset((str, bool, type(None)))
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Refused(Exception):
    """A value cannot be encoded or decoded; becomes a `PayloadError` once it has collected its path on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.segments: list[str] = []

    def under(self, segment: str) -> None:
        """Note one step of the path, innermost first."""
        self.segments.append(segment)

    def error(self, doing: str) -> PayloadError:
        """The public error; `doing` is ``stored`` or ``read back``."""
        path = "$" + "".join(reversed(self.segments))
        return PayloadError(f"The value at {path} cannot be {doing}: {self.why}", path=path)


def key_segment(key: object) -> str:
    """The step of a path that leads to `key` of a mapping: ``.when``, or ``['odd key']``."""
    if type(key) is str and _NAME.fullmatch(key):
        return f".{key}"
    readable = type(key) in (str, float, bool, bytes, type(None)) or (type(key) is int and abs(key) < MAX_INT)
    return f"[{repr(key)[:80]}]" if readable else f"[<{type(key).__name__}>]"


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether JSON gives `value` back as it is: exact builtin types, text keys, finite numbers, not too deep.

    Lone surrogates are left to the encoder, which refuses them.
    """
    kind = type(value)
    if kind in _LEAVES:
        return True
    if kind is int:
        return bool(-MAX_INT < value < MAX_INT)
    if kind is float:
        return bool(value - value == 0.0)  # neither NaN nor infinite
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    elif kind is not list:
        return False
    for item in value:
        kind = type(item)
        if kind in _LEAVES or (kind is int and -MAX_INT < item < MAX_INT):
            continue  # decided here only to spare the call
        if not is_plain(item, depth + 1):
            return False
    return True


def too_deep(body: bytes) -> bool:
    """Whether the JSON in `body` nests deeper than `MAX_DEPTH`.

    Text is cut out and all but brackets dropped; what is left is added up, one up and one down. The loops run in C, in
    time that grows with the size of the body alone, and only for bodies with enough brackets to be too deep at all.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _TEXT.sub(b"", body).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH
