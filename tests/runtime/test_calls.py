"""How many Python calls a recorded step and a run make: what cannot be timed on a shared machine can be counted."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from flowkit import Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from flowkit.engine.source import PACKAGE

WARM, STEPS, RUNS = 5, 50, 20
THINKING = tuple(PACKAGE + name for name in ("codec", "core", "definitions", "engine", "primitives", "runtime/execution"))
"""Not the worker, drivers or the client, some of whose calls come with time."""

PLAIN_STEP, ASYNC_STEP, RUN = 93, 76, 75
"""What they are today, and next to nothing more: a layer that is put in between should be put there on purpose."""

counted: Counter[str] = Counter()


def profile(frame: FrameType, event: str, argument: object) -> None:
    if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
        counted["all"] += 1
        counted["thinking"] += frame.f_code.co_filename.startswith(THINKING)


@contextmanager
def counting() -> Iterator[None]:
    """Calls of flowkit's own functions made in this thread."""
    counted.clear()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@step
def nothing(number: int) -> int:
    return number


@step
async def anothing(number: int) -> int:
    return number


@workflow
def long() -> None:
    for number in range(WARM):
        nothing(number)
    with counting():
        for number in range(STEPS):
            nothing(number)


@workflow
async def along() -> None:
    for number in range(WARM):
        await anothing(number)
    with counting():
        for number in range(STEPS):
            await anothing(number)


@workflow
def short(number: int) -> int:
    return number


@workflow
async def ashort(number: int) -> int:
    return number


def fewest(path: Path, what: str, work: Callable[[Flowkit, int], Any]) -> int:
    """The fewest calls of three, as something else may happen in between."""
    found = []
    for number in range(3):
        with Flowkit(open_driver(path), workflows=[long, along, short, ashort], capture_logs=None) as fk:
            work(fk, number)
        found.append(counted[what])
    return min(found)


def test_a_plain_step_makes_few_calls_from_its_call_to_its_commit(path: Path) -> None:
    """A lone plain run commits on its own thread, so all of a step is there."""
    calls = fewest(path, "all", lambda fk, number: fk.run(f"r{number}", long))

    assert calls <= PLAIN_STEP * STEPS


def test_an_async_step_makes_few_calls_on_the_loop(path: Path) -> None:
    """Waiting for the commit enters each coroutine around the wait a second time, so those count twice."""
    calls = fewest(path, "all", lambda fk, number: fk.run(f"r{number}", along))

    assert calls <= ASYNC_STEP * STEPS


@pytest.mark.parametrize("code", [short, ashort], ids=["plain", "async"])
def test_a_run_costs_few_calls_besides_its_steps(path: Path, code: Workflow[..., Any]) -> None:
    """In all threads that are made for a handle, from the claim to the end."""

    def flood(fk: Flowkit, number: int) -> None:
        counted.clear()
        for run in fk.start_many([(f"{number}-{each}", code, (each,)) for each in range(RUNS)]):
            run.result(20)

    threading.setprofile(profile)
    try:
        calls = fewest(path, "thinking", flood)
    finally:
        threading.setprofile(None)

    assert calls <= RUN * RUNS
