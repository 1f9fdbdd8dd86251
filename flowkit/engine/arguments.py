"""Arguments of steps by name: for the record, and for the rollback that takes some of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ArgumentBinder", "rollback_names"]

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ArgumentBinder:
    """Arguments of a step by name, as they are recorded. A call that does not fit is left for the body to refuse."""

    __slots__ = ("_names", "_signature")

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # a builtin that does not tell
            self._signature = None
        parameters = self._signature.parameters.values() if self._signature is not None else ()
        plain = not any(parameter.kind in _VARIADIC for parameter in parameters)
        self._names = tuple(parameter.name for parameter in parameters) if plain and self._signature is not None else None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters by name, variadic ones left out."""
        if self._signature is None:
            return ()
        return tuple(p.name for p in self._signature.parameters.values() if p.kind not in _VARIADIC)

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = self._names
        if names is not None and len(args) <= len(names):
            bound = dict(zip(names, args, strict=False))
            if kwargs:
                bound.update(kwargs)
            return bound
        return self.complete(args, kwargs)

    def replaced(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], named: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call with these arguments in place of its own.

        Raises:
            TypeError: the call does not fit the signature, or that has no such parameter.
        """
        unknown = named.keys() - set(self.names)
        if self._signature is None or unknown:
            raise TypeError(f"there is no parameter {', '.join(sorted(unknown or named))} to give another argument")
        bound = self._signature.bind_partial(*args, **kwargs)
        ordered = {**bound.arguments, **named}
        bound.arguments = {name: ordered[name] for name in self._signature.parameters if name in ordered}
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def complete(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """As the call, with defaults filled in."""
        if self._signature is not None:
            try:
                bound = self._signature.bind(*args, **kwargs)
            except TypeError:
                return {"args": list(args), **kwargs}
            bound.apply_defaults()
            return dict(bound.arguments)
        return {"args": list(args), **kwargs}


def rollback_names(rollback: Callable[..., Any], binder: ArgumentBinder) -> tuple[str, ...]:
    """The step's arguments that its rollback takes besides the output; ``("",)`` if it takes nothing at all.

    Raises:
        TypeError: the rollback takes a name that the step does not have.
    """
    if not callable(rollback):
        raise TypeError(f"rollback is a function, not {rollback!r}")
    try:
        signature = inspect.signature(rollback)
    except (TypeError, ValueError):  # a builtin that does not tell: it gets the output
        return ()
    parameters = list(signature.parameters.values())
    named = [p for p in parameters if p.kind not in _VARIADIC]
    positional = [p for p in named if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    if not parameters:
        return ("",)
    wanted = tuple(p.name for p in named if not positional or p is not positional[0])
    unknown = [name for name in wanted if name not in binder.names]
    if unknown:
        has = ", ".join(binder.names) or "none"
        raise TypeError(
            f"rollback {getattr(rollback, '__name__', rollback)!r} takes {', '.join(unknown)}, which the step does not have "
            f"(it has: {has}). The first parameter gets the step's output, the others its arguments by name."
        )
    try:
        signature.bind(None, **dict.fromkeys(wanted))
    except TypeError as error:
        raise TypeError(
            f"rollback {getattr(rollback, '__name__', rollback)!r} cannot be called with the step's output first and its "
            f"arguments by name: {error}."
        ) from error
    return wanted
