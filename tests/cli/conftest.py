"""What the tests of the command line share: a folder of their own, and a way to run commands in it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flowkit.cli import main

SHOP = str(Path(__file__).with_name("shop.py"))

Cli = Callable[..., Result]

_MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from flowkit.cli import main; main(prog_name='flowkit')"
)
"""A shell starts what stands in the background with SIGINT ignored, and a test may stand there."""


@pytest.fixture
def shop() -> str:
    """The APP."""
    return SHOP


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLOWKIT_DB", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*args: str) -> Result:
        result = CliRunner().invoke(main, args)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def known(cli: Cli, shop: str) -> None:
    """A database with three runs."""
    cli("run", f"{shop}:greet", '"ada"', "--id", "g-1")
    cli("run", f"{shop}:fail", "--id", "f-1")
    cli("start", f"{shop}:wait", "--id", "w-1")


@pytest.fixture
def data(cli: Cli) -> Callable[..., Any]:
    """Runs a command with --json and gives its document."""
    return lambda *args: json.loads(cli(*args, "--json").stdout)


@pytest.fixture
def spawn(cli: Cli, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command as a process of its own, in the same folder."""
    children: list[subprocess.Popen[str]] = []

    def start(*args: str, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        child = subprocess.Popen([sys.executable, "-c", _MAIN, *args], cwd=tmp_path, text=True, **pipes)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
