"""A lab whose runs are replayed under edited code, with proof that nothing of them was run or written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from flowkit import CriticalError, Workflow, receive, step, workflow
from flowkit.check import replay_runs
from flowkit.core.verdict import Finding, Replay
from flowkit.engine.source import shown_path
from flowkit.testing import Lab, MemoryDriver

__all__ = ["Shop", "charge", "noted", "notify", "only", "place", "plain", "refuse", "shop", "validate", "verdicts", "waits"]

ran: list[str] = []


def noted(name: str, **options: Any) -> Any:
    def body(*args: Any) -> Any:
        ran.append(name)
        return args[0] if args else name

    return step(body, name=name, **options)


def refuse() -> None:
    raise CriticalError("no")


@dataclass
class Shop:
    """A lab over a store whose runs are replayed."""

    lab: Lab
    driver: MemoryDriver

    def begin(self, run: str, flow: Workflow[..., Any], *args: Any) -> None:
        self.lab.start(run, flow, *args)
        self.lab.run_once(run)

    def replay(self, *flows: Workflow[..., Any], **options: Any) -> Replay:
        """The report, and proof that nothing ran or was written."""
        ran.clear()
        before = self.lab.commits
        found = replay_runs(self.driver, {flow.name: flow for flow in flows}, **options)
        assert (ran, self.lab.commits) == ([], before)
        return found


@pytest.fixture
def shop() -> Iterator[Shop]:
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        yield Shop(lab, driver)


def verdicts(replay: Replay) -> list[tuple[str, bool, int]]:
    """Each finding's verdict, whether of finished runs, and of how many."""
    return [(each.verdict, each.ended, each.runs) for each in replay.findings]


def only(replay: Replay) -> Finding:
    """The one finding."""
    (finding,) = replay.findings
    return finding


def place(flow: Workflow[..., Any], line: int) -> str:
    """``file:line`` of a line of the workflow, counted from its decorator."""
    code = flow.function.__code__
    return f"{shown_path(code.co_filename)}:{code.co_firstlineno + line}"


notify, validate = noted("notify"), noted("validate")


@step
def charge(amount: int) -> int:
    ran.append("charge")
    return amount


@workflow(name="shop")
def waits() -> str:
    charge(1)
    receive("go")
    return "done"


@workflow(name="shop")
def plain() -> str:
    charge(1)
    return "done"
