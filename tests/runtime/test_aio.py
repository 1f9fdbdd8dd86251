"""`flowkit.aio.open`: the same handle, awaited from any loop."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from flowkit import RunConflict, aio, step, workflow
from tests.runtime.waiting import until


@step
async def double(number: int) -> int:
    return number * 2


@workflow
async def doubled(number: int) -> int:
    return await double(number)


@workflow
async def waits() -> str:
    return str((await aio.receive("go")).data)


def test_a_handle_may_be_opened_from_any_loop(path: Path) -> None:
    async def use(name: str) -> int:
        async with aio.open(path) as fk:
            return await fk.run(name, doubled, 4)

    assert [asyncio.run(use("r-1")), asyncio.run(use("r-2"))] == [8, 8]


def test_many_tasks_wait_side_by_side(path: Path) -> None:
    async def use() -> list[int]:
        async with aio.open(path) as fk:
            runs = await fk.start_many((f"r-{number}", doubled, (number,)) for number in range(20))
            return await asyncio.gather(*(run.result(timeout=5) for run in runs))

    assert asyncio.run(use()) == [2 * number for number in range(20)]


def test_everything_of_a_run_is_awaited(path: Path) -> None:
    async def use() -> None:
        fk = await aio.open(path)
        run = await fk.start("r", waits)
        snapshots = run.watch()
        assert (await anext(snapshots)).status in ("running", "sleeping")
        await asyncio.to_thread(until, lambda: asyncio.run(run.status()) == "sleeping")
        await fk.send("r", "go", "on")
        assert await run.result(timeout=5) == "on"
        assert [snapshot.status async for snapshot in snapshots][-1] == "completed"
        assert [entry.location for entry in await run.history()] == ["go"]
        assert (await run.output(), await run.error(), await run.state()) == ("on", None, {})
        assert [item.id for item in await fk.runs(status="completed")] == ["r"]
        with pytest.raises(RunConflict):
            await (await fk.get("r")).send("go")
        await fk.close()

    asyncio.run(use())


def test_cancelling_who_awaits_a_result_leaves_the_run_alone_and_ends_the_wait(path: Path) -> None:
    async def use() -> str:
        async with aio.open(path) as fk:
            run = await fk.start("r", waits)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(run.result(), 0.05)
            await asyncio.to_thread(until, lambda: "wait_until" not in working())
            await run.send("go", "on")
            return await run.result(timeout=5)

    assert asyncio.run(use()) == "on"


def working() -> set[str]:
    """The names of all functions that any thread is in."""
    frames = list(sys._current_frames().values())
    names = set()
    while frames:
        frame = frames.pop()
        names.add(frame.f_code.co_name)
        if frame.f_back is not None:
            frames.append(frame.f_back)
    return names


def test_the_callers_loop_stays_free(path: Path) -> None:
    door = threading.Event()

    @step
    def slow() -> str:
        door.wait(5)
        return "done"

    @workflow
    def works() -> str:
        return slow()

    async def use() -> str:
        async with aio.open(path) as fk:
            waiting = asyncio.ensure_future(fk.run("r", works))
            await asyncio.sleep(0.02)
            door.set()
            return await waiting

    assert asyncio.run(use()) == "done"
