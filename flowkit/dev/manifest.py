"""What is in the loaded code, as plain data: workflows with parameters, the steps they can reach, and hashes of the bodies.

A hash is that of the parsed source, so that a comment or another line break is no change. Steps are found by following names
from the workflow through the functions that it calls; one that is made inside a function while it runs is not found.
"""

from __future__ import annotations

import ast
import datetime
import enum
import hashlib
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from types import CodeType, ModuleType
from typing import Any

import msgspec

from flowkit.client.livecode import Parameter, ParameterKind, StepInfo, WorkflowInfo
from flowkit.codec import Coder, signature_coders
from flowkit.definitions import Step, Workflow
from flowkit.engine.source import PACKAGE, place_of

__all__ = ["bodies_of", "describe_workflow", "schema_of", "steps_of"]

_KINDS: Mapping[object, ParameterKind] = {
    str: "str", int: "int", float: "float", bool: "bool", datetime.date: "date", datetime.datetime: "datetime",
}  # fmt: skip


def describe_workflow(workflow: Workflow[..., Any]) -> WorkflowInfo:
    """What a page shows of a workflow, and a form asks for it."""
    coders = signature_coders(workflow.function).parameters
    parameters = inspect.signature(workflow.function).parameters.values()
    return WorkflowInfo(
        name=workflow.name, doc=inspect.getdoc(workflow.function) or "", source=place_of(workflow.function),
        parameters=tuple(_parameter(each, coders[each.name]) for each in parameters),
        steps=tuple(
            StepInfo(name=step.name, source=place_of(inspect.unwrap(step)), doc=inspect.getdoc(inspect.unwrap(step)) or "")
            for step in steps_of(workflow)
        ),
    )  # fmt: skip


def bodies_of(workflow: Workflow[..., Any]) -> dict[str, str]:
    """Step → hash of its source; under ``""`` the workflow's own."""
    hashes = {step.name: _source_hash(inspect.unwrap(step)) for step in steps_of(workflow)}
    return {"": _source_hash(workflow.function)} | hashes


def schema_of(workflow: Workflow[..., Any]) -> dict[str, Any] | None:
    """The JSON schema of the parameters, None where msgspec has none."""
    try:
        hints = typing.get_type_hints(workflow.function)
        hints.pop("return", None)
        fields = [(name, hints.get(name, Any)) for name in inspect.signature(workflow.function).parameters]
        return msgspec.json.schema(msgspec.defstruct("Arguments", fields))
    except Exception:  # annotations are the user's, and evaluating one may raise anything
        return None


# --- steps ------------------------------------------------------------------------------------------------------------


def steps_of(workflow: Workflow[..., Any]) -> list[Step[..., Any]]:
    """The steps that the workflow's code can reach, in the order in which they are named."""
    found: dict[str, Step[..., Any]] = {}
    seen: set[int] = set()
    waiting: list[Any] = [workflow.function]
    while waiting:
        item = waiting.pop(0)
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Step):
            found.setdefault(item.name, item)
            continue
        if isinstance(item, Workflow):
            continue  # started as a run of its own
        function = inspect.unwrap(item)
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType) and not code.co_filename.startswith(PACKAGE):
            waiting.extend(_named(function, code))
    return list(found.values())


def _named(function: Any, code: CodeType) -> Iterator[Any]:
    """What the names in a function's code stand for: globals, attributes of modules among them, what it closes over."""
    names = list(dict.fromkeys(name for each in _codes(code) for name in each.co_names))
    values = [function.__globals__[name] for name in names if name in function.__globals__]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    for value in values:
        if isinstance(value, ModuleType):
            values_of = vars(value)
            yield from (values_of[name] for name in names if isinstance(values_of.get(name), Step | types.FunctionType))
        elif isinstance(value, Step | types.FunctionType):
            yield value


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _source_hash(function: Any) -> str:
    """Of the source without comments and layout; of the compiled code where there is no source."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        text = ast.dump(tree)
    except (OSError, TypeError, SyntaxError, ValueError):  # made at run time, or a lambda in the middle of a line
        code = getattr(function, "__code__", None)
        text = repr((code.co_code, code.co_names)) if isinstance(code, CodeType) else repr(function)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# --- parameters -------------------------------------------------------------------------------------------------------


def _parameter(parameter: inspect.Parameter, coder: Coder) -> Parameter:
    annotation = coder.annotation
    plain, optional = _without_none(annotation)
    kind, choices = _kind(plain)
    collects = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    given = parameter.default is not parameter.empty
    return Parameter(
        name=parameter.name, kind="json" if collects else kind, annotation=_shown(annotation),
        required=not given and not collects, optional=optional, default=_as_json(parameter.default) if given else "",
        choices=() if collects else choices,
    )  # fmt: skip


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """``str | None`` as ``str``, and that it was so."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return annotation, False
    members = typing.get_args(annotation)
    others = [member for member in members if member is not type(None)]
    return (others[0] if len(others) == 1 else annotation), len(others) < len(members)


def _kind(annotation: Any) -> tuple[ParameterKind, tuple[str, ...]]:
    """A choice has texts only: what a form sends is one."""
    values: tuple[Any, ...] = ()
    if typing.get_origin(annotation) is typing.Literal:
        values = typing.get_args(annotation)
    elif isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        values = tuple(member.value for member in annotation)
    if values:
        return ("choice", values) if all(type(value) is str for value in values) else ("json", ())
    try:
        return _KINDS.get(annotation, "json"), ()
    except TypeError:  # an annotation need not be hashable
        return "json", ()


def _shown(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _as_json(default: Any) -> str:
    """A default as JSON text; empty where JSON cannot say it, and the form then leaves the parameter out."""
    try:
        return json.dumps(msgspec.to_builtins(default), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""
