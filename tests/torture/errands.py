"""The program that the disk faults are injected into: a few runs of both colours, their clients, and a worker.

    python -m tests.torture.errands DATABASE LOG --runs 6

Clients start runs, send each a message, and wait for what comes out; whoever is told that the store failed calls again with
the same id or key. All of it goes to the log (see `log`), besides it notes of when a body began and when a write failed. What
the program logs by way of Python's logging goes to LOG.text: anything on stderr is a defect.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flowkit import Run, aio, join, receive, step, workflow
from flowkit.client import Flowkit
from flowkit.core.entry import Entry
from flowkit.drivers.base import Driver, Op, Result, RunQuery
from flowkit.errors import StoreError
from flowkit.primitives.info import run_info
from flowkit.settings import Settings
from tests.torture.checker import Workflows, digest
from tests.torture.log import Log, Logging, LoggingDriver

__all__ = ["ERRANDS", "REFUSED", "UNENDED", "ErrandDriver", "Noting", "aerrand", "errand", "main", "note_to", "use_log"]

UNENDED = 2
"""Exit code: not every run had ended when the time was up."""
REFUSED = 3
"""Exit code: the database could not be opened, and the error said so."""

STEPS = 4
SLOW_SECONDS = 0.02
GRACE_SECONDS = 0.5
RETRY_SECONDS = 0.2

_log: Log
_failed: set[tuple[str, str]] = set()


def after_body() -> None:
    """A place for those who want to do something to this process when a body has had its effect."""


def use_log(log: Log) -> None:
    """Where this process writes its lines from here on."""
    global _log
    _log = log


# --- the workflows ------------------------------------------------------------------------------------------------------


def _begins(location: str) -> str:
    _log.write("note", "begins", run_info().id, location, time.monotonic())
    return os.urandom(8).hex()


def _ran(location: str, token: str) -> str:
    _log.write("run", run_info().id, location, os.getpid(), token)
    after_body()
    return token


def _saw(location: str, token: str) -> str:
    _log.write("saw", run_info().id, location, token)
    return token


def _place(name: str, number: int) -> str:
    return name if number == 0 else f"{name}#{number + 1}"


def note_to(run: str) -> str:
    """The message that the run `run` is sent, and the key of it."""
    return f"note-to-{run}"


@step
def work(location: str) -> str:
    """One line in the log, and sometimes a little while."""
    token = _begins(location)
    if token < "4":
        time.sleep(SLOW_SECONDS)
    return _ran(location, token)


@step(retries=3, backoff=RETRY_SECONDS)
def fickle(location: str) -> str:
    """As `work`, but at first it fails: its second attempt begins by itself, with no write before it."""
    token = _begins(location)
    if (run_info().id, location) not in _failed:
        _failed.add((run_info().id, location))
        raise ConnectionError("not yet")
    return _ran(location, token)


@step
async def awork(location: str) -> str:
    """As `work`, on the loop."""
    token = _begins(location)
    if token < "4":
        await asyncio.sleep(SLOW_SECONDS)
    return _ran(location, token)


@workflow(name="errand", max_crashes=1_000)
def errand() -> str:
    """Steps, branches, a message, steps."""
    tokens = [_saw(place, work(place)) for place in (_place("work", number) for number in range(STEPS))]

    def branch(name: str) -> Callable[[], list[str]]:
        places = [f"join/{name}/{_place('work', number)}" for number in range(2)]
        return lambda: [_saw(place, work(place)) for place in places]

    branches = join(a=branch("a"), b=branch("b"))
    tokens += [*branches["a"], *branches["b"], _saw("fickle", fickle("fickle"))]
    tokens.append(_saw("receive", str(receive("note").data)))
    tokens += [_saw(place, work(place)) for place in (_place("work", number) for number in range(STEPS, STEPS + 2))]
    return digest(tokens)


@workflow(name="aerrand", max_crashes=1_000)
async def aerrand() -> str:
    """As `errand`, awaited."""
    tokens = [_saw(place, await awork(place)) for place in (_place("awork", number) for number in range(STEPS))]

    def branch(name: str) -> Callable[[], object]:
        async def run() -> list[str]:
            places = [f"join/{name}/{_place('awork', number)}" for number in range(2)]
            return [_saw(place, await awork(place)) for place in places]

        return run

    branches = await aio.join(a=branch("a"), b=branch("b"))  # type: ignore[arg-type]  # as the storm does
    letter = await aio.receive("note")
    return digest([*tokens, *branches["a"], *branches["b"], _saw("receive", str(letter.data))])


# --- what they come to --------------------------------------------------------------------------------------------------


def _output_of(name: str, entries: Sequence[Entry]) -> str:
    found = {entry.location: json.loads(entry.output or b"null") for entry in entries}
    tokens = [found[_place(name, number)] for number in range(STEPS)]
    tokens += [found[f"join/{branch}/{_place(name, number)}"] for branch in "ab" for number in range(2)]
    letters = [json.loads(entry.output or b"")[0]["data"] for entry in entries if entry.kind == "message"]
    if name == "awork":
        return digest([*tokens, *letters])
    last = [found[_place(name, number)] for number in range(STEPS, STEPS + 2)]
    return digest([*tokens, found["fickle"], *letters, *last])


ERRANDS = Workflows(outputs={"errand": partial(_output_of, "work"), "aerrand": partial(_output_of, "awork")})
"""What the checker needs to know of them."""


# --- the store ----------------------------------------------------------------------------------------------------------


class Noting(Logging):
    """Before a driver class: notes when a write failed, and when the next one succeeded."""

    failing = False

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        try:
            results = super().write(ops, now)
        except StoreError as error:
            self.failing = True
            self.log.write("note", "red", error.outcome, time.monotonic())
            raise
        if self.failing:
            self.failing = False
            self.log.write("note", "green", "-", time.monotonic())
        return results


class ErrandDriver(Noting, LoggingDriver):
    """A SQLite file that logs and notes."""


# --- the clients --------------------------------------------------------------------------------------------------------


def _until_it_works(call: Callable[[], Any], end: float) -> Any:
    """What `call` gives. Told that the store failed, a client calls again with the same id or key."""
    while True:
        try:
            return call()
        except StoreError as error:
            if time.monotonic() > end:
                raise
            _log.write("note", "told", error.outcome, time.monotonic())
            time.sleep(0.05)


def _client(fk: Flowkit, names: Sequence[str], end: float, ended: list[str]) -> None:
    for name in names:
        made = aerrand if name.startswith("a") else errand
        _until_it_works(lambda name=name, made=made: fk.start(name, made), end)
        _log.write("ack", "start", name)
    for name in names:
        _until_it_works(lambda name=name: fk.send(name, "note", note_to(name), key=note_to(name)), end)
        _log.write("ack", "send", name, note_to(name))
    for name in names:
        output = _until_it_works(lambda name=name: _result(fk.get(name), end), end)
        _log.write("ack", "result", name, output)
        ended.append(name)


def _result(run: Run[str], end: float) -> str:
    return run.result(timeout=max(0.1, end - time.monotonic()))


def serve(fk: Flowkit, runs: int, seconds: float) -> bool:
    """Two clients at once; whether all that they started has ended in time."""
    names = [f"{'ab'[number % 2]}-{number}" for number in range(runs)]
    end = time.monotonic() + seconds
    ended: list[str] = []
    clients = [threading.Thread(target=_guarded, args=(fk, names[number::2], end, ended)) for number in range(2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return len(ended) == runs


def _guarded(fk: Flowkit, names: Sequence[str], end: float, ended: list[str]) -> None:
    try:
        _client(fk, names, end, ended)
    except (StoreError, TimeoutError) as error:
        _log.write("note", "unended", type(error).__name__, time.monotonic())


# --- the program --------------------------------------------------------------------------------------------------------


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--durability", default="full")
    parser.add_argument("--seconds", type=float, default=30.0, help="until all must have ended")
    parser.add_argument("--patience", type=float, default=30.0, help="how long a client is kept waiting")
    parser.add_argument("--retry", type=float, default=0.1, help="seconds between two tries of a failed write")
    parser.add_argument("--checkpoint", type=int, default=40, help="pages of the log after which it is checkpointed")
    parser.add_argument("--abandon", action="store_true", help="exit without closing")
    return parser.parse_args(arguments)


def prepare(driver: LoggingDriver, log: Log, *, checkpoint: int) -> None:
    """Make the log's file short, so that a short run goes through everything that can happen to it."""
    driver.log = log
    writer = driver._connections._writer
    writer.execute(f"PRAGMA wal_autocheckpoint = {checkpoint}")
    writer.execute(f"PRAGMA journal_size_limit = {checkpoint * 2_048}")


