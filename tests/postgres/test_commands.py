"""The commands over a server, from end to end: all that is done to a run, workers that die and leave, the inspector, `dev`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flowkit.cli import main
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from tests.postgres.server import fresh_database
from tests.torture.stores import ask

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

SHOP = str(Path(__file__).parents[1] / "cli" / "shop.py")
BRISK = {"FLOWKIT_LEASE": "1500ms", "FLOWKIT_BEAT": "300ms", "FLOWKIT_POLL": "200ms"}
RESUMED_SECONDS = 1.5 + 0.2 + 0.25
STARTED_BY_THEN_SECONDS = 25.0

Cli = Callable[..., Result]
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the commands find in the environment."""
    found = fresh_database()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("FLOWKIT_DB", found)
    for name, value in BRISK.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def cli(url: str) -> Cli:
    """Runs a command in this process."""

    def run(*args: str) -> Result:
        result = CliRunner().invoke(main, args)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def spawn(url: str, tmp_path: Path) -> Iterator[Spawn]:
    """Starts a command as a process of its own."""
    children: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        program = "from flowkit.cli import main; main(prog_name='flowkit')"
        command = [sys.executable, "-c", program, *args]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen(command, cwd=tmp_path, **pipes))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def data(cli: Cli, *args: str) -> Any:
    """The document that a command gives."""
    done = cli(*args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def until(look: Callable[[], Any], seconds: float = STARTED_BY_THEN_SECONDS) -> Any:
    """What `look` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"did not happen within {seconds:g} s"
        time.sleep(0.01)
    return found


def status(url: str, run: str) -> str:
    return str(ask(url, "SELECT status FROM runs WHERE id = ?", run)[0][0])


def test_a_run_is_started_carried_out_and_looked_at(cli: Cli) -> None:
    output = cli("run", f"{SHOP}:greet", '"ada"', "--id", "g-1").stdout
    cli("start", f"{SHOP}:greet", '"bob"', "--id", "g-2", "--tag", "vip")

    assert "ADA" in output
    assert [item["id"] for item in data(cli, "list")["runs"]] == ["g-2", "g-1"]
    assert [item["id"] for item in data(cli, "list", "--tag", "vip")["runs"]] == ["g-2"]
    assert data(cli, "show", "g-1")["status"] == "completed"
    assert [entry["kind"] for entry in data(cli, "history", "g-1")["entries"]] == ["step"]


def test_everything_that_steers_a_run_does_so(cli: Cli, url: str) -> None:
    for run in ("w-1", "w-2"):
        cli("start", f"{SHOP}:wait", "--id", run)
    found = {}

    for verb in ("pause", "resume", "wake", "evict"):
        found[verb] = cli(verb, "w-1").exit_code, status(url, "w-1")
    cli("send", "w-1", "go", '"now"')
    cli("cancel", "w-2")
    output = cli("run", f"{SHOP}:wait", "--id", "w-1").stdout

    assert found == {"pause": (0, "paused"), "resume": (0, "pending"), "wake": (0, "pending"), "evict": (0, "pending")}
    assert output == '"now"\n'
    assert status(url, "w-2") == "cancelled"


def test_a_failed_run_is_recovered_and_replayed(cli: Cli, url: str) -> None:
    failed = cli("run", f"{SHOP}:fail", "--id", "f-1").exit_code

    recovered = cli("recover", "f-1").exit_code, status(url, "f-1")
    again = cli("run", f"{SHOP}:fail", "--id", "f-1").exit_code
    replayed = cli("replay", "f-1").exit_code, status(url, "f-1")

    assert (failed, again) == (1, 1)
    assert recovered[0] == replayed[0] == 0
    assert recovered[1] in ("pending", "rolling_back")
    assert replayed[1] == "pending"


def test_check_and_doctor_look_at_all_runs(cli: Cli) -> None:
    cli("start", f"{SHOP}:wait", "--id", "w-1")

    checked, looked = cli("check", SHOP), cli("doctor")

    assert checked.exit_code == 0, checked.output
    assert looked.exit_code == 0, looked.output
    assert "PostgreSQL" in looked.stdout
    assert "1 pending" in looked.stdout


def test_the_runs_of_a_killed_worker_go_on_elsewhere_within_lease_and_poll(cli: Cli, spawn: Spawn, url: str) -> None:
    Path("hold").touch()
    cli("start", f"{SHOP}:counting", '"log"', "5", "2", "--id", "c-1")
    first = spawn("worker", SHOP)
    until(lambda: ask(url, "SELECT 1 FROM runs WHERE id = 'c-1' AND owner IS NOT NULL AND head >= 2"))
    second = spawn("worker", SHOP)
    until(lambda: ask(url, "SELECT count(*) FROM workers WHERE state = 'live' AND kind = 'worker'")[0][0] == 2)
    pids = dict(ask(url, "SELECT w.pid, w.id FROM workers w JOIN runs r ON r.owner = w.id"))
    victim = first if first.pid in pids else second

    victim.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    Path("hold").unlink()
    until(lambda: ask(url, "SELECT 1 FROM runs WHERE id = 'c-1' AND epoch >= 3"))
    seconds = time.monotonic() - killed_at
    until(lambda: status(url, "c-1") == "completed")

    slowness = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert seconds < RESUMED_SECONDS + 1.0 * slowness
    steps = [line for line in Path("log").read_text().splitlines() if line.startswith("step")]
    assert steps == [f"step {number}" for number in range(5)]


def test_a_worker_that_is_told_to_leave_ends_its_steps_within_its_grace_and_gives_the_run_back(
    cli: Cli, spawn: Spawn, url: str
) -> None:
    cli("start", f"{SHOP}:drained", '"log"', "--id", "d-1")
    worker = spawn("worker", SHOP, "--grace", "10s")
    until(lambda: Path("log").exists())

    worker.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, said = worker.communicate(timeout=30)

    assert time.monotonic() - began < 10
    assert worker.returncode == 0, said
    assert status(url, "d-1") == "pending"
    assert [entry["status"] for entry in data(cli, "history", "d-1")["entries"]] == ["completed"]
    assert not ask(url, "SELECT 1 FROM runs WHERE owner IS NOT NULL")


TWO = """
import os
from flowkit import step, workflow

@step
def who() -> int:
    return os.getpid()

@workflow
def shared() -> int:
    return who()
"""


def test_two_workers_share_ten_thousand_due_runs_evenly(spawn: Spawn, url: str) -> None:
    Path("two.py").write_text(TWO)
    count = 10_000
    workers = [spawn("worker", "two.py") for _ in range(2)]
    until(lambda: ask(url, "SELECT count(*) FROM workers WHERE state = 'live' AND kind = 'worker'")[0][0] == 2)
    namespace: dict[str, Any] = {"__name__": "two"}
    exec(compile(TWO, "two.py", "exec"), namespace)
    due = namespace["shared"].options(delay="2s")

    with Flowkit(open_driver(url), worker=False) as fk:
        fk.start_many([(f"r-{number}", due, ()) for number in range(count)])
    until(lambda: ask(url, "SELECT count(*) FROM runs WHERE status = 'completed'")[0][0] == count, 75)

    done = Counter(pid for (pid,) in ask(url, "SELECT output FROM run_io"))
    assert {int(pid) for pid in done} == {worker.pid for worker in workers}
    assert max(done.values()) / min(done.values()) <= 1.5, done


def test_the_inspector_shows_a_server(cli: Cli, spawn: Spawn) -> None:
    cli("run", f"{SHOP}:greet", '"ada"', "--id", "g-1")

    server = spawn("inspect", "--port", "0", "--json")
    assert server.stdout is not None
    address = json.loads(server.stdout.readline())["url"]
    page = urllib.request.urlopen(address, timeout=20).read().decode()

    assert "g-1" in page
    server.send_signal(signal.SIGINT)
    assert server.wait(timeout=20) == 0


def test_dev_serves_a_server_and_follows_a_save(cli: Cli, spawn: Spawn, url: str) -> None:
    shutil.copy(SHOP, "kiosk.py")
    started = cli("start", "kiosk.py:wait", "--id", "w-1")
    assert started.exit_code == 0, started.output
    dev = spawn("dev", "kiosk.py", "--port", "0")
    until(lambda: status(url, "w-1") == "sleeping")
    ((first,),) = ask(url, "SELECT max(id) FROM workers")

    before, after = 'return receive("go", timeout="3d").data', 'return [receive("go", timeout="3d").data]'
    Path("kiosk.py").write_text(Path("kiosk.py").read_text().replace(before, after))
    until(lambda: ask(url, "SELECT 1 FROM workers WHERE kind = 'worker' AND state = 'live' AND id > ?", first))
    cli("send", "w-1", "go", '"now"')
    until(lambda: status(url, "w-1") == "completed")

    assert data(cli, "show", "w-1")["output"] == ["now"]
    dev.send_signal(signal.SIGINT)
    dev.communicate(timeout=30)
