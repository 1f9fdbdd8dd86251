"""The seam between runs and those who look on: it costs nothing where nobody does, and a broken one changes nothing."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from flowkit import RunFailed, Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.core.fields import own_log
from flowkit.drivers import open_driver
from flowkit.drivers.base import Claim
from flowkit.engine.observer import BodyEnds, Held, Observer, Watch
from flowkit.observe.counting import Counters
from flowkit.observe.tracing import Tracing
from tests.observe.flows import fails, fails_async, shops, shops_async, undoes
from tests.runtime.waiting import until

WARM, STEPS = 20, 200
counted: Counter[str] = Counter()


def profile(frame: FrameType, event: str, argument: object) -> None:
    if event == "call":
        module = frame.f_globals.get("__name__", "")
        counted["all"] += 1
        if module == "flowkit.engine.observer" or module.startswith("flowkit.observe."):
            counted["looking on"] += 1


@contextmanager
def counting() -> Iterator[None]:
    """Python calls made in this thread."""
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@step
def nothing(number: int) -> int:
    return number


@workflow
def long() -> None:
    """Counts from its own code, which is on the thread that commits: a lone plain run leads its own writes."""
    for number in range(WARM):
        nothing(number)
    counted.clear()
    with counting():
        for number in range(STEPS):
            nothing(number)


def calls_of(path: Path, *observers: Observer) -> Counter[str]:
    """What a chain of steps calls; the fewest of three, as a heartbeat may write something in between."""
    found = []
    for number in range(3):
        with Flowkit(open_driver(path), observers=observers, capture_logs=None) as fk:
            fk.start(f"{len(observers)} {number}", long).result(20)
        found.append(Counter(counted))
    return min(found, key=lambda each: each["all"])


def test_where_nobody_looks_on_a_step_makes_not_one_call_for_it(path: Path) -> None:
    assert calls_of(path)["looking on"] == 0


@pytest.mark.timeout(60)
def test_metrics_cost_a_step_a_fixed_number_of_calls(path: Path) -> None:
    """The writer's guard, the group, its two histograms, the Change; what is the step's own makes none."""
    calls = calls_of(path, Counters())

    assert calls["looking on"] == 5 * STEPS
    assert calls["all"] - calls_of(path)["all"] <= 7 * STEPS  # and what the writer does to have them told


class Breaks(Observer):
    """Raises whatever it is told."""

    def opened(self, log: Any) -> None:
        raise RuntimeError("broken")

    wrote = starts = sends = receives = begins = enters = ends = body = loses = close = opened  # type: ignore[assignment]  # it is broken


class BreaksAtTheEnd(Observer):
    """Raises when it is told that a body is over."""

    def body(self, body: Any) -> BodyEnds | None:
        return self.over

    def over(self, error: BaseException | None) -> None:
        raise RuntimeError("broken")


in_both_stores = pytest.mark.parametrize("store", ["file", "memory"])


@in_both_stores
@pytest.mark.parametrize("observer", [Breaks, BreaksAtTheEnd])
@pytest.mark.parametrize("code", [shops, shops_async], ids=["plain", "async"])
def test_a_broken_observer_is_told_of_once_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, store: str, observer: type[Observer], code: Workflow[..., Any]
) -> None:
    with Flowkit(open_driver(path if store == "file" else ":memory:"), observers=[observer()], workflows=[code]) as fk:
        run = fk.start("r", code, f"{store} {observer.__name__} {code.name}")
        output = run.result(10)
        entries = [(entry.location, entry.status, entry.attempts) for entry in run.history()]

    assert set(output) == {"left", "right"}
    assert ("charge", "completed", 2) in entries
    said = [record.getMessage() for record in caplog.records if record.name == "flowkit"]
    assert said == [
        f"flowkit: {observer.__name__}, which looks on at runs, failed; runs go on all the same, and this is said once"
    ]


@pytest.mark.parametrize("code", [fails, fails_async, undoes], ids=["plain", "async", "rollback"])
def test_an_error_passes_a_broken_observer_as_it_was(path: Path, code: Workflow[..., Any]) -> None:
    with Flowkit(open_driver(path), observers=[Breaks()]) as watched, pytest.raises(RunFailed) as seen:
        watched.start("r", code).result(10)
    with Flowkit(open_driver(path)) as alone, pytest.raises(RunFailed) as plain:
        alone.start("s", code).result(10)

    assert str(seen.value).replace("'r'", "'s'").replace("run r ", "run s ") == str(plain.value)


def test_the_traceback_of_a_step_is_the_same_whether_it_is_looked_at(path: Path) -> None:
    found = []
    for id, observers in (("alone", []), ("watched", [Tracing(TracerProvider())])):
        with Flowkit(open_driver(path), observers=observers) as fk:
            run = fk.start(id, fails)
            until(lambda run=run: run.status() == "failed")
            error = run.error()
            assert error is not None
            found.append(error.traceback)

    assert found[0] == found[1]


def test_two_observers_are_both_told_though_the_first_is_broken(path: Path) -> None:
    counters = Counters()
    with Flowkit(open_driver(path), observers=[Breaks(), counters]) as fk:
        fk.start("r", shops, "both are told").result(10)

    assert sum(counters.steps["shops", "ship"].completed.counts) == 2


def test_what_enters_a_pass_leaves_it_on_the_thread_it_came_on() -> None:
    seen: list[tuple[str, int]] = []

    class Passes(Observer):
        def enters(self, held: Held) -> Any:
            seen.append(("in", threading.get_ident()))
            return lambda: seen.append(("out", threading.get_ident()))

    with Flowkit(open_driver(":memory:"), observers=[Passes()]) as fk:
        fk.start("r", shops, "enters and leaves").result(10)

    assert [what for what, _ in seen] == ["in", "out"]
    assert seen[0][1] == seen[1][1]


def test_a_watch_without_anybody_for_bodies_leaves_bodies_alone() -> None:
    assert not Watch([Counters()], own_log()).bodies
    assert Watch([Counters(), BreaksAtTheEnd()], own_log()).bodies


def test_the_contexts_of_code_are_clean_after_a_pass(path: Path) -> None:
    """Guest threads are used again: what a pass attached must not be there for the next run's code."""
    from opentelemetry import trace

    places: list[int] = []

    @workflow
    def looks() -> None:
        places.append(trace.get_current_span().get_span_context().span_id)

    with Flowkit(open_driver(path), observers=[Tracing(TracerProvider())]) as fk:
        fk.start("a", looks).result(10)
    with Flowkit(open_driver(path)) as fk:
        fk.start("b", looks).result(10)

    assert places[0] != 0
    assert places[1] == 0


