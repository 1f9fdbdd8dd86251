"""Steps that stand under a new name, known by their bodies, and the decorator with which they keep their history."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flowkit.check.places import code_at
from flowkit.check.report import Line
from flowkit.definitions import Step, Workflow
from flowkit.definitions.manifest import hashes_of, steps_of
from flowkit.engine.source import place_of

__all__ = ["Renamed", "renames"]

_DECORATOR = re.compile(r"@(?:\w+\.)*step\b")
_NAME = re.compile(r"""\bname\s*=\s*(?:"[^"]*"|'[^']*')""")
_MOST_DECORATORS = 20


@dataclass(frozen=True, slots=True)
class Renamed:
    """A step is now called `name`; with `line` it keeps the name that history has."""

    name: str
    line: Line


def renames(before: Mapping[str, str], workflow: Workflow[..., Any]) -> dict[str, Renamed]:
    """Old name → what became of it. `before` are the bodies (step → hash) of the older code.

    Only where the body leaves no doubt: one name left, one came, and no other step has the same; and where a decorator stands
    that can be given the name.
    """
    now = hashes_of(workflow)
    steps = {step.name: step for step in steps_of(workflow)}
    came = {name: body for name, body in now.items() if name not in before}
    left = {name: body for name, body in before.items() if name not in now}
    found = {}
    for old, body in left.items():
        names = [name for name, each in came.items() if each == body]
        if len(names) == 1 and list(left.values()).count(body) == 1 and (line := _line(steps[names[0]], old)) is not None:
            found[old] = Renamed(names[0], line)
    return found


def _line(step: Step[..., Any], old: str) -> Line | None:
    place = place_of(inspect.unwrap(step))
    for each, code in _decorators(place):
        if _DECORATOR.match(code):
            return Line(_named(code, old), "in place of", each, code)
    return None


def _decorators(place: str) -> Iterator[tuple[str, str]]:
    """``file:line`` and text of the lines from the first decorator to the function's own."""
    filename, _, number = place.rpartition(":")
    for line in range(int(number), int(number) + _MOST_DECORATORS) if number.isdigit() else ():
        code = code_at(f"{filename}:{line}")
        if code.startswith(("def ", "async def ")):
            return
        yield f"{filename}:{line}", code


def _named(code: str, old: str) -> str:
    """The decorator with this name, its other options as they are, also if they go on in the next line."""
    option = f"name={_quoted(old)}"
    if _NAME.search(code):
        return _NAME.sub(lambda _: option, code, count=1)
    called = _DECORATOR.match(code)
    assert called is not None
    head, options = code[: called.end()], code[called.end() :]
    if not options.startswith("("):
        return f"{head}({option}){options}"
    return f"{head}({option}, {options[1:].lstrip()}" if options.strip() != "()" else f"{head}({option})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
