"""What differs between two generations' code, and where a slow import stands: pure functions of what children told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from flowkit.dev.protocol import Loaded
from flowkit.engine.source import PACKAGE, shown_path

__all__ = ["changes_between", "how_it_ended", "stack_frames", "step_count"]

_FRAME = re.compile(r'^  File "(.+)", line (\d+) in (.+)$')


def changes_between(old: Loaded | None, new: Loaded) -> dict[str, tuple[str, ...]]:
    """Workflow → ``~ charge (body)``, ``+ notify``, ``- validate``; only workflows in which something differs."""
    if old is None:
        return {}
    found = {name: tuple(_changes(old.bodies.get(name), new.bodies[name])) for name in sorted(new.bodies)}
    gone = dict.fromkeys(sorted(old.bodies.keys() - new.bodies.keys()), ("- the workflow",))
    return {name: changes for name, changes in (found | gone).items() if changes}


def _changes(old: dict[str, str] | None, new: dict[str, str]) -> Iterable[str]:
    if old is None:
        yield "+ the workflow"
        return
    for step, body in new.items():
        if step and step in old and old[step] != body:
            yield f"~ {step} (body)"
    yield from (f"+ {step}" for step in new if step not in old)
    yield from (f"- {step}" for step in old if step not in new)


def step_count(loaded: Loaded) -> int:
    """How many steps the workflows have; one that two of them use is one."""
    return len({step for bodies in loaded.bodies.values() for step in bodies if step})


def stack_frames(stack: str) -> tuple[str, ...]:
    """The user's frames of a stack that faulthandler wrote, outermost first; of several threads the one that imports."""
    best: list[str] = []
    for thread in stack.split("\n\n"):
        found = [match for line in thread.splitlines() if (match := _FRAME.match(line))]
        frames = [f"{shown_path(file)}:{line} in {name}" for file, line, name in (m.groups() for m in found) if _yours(file)]
        if any(name == "import_user_app" for _, _, name in (match.groups() for match in found)):
            return tuple(reversed(frames))
        best = best or frames
    return tuple(reversed(best))


def _yours(file: str) -> bool:
    return not file.startswith((PACKAGE, "<")) and f"{os.sep}lib{os.sep}python" not in file


def how_it_ended(code: int) -> str:
    """An exit code as `subprocess` gives it, in words."""
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
