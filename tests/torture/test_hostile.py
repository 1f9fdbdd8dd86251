"""F20: whatever comes in by the command line or over HTTP is answered or refused, and neither fails nor grows.

The inspector is the real one in a process of its own; requests are written byte by byte. Commands run in this process for
their number, and some as the program a shell would start.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from flowkit.cli import main
from flowkit.cli.serving import load_inspector
from tests.house.source import ROOT
from tests.inspector.stories import HOSTILE, build_hostile
from tests.support import require
from tests.torture.garbage import command_line, request
from tests.torture.trials import Torture, Trial

SHOP = str(ROOT / "tests/cli/shop.py")
EXIT_CODES = (0, 1, 2, 3, 4, 130)
GROWTH_KILOBYTES = 100_000
QUIET_SECONDS = 0.25
URLS = __import__(f"{load_inspector().__name__}.urls", fromlist=["encode"])


@dataclass
class Inspector:
    """`flowkit inspect` at work."""

    process: subprocess.Popen[str]
    port: int
    errors: Path

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def kilobytes(self) -> int:
        """Resident memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])
        raise AssertionError("the inspector has gone")

    def said(self) -> str:
        """All that it wrote to stderr."""
        return self.errors.read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10.0)

    def answer(self, sent: bytes) -> bytes:
        """What comes back for these bytes; it may hang up before it has read them all."""
        with self.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(sent)
            connection.settimeout(QUIET_SECONDS)
            with suppress(TimeoutError):
                return received(connection)
            with suppress(OSError):  # it may wait for the rest of a body: there is none
                connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10.0)
            return received(connection)

    def greets(self) -> bool:
        """Whether it answers an ordinary request, within two seconds."""
        began = time.monotonic()
        with self.connect() as connection:
            connection.sendall(f"GET /runs.json HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
            said = received(connection)
        return said.startswith(b"HTTP/1.1 200") and time.monotonic() - began < 2.0


def received(connection: socket.socket, most: int = 100_000) -> bytes:
    """The beginning of an answer. An event stream has no end, so an answer that has begun and goes quiet is enough."""
    got = b""
    try:
        while len(got) < most and (part := connection.recv(65_536)):
            got += part
            if b"text/event-stream" in got:
                break
    except ConnectionResetError:
        pass
    except TimeoutError:
        if not got:
            raise
    return got


@contextmanager
def inspecting(folder: Path) -> Iterator[Inspector]:
    database = folder / "hostile.db"
    build_hostile(database)
    command = [sys.executable, "-m", "flowkit", "inspect", "--db", str(database), "--port", "0", "--json"]
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        yield Inspector(process, json.loads(process.stdout.readline())["port"], folder / "stderr")
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture(scope="module")
def inspector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspector]:
    require(Path("/proc/self/status").exists(), "only Linux says how much memory a process has")
    with inspecting(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_no_request_makes_the_inspector_fail_or_grow(torture: Torture, inspector: Inspector) -> None:
    ids = tuple(URLS.encode(id) for id in HOSTILE)
    for _ in range(50):
        assert inspector.greets()
    before = inspector.kilobytes()

    with torture("F20", ci=1_100, long=300_000, seconds=8) as fault:
        for trial in fault.trials():
            sent = request(trial.chance, inspector.host, ids)
            trial.injected += 1
            trial.checked += 1
            trial.found(bad_answer(sent, inspector.answer(sent)))
            if "Traceback" in inspector.said():
                trial.found([f"a traceback in its log: {inspector.said()[-2_000:]}"])
            if inspector.kilobytes() - before > GROWTH_KILOBYTES:
                trial.found([f"it has grown by {inspector.kilobytes() - before} kB"])

    assert inspector.greets()


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_slow_and_endless_bodies_hold_nobody_up(torture: Torture, inspector: Inspector) -> None:
    with torture("F20", ci=1, long=20) as fault:
        for trial in fault.trials():
            before = inspector.kilobytes()
            with ExitStack() as open_ones:
                trial.found(held_up(trial, inspector, open_ones))
            trial.found(endless(trial, inspector, chunked=trial.chance.random() < 0.5))
            grown = inspector.kilobytes() - before
            trial.found([f"it has grown by {grown} kB"] if grown > GROWTH_KILOBYTES else [])
            trial.found(["hanging up left a traceback in its log"] if "Traceback" in inspector.said() else [])
            trial.checked += 4


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_no_command_line_makes_a_command_fail(torture: Torture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    build_hostile(tmp_path / "flowkit.db")
    runner = CliRunner()

    with torture("F20", ci=800, long=200_000, seconds=8) as fault:
        for trial in fault.trials():
            words = command_line(trial.chance, SHOP, HOSTILE)
            done = runner.invoke(main, words)
            trial.injected += 1
            trial.checked += 1
            trial.found(bad_end(words, done.exit_code, done.stderr))
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                trial.found([f"{words} raised {done.exception!r}"])


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_no_command_line_makes_the_program_fail(torture: Torture, tmp_path: Path) -> None:
    build_hostile(tmp_path / "flowkit.db")

    with torture("F20", ci=12, long=2_000, seconds=8) as fault:
        for trial in fault.trials():
            words = [word for word in command_line(trial.chance, SHOP, HOSTILE) if "\0" not in word]
            arguments = [os.fsencode(word.encode("utf-8", "surrogatepass")[:60_000]) for word in words]
            done = subprocess.run(
                [os.fsencode(sys.executable), b"-m", b"flowkit", *arguments], cwd=tmp_path, capture_output=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, check=False, timeout=60,
            )  # fmt: skip
            trial.injected += 1
            trial.checked += 1
            trial.found(bad_end(words, done.returncode, done.stderr.decode(errors="replace")))


def bad_answer(sent: bytes, got: bytes) -> list[str]:
    """What is wrong with an answer; hanging up without one is how broken HTTP may be met."""
    if not got:
        return []
    line = got.partition(b"\r\n")[0].split(b" ")
    asked = sent[:300]
    if not got.startswith(b"HTTP/1.") or len(line) < 2 or not line[1].isdigit():
        return [f"no HTTP came back for {asked!r}: {got[:100]!r}"]
    return [f"status {int(line[1])} for {asked!r}"] if int(line[1]) >= 500 else []


def bad_end(words: list[str], code: int, said: str) -> list[str]:
    """What is wrong with how a command ended."""
    shown = [word[:200] for word in words]
    if code not in EXIT_CODES:
        return [f"{shown} ended with {code}: {said[-500:]}"]
    if "Traceback (most recent" in said and "--traceback" not in words:
        return [f"{shown} showed a traceback: {said[-1_000:]}"]
    return []


def held_up(trial: Trial, inspector: Inspector, open_ones: ExitStack) -> list[str]:
    """Two hundred requests whose heads and bodies come a byte at a time: an ordinary one is answered meanwhile."""
    head = f"POST /theme HTTP/1.1\r\nHost: {inspector.host}\r\nSec-Fetch-Site: same-origin\r\n"
    full = f"{head}Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    slow = [open_ones.enter_context(inspector.connect()) for _ in range(200)]
    for number, connection in enumerate(slow):
        connection.sendall((head if number % 2 else full).encode())
    answered = []
    for _ in range(5):
        for connection in slow:
            connection.sendall(b"a")
        answered.append(inspector.greets())
    trial.injected += len(slow)
    return [] if all(answered) else [f"{answered.count(False)} of 5 ordinary requests had to wait for slow ones"]


def endless(trial: Trial, inspector: Inspector, *, chunked: bool) -> list[str]:
    """A hundred megabytes: refused long before they are all there."""
    kind = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {100_000_000}"
    head = (
        f"POST /theme HTTP/1.1\r\nHost: {inspector.host}\r\nSec-Fetch-Site: same-origin\r\n"
        f"Content-Type: application/json\r\n{kind}\r\n\r\n"
    )
    trial.injected += 1
    sent, began = 0, time.monotonic()
    with inspector.connect() as connection:
        part = b"x" * 1_000_000
        try:
            connection.sendall(head.encode())
            while sent < 100_000_000:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
                sent += len(part)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass
        said = received(connection)
    if said and not said.startswith(b"HTTP/1.1 413"):
        return [f"100 MB are answered with {said[:60]!r}"]
    if time.monotonic() - began > 5.0:
        return ["it refuses 100 MB, and does not hang up"]
    return [] if inspector.greets() else ["it does not answer after 100 MB"]
