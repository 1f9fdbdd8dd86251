"""Workflows of many shapes for tests of the fence; every body, handler and send leaves a mark in `done`."""

from __future__ import annotations

from typing import Any

import flowkit
from flowkit import (
    Break,
    Continue,
    CriticalError,
    Workflow,
    aio,
    attempt,
    checkpoint,
    join,
    loop,
    race,
    run_state,
    step,
    workflow,
)
from tests.client.forks import done

__all__ = ["SHAPES", "broken", "counted", "failing", "flaky", "looping", "mark", "secret", "several", "sided", "stuck", "unlike"]


def unmark(output: int) -> None:
    done.append(f"unmark {output}")


@step(rollback=unmark, retries=1, backoff=1)
def mark(number: int) -> int:
    done.append(f"mark {number}")
    return number * 10


@step(retries=2, backoff=1)
def flaky(number: int) -> int:
    done.append(f"flaky {number}")
    if len([each for each in done if each == f"flaky {number}"]) < 3:
        raise RuntimeError("not yet")
    return number


@step(at_most_once=True)
def once(number: int) -> int:
    done.append(f"once {number}")
    return number + 1


@step(ephemeral=True)
def light(number: int) -> int:
    done.append(f"light {number}")
    return number + 1


@step
def counted(number: int) -> int:
    done.append(f"counted {number}")
    run_state()["sum"] = run_state().get("sum", 0) + number
    return number


@step(record_args=False)
def secret(number: int) -> int:
    done.append(f"secret {number}")
    return number


@step
def unlike(thing: object) -> int:
    done.append("unlike")
    return 1


@step(retries=0)
def broken(number: int) -> int:
    done.append(f"broken {number}")
    raise CriticalError("broken")


def stick(output: int) -> None:
    done.append(f"stick {output}")
    raise CriticalError("it sticks")


@step(rollback=stick, rollback_retries=0)
def sticky(number: int) -> int:
    done.append(f"sticky {number}")
    return number


@workflow
def stuck(start: int) -> int:
    """Fails, and its rollback fails."""
    checkpoint("c")
    return broken(sticky(start) + flaky(start))


@workflow
def several(start: int) -> int:
    """Steps of every sort in a row."""
    checkpoint("c")
    total = mark(start) + counted(start)
    total = once(total) + light(total) + flaky(total)
    again = attempt(lambda: broken(total))
    return total + counted(total) + (0 if again.ok else 1)


@workflow
def sided(start: int) -> Any:
    """A join with a race in it."""
    checkpoint("c")
    first = mark(start)

    def left() -> int:
        return mark.options(name="left")(first) + counted(first)

    def right() -> int:
        flowkit.sleep("10m")
        return light(first)

    def quickest() -> Any:
        return race(slow=lambda: (flowkit.sleep("1d"), mark(first)), fast=lambda: mark.options(name="quick")(first)).value

    both = join(left=left, right=right, quickest=quickest)
    return sum(both.values()) + counted(sum(both.values()))


@workflow
def looping(start: int) -> int:
    """A loop that is pruned, with a rollback in one of its turns."""
    checkpoint("c")

    def turn(total: int) -> Any:
        total = counted(total) + 1
        return Break(total) if total > start + 6 else Continue(total)

    return light(loop(turn, mark(start), prune_every=2, keep=2) if start > 99 else loop(turn, start, prune_every=2, keep=2))


@workflow
def failing(start: int) -> int:
    """Fails in its end and is rolled back."""
    checkpoint("c")
    total = mark(start) + mark(start + 1)
    return broken(total)


@workflow
async def several_aio(start: int) -> int:
    """As `several`, in the other colour."""
    await aio.checkpoint("c")
    total = await mark.aio(start) + await counted.aio(start)
    total = await once.aio(total) + await light.aio(total) + await flaky.aio(total)

    async def left() -> int:
        return await mark.aio(total)

    async def right() -> int:
        await aio.sleep("10m")
        return await light.aio(total)

    both = await aio.join(left=left, right=right)
    return sum(both.values())


SHAPES: tuple[Workflow[..., Any], ...] = (several, sided, looping, failing, several_aio)
