"""Commands as real processes: signals, kills, a terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flowkit
from tests.cli.conftest import Cli
from tests.runtime.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30)]

Spawn = Callable[..., subprocess.Popen[str]]
Data = Callable[..., Any]


def test_sigterm_lets_steps_end_and_gives_the_run_back(cli: Cli, data: Data, spawn: Spawn, shop: str) -> None:
    cli("start", f"{shop}:drained", '"log"', "--id", "d-1")
    worker = spawn("worker", shop)
    await_line(worker, "begun")

    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=25)

    entries = data("history", "d-1")["entries"]
    assert worker.returncode == 0
    assert "serves anything, counting" in said
    assert "drains 1 runs" in said
    assert [(entry["status"], entry["output"]) for entry in entries] == [("completed", "asked to stop")]
    assert data("show", "d-1")["status"] == "pending"
    assert cli("run", f"{shop}:drained", "--id", "d-1").stdout == '"asked to stop"\n'


def test_a_second_signal_stops_at_once(cli: Cli, spawn: Spawn, shop: str) -> None:
    cli("start", f"{shop}:never", '"log"', "--id", "n-1")
    worker = spawn("worker", shop)
    await_line(worker, "begun")

    worker.send_signal(signal.SIGTERM)
    await_line(worker, "drains 1 runs", worker.stderr)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=25) == 128 + signal.SIGTERM


def test_a_step_that_never_ends_is_given_up_after_the_grace(cli: Cli, data: Data, spawn: Spawn, shop: str) -> None:
    cli("start", f"{shop}:never", '"log"', "--id", "n-1")
    worker = spawn("worker", shop, "--grace", "200ms")
    await_line(worker, "begun")

    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=25)

    assert worker.returncode == 0
    assert data("show", "n-1")["status"] == "pending"


def test_ctrl_c_leaves_the_run_resumable_and_says_how(cli: Cli, data: Data, spawn: Spawn, shop: str) -> None:
    Path("hold").touch()
    child = spawn("run", f"{shop}:counting", '"log"', "5", "2", "--id", "c 1")
    await_line(child, "holding", child.stderr)

    child.send_signal(signal.SIGINT)
    output, said = child.communicate(timeout=25)
    Path("hold").unlink()

    assert (child.returncode, output) == (130, "")
    assert f"flowkit run {shop}:counting --id 'c 1'" in said
    assert "Traceback" not in said
    assert data("run", f"{shop}:counting", "--id", "c 1")["output"] == 5
    assert steps() == [0, 1, 2, 3, 4]


def test_a_run_that_is_killed_goes_on_and_repeats_no_recorded_step(data: Data, spawn: Spawn, shop: str) -> None:
    Path("hold").touch()
    child = spawn("run", f"{shop}:counting", '"log"', "6", "3", "--id", "c-1")
    await_line(child, "holding", child.stderr)

    child.kill()
    child.wait()
    Path("hold").unlink()

    assert data("run", f"{shop}:counting", '"log"', "6", "3", "--id", "c-1")["output"] == 6
    assert steps() == [0, 1, 2, 3, 4, 5]


def test_a_worker_serves_what_is_started_elsewhere(cli: Cli, data: Data, spawn: Spawn, shop: str) -> None:
    worker = spawn("worker", f"{shop}:greet", f"{shop}:counting", "--json")
    ready = worker.stdout.readline()

    cli("start", f"{shop}:counting", '"log"', "1", "9", "--id", "c-1")
    await_line(worker, "step 0")

    assert '"workflows": ["counting", "greet"]' in ready
    assert data("run", f"{shop}:counting", "--id", "c-1")["output"] == 1


def test_a_terminal_shows_where_the_run_is(cli: Cli, spawn: Spawn, shop: str) -> None:
    screen, terminal = pty.openpty()
    child = spawn("run", f"{shop}:wait", "--id", "w-1", stderr=terminal)
    os.close(terminal)

    shown = read_until(screen, "waits for go")
    cli("send", "w-1", "go", '"here"')
    output = child.communicate(timeout=25)[0]

    os.close(screen)
    assert "◷ sleeping" in shown
    assert output == '"here"\n'


def test_the_module_is_the_command_line() -> None:
    result = subprocess.run([sys.executable, "-m", "flowkit", "show", "--help"], capture_output=True, text=True)

    assert result.stdout.startswith("Usage: flowkit show")


def await_line(child: subprocess.Popen[str], part: str, stream: Any = None) -> None:
    """Read until a line with `part` has come; the time limit of the test is the limit."""
    for line in stream or child.stdout:
        if part in line:
            return
    raise AssertionError(f"{part!r} never came: {child.communicate()}")


def read_until(screen: int, part: str) -> str:
    shown = ""
    while part not in shown:
        shown += os.read(screen, 4096).decode("utf-8", "replace")
    return shown


def steps() -> list[int]:
    return [int(line.split()[1]) for line in Path("log").read_text().splitlines() if line.startswith("step")]


@flowkit.step
def first() -> str:
    return "first"


@flowkit.workflow(name="order")
def order() -> str:
    first()
    return str(flowkit.receive("go").data)


HELD = """\
from flowkit import receive, step, workflow

@step
def STEP() -> str:
    return "done"

@workflow
def order() -> str:
    STEP()
    return receive("go").data
"""


def test_run_lets_mended_code_try_a_run_that_is_held(spawn: Spawn, tmp_path: Path) -> None:
    with flowkit.open(tmp_path / "flowkit.db", workflows=[order]) as fk:
        held = fk.start("h-1", order)
        until(lambda: held.status() == "sleeping", 20)
        held.send("go", "gone")

    def run(name: str) -> tuple[int, str]:
        (tmp_path / "held.py").write_text(HELD.replace("STEP", name))
        child = spawn("run", "held.py:order", "--id", "h-1")
        said = child.communicate(timeout=25)[0]
        return child.returncode, said

    assert run("other") == (1, "")
    assert run("another") == (1, "")  # tried, too, and not mended
    assert run("first") == (0, '"gone"\n')
