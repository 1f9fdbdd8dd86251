"""What-if forks under real workers: they ask, are taken over, and go on where they are answered."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flowkit
from flowkit import RunConflict, Workflow, aio, checkpoint, join, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers.base import WorkerInfo
from flowkit.drivers.memory import MemoryDriver
from flowkit.drivers.sealed import SealedDriver
from flowkit.testing import Lab
from tests.client.forks import done, ended, original, trade, trade_aio, view_of
from tests.runtime.waiting import until as _until

pytestmark = pytest.mark.timeout(90)

COLOURS = pytest.mark.parametrize("code", [trade, trade_aio], ids=["plain", "async"])


def until(look: Callable[[], object]) -> None:
    """With time enough for a machine where everything else runs, too."""
    _until(look, 30)


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    done.clear()
    yield
    slow.clear()


slow: list[float] = []
"""How long `rest` takes from now on, seconds."""


@step
def rest(number: int) -> int:
    done.append(f"rest {number}")
    if slow:
        time.sleep(slow[0])
    return number


@workflow
def both(start: int) -> dict[str, Any]:
    """A branch that asks beside one that sleeps and then asks."""
    checkpoint("c")
    first = rest(start)

    def late() -> int:
        flowkit.sleep("10m")
        return rest.options(name="late")(first + 1)

    return join(soon=lambda: rest.options(name="soon")(first + 2), late=late)


def _traded(fk: Flowkit, code: Workflow[..., Any]) -> Any:
    """A run of `code` that waits for its address; `done` begins anew."""
    run = fk.start("o", code, "tea")
    until(lambda: run.status() == "sleeping")
    done.clear()
    return run


@COLOURS
def test_a_fork_asks_and_goes_on_where_it_is_answered(fk: Flowkit, code: Workflow[..., Any]) -> None:
    fork = _traded(fk, code).fork("price", value=250)
    until(lambda: fork.status() == "paused")
    assert done == []

    fork.resolve(real=True, reason="a test account")

    until(lambda: fork.status() == "sleeping")
    assert done == ["charge 250"]
    assert [entry.output for entry in fork.history()][2] == "receipt for 250"


async def _comes_to(run: aio.Run[Any], status: str) -> None:
    while await run.status() != status:  # noqa: ASYNC110  a status is read, nobody tells it
        await asyncio.sleep(0.01)


def test_an_awaitable_run_forks_and_answers(path: Path) -> None:
    async def use() -> list[Any]:
        async with aio.open(path) as fk:
            run = await fk.start("o", trade_aio, "tea")
            await _comes_to(run, "sleeping")
            fork = await run.fork("price", value=250, id="f")
            await _comes_to(fork, "paused")
            await fork.resolve("charge", value="by phone", reason="x")
            await _comes_to(fork, "sleeping")
            return [entry.output for entry in await fork.history()][1:3]

    assert asyncio.run(use()) == [250, "by phone"]
    assert done == ["price tea", "charge 100"]


@COLOURS
def test_wake_evict_and_a_refused_resume_change_nothing_of_what_a_fork_asks(fk: Flowkit, code: Workflow[..., Any]) -> None:
    fork = _traded(fk, code).fork("price", value=250)
    until(lambda: fork.status() == "paused")

    for _ in range(5):
        with pytest.raises(RunConflict, match=r"^run '.*' asks for 'charge': answer with resolve\(\)"):
            fork.resume()
        fork.wake()
        fork.evict()
        until(lambda: fork.status() == "paused")

    assert done == []
    assert [(entry.location, entry.status) for entry in fork.history()][2:] == [("charge", "pending")]


@COLOURS
def test_another_worker_keeps_the_question_and_takes_the_answer(path: Path, code: Workflow[..., Any]) -> None:
    with flowkit.open(path, workflows=[code]) as first:
        _traded(first, code).fork("price", value=250, id="f")
        until(lambda: first.get("f").status() == "paused")

    with flowkit.open(path, workflows=[code]) as second:
        fork = second.get("f")
        time.sleep(0.1)
        assert (fork.status(), done) == ("paused", [])
        fork.resolve(real=True, reason="x")
        until(lambda: fork.status() == "sleeping")

    assert done == ["charge 250"]


def test_a_fork_is_closed_while_what_it_may_run_is_running(path: Path) -> None:
    with Flowkit(flowkit.drivers.open_driver(path), grace=0.2, workflows=[both]) as first:
        run = first.start("o", both, 1)
        until(lambda: run.status() == "sleeping")
        fork = run.fork("rest", value=5, id="f")
        until(lambda: fork.status() == "paused")
        slow.append(1.0)
        done.clear()
        fork.resolve("join/soon/soon", real=True, reason="x")
        until(lambda: done == ["rest 7"])
    slow.clear()

    with flowkit.open(path, workflows=[both]) as second:
        fork = second.get("f")
        until(lambda: [e.status for e in fork.history() if e.location.endswith("soon")] == ["completed"])

    assert set(done) == {"rest 7"}


def test_what_stands_beside_a_question_waits_for_the_answer_and_keeps_its_instant() -> None:
    with Lab() as lab:
        run = lab.start("o", both, 1)
        lab.run_once("o")
        done.clear()
        fork = run.fork("rest", value=5)

        assert (lab.run_once(fork.id).status, view_of(lab, fork.id).row.wake_at) == ("paused", None)
        due = [entry.due_at for entry in view_of(lab, fork.id).entries if entry.kind == "sleep"]
        assert due == [lab.now + 600]
        lab.advance("1h")
        assert lab.run_once(fork.id).status == "paused"
        fork.resolve(value=7, reason="x")

        assert lab.run_once(fork.id).status == "paused"
        assert view_of(lab, fork.id).row.current == "join/late/late"
        assert done == []


def test_several_questions_are_answered_one_by_one() -> None:
    with Lab() as lab:
        run = lab.start("o", both, 1)
        lab.run_to_end("o")
        done.clear()
        fork = run.fork("rest", value=5)
        ended(lab, fork.id)

        with pytest.raises(ValueError, match="asks for several steps: name one of 'join/"):
            fork.resolve(value=1, reason="x")
        with pytest.raises(ValueError, match=r"asks for 'join/.*, not for 'rest'"):
            fork.resolve("rest", value=1, reason="x")
        fork.resolve("join/late/late", value=1, reason="x")
        assert ended(lab, fork.id).status == "paused"
        fork.resolve(value=2, reason="x")

        assert ended(lab, fork.id).output == {"soon": 2, "late": 1}
        with pytest.raises(RunConflict, match="is completed"):
            fork.resolve(value=2, reason="x")
        assert done == []


class Masking:
    """Reversible, and nothing of what goes in can be read in what comes out."""

    def encode(self, body: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in body)

    def decode(self, body: bytes) -> bytes:
        return bytes(byte ^ 0x5A for byte in body)


def test_a_fork_is_sealed_like_any_run_and_still_one() -> None:
    inner = MemoryDriver()
    with Lab(driver=SealedDriver(inner, Masking())) as lab:
        run = original(lab)
        fork = run.fork("charge", value="a secret gift")

        lab.run_once(fork.id)
        lab.send(fork.id, "address", "Rome")

        assert ended(lab, fork.id).output == {"receipt": "a secret gift", "to": "Rome", "box": "a box of tea"}
        assert done == []
        view = inner.load(fork.seq)
        assert view is not None
        assert b"secret gift" not in repr(view).encode()


@pytest.mark.parametrize("damage", ["fork = '{}'", "fork = '{}', fork_crc = 1", "fork = NULL"])
def test_a_fork_whose_record_is_damaged_is_blocked_and_runs_nothing_whatever_its_tags(path: Path, damage: str) -> None:
    with flowkit.open(path) as fk:
        run = _traded(fk, trade)
        fk.close()
    with flowkit.open(path, worker=False) as client:
        client.get(run.id).fork("price", value=250, id="f")
        client.desk.tag("f", (), ("fork",))
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE run_io SET {damage} WHERE run = (SELECT seq FROM runs WHERE id = 'f')")

    with flowkit.open(path) as fk:
        fork = fk.get("f")
        until(lambda: fork.status() == "blocked")

    assert done == []


def test_nobody_is_born_owning_a_fork(path: Path) -> None:
    with flowkit.open(path, worker=False) as client:
        worker = client.driver.join(WorkerInfo(name="w", host="h", pid=1), time.time())
        assert worker
        with flowkit.open(path) as fk:
            fork = _traded(fk, trade).fork("price", value=250)
            until(lambda: fork.status() == "paused")

    assert done == []
