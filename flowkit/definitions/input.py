"""The arguments of a workflow: bound to its signature, stored, and given back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from flowkit.codec import SignatureCoders, signature_coders
from flowkit.errors import PayloadError, PayloadTooLarge

__all__ = ["InputCodec"]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_read_input = msgspec.json.Decoder(dict[str, msgspec.Raw])


class InputCodec:
    """The arguments of a workflow to one stored body and back, each by its own annotation."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._signature = inspect.signature(function)
        self._coders: SignatureCoders | None = None
        ordinary = all(each.kind is each.POSITIONAL_OR_KEYWORD for each in self._signature.parameters.values())
        self._names = tuple(self._signature.parameters) if ordinary else None
        """What is passed by position, where all can be: then there is nothing to bind."""

    @property
    def signature(self) -> inspect.Signature:
        """The workflow's signature."""
        return self._signature

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, limit: int | None = None) -> bytes:
        """Bind, fill in defaults and encode.

        Raises:
            TypeError: the arguments do not fit the signature. PayloadError: one of them cannot be stored.
        """
        coders = self._resolved().parameters
        fields: dict[str, msgspec.Raw] = {}
        for name, value in self._bound(args, kwargs).items():
            try:
                fields[name] = msgspec.Raw(coders[name].encode(value, limit=limit))
            except PayloadTooLarge:
                raise
            except PayloadError as error:
                raise _at(error, name) from error
        body = msgspec.json.encode(fields)
        if limit is not None and len(body) > limit:
            raise PayloadTooLarge(
                f"the input takes {len(body):,} bytes, over the limit of {limit:,} (max_payload)",
                size=len(body),
                limit=limit,
            )
        return body

    def _bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if self._names is not None and not kwargs and len(args) == len(self._names):
            return dict(zip(self._names, args, strict=True))
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def decode(self, body: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments in `body`, by today's annotations.

        Raises:
            PayloadError: they do not decode, or the signature has changed so that they do not fit.
        """
        fields = _read_input.decode(body)
        coders = self._resolved().parameters
        unknown = fields.keys() - coders.keys()
        if unknown:
            raise PayloadError(f"the stored input has {', '.join(sorted(unknown))}, which the workflow takes no more", path="$")
        if self._names is not None and len(fields) == len(self._names):
            return tuple([self._decoded(name, fields[name]) for name in self._names]), {}
        bound = inspect.BoundArguments(self._signature, {})
        for name, parameter in self._signature.parameters.items():
            if name in fields:
                bound.arguments[name] = self._decoded(name, fields[name])
            elif parameter.default is parameter.empty and parameter.kind not in _VARIADIC:
                raise PayloadError(f"the stored input has no {name!r}, which the workflow takes now", path=f"$.{name}")
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def _decoded(self, name: str, value: msgspec.Raw) -> Any:
        try:
            return self._resolved().parameters[name].decode(bytes(value))
        except PayloadError as error:
            raise _at(error, name) from error

    def _resolved(self) -> SignatureCoders:
        if self._coders is None:  # late, so that annotations may name what is defined further down
            self._coders = signature_coders(self._function)
        return self._coders


def _at(error: PayloadError, name: str) -> PayloadError:
    path = f"$.{name}{error.path[1:]}"
    moved = PayloadError(f"argument {name!r}: {error}", path=path)
    return moved