def main(
    arguments: list[str] | None = None,
    opened: Callable[[ErrandDriver], None] = lambda driver: None,
    closing: Callable[[], None] = lambda: None,
) -> int:
    """Run the errands; an exit code. `opened` and `closing` are places for those who want to do something then."""
    options = _options(arguments)
    logging.basicConfig(filename=f"{options.log}.text", level=logging.INFO)
    use_log(Log(options.log))
    settings = Settings(write_retry=options.retry, reserve=options.retry, beat=0.5, adopt_after=0.5, grace=GRACE_SECONDS)
    try:
        driver = ErrandDriver(options.database, options.durability, busy_seconds=5.0, settings=settings)
        prepare(driver, _log, checkpoint=options.checkpoint)
        fk = Flowkit(driver, patience_seconds=options.patience, workflows=[errand, aerrand], settings=settings)
    except StoreError as error:
        _log.write("note", "refused", type(error).__name__, time.monotonic())
        return REFUSED
    opened(driver)
    done = serve(fk, options.runs, options.seconds)
    if options.abandon:
        os._exit(0 if done else UNENDED)
    closing()
    fk.close()
    return 0 if done else UNENDED


def unended(driver: Driver) -> list[str]:
    """Runs that have not ended."""
    rows = driver.runs(RunQuery(limit=1_000))
    return [row.id for row in rows if row.status not in ("completed", "failed", "cancelled")]


if __name__ == "__main__":
    sys.exit(main())
