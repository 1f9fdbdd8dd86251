"""A step that is given to a join or race as it is has no line of the user's below it: its place is that of the join or race."""

from __future__ import annotations

import flowkit.aio as aio
from flowkit import Workflow, join, race, step, workflow
from flowkit.testing import Lab, MemoryDriver


@step
def first() -> int:
    return 1


@step
def second() -> int:
    return 2


@aio.step
async def later() -> int:
    return 3


@workflow
def joined() -> None:
    join(a=first, b=second)


@workflow
def raced() -> None:
    race(a=first)


@workflow
def nested() -> None:
    join(
        a=lambda: join(b=first),
    )


@aio.workflow
async def awaited() -> None:
    await aio.join(a=later, b=first.aio)


def places(flow: Workflow[..., object]) -> dict[str, int]:
    """Entry → line of its call, from that of the workflow on."""
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", flow)
        lab.run_once("r")
        row = driver.get("r")
        assert row is not None
        begins = flow.function.__code__.co_firstlineno
        found = {entry.location: entry.source.partition(":") for entry in driver.history(row.seq)}
    assert {file for file, _, _ in found.values()} == {"tests/regressions/test_places_of_branches.py"}
    return {location: int(line) - begins for location, (_, _, line) in found.items()}


def test_a_step_that_is_a_branch_stands_where_its_join_does() -> None:
    assert places(joined) == {"join": 2, "join/a/first": 2, "join/b/second": 2}


def test_a_step_that_is_a_branch_stands_where_its_race_does() -> None:
    assert places(raced) == {"race": 2, "race/a/first": 2}


def test_a_branch_in_a_branch_stands_where_the_inner_join_does() -> None:
    assert places(nested) == {"join": 2, "join/a/join": 3, "join/a/join/b/first": 3}


def test_an_async_step_that_is_a_branch_stands_where_its_join_does() -> None:
    assert places(awaited) == {"join": 2, "join/a/later": 2, "join/b/first": 2}
