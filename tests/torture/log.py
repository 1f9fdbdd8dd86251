"""The log outside the store: what bodies, workflows, drivers and the harness did, in the order in which they did it.

One line is one `write` to a file opened with `O_APPEND`, so that lines of many processes never mix and a killed process
leaves whole lines only.

    run    RUN LOCATION PID TOKEN      a body began to have its effect; the token is the step's output
    saw    RUN LOCATION TOKEN          the workflow got this from the step
    ack    start RUN                   a start was acknowledged
    commit RUN EPOCH HEAD              a Change was acknowledged; the run's fence afterwards
    kill   PID                         the harness killed a process
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowkit.core.change import Change
from flowkit.drivers.base import Done, Op, Result
from flowkit.drivers.sqlite import SQLiteDriver

__all__ = ["Log", "Logged", "LoggingDriver", "read_log"]


class Log:
    """Appends lines, from any thread of this process."""

    def __init__(self, path: str | Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

    def write(self, *words: object) -> None:
        """One line."""
        os.write(self._fd, (" ".join(map(str, words)) + "\n").encode())


class LoggingDriver(SQLiteDriver):
    """Logs every Change that its store acknowledged."""

    log: Log

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        results = super().write(ops, now)
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, Change) and isinstance(result, Done):
                self.log.write("commit", op.run, op.epoch, op.head + 1)
        return results


@dataclass
class Logged:
    """What a log says. `ran` and `saw` map (run, location) to tokens, in order."""

    ran: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    saw: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    commits: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    kills: int = 0
    processes: set[str] = field(default_factory=set)


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
            case ["ack", "start", run]:
                found.started.append(run)
            case ["commit", seq, epoch, head]:
                found.commits.setdefault(int(seq), []).append((int(head), int(epoch)))
            case ["kill", _]:
                found.kills += 1
            case words:
                raise AssertionError(f"the log holds a line that nobody writes: {words}")
    return found
