"""JSON from outside (a command line, a form) made the value that an annotation asks for.

Such a document must never be read as one of the codec's own, which could name any class to make; and a dataclass that it
leaves fields out of must hold their defaults, as one made in Python does: msgspec leaves them to the class, and would then
store the value without them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from flowkit.codec.coding import Coder
from flowkit.codec.plain import to_json

__all__ = ["read_outside"]

_AS_PLAIN = b" "
"""Before a body: the codec's own documents are known by their first bytes, so this one is read as plain JSON."""


def read_outside(coder: Coder, document: object) -> Any:
    """The value of a parsed JSON `document` by the coder's annotation.

    Raises: PayloadError with the path to what does not fit, and what was expected there.
    """
    value = coder.decode(_AS_PLAIN + to_json(document))
    _complete(value)
    return value


def _complete(value: object) -> None:
    for part in _parts(value):
        _complete(part)
    if not dataclasses.is_dataclass(value) or isinstance(value, type) or not hasattr(value, "__dict__"):
        return
    for field in dataclasses.fields(value):
        if field.name not in value.__dict__ and hasattr(value, field.name):
            object.__setattr__(value, field.name, getattr(value, field.name))


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | frozenset):
        return value
    return vars(value).values() if dataclasses.is_dataclass(value) and hasattr(value, "__dict__") else ()
