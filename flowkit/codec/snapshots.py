"""Errors as data: an exception to an `ErrorInfo`, to bytes, and back to an exception of the same type.

A failure is recorded once and raised again on every pass, so what is rebuilt must answer like the original: type,
message, args, attributes, traceback text. It cannot be pickled (arbitrary code) nor made anew (its ``__init__`` may
want anything), so its parts are kept (`exceptions`). The tricky bit is that users catch a rebuilt error and raise it
again: it carries the `ErrorInfo` it came from, and a snapshot of it is that very one, so nothing grows or wears off
from pass to pass."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flowkit.errors
from flowkit.codec.coding import coder
from flowkit.codec.exceptions import CARRIED, exception_class, remake, state_of, type_name
from flowkit.errors import ErrorInfo, PayloadError, RecordedError

__all__ = ["LIMIT", "RaisedInfo", "decode_error", "encode_error", "rebuild", "snapshot"]

LIMIT = 65_536
"""Bytes of attributes, and characters of message; a quarter of it for the traceback."""

_PACKAGE = os.path.join(os.path.dirname(os.path.abspath(flowkit.errors.__file__)), "")
_NESTING = 4
_LEAST = 256
_ANY = coder()


@dataclass(frozen=True, slots=True)
class RaisedInfo(ErrorInfo):
    """Stands in an error's attributes where an exception stood; `rebuild` makes one of it again.

    A plain `ErrorInfo` there (as `StepExhausted.error`) stays one: it was data to begin with.
    """


def snapshot(exc: BaseException, *, limit: int = LIMIT) -> ErrorInfo:
    """`exc` as data. Never raises; of attributes, those are kept that can be encoded and fit `limit`."""
    info = _Snapshots(exc).take(exc, limit)
    return _as_kind(info, ErrorInfo) if type(info) is RaisedInfo else info


def _as_kind(info: ErrorInfo, kind: type[ErrorInfo]) -> ErrorInfo:
    return info if type(info) is kind else kind(info.type, info.message, info.traceback, info.attributes)


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as trouble:  # a user's __str__
        return f"<its text could not be made: {type(trouble).__name__}>"


def _cut(text: str, limit: int) -> str:
    """Both ends of `text`: the first frames and the last lines say most."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"


def _traceback_text(exc: BaseException, limit: int) -> str:
    try:
        summary = traceback.TracebackException.from_exception(exc)
        _without_own_frames(summary)
        return _cut("".join(summary.format()), limit)
    except Exception:  # users' __str__, __notes__ and __cause__ take part in this
        return ""


def _without_own_frames(summary: traceback.TracebackException) -> None:
    """Drop flowkit's frames from `summary` and all it was caused by, each once, since causes may form a circle."""
    todo, seen = [summary], set()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        frames = [frame for frame in one.stack if not frame.filename.startswith(_PACKAGE)]
        one.stack = traceback.StackSummary.from_list(frames)
        todo += [other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other is not None]


