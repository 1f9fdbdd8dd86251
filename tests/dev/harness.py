"""`flowkit dev` as a process, driven by saving files and read by its JSON lines.

Nothing here sleeps for a fixed time: whoever waits polls with a deadline, and says what has come instead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowkit.client import Flowkit
from flowkit.drivers import open_driver

__all__ = ["APP", "DEADLINE", "Dev", "alive", "until"]

DEADLINE = 12.0
STARTING = 30.0
"""An interpreter with the inspector in it takes long to start where other tests have the processors."""
_TICK = 0.02
_MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from flowkit.cli import main; main(prog_name='flowkit')"
)

APP = """
import os, time
from pathlib import Path
from flowkit import receive, sleep, step, workflow

LOG = Path(__file__).with_name("log")

def note(text):
    with LOG.open("a") as file:
        file.write(text + "\\n")

@step
def charge(n: int) -> int:
    note(f"charge {n}")
    return n

@workflow
def checkout(n: int = 1) -> int:
    "Takes money."
    paid = charge(n)
    receive("go")
    return paid
"""


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """The first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(_TICK)
    return value


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Dev:
    """One `flowkit dev`. `events` are its JSON lines so far; `wait` looks only at those not waited for yet.

    Without `replay` nothing is tried in the background, so that each import and each process is one that the test asked for.
    """

    def __init__(self, folder: Path, app: str, *options: str, python: str | Path = sys.executable, replay: bool = False) -> None:
        self.folder = folder
        self.db = folder / "runs.db"
        self.events: list[dict[str, Any]] = []
        self._seen = 0
        command = [python, "-c", _MAIN, "dev", app, "--db", str(self.db), "--port", "0", "--json", *options]
        command += [] if replay else ["--no-replay"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, text: str, name: str = "app.py") -> None:
        """Write a file as a plain editor does."""
        (self.folder / name).write_text(text, "utf-8")

    def save_atomically(self, text: str, name: str = "app.py") -> None:
        """Write a file as careful editors do: beside it, then over it."""
        beside = self.folder / f".{name}.tmp"
        beside.write_text(text, "utf-8")
        beside.replace(self.folder / name)

    def log(self) -> list[str]:
        """What steps have noted."""
        path = self.folder / "log"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    # --- events -----------------------------------------------------------------------------------------------------

    def wait(self, event: str, seconds: float = DEADLINE, **fields: Any) -> dict[str, Any]:
        """The next event of this kind with these fields."""
        until(lambda: self.events or self.process.poll() is not None, f"it starts; got {self._errors}", STARTING)
        found = until(
            lambda: self._next(event, fields), f"{event} {fields}; got {self.events[self._seen :]} {self._errors}", seconds
        )
        assert isinstance(found, dict)
        return found

    def _next(self, event: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        for number in range(self._seen, len(self.events)):
            each = self.events[number]
            if each["event"] == event and all(each[name] == value for name, value in fields.items()):
                self._seen = number + 1
                return each
        assert self.process.poll() is None or event == "stopped", f"dev ended: {self.events} {self._errors}"
        return None

    def count(self, event: str) -> int:
        """How many events of this kind have come."""
        return sum(each["event"] == event for each in self.events)

    # --- runs -------------------------------------------------------------------------------------------------------

    def client(self) -> Flowkit:
        """The same database, to steer and look."""
        return Flowkit(open_driver(self.db), worker=False, workflows=())

    # --- processes --------------------------------------------------------------------------------------------------

    def children(self) -> list[int]:
        """The processes whose parent is the supervisor: generations, and the spare for the next one."""
        return descendants(self.process.pid, deep=False)

    def generations(self) -> list[int]:
        """The processes that have loaded the code and are there, oldest first."""
        return [each["pid"] for each in self.events if each["event"] == "loaded" and alive(each["pid"])]

    def spare(self) -> int:
        """The process that waits for the next save, once it is there. Nothing may be loading."""
        found = until(lambda: set(self.children()) - set(self.generations()), "a spare is there")
        assert len(found) == 1
        return int(found.pop())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Stop it, and see that nothing is left."""
        family = descendants(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(4)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(2)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        left = [pid for pid in family if alive(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)


def descendants(pid: int, *, deep: bool = True) -> list[int]:
    """The processes below `pid`, or only its own children."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(parents.get(pid, []))
    for each in found:
        if deep:
            found.extend(parents.get(each, []))
    return found
