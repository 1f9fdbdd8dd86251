"""Chromium without Playwright, spoken to over its own pipe: Playwright keeps every page visible, so none can be hidden there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.inspector.browser import chromium

__all__ = ["Tab", "Tabs", "tabbed"]

_PATIENCE_SECONDS = 15.0


class Tabs:
    """A browser window with tabs, of which only the last opened one is visible."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._number = 0
        self.requests: dict[str, list[str]] = {}
        """The addresses that each tab has asked for, by its session."""

    def open(self, url: str) -> Tab:
        """A new tab, in front of the others."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.requests[session] = []
        self.send("Network.enable", session)
        self.send("Page.navigate", session, url=url)
        return Tab(self, str(target), str(session))

    def send(self, method: str, session: str | None = None, /, **params: object) -> dict[str, Any]:
        """Ask the browser, and note what it tells meanwhile."""
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        os.write(self._commands, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            told = self._receive()
            if told.get("method") == "Network.requestWillBeSent":
                self.requests[told["sessionId"]].append(told["params"]["request"]["url"])
            if told.get("id") == self._number:
                assert "result" in told, told
                return dict(told["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            chunk = os.read(self._answers, 65_536)
            assert chunk, "the browser has ended"
            self._received += chunk
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))


class Tab:
    """One page of a `Tabs`."""

    def __init__(self, tabs: Tabs, target: str, session: str) -> None:
        self._tabs = tabs
        self._target = target
        self._session = session

    @property
    def requests(self) -> list[str]:
        """What it has asked for so far."""
        self.ask("0")  # which reads all that the browser has told up to now
        return self._tabs.requests[self._session]

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; None while the page is on its way."""
        return self._tabs.send("Runtime.evaluate", self._session, expression=expression)["result"].get("value")

    def show(self) -> None:
        """Bring it to the front, which hides the others."""
        self._tabs.send("Target.activateTarget", targetId=self._target)

    def until(self, expression: str) -> None:
        """Wait for the expression to be true."""
        wait_for(lambda: self.ask(expression) is True, expression)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll, with a deadline."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


@contextmanager
def tabbed(folder: Path) -> Iterator[Tabs]:
    """A browser of its own, its profile in `folder`."""
    to_read, commands = os.pipe()
    answers, to_write = os.pipe()
    options = f"--headless --no-sandbox --no-first-run --user-data-dir={folder} --remote-debugging-pipe about:blank"
    # The browser reads descriptor 3 and writes descriptor 4: a shell is the simplest way to put ours there.
    shell = f'exec "{chromium()}" {options} 3<&{to_read} 4>&{to_write}'
    program = shutil.which("bash") or "sh"
    with subprocess.Popen([program, "-c", shell], pass_fds=(to_read, to_write), stderr=subprocess.DEVNULL) as process:
        os.close(to_read)
        os.close(to_write)
        try:
            yield Tabs(commands, answers)
        finally:
            process.terminate()
            process.wait(10)
            os.close(commands)
            os.close(answers)
