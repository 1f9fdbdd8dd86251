"""What a replay leaves unchecked, whom it tells, and how much it keeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flowkit import join, loop, receive, workflow
from flowkit.check import Progress
from flowkit.primitives.loop import Break
from tests.check.replays import Shop, charge, only, place, plain, shop, verdicts, waits

__all__ = ["shop"]


def test_code_that_reaches_out_is_not_checked_and_says_where(shop: Shop) -> None:
    @workflow(name="shop")
    def writes() -> str:
        open("never", "w").close()
        return "done"

    shop.begin("r", waits)

    found = only(shop.replay(writes))

    assert (found.verdict, found.why) == ("not checked", f"writes a file at {place(writes, 2)}")


def test_code_that_loops_for_ever_is_not_checked_and_its_thread_ends(shop: Shop) -> None:
    turns = [0]

    @workflow(name="shop")
    def spins() -> None:
        while True:
            turns[0] += 1

    shop.begin("r", waits)
    shop.begin("s", waits)

    replay = shop.replay(spins, seconds_per_run=0.1)

    assert [(each.verdict, each.runs, each.why) for each in replay.findings] == [
        ("not checked", 2, "its pass took longer than 0.1 s")
    ]
    assert stands_still(lambda: turns[0])


def test_async_code_that_loops_for_ever_ends_too(shop: Shop) -> None:
    turns = [0]

    @workflow(name="shop")
    async def spins() -> None:
        while True:
            turns[0] += 1

    shop.begin("r", waits)
    shop.begin("s", waits)

    replay = shop.replay(spins, seconds_per_run=0.1)

    assert verdicts(replay) == [("not checked", False, 2)]
    assert stands_still(lambda: turns[0])


def stands_still(number: Callable[[], int]) -> bool:
    """Whether the number stops growing before long."""
    pause, deadline = threading.Event(), time.monotonic() + 5
    while time.monotonic() < deadline:
        before = number()
        pause.wait(0.05)
        if number() == before:
            return True
    return False


def test_runs_that_the_time_was_too_short_for_are_counted(shop: Shop) -> None:
    shop.begin("open", waits)
    shop.begin("ended", plain)

    replay = shop.replay(plain, seconds=0.0)

    assert [(each.verdict, each.ended, each.runs, each.samples) for each in replay.findings] == [
        ("not checked", False, 1, ()), ("not checked", True, 1, ()),
    ]  # fmt: skip
    assert replay.tried == 0


def test_the_last_finished_runs_of_each_workflow_are_tried(shop: Shop) -> None:
    @workflow(name="other")
    def other() -> None:
        charge(2)

    for number in range(4):
        shop.begin(f"a{number}", plain)
        shop.begin(f"b{number}", other)

    replay = shop.replay(plain, other, finished=3)

    assert [(each.workflow, each.verdict, each.runs) for each in replay.findings] == [("other", "same", 3), ("shop", "same", 3)]
    assert replay.findings[1].samples == ("a3", "a2", "a1")


def test_runs_without_code_are_counted(shop: Shop) -> None:
    shop.begin("r", waits)

    replay = shop.replay()

    assert (replay.findings, dict(replay.unattended)) == ((), {"shop": 1})


def test_turns_and_branches_count_once(shop: Shop) -> None:
    def turn(n: int) -> Any:
        join(a=lambda: receive("go"), b=lambda: charge(n))
        return Break(n)

    @workflow(name="shop")
    def flow() -> None:
        loop(turn, 0, name="pack")

    for run in ("a", "b"):
        shop.begin(run, flow)

    found = only(shop.replay(flow))

    assert [(each.location, found.runs) for each in found.places] == [("pack/~/join/a/go", 2)]


def test_whoever_waits_is_told_of_each_run_before_it_is_tried(shop: Shop) -> None:
    told: list[Progress] = []
    shop.begin("a", waits)
    shop.begin("b", plain)

    shop.replay(waits, tell=told.append)

    assert [(each.workflow, each.run) for each in told] == [("shop", "a"), ("shop", "b")]


def test_a_hundred_causes_are_listed_up_to_a_bound_and_all_are_counted(shop: Shop) -> None:
    @workflow(name="shop")
    def flow(n: int) -> None:
        receive(f"go-{n}")

    for number in range(70):
        shop.begin(f"r{number}", flow, number)

    replay = shop.replay(flow)

    assert (len(replay.findings), replay.more, [each.runs for each in replay.counts]) == (60, 10, [70])
