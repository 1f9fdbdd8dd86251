"""A handle with a worker for the commands that execute workflows, and how it is left.

Leaving drains: nothing new begins, bodies have some seconds to end, and every run is given back. Whoever asks a second time
is served at once; nothing is lost by that, since what a body did not finish is simply done again.

A first signal only leaves a note, which whoever waits looks at: an exception could come out anywhere, half-way through
opening the database too. Not an `Event`, whose lock the interrupted code may hold.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from flowkit.cli.failure import FAILED, Failure

if TYPE_CHECKING:
    from flowkit.client import Flowkit
    from flowkit.definitions import Workflow
    from flowkit.engine.observer import Observer
    from flowkit.runtime.serving import Rollout

__all__ = ["Stop", "open_worker", "refuse_fatal", "until_stopped"]


@dataclass(slots=True)
class Stop:
    """Whether somebody asked this process to stop."""

    asked: bool = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The handler of the first signal."""
        self.asked = True
        _handle(_leave_at_once)


@contextmanager
def open_worker(
    db: str,
    workflows: Mapping[str, Workflow[..., Any]],
    *,
    concurrency: int | None = None,
    grace: float | None = None,
    capture_logs: int | None = logging.INFO,
    apps: Sequence[str] = (),
    looking_on: Sequence[Observer] | None = None,
    rollout: Rollout | None = None,
) -> Iterator[tuple[Flowkit, Stop]]:
    """The database with a worker that serves these workflows; drained on the way out, at once on a second signal.

    `looking_on` None: who the environment asks for.
    """
    from flowkit.cli.observing import observers
    from flowkit.client import Flowkit
    from flowkit.drivers import open_driver
    from flowkit.runtime.capture import let_info_through
    from flowkit.runtime.reporter import origin_of
    from flowkit.settings import in_force

    settings, looking_on = in_force(), observers() if looking_on is None else looking_on
    let_info_through()
    stop = Stop()
    before = _handle(stop.ask)  # first of all: once the worker claims, steps run
    try:
        flowkit = Flowkit(
            open_driver(db, settings=settings), workflows=workflows.values(), concurrency=concurrency, grace=grace,
            capture_logs=capture_logs, settings=settings, origin=origin_of(*apps) if apps else "",
            observers=looking_on, rollout=rollout,
        )  # fmt: skip
        try:
            yield flowkit, stop
        finally:
            if stop.asked or not flowkit.relieved:  # one that makes room was asked by nobody yet: its first signal may come now
                _handle(_leave_at_once)
            flowkit.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def until_stopped(flowkit: Flowkit, stop: Stop) -> None:
    """Wait until somebody asks to stop, or newer code takes this worker's place.

    Raises:
        Failure: the worker has given up.
    """
    pause = threading.Event()
    while not stop.asked and not flowkit.relieved:
        refuse_fatal(flowkit)
        pause.wait(flowkit.settings.cli_look)


def refuse_fatal(flowkit: Flowkit) -> None:
    """Raises:
    Failure: workflow code raised what no worker survives, such as `SystemExit`."""
    fatal = flowkit.worker.fatal if flowkit.worker is not None else None
    if fatal is not None:
        raise Failure(f"the worker stopped: your code raised {type(fatal).__name__}: {fatal}", FAILED)


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
