"""Runs over a reload: bodies under way, runs that do not fit, hands changing, and every way in which it all ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flowkit.client import Flowkit, Run
from flowkit.definitions import Workflow, workflow
from tests.dev.harness import APP, Dev, alive, descendants, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

SLOW = (
    APP
    + """
@step
def slow(seconds: float) -> str:
    note("slow begins")
    time.sleep(seconds)
    note("slow ends")
    return "slept"

@step(at_most_once=True)
def once(seconds: float) -> str:
    note("once begins")
    time.sleep(seconds)
    note("once ends")
    return "done"

@workflow
def sleepy(seconds: float, way: str = "slow") -> str:
    charge(0)
    return once(seconds) if way == "once" else slow(seconds)
"""
)


def named(name: str) -> Workflow[..., object]:
    """A workflow as another program knows it that only starts runs."""

    @workflow(name=name)
    def stub(*args: object) -> None: ...

    @workflow(name=name)
    def checkout(n: int = 1) -> int:
        return n

    @workflow(name=name)
    def sleepy(seconds: float, way: str = "slow") -> str:
        return way

    return {"checkout": checkout, "sleepy": sleepy}.get(name, stub)  # type: ignore[return-value]  # of several signatures


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)


@pytest.fixture
def made(dev: Start) -> Dev:
    started = dev("app.py", "--grace", "1s")
    started.wait("loaded")
    return started


@pytest.fixture
def client(made: Dev) -> Iterator[Flowkit]:
    with made.client() as opened:
        yield opened


def entry(run: Run[object], name: str) -> tuple[str, int]:
    """Status and attempts of an entry."""
    return next((each.status, each.attempts) for each in run.history() if each.location == name)


def test_a_body_that_ends_within_the_grace_is_recorded_and_not_run_again(made: Dev, client: Flowkit) -> None:
    run = client.start("s-1", named("sleepy"), 0.8)
    until(lambda: "slow begins" in made.log(), "the body runs")

    made.save(SLOW + "\nNEW = 1\n")
    made.wait("loaded")

    assert run.result(timeout=8) == "slept"
    assert made.log() == ["charge 0", "slow begins", "slow ends"]
    assert entry(run, "slow") == ("completed", 1)


def test_a_body_that_takes_longer_is_evicted_and_counts_neither_as_attempt_nor_as_crash(made: Dev, client: Flowkit) -> None:
    run = client.start("s-1", named("sleepy"), 30.0)
    until(lambda: "slow begins" in made.log(), "the body runs")

    made.save(SLOW.replace('time.sleep(seconds)\n    note("slow ends")', 'note("slow ends")'))
    made.wait("loaded")

    assert run.result(timeout=20) == "slept"
    row = client.driver.get("s-1")
    assert row is not None
    assert (row.crashes, entry(run, "slow")) == (0, ("completed", 1))
    assert made.log() == ["charge 0", "slow begins", "slow begins", "slow ends"]


def test_a_body_that_may_run_only_once_is_waited_for_by_its_old_generation(made: Dev, client: Flowkit) -> None:
    run = client.start("o-1", named("sleepy"), 4.5, "once")
    until(lambda: "once begins" in made.log(), "the body runs")

    made.save(SLOW + "\nNEW = 1\n")
    made.wait("loaded")
    waits = made.wait("waiting")

    assert waits["bodies"] == ["o-1 once"]
    assert run.result(timeout=8) == "done"
    assert made.log() == ["charge 0", "once begins", "once ends"]
    until(lambda: len(made.generations()) == 1, "the old generation is gone", seconds=6)


def test_a_run_that_does_not_fit_is_held_with_the_line_and_goes_on_once_it_is_pasted(made: Dev, client: Flowkit) -> None:
    run = client.start("c-1", named("checkout"), 1)
    until(lambda: run.status() == "sleeping", "the run waits")
    renamed = SLOW.replace("paid = charge(n)", "paid = 5").replace("    receive(", "    receive(")

    made.save(renamed)
    held = made.wait("loaded")["held"][0]
    until(lambda: run.status() == "blocked", "the run is held")
    line = held["lines"][0]
    made.save(
        renamed.replace("import receive", "import receive, removed").replace(
            '    receive("go")', f'    {line["text"]}\n    receive("go")'
        )
    )
    freed = made.wait("loaded")

    assert (held["cause"]["runs"], line["text"], line["where"]) == (1, 'removed("charge", "step")', "before")
    assert line["code"] == 'receive("go")'
    assert freed["freed"] == 1
    until(lambda: run.status() == "sleeping", "the run is free")
    run.send("go")
    assert run.result(timeout=8) == 5
    assert made.log() == ["charge 1"]


def test_a_step_under_a_new_name_keeps_its_history_by_the_line_that_is_shown(made: Dev, client: Flowkit) -> None:
    run = client.start("c-1", named("checkout"), 1)
    until(lambda: run.status() == "sleeping", "the run waits")
    renamed = SLOW.replace("def charge", "def bill").replace("charge(n)", "bill(n)")

    made.save(renamed)
    line = made.wait("loaded")["held"][0]["lines"][0]
    until(lambda: run.status() == "blocked", "the run is held")
    made.save(renamed.replace(f"{line['code']}\ndef bill", f"{line['text']}\ndef bill"))
    freed = made.wait("loaded")

    assert (line["text"], line["where"], line["code"]) == ('@step(name="charge")', "in place of", "@step")
    assert freed["freed"] == 1
    until(lambda: run.status() == "sleeping", "the run is free")
    run.send("go")
    assert run.result(timeout=8) == 1
    assert made.log() == ["charge 1"]


def test_a_workflow_that_is_renamed_leaves_its_runs_alone(made: Dev, client: Flowkit) -> None:
    run = client.start("c-1", named("checkout"), 1)
    until(lambda: run.status() == "sleeping", "the run waits")

    made.save(SLOW.replace("def checkout", "def purchase"))
    loaded = made.wait("loaded")
    run.send("go")
    made.save(SLOW)
    made.wait("loaded")

    assert loaded["unattended"] == {"checkout": 1}
    assert loaded["changes"] == {"purchase": ["+ the workflow"], "checkout": ["- the workflow"]}
    assert run.result(timeout=8) == 1


def test_a_child_that_is_killed_in_the_middle_of_a_body_is_replaced_and_the_run_goes_on(made: Dev, client: Flowkit) -> None:
    run = client.start("s-1", named("sleepy"), 0.5)
    until(lambda: "slow begins" in made.log(), "the body runs")

    os.kill(made.generations()[0], signal.SIGKILL)

    made.wait("died")
    made.wait("loaded")
    assert run.result(timeout=8) == "slept"
    assert made.log() == ["charge 0", "slow begins", "slow begins", "slow ends"]


def test_no_process_outlives_a_supervisor_that_is_killed(made: Dev) -> None:
    made.save(SLOW + "\nif (pid := os.fork()) == 0:\n    time.sleep(60)\n    os._exit(0)\n")
    made.wait("loaded")
    family = descendants(made.process.pid)

    made.process.kill()
    made.process.wait()

    assert len(family) >= 2
    until(lambda: not any(alive(pid) for pid in family), "all are gone")


def test_ctrl_c_drains_and_names_what_it_waits_for(made: Dev, client: Flowkit) -> None:
    run = client.start("s-1", named("sleepy"), 1.5)
    until(lambda: "slow begins" in made.log(), "the body runs")
    family = descendants(made.process.pid)

    made.interrupt()

    assert made.wait("waiting")["bodies"] == ["s-1 slow"]
    made.wait("stopped")
    assert made.process.wait(3) == 0
    assert made.log()[-1] == "slow ends"
    assert (run.status(), entry(run, "slow")) == ("pending", ("completed", 1))
    assert not any(alive(pid) for pid in family)


def test_ctrl_c_twice_stops_at_once(made: Dev, client: Flowkit) -> None:
    client.start("s-1", named("sleepy"), 60.0)
    until(lambda: "slow begins" in made.log(), "the body runs")
    family = descendants(made.process.pid)

    made.interrupt()
    made.wait("waiting")
    made.interrupt()

    made.wait("stopped", seconds=2)
    assert not any(alive(pid) for pid in family)


def test_a_second_dev_only_looks(made: Dev, client: Flowkit, dev: Start) -> None:
    second = dev()
    note = second.wait("note", seconds=8)
    second.wait("loaded")

    run = client.start("c-1", named("checkout"), 1)
    until(lambda: run.status() == "sleeping", "the first one works")

    assert f"(pid {made.process.pid})" in note["text"]
    owners = {row.pid for row in client.driver.workers() if row.kind == "worker" and row.alive}
    assert owners == set(made.generations())
