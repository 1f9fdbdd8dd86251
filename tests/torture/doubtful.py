"""One client that writes operations one by one, and is killed when a COMMIT has failed: before it is repeated, or after.

    python -m tests.torture.doubtful DATABASE LOG --killed before|after|believing

`believing` is the control: it takes the failed COMMIT for a "no", says so, and is killed.

The answers go to the log: `note answer KIND NUMBER yes`, or `no` for certainly not. Every operation can be made again
from its number, so that a later process can repeat it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from flowkit.clock import SystemClock
from flowkit.core.change import Change
from flowkit.core.entry import Entry
from flowkit.drivers.base import Done, Driver, Duplicate, Lost, Op, Result, Send, Sent, Start, Started, Steer, Steered, WorkerInfo
from flowkit.drivers.sqlite import SQLiteDriver
from flowkit.drivers.writer import Writer
from flowkit.errors import StoreError
from tests.torture.log import Log

__all__ = ["KINDS", "NUMBERS", "is_there", "main", "operation", "same_again"]

NUMBERS = 40
KINDS = ("start", "change", "send", "steer")


def operation(number: int, driver: Driver) -> tuple[str, Op]:
    """The operation of this number: each run is started, gets an entry and a message, and is paused. Its kind goes with it."""
    run, kind = f"run-{number // 4}", KINDS[number % 4]
    row = driver.get(run)
    seq = 0 if row is None else row.seq
    match kind:
        case "start":
            return kind, Start(id=run, workflow="w", input=b"[]", input_hash="h", start_at=0.0, token=run, worker=1)
        case "change":
            entry = Entry(seq=1, location="s", kind="step", status="completed", settled_at=1.0, output=str(number).encode())
            return kind, Change(run=seq, epoch=1, head=0, entries=1, seen=0, owes=0, add=[entry])
        case "send":
            return kind, Send(to=run, message_id=f"m-{run}", name="n", body=b"1")
        case _:
            return kind, Steer(run=run, verb="pause", op=f"op-{run}")


def is_there(driver: Driver, number: int) -> bool:
    """Whether the operation of this number has been carried out."""
    run = driver.get(f"run-{number // 4}")
    if run is None:
        return False
    match KINDS[number % 4]:
        case "start":
            return True
        case "change":
            return [entry.output for entry in driver.history(run.seq)] == [str(number).encode()]
        case "send":
            return len(driver.inbox(run.seq, (), 9)) == 1
        case _:
            return run.status == "paused"


def same_again(op: Op, result: Result, *, landed: bool) -> bool:
    """Whether `result` is what an operation must be told that is repeated; `landed` says whether it was there before."""
    match op:
        case Start():
            return isinstance(result, Started)
        case Change():
            return result == Lost(epoch=1, head=1) if landed else isinstance(result, Done)
        case Send():
            return result == Duplicate(first=op.message_id) if landed else isinstance(result, Sent)
        case _:
            return isinstance(result, Duplicate if landed else Steered)


class Doubtful(SQLiteDriver):
    """Calls `failed` when a COMMIT failed, and `repeated` when it has been repeated with success."""

    doubtful = False
    believing = False
    failed: Callable[[], None]
    repeated: Callable[[], None]

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        try:
            results = super().write(ops, now)
        except StoreError as error:
            if error.outcome == "unknown" and self.believing:
                raise StoreError(str(error)) from error
            if error.outcome == "unknown":
                self.doubtful = True
                self.failed()
            raise
        if self.doubtful:
            self.repeated()
        return results


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _nothing() -> None: ...


def main(arguments: list[str] | None = None) -> int:
    """Write until killed; 0 if no COMMIT failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database")
    parser.add_argument("log")
    parser.add_argument("--killed", choices=("before", "after", "believing"), required=True)
    options = parser.parse_args(arguments)
    killed = options.killed
    log = Log(options.log)
    try:
        driver = Doubtful(options.database)
        driver.failed = _die if killed == "before" else _nothing
        driver.repeated = _die if killed == "after" else _nothing
        driver.believing = killed == "believing"
        driver.join(WorkerInfo(name="doubtful", host="here", pid=os.getpid()), 0.0)
    except StoreError:
        return 0  # the fault came before there was anything to doubt
    writer = Writer(driver, SystemClock(), patience_seconds=0.0 if driver.believing else 30.0)
    for number in range(NUMBERS):
        kind, op = operation(number, driver)
        try:
            writer.write(op)
        except StoreError as error:
            log.write("note", "answer", kind, number, error.outcome)
            _die()
        log.write("note", "answer", kind, number, "yes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
