"""A handle with a worker for the commands that execute workflows, and how it is left.

Leaving drains: nothing new begins, bodies have some seconds to end, and every run is given back. Whoever asks a second time
is served at once; nothing is lost by that, since what a body did not finish is simply done again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from flowkit.cli.store import MAX_PAYLOAD

if TYPE_CHECKING:
    from flowkit.client import Flowkit
    from flowkit.definitions import Workflow

__all__ = ["GRACE_SECONDS", "open_worker", "until_stopped"]

GRACE_SECONDS = 10.0


@contextmanager
def open_worker(
    db: str, workflows: Mapping[str, Workflow[..., Any]], *, concurrency: int = 100, grace: float = GRACE_SECONDS
) -> Iterator[Flowkit]:
    """The database with a worker that serves these workflows; drained on the way out, at once on a second signal."""
    from flowkit.client import Flowkit
    from flowkit.drivers import open_driver

    before = _handle(_interrupt)  # first of all: once the worker claims, steps run
    try:
        flowkit = Flowkit(
            open_driver(db), workflows=workflows.values(), concurrency=concurrency, grace=grace, max_payload=MAX_PAYLOAD
        )
        try:
            yield flowkit
        finally:
            _handle(_leave_at_once)
            flowkit.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def until_stopped(flowkit: Flowkit) -> BaseException | None:
    """Wait for SIGTERM or Ctrl-C; or for what made the worker give up, which is returned."""
    over = threading.Event()
    worker = flowkit.worker
    if worker is not None:
        worker.on_fatal = lambda error: over.set()
    try:
        while not over.wait(0.5):
            pass
    except KeyboardInterrupt:
        return None
    return None if worker is None else worker.fatal


def _interrupt(number: int, frame: FrameType | None) -> None:
    _handle(_leave_at_once)
    raise KeyboardInterrupt


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    with suppress(RuntimeError, OSError):  # the signal may have come in the middle of a write
        sys.stdout.flush()
    os._exit(128 + number)  # threads of user code may run for ever, and an orderly exit would wait for them


def _handle(handler: Any) -> dict[signal.Signals, Any]:
    """Have `handler` called for SIGINT and SIGTERM, unless they are ignored as under `nohup`; what handled them before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    signals = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in signals}
