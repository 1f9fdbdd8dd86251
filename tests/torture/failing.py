"""Runs the errands while the kernel refuses what the database file asks of it: strace answers the n-th call with an error.

Calls are counted per thread, and only those on one file. A call that is refused is not carried out.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.house.source import ROOT
from tests.torture.log import read_log

__all__ = ["KINDS", "Refusal", "Told", "begun_while_red", "choose", "finished", "played", "traceback_in"]

DONE_SECONDS = 40.0
MARGIN_SECONDS = 0.15
"""A body may be on its way when the write fails, and under strace that way is long."""


@dataclass(frozen=True)
class Refusal:
    """Which call fails, on which file (its suffix), how, and when: `times` None is for ever."""

    call: str
    suffix: str
    error: str
    first: int
    times: int | None

    @property
    def when(self) -> str:
        """As strace wants it."""
        if self.times is None:
            return f"{self.first}+"
        return f"{self.first}..{self.first + self.times - 1}"

    def __str__(self) -> str:
        return f"{self.call}={self.error} on *.db{self.suffix} when={self.when}"


KINDS = (
    ("fdatasync", "-wal", "EIO"),
    ("pwrite64", "-wal", "ENOSPC"),
    ("pwrite64", "-wal", "EIO"),
    ("fdatasync", "", "EIO"),
    ("pwrite64", "", "EIO"),
    ("pwrite64", "", "ENOSPC"),
    ("ftruncate", "-wal", "EIO"),
    ("ftruncate", "", "EIO"),
)


def choose(chance: random.Random) -> Refusal:
    """Any of them; early calls more often than late ones."""
    call, suffix, error = chance.choice(KINDS)
    times = chance.choice((1, 2, 5, 8))
    most = 40 if call != "ftruncate" else 6
    return Refusal(call, suffix, error, max(1, round(most ** chance.random())), times)


@dataclass(frozen=True)
class Told:
    """How the program ended, what it said, and how often a call was refused."""

    code: int
    stderr: str
    injected: int
    seconds: float


def played(database: Path, log: Path, refusal: Refusal, *arguments: str, program: str = "tests.torture.errands") -> Told:
    """Run the program under strace with this refusal."""
    trace = log.with_name("trace")
    inject = f"inject={refusal.call}:error={refusal.error}:when={refusal.when}"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-P", f"{database}{refusal.suffix}"]
    strace += ["-e", f"trace={refusal.call}", "-e", inject, "-s", "0", "--seccomp-bpf"]
    command = [*strace, sys.executable, "-m", program, str(database), str(log), *arguments]
    began = time.monotonic()
    done = finished(command, DONE_SECONDS)
    injected = trace.read_text().count("(INJECTED)") if trace.exists() else 0
    return Told(done.returncode, done.stderr, injected, time.monotonic() - began)


def finished(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """The command when it has ended. One that does not is killed with all that it started, which strace would leave behind.

    Raises:
        TimeoutError: it had not ended after `seconds`.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise TimeoutError(f"the program has not ended after {seconds:g} s") from None
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def begun_while_red(log: Path) -> list[str]:
    """I22: bodies that began while writes failed."""
    found: list[str] = []
    red: float | None = None
    for kind, *words in read_log(log).notes:
        at = float(words[-1])
        if kind == "red" and red is None:
            red = at
        elif kind == "green":
            red = None
        elif kind == "begins" and red is not None and at > red + MARGIN_SECONDS:
            found.append(
                f"I22: {words[1]} of {words[0]} began {at - red:.2f} s after a write failed, and none had succeeded since"
            )
    return found


def traceback_in(text: str) -> list[str]:
    """What should not be on stderr."""
    return [f"C10: stderr holds {text[-2_000:]}"] if re.search(r"\S", text) else []