class _Snapshots:
    """The snapshots of one exception and of those in its attributes, each taken once: they may stand in many places.

    An exception inside itself is left out, and the room halves with each level, which bounds what a deep nest costs.
    """

    def __init__(self, root: BaseException) -> None:
        self._taken: dict[int, ErrorInfo | None] = {id(root): None}

    def take(self, exc: BaseException, limit: int) -> ErrorInfo:
        carried = exc.__dict__.get(CARRIED)
        if isinstance(carried, ErrorInfo):
            return carried
        message = _cut(_message(exc), limit)
        text = _traceback_text(exc, limit // 4)
        return ErrorInfo(type_name(type(exc)), message, text, self._attributes(exc, message, limit))

    def _attributes(self, exc: BaseException, message: str, limit: int) -> dict[str, Any]:
        """What the exception holds besides its message, each attribute as a replay will see it."""
        kept: dict[str, Any] = {}
        room = limit
        for name, value in _parts(exc, message).items():
            try:
                body = _ANY.encode(self._freeze(value, limit, 0), limit=room)
                kept[name] = _ANY.decode(body)
            except Exception:  # PayloadError mostly, but users' containers are iterated here
                continue
            room -= len(body)
        return kept

    def _freeze(self, value: Any, limit: int, depth: int) -> Any:
        """`value` with the exceptions in it as data; only exact lists, tuples and dicts are entered, and not far."""
        if isinstance(value, BaseException):
            return self._nested(value, limit // 2)
        kind = type(value)
        if depth < _NESTING and kind is dict:
            return {key: self._freeze(item, limit, depth + 1) for key, item in value.items()}
        if depth < _NESTING and kind in (list, tuple):
            return kind(self._freeze(item, limit, depth + 1) for item in value)
        return value

    def _nested(self, exc: BaseException, limit: int) -> ErrorInfo:
        if id(exc) not in self._taken and limit >= _LEAST:
            self._taken[id(exc)] = None
            self._taken[id(exc)] = _as_kind(self.take(exc, limit), RaisedInfo)
        info = self._taken.get(id(exc))
        if info is None:
            raise PayloadError("an exception that contains itself, or nests too deep")
        return info


def _parts(exc: BaseException, message: str) -> dict[str, Any]:
    try:
        state = state_of(exc)
        return state if exc.args == (message,) else {"args": exc.args, **state}
    except Exception:  # comparing args runs users' __eq__
        return {}


def _thaw(value: Any) -> Any:
    kind = type(value)
    if kind is RaisedInfo:
        return rebuild(value)
    if kind is dict:
        return {key: _thaw(item) for key, item in value.items()}
    if kind in (list, tuple):
        return kind(_thaw(item) for item in value)
    return value


def rebuild(info: ErrorInfo) -> BaseException:
    """The exception that `info` was made of, or a `RecordedError` that keeps its name where that cannot be."""
    cls = exception_class(info.type)
    exc = _remade(cls, info) if cls is not None else None
    if exc is None:
        exc = RecordedError(info.message, type_name=info.type)
    exc.__dict__[CARRIED] = info
    if info.traceback:
        note = f"Traceback as recorded when this was raised first:\n{info.traceback.rstrip()}"
        exc.__dict__["__notes__"] = [*exc.__dict__.get("__notes__", ()), note]  # add_note would ask the class's __setattr__
    return exc


def _remade(cls: type[BaseException], info: ErrorInfo) -> BaseException | None:
    try:
        # Decoded anew: two rebuilt errors must not share their attributes, nor change the record.
        parts = _thaw(_ANY.copy(dict(info.attributes)))
        recorded = parts.pop("args", (info.message,))
        args = recorded if isinstance(recorded, tuple) else (info.message,)
        return remake(cls, args, parts)
    except Exception:  # the class has changed, or does not let itself be made like this
        return None


def encode_error(info: ErrorInfo) -> bytes:
    """`info` as a body, readable.

    Raises: PayloadError if its attributes were not made by `snapshot` and cannot be encoded.
    """
    node: dict[str, Any] = {"type": info.type, "message": info.message}
    if info.traceback:
        node["traceback"] = info.traceback
    if info.attributes:
        node["attributes"] = dict(info.attributes)
    return _ANY.encode(node)


def decode_error(body: bytes) -> ErrorInfo:
    """The `ErrorInfo` in `body`.

    Raises: PayloadError if there is none.
    """
    node = _ANY.decode(body)
    if not isinstance(node, dict) or type(node.get("type")) is not str:
        raise PayloadError("The value at $ cannot be read back: it is not a recorded error.")
    message, text, attributes = node.get("message", ""), node.get("traceback", ""), node.get("attributes", {})
    if type(message) is not str or type(text) is not str or not isinstance(attributes, Mapping):
        raise PayloadError("The value at $ cannot be read back: it is not a recorded error.")
    return ErrorInfo(node["type"], message, text, attributes)
