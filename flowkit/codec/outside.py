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
from flowkit.codec.plain import key_segment, to_json
from flowkit.errors import PayloadError

__all__ = ["faults_of", "read_outside"]

_AS_PLAIN = b" "
"""Before a body: the codec's own documents are known by their first bytes, so this one is read as plain JSON."""


def read_outside(coder: Coder, document: object) -> Any:
    """The value of a parsed JSON `document` by the coder's annotation.

    Raises: PayloadError with the path to what does not fit, and what was expected there.
    """
    value = coder.decode(_AS_PLAIN + to_json(document))
    _complete(value)
    return value


def faults_of(error: PayloadError) -> tuple[tuple[str, str], ...]:
    """What is wrong with a document that `read_outside` refused: paths such as ``items[3].when``, empty for the whole, and why.

    msgspec stops at the first fault; a pydantic model names all of its own.
    """
    inner: BaseException | None = error
    while isinstance(inner, PayloadError) and isinstance(inner.__cause__, PayloadError):
        inner = inner.__cause__
    base = error.path.removeprefix("$")
    found = _of_model(inner.__cause__ if inner is not None else None)
    if not found:
        why = str(inner).partition(": ")[2] or str(inner)
        return ((base.removeprefix("."), why),)
    return tuple(((base + path).removeprefix("."), why) for path, why in found)


def _of_model(cause: BaseException | None) -> list[tuple[str, str]]:
    """The faults that a pydantic model has found, out of the error that msgspec raises from it."""
    said = cause.__cause__ if cause is not None else None
    faults = getattr(said, "errors", None)
    if faults is None or not type(said).__module__.startswith("pydantic"):
        return []
    return [("".join(_step(each) for each in fault["loc"]), f"{fault['msg']}.") for fault in faults(include_context=False)]


def _step(key: object) -> str:
    return f"[{key}]" if type(key) is int else key_segment(key)


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
