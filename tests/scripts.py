"""Scripts that several files run, and runs of scripts brought to where a test begins: after a pass, ended, failed, in any status.

What the steps have noted on the way there is forgotten, and what was broken works again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from flowkit.testing import Lab
from tests.worlds import World

__all__ = [
    "Calls", "a_then_wait", "b_then_wait", "completed", "failed", "locations", "other", "owes", "reach", "start", "waits",
]  # fmt: skip

Calls = Generator[Any, Any, Any]


def a_then_wait(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    return "done"


def b_then_wait(do: World) -> Calls:
    yield do.step("b")
    yield do.receive("go")
    return "done"


def waits(do: World) -> Calls:
    yield do.step("a")
    yield do.receive("go")
    yield do.step("b")
    return "done"


def owes(do: World) -> Calls:
    yield do.checkpoint("start")
    yield do.step("a", undo=True)
    yield do.receive("go")
    yield do.step("b")
    return "done"


def other(do: World) -> Calls:
    yield do.step("x")


def start(lab: Lab, world: World, script: Any) -> None:
    """A run of `script` that has made one pass."""
    lab.start("r", world.flow(script))
    lab.run_once("r")
    world.log.clear()


def completed(lab: Lab, world: World, script: Any, *messages: str) -> Any:
    """A run that has ended, with these messages sent to it before its first pass."""
    run = lab.start("r", world.flow(script))
    for number, name in enumerate(messages):
        run.send(name, number)
    lab.run_to_end("r")
    world.log.clear()
    return run


def failed(lab: Lab, world: World, script: Any, *broken: str) -> Any:
    """A run that has failed, with its broken steps mended since."""
    world.broken.update(broken)
    run = lab.start("r", world.flow(script))
    with contextlib.suppress(Exception):
        lab.run_to_end("r")
    assert run.status() == "failed"
    world.broken.clear()
    world.log.clear()
    return run


def reach(lab: Lab, world: World, status: str) -> Any:
    """A run of `owes` in this status."""
    run = lab.start("r", world.flow(owes))
    if status == "pending":
        return run
    lab.run_once("r")
    if status == "failed":
        world.broken |= {"b", "undo a"}
    steps: dict[str, Any] = {
        "sleeping": lambda: None,
        "paused": run.pause,
        "blocked": lambda: lab.run_once("r", workflow=world.flow(other)),
        "rolling_back": lambda: run.cancel(rollback=True),
        "completed": lambda: (run.send("go"), lab.run_once("r")),
        "cancelled": run.cancel,
        "failed": lambda: (run.send("go"), lab.run_once("r")),
    }
    steps[status]()
    world.broken.clear()
    world.log.clear()
    assert run.status() == status
    return run


def locations(lab: Lab, archived: bool = False) -> list[str]:
    """Where the run's entries stand."""
    return [entry.location for entry in lab.history("r", archived)]
