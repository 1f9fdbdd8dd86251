"""A program that has loaded some workflows, as an inspector asks it: it says what they are and carries out `resolve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowkit.client import Flowkit
from flowkit.client.livecode import Answer, CodeState, ResolveWish, StartAnswer, StartWish
from flowkit.client.verbs import Verbs
from flowkit.definitions import Workflow
from flowkit.dev.manifest import describe_workflow
from flowkit.drivers import open_driver

__all__ = ["Loaded"]


class Loaded:
    """`workflows` over the database `file`."""

    def __init__(self, file: Path, *workflows: Workflow[..., Any]) -> None:
        self.flowkit = Flowkit(open_driver(file), worker=False, workflows=workflows)
        self._described = tuple(describe_workflow(each) for each in workflows)

    def state(self) -> CodeState:
        return CodeState(version=1, status="loaded", app="app.py", code="c0de", running="c0de", workflows=self._described)

    def start(self, wish: StartWish) -> StartAnswer:
        raise AssertionError("nothing is started here")

    def resolve(self, wish: ResolveWish) -> Answer:
        return Verbs(self.flowkit, wish.who).resolve(wish)

    def kill(self) -> None:
        raise AssertionError("nothing hangs here")
