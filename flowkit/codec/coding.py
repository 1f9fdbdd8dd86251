"""`Coder`: values of one annotation to stored bodies and back.

Encoding asks whether the value conforms to the annotation (`conform`); if so msgspec writes it as plain JSON, and
otherwise the tagger (`tree`) writes a document that begins with ``{"$":``. Decoding looks at just that beginning, so
it never needs to know which annotation, or which version of it, a body was written under: plain JSON is read by
today's annotation, a tagged document says itself what it holds. That is also why JSON from outside (a command line,
an HTTP body) must be parsed and encoded, never stored as it came: it could pretend to be tagged.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from flowkit.codec import tree
from flowkit.codec.conform import Check, conformance
from flowkit.codec.locate import explain
from flowkit.codec.plain import MAX_DEPTH, Refused, from_json, is_plain, to_json, too_deep
from flowkit.codec.records import is_model
from flowkit.errors import PayloadError, PayloadTooLarge

__all__ = ["Coder", "coder"]

_SORTING = msgspec.json.Encoder(order="deterministic")


class Coder:
    """Encodes and decodes the values of one `annotation`. Get one from `coder()`."""

    __slots__ = ("_conforms", "_open", "_read", "_write", "annotation")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._read: Callable[[bytes], Any] = from_json
        self._write: Callable[[Any], bytes] = to_json
        self._conforms: Check = is_plain
        self._open = True
        if annotation is Any or annotation is object:
            return
        try:
            reader = msgspec.json.Decoder(annotation, dec_hook=_from_builtins)
        except Exception:  # msgspec refuses it, in several ways: then it is an open annotation
            return
        conforming = conformance(annotation)
        self._read = reader.decode
        self._conforms = conforming.check
        self._open = False
        if conforming.sorted_sets:
            self._write = _SORTING.encode

    def __repr__(self) -> str:
        return f"Coder({self.annotation!r})"

    def encode(self, value: Any, *, limit: int | None = None) -> bytes:
        """`value` as a body: UTF-8 JSON without NUL, equal for equal values that were built in the same order.

        Text is kept exactly, NUL and lone surrogates included.

        Raises: PayloadError with the path to what cannot be stored, PayloadTooLarge over `limit` bytes.
        """
        try:
            body = self._write(value) if self._conforms(value, 0) else None
        except Exception:  # user attributes, or text that UTF-8 cannot hold: the tagger knows, or says where it is
            body = None
        if body is None or body[:5] == tree.PREFIX:
            body = tree.encode(value)
        if limit is not None and len(body) > limit:
            raise PayloadTooLarge(
                f"The value takes {len(body):,} bytes as JSON, over the limit of {limit:,} (max_payload). "
                f"Store it elsewhere (a file, a bucket) and keep its name.",
                size=len(body),
                limit=limit,
            )
        return body

    def decode(self, body: bytes) -> Any:
        """The value in `body`: always a new one, equal to what was encoded and of its type.

        Raises: PayloadError with the path to what cannot be read, and what was expected there.
        """
        if body[:5] == tree.PREFIX:
            return tree.decode(body)
        if len(body) > 2 * MAX_DEPTH and too_deep(body):
            raise Refused(f"it nests deeper than {MAX_DEPTH} levels.").error("read back")
        try:
            return self._read(body)
        except Exception as exc:  # msgspec's own errors, and those of users' __post_init__ and validators
            raise self._unreadable(body, exc) from exc

    def admits(self, value: Any) -> bool:
        """Whether `value` is what the annotation says; of one that nothing is known of, whether it is an instance."""
        if not self._open:
            return bool(self._conforms(value, 0))
        annotation = self.annotation
        return annotation in (Any, object) or not isinstance(annotation, type) or isinstance(value, annotation)

    def copy(self, value: Any) -> Any:
        """What a replay will see in place of `value`."""
        return self.decode(self.encode(value))

    def _unreadable(self, body: bytes, exc: Exception) -> PayloadError:
        why, path = explain(self._read, body, exc)
        return PayloadError(f"The value at {path} cannot be read back: {why}", path=path)


def _from_builtins(kind: Any, value: Any) -> Any:
    """msgspec's hook for types it does not know: pydantic models validate what JSON gave. NotImplementedError says no."""
    if kind is object:
        return value
    if is_model(kind):
        return kind.model_validate(value)
    raise NotImplementedError(f"a {getattr(kind, '__qualname__', kind)} cannot be read from plain JSON")


@lru_cache(maxsize=4096)
def _cached(annotation: Any) -> Coder:
    return Coder(annotation)


def coder(annotation: Any = inspect.Parameter.empty) -> Coder:
    """The coder of an annotation. None of its failures is an error: what cannot be understood is tagged."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        annotation = Any
    try:
        return _cached(annotation)
    except TypeError:  # unhashable: Annotated with a list, say
        return Coder(annotation)
