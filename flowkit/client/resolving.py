"""What a person gives in place of a step, checked and made ready to be stored.

Where the step's code is at hand its annotations decide whether a value fits, and its module which exceptions it knows. Where
it is not, JSON is taken as it is and the record says that nobody checked. Nothing is written here.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flowkit.codec import Coder, coder, encode_error, read_outside, signature_coders
from flowkit.codec.exceptions import type_name
from flowkit.core.location import split
from flowkit.core.resolution import checked_reason
from flowkit.definitions import Workflow
from flowkit.definitions.manifest import steps_of
from flowkit.definitions.steps import Step
from flowkit.engine.failures import info_bytes
from flowkit.errors import CriticalError, ErrorInfo, FlowkitError, PayloadError, RollbackError

__all__ = ["Decision", "Form", "decided", "decided_outside", "step_at"]

_tagged = coder()
_OURS: Mapping[str, type[BaseException]] = {"CriticalError": CriticalError, "RollbackError": RollbackError}
_TYPE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of the entry: with `output` or `error` it is settled by that, else its body is tried again, with `args` in
    place of those the code passes. `owes`: the step's rollback gets the output, if it has one; that is not known while
    `unchecked`.
    """

    location: str
    reason: str
    output: bytes | None = None
    error: bytes | None = None
    args: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    owes: bool = False
    unchecked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A decision as it comes from outside: `how` is ``value``, ``nothing``, ``error`` or ``again``, the rest parsed JSON and
    texts. `args` are those to change.
    """

    how: str
    reason: str
    value: object = None
    type: str = ""
    text: str = ""
    args: Mapping[str, object] = field(default_factory=dict)
    rollback: bool = True


def step_at(workflow: Workflow[..., Any] | None, location: str) -> Step[..., Any] | None:
    """The step whose entry stands there, if the workflow's code is known and names it."""
    name = split(location)[1].partition("#")[0]
    return None if workflow is None else next((step for step in steps_of(workflow) if step.name == name), None)


def decided(
    location: str, step: Step[..., Any] | None, *, reason: str, value: Any, error: BaseException | None, again: bool,
    args: Mapping[str, Any] | None, rollback: bool, limit: int,
) -> Decision:  # fmt: skip
    """A decision in Python's own values.

    Raises:
        TypeError, ValueError: not exactly one of value, error and again, or one that cannot be. PayloadError: the value or an
        argument does not fit the step's annotation.
    """
    again = again or args is not None
    if (value is not msgspec.UNSET) + (error is not None) + again != 1:
        raise ValueError("resolve() takes one of value=, error=, and again=True or args=")
    reason, unchecked = checked_reason(reason), step is None
    if error is not None:
        return Decision(location=location, reason=reason, error=_error_body(error))
    if again:
        changed = {name: _argument(step, name, given, limit) for name, given in (args or {}).items()}
        return Decision(location=location, reason=reason, args=changed, unchecked=unchecked and bool(changed))
    output = _fitting(_tagged if step is None else step.returns, value, limit, f"the value of {location!r}")
    owes = rollback and (step is None or step.has_rollback)
    return Decision(location=location, reason=reason, output=output, owes=owes, unchecked=unchecked)


def decided_outside(location: str, step: Step[..., Any] | None, form: Form, limit: int) -> Decision:
    """A decision from a command line or a form.

    Raises:
        As `decided`.
    """
    value: Any = msgspec.UNSET
    match form.how:
        case "value":
            value = form.value if step is None else _read(step.returns, form.value, f"the value of {location!r}")
        case "nothing":
            value = None
        case "error":
            return _raising(location, step, form)
        case "again":
            pass
        case _:
            raise ValueError(f"there is no way {form.how!r} to resolve a step: give value, nothing, error or again")
    again = form.how == "again"
    args = {name: _outside(step, name, given) for name, given in form.args.items()} if again else None
    return decided(
        location, step, reason=form.reason, value=value, error=None, again=again, args=args, rollback=form.rollback, limit=limit
    )


