"""The coders of a function's parameters and of what it returns."""

from __future__ import annotations

import contextlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flowkit.codec.coding import Coder, coder

__all__ = ["SignatureCoders", "signature_coders"]


@dataclass(frozen=True, slots=True)
class SignatureCoders:
    """`parameters` by name (``*args`` as a tuple, ``**kwargs`` as a dict), and `returns`."""

    parameters: Mapping[str, Coder]
    returns: Coder


def signature_coders(fn: Callable[..., Any], localns: Mapping[str, Any] | None = None) -> SignatureCoders:
    """The coders of `fn`. An annotation that cannot be resolved, now or ever, is tagged: decorating never fails for
    it.

    `localns` holds names that annotations written as text may mean, besides the function's own globals and closure.
    """
    fn = inspect.unwrap(fn)
    hints = _hints(fn, {**_closure(fn), **(localns or {})})
    parameters = {}
    for name, parameter in _parameters(fn).items():
        hint = hints.get(name, inspect.Parameter.empty)
        if hint is not inspect.Parameter.empty and parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            hint = tuple[hint, ...]  # type: ignore[valid-type]  # built at run time
        elif hint is not inspect.Parameter.empty and parameter.kind is inspect.Parameter.VAR_KEYWORD:
            hint = dict[str, hint]  # type: ignore[valid-type]  # built at run time
        parameters[name] = coder(hint)
    return SignatureCoders(parameters, coder(hints.get("return", inspect.Parameter.empty)))


def _parameters(fn: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        if sys.version_info >= (3, 14):
            import annotationlib

            return inspect.signature(fn, annotation_format=annotationlib.Format.FORWARDREF).parameters
        return inspect.signature(fn).parameters
    except ValueError:  # some builtins have none
        return {}


def _closure(fn: Callable[..., Any]) -> dict[str, Any]:
    """Local classes are named in annotations as text; those the body uses are in the function's closure."""
    code = getattr(fn, "__code__", None)
    cells = getattr(fn, "__closure__", None) or ()
    found = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=False):
        with contextlib.suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _hints(fn: Callable[..., Any], localns: dict[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(fn, localns=localns, include_extras=True)
    except Exception:  # evaluating an annotation runs it: NameError mostly, but anything may come
        return _hints_one_by_one(fn, localns)


def _hints_one_by_one(fn: Callable[..., Any], localns: dict[str, Any]) -> dict[str, Any]:
    """One annotation that cannot be resolved must not cost the others theirs."""
    hints = {}
    for name, annotation in _raw_annotations(fn).items():
        probe = types.FunctionType(_probe.__code__, getattr(fn, "__globals__", {}))
        probe.__annotations__ = {name: annotation}
        try:
            hints.update(typing.get_type_hints(probe, localns=localns, include_extras=True))
        except Exception:  # as above; this one is tagged
            continue
    return hints


def _probe() -> None: ...


def _raw_annotations(fn: Callable[..., Any]) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        import annotationlib

        return annotationlib.get_annotations(fn, format=annotationlib.Format.FORWARDREF)
    return dict(getattr(fn, "__annotations__", {}))
