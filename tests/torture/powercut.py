"""A model of a disk whose power is cut: what a program wrote is recorded by strace, and its files are rebuilt as of any moment.

A write counts as safe only once an fsync or fdatasync of its file, begun after the write had returned, has returned 0. What
is not safe at the cut is dropped, kept, or torn into sectors of 512 bytes of which any may be missing. The database starts
from its state before the recording; `-shm` is never restored, as no disk ever held it. The program's log is on another disk:
all lines that it had begun to write before the cut are there, which errs on the strict side.
"""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.house.source import ROOT

__all__ = ["Event", "Recording", "can_trace", "record"]

SECTOR = 512
DROPPED, KEPT = 0.4, 0.4

Kind = Literal["write", "truncate", "sync", "line"]
_CALL = re.compile(
    r"(?P<at>[\d.]+) (?P<call>\w+)\(\d+<(?P<file>[^>]*)>(?:, (?:\"(?P<data>[^\"]*)\", )?(?P<numbers>[\d, ]+))?\)"
    r" = (?P<result>-?\d+)[^<]*<(?P<took>[\d.]+)>"
)


@dataclass(frozen=True, slots=True)
class Event:
    """A call that succeeded. `at` and `end` are seconds, `offset` is where a write begins or the size left by a truncation."""

    at: float
    end: float
    kind: Kind
    file: str
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class Recording:
    """What one program did to the files of `database`, from `base`, a copy of the closed database."""

    base: Path
    database: Path
    log: Path
    events: Sequence[Event]

    def moment(self, chance: random.Random) -> float:
        """An instant between two events."""
        event = self.events[chance.randrange(len(self.events))]
        return event.at if chance.random() < 0.5 else event.end

    def rebuild(self, folder: Path, moment: float, chance: random.Random) -> tuple[Path, Path]:
        """The database and the log as they are found after the power was cut at `moment`."""
        database, log = folder / self.database.name, folder / "log"
        for suffix in ("", "-wal"):
            origin = Path(f"{self.base}{suffix}")
            content = bytearray(origin.read_bytes() if origin.exists() else b"")
            for event in self._survivors(f"{self.database}{suffix}", moment, chance):
                _apply(content, event)
            if content:
                Path(f"{database}{suffix}").write_bytes(content)
        log.write_bytes(b"".join(e.data for e in self.events if e.kind == "line" and e.at < moment))
        return database, log

    def _survivors(self, file: str, moment: float, chance: random.Random) -> Iterator[Event]:
        mine = [event for event in self.events if event.file == file and event.at < moment]
        syncs = [event.at for event in mine if event.kind == "sync" and event.end <= moment]
        safe_until = max(syncs, default=float("-inf"))
        for event in mine:
            if event.kind == "sync":
                continue
            if event.end <= safe_until:
                yield event
                continue
            fate = chance.random()
            if fate < DROPPED:
                continue
            if fate < DROPPED + KEPT or event.kind == "truncate":
                yield event
            else:
                yield from _torn(event, chance)


def _torn(event: Event, chance: random.Random) -> Iterator[Event]:
    """The sectors of a write that reached the disk."""
    at = 0
    while at < len(event.data):
        size = SECTOR - (event.offset + at) % SECTOR
        if chance.random() < 0.5:
            yield Event(event.at, event.end, "write", event.file, event.offset + at, event.data[at : at + size])
        at += size


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    missing = event.offset - len(content)
    if missing > 0:
        content.extend(bytes(missing))
    content[event.offset : event.offset + len(event.data)] = event.data


# --- recording ----------------------------------------------------------------------------------------------------------


def can_trace() -> bool:
    """Whether strace is here and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


def record(folder: Path, database: Path, log: Path, arguments: Sequence[str]) -> Recording:
    """Run `python -m` with `arguments` under strace; `database` is closed, and its state now is the base."""
    base, traces = folder / "base.db", folder / "traces"
    traces.mkdir()
    shutil.copy(database, base)
    traced = "trace=pwrite64,fdatasync,fsync,ftruncate,write"
    options = ["-ff", "-ttt", "-T", "-qq", "-y", "-xx", "-s", "70000", "--seccomp-bpf"]
    command = ["strace", *options, "-o", str(traces / "t"), "-e", traced, sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    files = {str(database), f"{database}-wal", str(log)}
    events = [event for trace in traces.iterdir() for event in _events(trace, files, str(log))]
    shutil.rmtree(traces)
    events.sort(key=lambda event: event.end)
    return Recording(base, database, log, events)


def _events(trace: Path, files: set[str], log: str) -> Iterator[Event]:
    for line in trace.read_text().splitlines():
        if "+++" in line or "---" in line or "unfinished" in line or " = ? " in line:
            continue  # a signal, the end, or a call that the end of the program cut short
        match = _CALL.match(line)
        if match is None:
            raise AssertionError(f"strace wrote what this cannot read: {line[:200]}")
        file = _text(match["file"]).decode()
        if file in files and int(match["result"]) >= 0:
            yield _event(match, file, is_log=file == log)


def _event(match: re.Match[str], file: str, *, is_log: bool) -> Event:
    at, end = float(match["at"]), float(match["at"]) + float(match["took"])
    numbers = [int(number) for number in (match["numbers"] or "").split(",") if number.strip()]
    data = _text(match["data"] or "")[: int(match["result"])]
    match match["call"]:
        case "fsync" | "fdatasync":
            return Event(at, end, "sync", file)
        case "ftruncate":
            return Event(at, end, "truncate", file, numbers[0])
        case "write" if is_log:
            return Event(at, end, "line", file, 0, data)
        case "pwrite64":
            return Event(at, end, "write", file, numbers[1], data)
    raise AssertionError(f"nobody writes the database by {match['call']}")


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
