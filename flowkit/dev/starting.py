"""Starting a run as a form asks for it: JSON texts by parameter, each fault told with its field."""

from __future__ import annotations

import inspect
import json
from typing import Any

from flowkit.client import Flowkit
from flowkit.client.livecode import Fault, StartAnswer, StartWish
from flowkit.codec import faults_of, read_outside, signature_coders
from flowkit.definitions import Workflow
from flowkit.errors import FlowkitError, InvalidName, PayloadError, RunConflict

__all__ = ["start_as_wished"]


def start_as_wished(flowkit: Flowkit, workflow: Workflow[..., Any] | None, wish: StartWish) -> StartAnswer:
    """Check the wish as `Flowkit.start` does, and start the run."""
    if workflow is None:
        return _refused("", f"the code that is loaded has no workflow {wish.workflow!r}")
    faults: list[Fault] = []
    arguments = _arguments(workflow, wish, faults)
    launched = _launched(workflow, wish, faults)
    bound = None if faults else _bound(workflow, arguments, faults)
    if bound is None:
        return StartAnswer(faults=tuple(faults))
    try:
        run = flowkit.start(wish.id or None, launched, *bound.args, **bound.kwargs)
    except (InvalidName, RunConflict) as error:
        return _refused("id", str(error))
    except (FlowkitError, TypeError, ValueError) as error:
        return _refused("", str(error))
    return StartAnswer(run_id=run.id, created=run.created)


def _arguments(workflow: Workflow[..., Any], wish: StartWish, faults: list[Fault]) -> dict[str, Any]:
    coders = signature_coders(workflow.function).parameters
    arguments: dict[str, Any] = {}
    for name, text in wish.arguments.items():
        if name not in coders:
            faults.append(Fault(field="", message=f"{workflow.name} has no parameter {name!r}"))
            continue
        try:
            arguments[name] = read_outside(coders[name], json.loads(text))
        except PayloadError as error:
            faults.extend(Fault(field=name, path=path, message=why) for path, why in faults_of(error))
        except (ValueError, RecursionError) as error:
            faults.append(Fault(field=name, message=f"this is not JSON: {error}"))
    return arguments


def _launched(workflow: Workflow[..., Any], wish: StartWish, faults: list[Fault]) -> Workflow[..., Any]:
    try:
        workflow = workflow.options(tags=wish.tags or None)
    except (TypeError, ValueError) as error:
        faults.append(Fault(field="tags", message=str(error)))
    try:
        workflow = workflow.options(delay=wish.delay or None)
    except (TypeError, ValueError) as error:
        faults.append(Fault(field="delay", message=str(error)))
    return workflow


def _bound(workflow: Workflow[..., Any], arguments: dict[str, Any], faults: list[Fault]) -> inspect.BoundArguments | None:
    signature = inspect.signature(workflow.function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if name not in arguments
        and parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    faults.extend(Fault(field=name, message="this is needed") for name in missing)
    if missing:
        return None
    bound = inspect.BoundArguments(signature, dict(arguments))
    bound.apply_defaults()
    return bound


def _refused(field: str, message: str) -> StartAnswer:
    return StartAnswer(faults=(Fault(field=field, message=message),))
