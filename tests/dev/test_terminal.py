"""`flowkit dev` on a real terminal: blocks in columns, colour, and a debugger that may type."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dev.harness import APP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

BREAKING = APP.replace('    note(f"charge {n}")', '    breakpoint()\n    note(f"charge {n}")')


class Screen:
    """A terminal with `flowkit dev` in it."""

    def __init__(self, folder: Path) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execv(sys.executable, [sys.executable, "-m", "flowkit", "dev", "app.py", "--db", "runs.db", "--port", "0"])
        self.shown = ""

    def read_until(self, part: str, seconds: float = 12.0) -> str:
        """What is shown up to and with `part`."""
        deadline = time.monotonic() + seconds
        while part not in self.shown:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{part!r} was never shown: {self.shown}"
            self.shown += os.read(self._terminal, 4096).decode("utf-8", "replace").replace("\r\n", "\n")
        before, found, self.shown = self.shown.partition(part)
        return before + found

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    (tmp_path / "app.py").write_text(BREAKING)
    made = Screen(tmp_path)
    yield made
    made.close()


def test_a_breakpoint_gets_the_terminal_and_a_save_waits_for_it(screen: Screen, tmp_path: Path) -> None:
    from flowkit.client import Flowkit
    from flowkit.drivers import open_driver
    from tests.dev.test_reload import named

    screen.read_until("1 workflow, 1 step")
    with Flowkit(open_driver(tmp_path / "runs.db"), worker=False, workflows=()) as client:
        client.start("c-1", named("checkout"), 41)
        screen.read_until("(Pdb) ")
        (tmp_path / "app.py").write_text(APP)
        screen.type("p n + 1\n")
        answered = screen.read_until("(Pdb) ")
        screen.type("c\n")
        rest = screen.read_until("~ charge (body)")

    assert "42" in answered
    assert "loaded" not in answered
    assert "\x1b[32mloaded  \x1b[0m" in rest
    assert (tmp_path / "log").read_text() == "charge 41\n"
