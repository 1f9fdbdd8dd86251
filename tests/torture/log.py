"""The log outside the store: what bodies, workflows, drivers and the harness did, in the order in which they did it.

One line is one `write` to a file opened with `O_APPEND`, so that lines of many processes never mix and a killed process
leaves whole lines only.

    run    RUN LOCATION PID TOKEN      a body began to have its effect; the token is the step's output
    saw    RUN LOCATION TOKEN          the workflow got this from the step
    ack    start RUN                   a start was acknowledged
    ack    send RUN KEY                a message with this key was acknowledged
    ack    cancel RUN EPOCH HEAD       a cancel was acknowledged; the run's fence afterwards
    ack    result RUN OUTPUT           the run's output was given to a client
    note   …                           what one fault's own checks want to know, mostly with the time
    claim  RUN EPOCH SECONDS           a claim was acknowledged, at this instant of the monotonic clock
    commit RUN EPOCH HEAD              a Change was acknowledged; the run's fence afterwards
    kill   PID                         the harness killed a process
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowkit.core.change import Change
from flowkit.drivers.base import Claimed, Done, Driver, Op, Result
from flowkit.drivers.sqlite import SQLiteDriver
from tests.torture.stores import BRISK, Database, is_server

__all__ = ["Cancelled", "Log", "Logged", "Logging", "LoggingDriver", "logging_driver", "read_log"]

if TYPE_CHECKING:
    _Wrapped = SQLiteDriver
else:
    _Wrapped = object


class Log:
    """Appends lines, from any thread of this process."""

    def __init__(self, path: str | Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, *words: object) -> None:
        """One line."""
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())

    def close(self) -> None:
        """Write no more."""
        os.close(self._fd)


class Logging(_Wrapped):
    """Before a driver class: logs every Change and claim that its store acknowledged."""

    log: Log

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        results = super().write(ops, now)
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, Change) and isinstance(result, Done):
                self.log.write("commit", op.run, op.epoch, op.head + 1)
        return results

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        claimed = super().claim(worker, workflows, limit, now)
        for claim in claimed.runs:
            self.log.write("claim", claim.run, claim.epoch, f"{time.monotonic():.4f}")
        return claimed


class LoggingDriver(Logging, SQLiteDriver):
    """A SQLite file that logs."""


def logging_driver(database: Database, log: Log, **options: Any) -> Driver:
    """A driver of either kind that logs."""
    if is_server(database):
        from tests.torture.logging_server import LoggingServer

        server = LoggingServer(str(database), **({"settings": BRISK} | options))
        server.log = log
        return server
    file = LoggingDriver(database, **options)
    file.log = log
    return file


@dataclass(frozen=True)
class Cancelled:
    """The fence of a run right after its cancel was acknowledged."""

    epoch: int
    head: int


@dataclass
class Logged:
    """What a log says. `ran` and `saw` map (run, location) to tokens, in order; `commits` are (head, epoch) by number of run."""

    ran: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    saw: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    cancelled: dict[str, Cancelled] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    notes: list[list[str]] = field(default_factory=list)
    claims: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    commits: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    kills: int = 0
    processes: set[str] = field(default_factory=set)

    @property
    def acks(self) -> int:
        """How many promises were made to anybody."""
        return len(self.started) + len(self.sent) + len(self.cancelled) + len(self.results) + sum(map(len, self.commits.values()))


def read_log(path: str | Path) -> Logged:
    """The log at `path`."""
    found = Logged()
    for line in Path(path).read_text().splitlines():
        match line.split():
            case ["run", run, location, pid, token]:
                found.ran.setdefault((run, location), []).append(token)
                found.processes.add(pid)
            case ["saw", run, location, token]:
                found.saw.setdefault((run, location), []).append(token)
            case ["ack", *words]:
                _acknowledged(found, words)
            case ["note", *words]:
                found.notes.append(words)
            case ["claim", seq, epoch, at]:
                found.claims.setdefault(int(seq), []).append((int(epoch), float(at)))
            case ["commit", seq, epoch, head]:
                found.commits.setdefault(int(seq), []).append((int(head), int(epoch)))
            case ["kill", _]:
                found.kills += 1
            case words:
                raise AssertionError(f"the log holds a line that nobody writes: {words}")
    return found


def _acknowledged(found: Logged, words: list[str]) -> None:
    match words:
        case ["start", run]:
            found.started.append(run)
        case ["send", run, key]:
            found.sent.append((run, key))
        case ["cancel", run, epoch, head]:
            found.cancelled[run] = Cancelled(int(epoch), int(head))
        case ["result", run, output]:
            found.results[run] = output
        case _:
            raise AssertionError(f"the log holds an acknowledgement that nobody gives: {words}")
