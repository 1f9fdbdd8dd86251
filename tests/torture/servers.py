"""The errands over a PostgreSQL server, which is what dies or cuts their connections.

    python -m tests.torture.servers URL LOG --runs 6

Clients and a worker as in `errands`, in one process; several of these may work on one database. With `--serve` there is only
the worker, until SIGTERM. A write that another was faster with is noted as lost, and so is a lease that ran out.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence

from flowkit.client import Flowkit
from flowkit.core.change import Change
from flowkit.drivers.base import Lost, Op, Result
from flowkit.errors import Fenced, StoreError
from flowkit.settings import Settings
from tests.torture import errands
from tests.torture.log import Log
from tests.torture.logging_server import LoggingServer
from tests.torture.stores import BRISK

__all__ = ["ErrandServer", "main"]

GRACE_SECONDS = 0.5


class ErrandServer(errands.Noting, LoggingServer):
    """Notes besides what was refused: writes of a run that another has by now, and a lease that is over."""

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        results = super().write(ops, now)
        for op, result in zip(ops, results, strict=True):
            if isinstance(op, Change) and isinstance(result, Lost) and result.epoch != op.epoch:
                self.log.write("note", "lost", op.run, op.epoch, time.monotonic())
        return results

    def beat(self, worker: int, now: float, info: str | None = None) -> float:
        try:
            return super().beat(worker, now, info)
        except Fenced:
            self.log.write("note", "fenced", worker, time.monotonic())
            raise


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("log")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0, help="until all must have ended")
    parser.add_argument("--patience", type=float, default=30.0, help="how long a client is kept waiting")
    parser.add_argument("--silence", type=float, default=2.0, help="how long a connection may say nothing")
    parser.add_argument("--serve", action="store_true", help="only work, on the storm's workflows, until told to leave")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the errands, or serve; an exit code."""
    options = _options(arguments)
    logging.basicConfig(filename=f"{options.log}.text", level=logging.INFO)
    log = Log(options.log)
    errands.use_log(log)
    settings = Settings(
        lease=BRISK.lease, beat=BRISK.beat, poll=BRISK.poll, write_retry=0.05, adopt_after=0.5, grace=GRACE_SECONDS
    )
    driver = ErrandServer(options.url, silence_seconds=options.silence, settings=settings)
    driver.log = log
    if options.serve:
        from tests.torture import storm  # not above: the storm is a program too, and its workflows must not be there twice

        storm.use_log(log)
        return _serve(Flowkit(driver, settings=settings), log)
    workflows = [errands.errand, errands.aerrand]
    fk = Flowkit(driver, patience_seconds=options.patience, workflows=workflows, settings=settings)
    done = errands.serve(fk, options.runs, options.seconds)
    try:
        fk.close()
    except StoreError as error:  # the server is down at this very moment: the lease will end by itself
        log.write("note", "unclosed", type(error).__name__, time.monotonic())
    return 0 if done else errands.UNENDED


def _serve(fk: Flowkit, log: Log) -> int:
    leave = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    log.write("note", "serving", time.monotonic())
    leave.wait()
    fk.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
