"""Whether a finished run comes to the end it had: the same output, the same error, or none where it was cancelled.

Outputs are compared as stored and, where the two are written differently, as values. What differs is told by its path alone:
an output may hold what a report should not repeat.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import msgspec

from flowkit.check.rehearsal import Rehearsal
from flowkit.codec import decode_error, signature_coders, snapshot
from flowkit.core.location import split
from flowkit.core.outcome import Done
from flowkit.core.verdict import Finding
from flowkit.definitions import Workflow
from flowkit.definitions.manifest import steps_of
from flowkit.drivers.base import BodyRef, Driver, RunView
from flowkit.errors import ErrorInfo, HistoryDiverged, PayloadError

__all__ = ["comes_to", "shown_annotation", "undecodable"]


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ended, in words, and what is compared."""

    said: str
    what: object = None


def comes_to(driver: Driver, workflow: Workflow[..., Any], view: RunView, found: Rehearsal) -> Finding | None:
    """How this finished run's new end differs from the recorded one; None if it is the same.

    `found` is a pass without a misfit that reached an end, or that of a cancelled run.
    """
    recorded, made = _recorded(view), _made(found)
    if recorded.said.startswith("completed") and isinstance(found.outcome, Done):
        body = driver.body(BodyRef(run=view.row.seq, field="output"))
        if body is None:
            return Finding(workflow=workflow.name, verdict="not checked", ended=True, why="its recorded output is gone")
        return _output(workflow, body, found.outcome.value)
    if (recorded.said, recorded.what) == (made.said, made.what):
        return None
    return Finding(workflow=workflow.name, verdict="other end", ended=True, recorded=recorded.said, made=made.said)


def _recorded(view: RunView) -> _End:
    if view.row.status == "failed" and view.error is not None:
        return _failed(decode_error(view.error))
    return _End(view.row.status)


def _made(found: Rehearsal) -> _End:
    if isinstance(found.outcome, Done):
        return _End("completed")
    return _failed(snapshot(found.error)) if found.error is not None else _End("cancelled")


def _failed(info: ErrorInfo) -> _End:
    """By the error's name within its module: what was recorded may have been loaded from a file of another name."""
    name = info.type.rpartition(".")[2]
    return _End(f"failed with {name}", info.message)


def _output(workflow: Workflow[..., Any], body: bytes, value: Any) -> Finding | None:
    try:
        now = workflow.returns.encode(value)
    except PayloadError as error:
        return Finding(
            workflow=workflow.name, verdict="other end", ended=True, recorded="completed", made="failed with PayloadError",
            path=error.path, why=str(error),
        )  # fmt: skip
    if now == body:
        return None
    try:
        before = workflow.returns.decode(body)
    except PayloadError as error:
        return Finding(
            workflow=workflow.name, verdict="does not decode", ended=True, recorded="the output", path=error.path,
            annotation=shown_annotation(workflow.returns.annotation), why=str(error),
        )  # fmt: skip
    if _equal(before, workflow.returns.decode(now)):
        return None
    return Finding(
        workflow=workflow.name, verdict="other end", ended=True, recorded="completed", made="completed with another output",
        path=_difference(msgspec.json.decode(body), msgspec.json.decode(now)),
    )  # fmt: skip


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # a user's __eq__
        return False


def _difference(one: Any, other: Any, path: str = "$") -> str:
    """The path to the first place where two JSON documents differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            if name not in one or name not in other:
                return f"{path}.{name}"
            if one[name] != other[name]:
                return _difference(one[name], other[name], f"{path}.{name}")
    if isinstance(one, list) and isinstance(other, list):
        for number, (mine, its) in enumerate(zip(one, other, strict=False)):
            if mine != its:
                return _difference(mine, its, f"{path}[{number}]")
        return f"{path}[{min(len(one), len(other))}]"
    return path


def undecodable(workflow: Workflow[..., Any], misfit: HistoryDiverged) -> Finding | None:
    """What cannot be read, if that is what the misfit is about: which value, where in it, and by which annotation."""
    unreadable = misfit.__cause__
    if not isinstance(unreadable, PayloadError):
        return None
    value = f"the value of `{misfit.location}`" if misfit.location else "the input"
    return Finding(
        workflow=workflow.name, verdict="does not decode", location=misfit.location, source=misfit.source, recorded=value,
        path=unreadable.path, annotation=_annotation(workflow, misfit.location, unreadable.path), why=str(unreadable),
    )  # fmt: skip


def _annotation(workflow: Workflow[..., Any], location: str, path: str) -> str:
    """That of the parameter which the path begins with, or of what the step returns; empty where it is not known."""
    if not location:
        name = path.removeprefix("$.").partition(".")[0].partition("[")[0]
        coders = signature_coders(workflow.function).parameters
        return shown_annotation(coders[name].annotation) if name in coders else ""
    base = split(location)[1].partition("#")[0]
    found = [step.returns.annotation for step in steps_of(workflow) if step.name == base]
    return shown_annotation(found[0]) if found else ""


def shown_annotation(annotation: Any) -> str:
    """An annotation as it is written."""
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
