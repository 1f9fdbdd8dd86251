"""What a start form asks for, as the command and as the Python line that do the same."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping, Sequence

from flowkit.client.livecode import Parameter

from .runs import command_line
from .values import shown

__all__ = ["start_command", "start_line"]

_MISSING = "…"


def start_command(
    database: str, target: str, parameters: Sequence[Parameter], given: Mapping[str, str], *, id: str, tags: Sequence[str],
    delay: str,
) -> str:  # fmt: skip
    """`given` are JSON texts by parameter; one that is needed and not given yet stands as ``…``."""
    words = ["start", target]
    for name, text in _wanted(parameters, given):
        words += ["--arg", f"{name}={text}"]
    words += ["--id", id]
    for tag in tags:
        words += ["--tag", tag]
    return shown(command_line(database, *words, *(["--delay", delay] if delay else [])))


def start_line(
    workflow: str, parameters: Sequence[Parameter], given: Mapping[str, str], *, id: str, tags: Sequence[str], delay: str
) -> str:
    """The same in Python. What has no literal is made by its annotation, whose names must be at hand there."""
    known = {each.name: each for each in parameters}
    arguments = "".join(f", {name}={_python(known[name], text)}" for name, text in _wanted(parameters, given))
    options = [f"tags={tuple(tags)!r}"] if tags else []
    options += [f"delay={delay!r}"] if delay else []
    name = workflow if workflow.isidentifier() and not keyword.iskeyword(workflow) else "workflow"
    target = f"{name}.options({', '.join(options)})" if options else name
    return shown(f"fk.start({id!r}, {target}{arguments})")


def _wanted(parameters: Sequence[Parameter], given: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(each.name, given.get(each.name, _MISSING)) for each in parameters if each.required or each.name in given]


def _python(parameter: Parameter, text: str) -> str:
    if text == _MISSING:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _MISSING
    kind = re.sub(r"\s*\|\s*None$|^Optional\[(.*)\]$", r"\1", parameter.annotation)
    if value is None or parameter.kind in ("str", "int", "float", "bool") or not kind:
        return repr(value)
    if parameter.kind in ("date", "datetime"):
        return f"{kind}.fromisoformat({value!r})"
    if parameter.kind == "choice":
        return repr(value) if kind.startswith("Literal") else f"{kind}({value!r})"
    if '"$comment": "pydantic"' in parameter.schema:
        return f"pydantic.TypeAdapter({kind}).validate_python({value!r})"
    return f"msgspec.convert({value!r}, {kind})" if "$ref" in parameter.schema else repr(value)
