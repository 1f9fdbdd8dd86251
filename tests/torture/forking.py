"""A server that opens its database and forks afterwards, in the middle of its work.

    python -m tests.torture.forking DATABASE LOG --seed 7

The children find the inherited handle refused, open their own, and work until SIGTERM; one more is spawned. Their pids are
printed, and the parent waits to be killed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flowkit.client import Flowkit
from flowkit.errors import StoreError
from tests.torture.log import Log
from tests.torture.storm import astorm, open_logged, serve, storm, use_log

__all__ = ["CHILDREN", "RUNS", "main", "spawned"]

CHILDREN = 3
RUNS = 8


def main() -> None:
    """Start runs, fork among them, wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    log = Log(options.log)
    use_log(log)
    with open_logged(str(options.database), worker=True) as fk:
        for run in fk.start_many((f"r{number}", (storm, astorm)[number % 2], ()) for number in range(RUNS)):
            log.write("ack", "start", run.id)
        children = []
        for _ in range(CHILDREN):
            time.sleep(chance.uniform(0, 0.15))
            children.append(_forked(lambda: _after_fork(fk, options.database, log)))
        other = multiprocessing.get_context("spawn").Process(target=spawned, args=(options.database, options.log))
        other.start()
        print(*children, other.pid, flush=True)
        time.sleep(3600)


def _forked(work: Callable[[], None]) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _after_fork(inherited: Flowkit, database: Path, log: Log) -> None:
    refused = [_refuses(use) for use in (lambda: inherited.get("r0"), lambda: inherited.start(None, storm), inherited.runs)]
    log.write("note", "refused", os.getpid(), all(refused))
    inherited.close()
    spawned(database, log)


def spawned(database: Path, log: Path | Log) -> None:
    """A worker of its own; with a path it opens the log too."""
    if isinstance(log, Path):
        log = Log(log)
        use_log(log)
    log.write("note", "born", os.getpid(), f"{time.monotonic():.4f}")
    serve(str(database))


def _refuses(use: Callable[[], object]) -> bool:
    try:
        use()
    except StoreError as error:
        return "fork" in str(error)
    return False


if __name__ == "__main__":
    main()