# --- values -----------------------------------------------------------------------------------------------------------


def _fitting(coder: Coder, value: Any, limit: int, what: str) -> bytes:
    """`value` encoded, if what a pass will read back is what the annotation says."""
    body = coder.encode(value, limit=limit)
    try:
        fits = coder.admits(coder.decode(body))
    except PayloadError as error:
        raise PayloadError(f"{what} does not fit {_told(coder)}: {error}", path=error.path) from error
    if not fits:
        raise PayloadError(f"{what} does not fit {_told(coder)}: it is {type(value).__name__}", path="$")
    return body


def _read(coder: Coder, document: object, what: str) -> Any:
    try:
        return read_outside(coder, document)
    except PayloadError as error:
        raise PayloadError(f"{what} does not fit {_told(coder)}: {error}", path=error.path) from error


def _told(coder: Coder) -> str:
    annotation = coder.annotation
    return f"`{annotation.__name__ if isinstance(annotation, type) else annotation}`"


def _argument(step: Step[..., Any] | None, name: str, value: Any, limit: int) -> msgspec.Raw:
    coder = _tagged if step is None else _parameter(step, name)
    return msgspec.Raw(_fitting(coder, value, limit, f"argument {name!r}"))


def _outside(step: Step[..., Any] | None, name: str, document: object) -> Any:
    return document if step is None else _read(_parameter(step, name), document, f"argument {name!r}")


def _parameter(step: Step[..., Any], name: str) -> Coder:
    found = signature_coders(inspect.unwrap(step)).parameters
    if name not in step.parameters or name not in found:
        has = ", ".join(step.parameters) or "none"
        raise ValueError(f"step {step.name!r} has no argument {name!r} that could be changed (it has: {has})")
    return found[name]


# --- errors -----------------------------------------------------------------------------------------------------------


def _raisable(kind: type[BaseException]) -> type[BaseException]:
    """The exception type, if code may see it come out of a step."""
    ours = issubclass(kind, FlowkitError) and not issubclass(kind, CriticalError | RollbackError)
    if not issubclass(kind, Exception) or ours:
        raise ValueError(f"{kind.__name__} cannot be given as a step's failure: what a step may raise is an Exception of its own")
    return kind


def _error_body(error: BaseException) -> bytes:
    _raisable(type(error))
    return info_bytes(error)[1]


def _raising(location: str, step: Step[..., Any] | None, form: Form) -> Decision:
    name, reason = form.type.strip(), checked_reason(form.reason)
    if not _TYPE.fullmatch(name):
        raise ValueError(f"{name!r} names no exception. Give its type, as ValueError or shop.CardDeclined")
    found = _known(name, step)
    if found is None and step is not None:
        raise ValueError(f"the module of step {step.name!r} knows no exception {name!r}")
    if found is None and ("." not in name or name.partition(".")[0] == "flowkit"):
        raise ValueError(f"no code is at hand, and {name!r} is no built-in exception. Give its module, too: shop.{name}")
    kind = name if found is None else type_name(_raisable(found))
    return Decision(
        location=location, reason=reason, error=encode_error(ErrorInfo(kind, form.text)), unchecked=step is None and found is None
    )


def _known(name: str, step: Step[..., Any] | None) -> type[BaseException] | None:
    """The exception that this name means where the step stands: a global of its module, what that holds, or a built-in."""
    scope: Mapping[str, Any] = {} if step is None else getattr(inspect.unwrap(step), "__globals__", {})
    own = f"{scope.get('__name__', '')}."
    first, *rest = name.removeprefix(own).split(".")
    found: Any = scope.get(first, getattr(builtins, first, None))
    for each in rest:
        found = getattr(found, each, None)
    if found is None:
        found = _OURS.get(name.removeprefix("flowkit.errors.").removeprefix("flowkit."))
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
