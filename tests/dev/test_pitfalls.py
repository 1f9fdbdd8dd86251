"""What happens around a reload: clocks that step, machines that sleep, links, forks, and processes that hang or are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowkit.client import Flowkit
from flowkit.definitions import workflow
from flowkit.drivers.base import RunRow
from tests.dev.harness import APP, Dev, alive, descendants, until
from tests.dev.test_inspector import ask
from tests.dev.test_reload import SLOW, named

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

Start = Callable[..., Dev]

NAPS = (
    APP
    + "\n@workflow\ndef nap(seconds: float) -> str:\n    charge(0)\n    sleep(seconds)\n    note('awake')\n    return 'rested'\n"
)


@workflow
def nap(seconds: float) -> str:
    """As another program knows it that only starts runs."""
    return ""


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(NAPS)


def row(client: Flowkit, id: str) -> RunRow:
    found = client.driver.get(id)
    assert found is not None
    return found


# --- files


def test_a_save_by_a_clock_that_was_set_back_counts(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    path = made.folder / "app.py"
    before = path.stat()

    for number in (1, 2):
        beside = made.folder / "beside"
        beside.write_text(NAPS + f"\nnote('{number}')\n")
        os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns - 3_600_000_000_000))
        path.write_bytes(beside.read_bytes()) if number == 1 else beside.replace(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 3_600_000_000_000))
        made.wait("loaded")

    assert made.log() == ["1", "2"]


def test_a_link_that_is_pointed_elsewhere_is_a_save(dev: Start, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"release-{number}").mkdir()
        (tmp_path / f"release-{number}" / "app.py").write_text(NAPS + f"\nNUMBER = {number}\n")
    current, beside = tmp_path / "current", tmp_path / "beside"
    current.symlink_to("release-1", target_is_directory=True)
    made = dev("current/app.py")
    made.wait("loaded")
    (tmp_path / "release-1" / "app.py").write_text(NAPS + "\nNUMBER = 0\n")
    first = made.wait("loaded")

    beside.symlink_to("release-2", target_is_directory=True)
    beside.replace(current)
    second = made.wait("loaded")
    (tmp_path / "release-2" / "app.py").write_text(NAPS + "\nNUMBER = 3\n")
    third = made.wait("loaded")

    assert len({first["code"], second["code"], third["code"]}) == 3


def test_the_inspector_is_up_though_the_code_has_never_loaded(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def (\n")
    made = dev()
    url = made.wait("ready")["url"]
    made.wait("broken")

    status, page = ask(url)

    assert status == 200
    assert "SyntaxError" in page
    assert "No code is running yet" in page


def test_an_import_that_hangs_is_killed_from_its_page_and_the_former_code_goes_on(dev: Start) -> None:
    made = dev("app.py", "--import-limit", "300ms")
    url = made.wait("ready")["url"]
    good = made.wait("loaded")
    made.save(NAPS + "\nnote(str(os.getpid()))\ntime.sleep(60)\n")
    made.wait("stuck")
    candidate = int(made.log()[0])

    page = ask(f"{url}migrate")[1]
    ask(f"{url}kill", {})
    told = made.wait("broken")

    assert "Kill the import" in page
    assert (told["error"]["type"], told["running"]) == ("Killed", good["code"])
    until(lambda: not alive(candidate), "the import is over")
    assert made.generations() == [good["pid"]]


# --- clocks


def test_a_step_of_the_clock_makes_timers_due_and_ends_no_generation(dev: Start, tmp_path: Path) -> None:
    stepped = "\nreal = time.time\ntime.time = lambda: real() + (3600 if LOG.with_name('stepped').exists() else 0)\n"
    (tmp_path / "app.py").write_text(NAPS + stepped)
    made = dev()
    made.wait("loaded")
    with made.client() as client:
        run = client.start("n-1", nap, 3500.0)
        until(lambda: run.status() == "sleeping", "it sleeps")

        (tmp_path / "stepped").touch()

        assert run.result(timeout=8) == "rested"
        (tmp_path / "stepped").unlink()
        second = client.start("n-2", nap, 0.1)
        assert second.result(timeout=8) == "rested"
    assert made.log() == ["charge 0", "awake"] * 2
    assert (made.count("died"), made.count("loaded")) == (0, 1)


def test_a_laptop_that_sleeps_over_timers_and_a_save_goes_on_where_it_was(dev: Start) -> None:
    made = dev()
    made.wait("loaded")
    with made.client() as client:
        runs = [client.start(f"n-{number}", nap, 1.0) for number in range(3)]
        until(lambda: all(run.status() == "sleeping" or run.status() == "running" for run in runs), "they are taken up")
        until(lambda: made.log() == ["charge 0"] * 3, "they sleep")
        due = time.time() + 1.5
        family = [made.process.pid, *descendants(made.process.pid)]

        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        made.save(NAPS + "\nOVERNIGHT = 1\n")
        until(lambda: time.time() > due, "the timers are due")
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)

        assert [run.result(timeout=12) for run in runs] == ["rested"] * 3
        made.wait("loaded")
        assert [row(client, run.id).crashes for run in runs] == [0] * 3
    assert sorted(made.log()) == ["awake"] * 3 + ["charge 0"] * 3
    assert made.count("died") == 0


# --- processes


def test_a_step_may_use_processes_of_its_own(dev: Start, tmp_path: Path) -> None:
    pool = """
