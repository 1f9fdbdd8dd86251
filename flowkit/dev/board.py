"""What `flowkit dev` reports to the store while the code does not load: those who wait for runs elsewhere read it there.

Writing waits for the database, so a thread does it, and only once there is something to say; it says so again as long as it
is true. The next generation's worker takes the report over when it begins, and with it the proof that it is over.
"""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from queue import Empty, SimpleQueue

from flowkit.client.livecode import LoadError
from flowkit.clock import SystemClock
from flowkit.core.health import Kind, Sickness, Trouble
from flowkit.dev.settings import IN_FORCE
from flowkit.drivers import open_driver
from flowkit.errors import FlowkitError
from flowkit.runtime.reporter import file_report, origin_of, source_name
from flowkit.runtime.scouting import files_of, workflows_in_files

__all__ = ["Board"]

KEPT_SECONDS = IN_FORCE.dev_report_kept
AGAIN_SECONDS = IN_FORCE.dev_report_again
PATIENCE_SECONDS = IN_FORCE.dev_report_patience


class Board:
    """Of one supervisor."""

    def __init__(self, app: str, db: str) -> None:
        self._app = app
        self._db = db
        self._sick = Sickness(source_name(), origin_of(app))
        self._told: SimpleQueue[tuple[Kind, LoadError] | bool] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def broken(self, kind: Kind, error: LoadError) -> None:
        """The code came to nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="flowkit-board", daemon=True)
            self._thread.start()
        self._told.put((kind, error))

    def well(self) -> None:
        """The code works again."""
        if self._thread is not None:
            self._told.put(True)

    def close(self) -> None:
        """`dev` ends on purpose: that nobody serves is no trouble any more."""
        if self._thread is not None:
            self._told.put(False)
            self._thread.join(PATIENCE_SECONDS)

    def _serve(self) -> None:
        goes_on = True
        while goes_on:
            try:
                told = self._told.get(timeout=AGAIN_SECONDS if self._sick else None)
            except Empty:
                told = None
            now = SystemClock().now()
            if isinstance(told, tuple):
                self._hear(*told, now)
            elif told is not None:
                self._sick = Sickness(self._sick.source, self._sick.origin)
                goes_on = told
            with suppress(FlowkitError), closing(open_driver(self._db, busy_seconds=PATIENCE_SECONDS)) as driver:
                file_report(driver, self._sick, now, KEPT_SECONDS)  # a database that does not answer: the terminal says so

    def _hear(self, kind: Kind, error: LoadError, now: float) -> None:
        trouble = Trouble(kind, error.type, error.message, error.source)
        files = [*files_of(self._app), *(frame.partition(":")[0] for frame in error.frames)]
        for workflow in ("", *workflows_in_files(files)):
            self._sick.failed(workflow, trouble, now)