def test_a_pass_that_looks_lost_before_its_last_commit_is_heard_of_ends_as_that_commit_left_it() -> None:
    """Who looks for lost runs reads the store, and may be quicker there than the answer to the commit that gave the run up."""
    told: list[str] = []
    left = ""

    class Ends(Observer):
        def ends(self, held: Held, status: str, started_at: float) -> None:
            told.append(status)

    async def flow() -> None:
        nonlocal left
        watch.ends(held, lambda: left, 0.0)
        told.append("still inside")
        left = "completed"

    watch = Watch([Ends()], own_log())
    held = Claim(run=1, id="r", workflow="w", epoch=1, head=0, status="running")
    asyncio.run(watch.around(held, flow()))

    assert told == ["still inside", "completed"]


def test_a_pass_whose_code_never_returns_ends_when_the_handle_is_closed() -> None:
    told: list[str] = []

    class Ends(Observer):
        def ends(self, held: Held, status: str, started_at: float) -> None:
            told.append(f"ended {status!r}")

    async def flow() -> None:
        watch.ends(held, str, 0.0)
        watch.close()
        told.append("still inside")

    watch = Watch([Ends()], own_log())
    held = Claim(run=1, id="r", workflow="w", epoch=1, head=0, status="running")
    asyncio.run(watch.around(held, flow()))

    assert told == ["ended ''", "still inside"]