import multiprocessing

def square(n):
    return n * n

@step
def squares(n: int) -> list[int]:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(square, range(n))

@workflow
def checkout(n: int = 1) -> int:
    return sum(squares(n))
"""
    (tmp_path / "app.py").write_text(APP.partition("@workflow")[0] + pool)
    made = dev()
    made.wait("loaded")

    with made.client() as client:
        results = [client.start(f"c-{n}", named("checkout"), n).result(timeout=12) for n in (3, 4)]

    assert results == [5, 14]
    assert made.count("died") == 0


def test_what_a_step_has_forked_goes_with_its_generation(dev: Start, tmp_path: Path) -> None:
    forking = """
@step
def fork() -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return pid
"""
    text = APP.replace("@workflow", forking + "\n@workflow").replace("    receive(", "    paid = fork()\n    receive(")
    (tmp_path / "app.py").write_text(text)
    made = dev("app.py", "--grace", "500ms")
    made.wait("loaded")
    with made.client() as client:
        run = client.start("c-1", named("checkout"), 1)
        until(lambda: run.status() == "sleeping", "it waits")
        forked = next(entry.output for entry in run.history() if entry.location == "fork")
    assert alive(forked)

    made.save(text + "\nMORE = 1\n")
    made.wait("loaded")

    until(lambda: not alive(forked), "the fork is gone")


def test_after_the_supervisor_was_killed_a_new_one_takes_the_runs_over(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)
    first = dev()
    first.wait("loaded")
    with first.client() as client:
        run = client.start("s-1", named("sleepy"), 1.0)
        until(lambda: "slow begins" in first.log(), "the body runs")
        family = descendants(first.process.pid)
        first.process.kill()
        first.process.wait()
        until(lambda: not any(alive(pid) for pid in family), "all are gone")

        second = dev()
        second.wait("loaded", seconds=20)

        assert run.result(timeout=12) == "slept"
        assert second.count("note") == 0
    assert second.log() == ["charge 0", "slow begins", "slow begins", "slow ends"]


def test_a_generation_that_is_too_stuck_to_hand_over_is_killed_and_its_run_has_crashed_once(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)
    made = dev("app.py", "--grace", "300ms")
    old = made.wait("loaded")["pid"]
    with made.client() as client:
        run = client.start("s-1", named("sleepy"), 30.0)
        until(lambda: "slow begins" in made.log(), "the body runs")

        os.kill(old, signal.SIGSTOP)
        made.save(SLOW.replace("time.sleep(seconds)", "while not LOG.with_name('door').exists(): time.sleep(0.01)"))
        made.wait("loaded")
        until(lambda: row(client, "s-1").crashes == 1 and made.log().count("slow begins") == 2, "the run is taken over")
        (made.folder / "door").touch()

        assert run.result(timeout=15) == "slept"
        assert not alive(old)
        assert made.log() == ["charge 0", "slow begins", "slow begins", "slow ends"]
        assert [(entry.location, entry.attempts) for entry in run.history()] == [("charge", 1), ("slow", 1)]


def test_runs_that_were_handed_over_go_on_under_a_new_epoch_and_without_a_crash(dev: Start, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SLOW)
    made = dev("app.py", "--grace", "300ms")
    made.wait("loaded")
    with made.client() as client:
        runs = [client.start(f"s-{number}", named("sleepy"), 30.0) for number in range(12)]
        until(lambda: made.log().count("slow begins") == 12, "all bodies run")
        before = [row(client, run.id).epoch for run in runs]

        made.save(SLOW.replace("time.sleep(seconds)", "time.sleep(0)"))
        made.wait("loaded")

        assert [run.result(timeout=12) for run in runs] == ["slept"] * 12
        assert all(row(client, run.id).epoch > epoch for run, epoch in zip(runs, before, strict=True))
        assert [row(client, run.id).crashes for run in runs] == [0] * 12
