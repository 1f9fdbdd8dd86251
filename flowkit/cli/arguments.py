"""JSON from the command line, made the Python values that a workflow's annotations ask for.

What comes from outside is never stored as it came. It is parsed, read by the annotation as plain JSON, and only then handed
to `start`, which encodes it as it would any value.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from flowkit.cli.failure import Failure

if TYPE_CHECKING:
    from flowkit.definitions import Workflow

__all__ = ["arguments_of", "read_json"]


def arguments_of(
    workflow: Workflow[..., Any], positional: Sequence[str], named: Sequence[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments for `start` of JSON texts and ``name=JSON`` pairs.

    A lone array or object that cannot be the first argument is taken for all of them: what a script has at hand is often one.
    """
    values = [read_json(text, f"argument {number}") for number, text in enumerate(positional, 1)]
    keywords = _keywords(named)
    try:
        return _fitted(workflow, values, keywords)
    except Failure:
        lone = values[0] if len(values) == 1 and not keywords else None
        if not isinstance(lone, list | dict):
            raise
        with suppress(Failure):  # what was given is the first argument, unless it can only be all
            return _fitted(workflow, *((lone, {}) if isinstance(lone, list) else ([], lone)))
        raise


def _fitted(
    workflow: Workflow[..., Any], values: Sequence[Any], keywords: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    signature = inspect.signature(workflow.function)
    try:
        bound = signature.bind(*values, **keywords)
    except TypeError as error:
        raise Failure(f"{workflow.name}{_shown(signature)}: {error}. Give each argument as JSON{_quoting(values)}") from error
    _convert(workflow, bound.arguments)
    return bound.args, bound.kwargs


def read_json(text: str, what: str) -> Any:
    """The value of a JSON text; a `Failure` that shows where it breaks."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise Failure(f"{what} is not JSON: {error.msg} at {place} of {_excerpt(text)}{_advice(text)}") from error
    except (ValueError, RecursionError) as error:  # NaN, a number with thousands of digits, endless nesting
        why = str(error) if isinstance(error, ValueError) else "it nests too deep"
        raise Failure(f"{what} cannot be read: {why}, in {_excerpt(text)}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _excerpt(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def _advice(text: str) -> str:
    if not text.strip():
        return " (it is empty)"
    if text.strip()[0] in "[{\"'" or text.strip()[0].isdigit():
        return ""
    return f". Text is given in quotes of both kinds: '{json.dumps(text, ensure_ascii=False)}'"


def _keywords(named: Sequence[str]) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    for pair in named:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise Failure(f"--arg {pair!r} is not name=JSON. Write e.g. --arg limit=10")
        if name in keywords:
            raise Failure(f"--arg {name} is given twice")
        keywords[name] = read_json(text, f"--arg {name}")
    return keywords


def _convert(workflow: Workflow[..., Any], arguments: dict[str, Any]) -> None:
    from flowkit.codec import read_outside, signature_coders
    from flowkit.errors import PayloadError

    coders = signature_coders(workflow.function).parameters
    for name, value in arguments.items():
        try:
            arguments[name] = read_outside(coders[name], value)
        except PayloadError as error:
            why = str(error).partition(": ")[2] or str(error)
            kind = getattr(coders[name].annotation, "__name__", str(coders[name].annotation))
            path = error.path.removeprefix("$")
            raise Failure(f"argument {name!r} of {workflow.name} is no {kind}: at {name}{path}: {why}") from error


def _shown(signature: inspect.Signature) -> str:
    return str(signature.replace(return_annotation=inspect.Signature.empty))


def _quoting(values: Sequence[Any] | Mapping[str, Any]) -> str:
    return ", or as --arg name=JSON." if not values else "."
