"""What a page shows of the loaded code, as plain data: workflows with their parameters and steps.

Annotations and defaults are texts here. Nothing of the user's is called, but an annotation is evaluated, which may raise
anything.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from flowkit.check.undoing import handler_of
from flowkit.client.livecode import Parameter, ParameterKind, StepInfo, WorkflowInfo
from flowkit.codec import Coder, signature_coders
from flowkit.definitions import Step, Workflow
from flowkit.definitions.manifest import steps_of
from flowkit.dev.schemas import schema_for
from flowkit.engine.source import place_of

__all__ = ["describe_workflow"]

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
            StepInfo(
                name=step.name, source=place_of(inspect.unwrap(step)), doc=inspect.getdoc(inspect.unwrap(step)) or "",
                at_most_once=step.at_most_once, returns=_returned(step), parameters=_step_parameters(step),
                has_rollback=step.has_rollback, handler=_handler(step),
            )
            for step in steps_of(workflow)
        ),
    )  # fmt: skip


def _handler(step: Step[..., Any]) -> str:
    rollback = step.rollback
    return "" if rollback is None else f"{handler_of(rollback)}, {place_of(rollback)}"


# --- parameters -------------------------------------------------------------------------------------------------------


def _returned(step: Step[..., Any]) -> Parameter:
    """What a step gives, as a form asks for it."""
    kept = inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY)
    annotation = step.returns.annotation
    made = _parameter(kept, step.returns)
    return replace(made, optional=annotation in (None, type(None), Any, object) or _without_none(annotation)[1])


def _step_parameters(step: Step[..., Any]) -> tuple[Parameter, ...]:
    """The arguments of a step that can be changed."""
    function = inspect.unwrap(step)
    coders = signature_coders(function).parameters
    known = [each for name, each in inspect.signature(function).parameters.items() if name in step.parameters and name in coders]
    return tuple(_parameter(each, coders[each.name]) for each in known)


def _parameter(parameter: inspect.Parameter, coder: Coder) -> Parameter:
    annotation = coder.annotation
    plain, optional = _without_none(annotation)
    kind, choices = _kind(plain)
    collects = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    given = parameter.default is not parameter.empty
    shown_kind = "json" if collects else kind
    return Parameter(
        name=parameter.name, kind=shown_kind, annotation=_shown(annotation),
        required=not given and not collects, optional=optional, default=_as_json(parameter.default) if given else "",
        choices=() if collects else choices, schema=_schema(annotation) if shown_kind == "json" else "",
    )  # fmt: skip


def _schema(annotation: Any) -> str:
    found = schema_for(annotation)
    return json.dumps(found, ensure_ascii=False) if found else ""


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
