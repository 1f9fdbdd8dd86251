"""What a worker reports of what keeps it from serving: gathered where it happens, written by the thread that keeps the lease.

Nothing here is on the way of a pass: a worker that is well asks one empty dictionary at the end of each. A worker takes over
what its dead forerunner reported and has to prove that it is over, so that a crash loop does not look well after every start.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

from flowkit.core.events import RunError
from flowkit.core.health import Kind, Report, Sickness, Trouble
from flowkit.definitions import Workflow
from flowkit.drivers.base import Claim, Driver
from flowkit.engine.source import shown_path
from flowkit.engine.threads import LoopThread
from flowkit.errors import FlowkitError, HistoryDiverged, RunConflict, StoreError
from flowkit.registry import is_yours
from flowkit.runtime.execution import Execution
from flowkit.runtime.house import House

__all__ = ["Reporter", "file_report", "forerunners", "origin_of", "source_key", "source_name", "trouble_of"]

CRASHES = 3
"""Of so many deaths of workers in a row under one run, a crash loop is made."""

_BY_TIME: tuple[Kind, ...] = ("import", "starting", "start", "loop")
_BY_PASS: tuple[Kind, ...] = ("crash", "misfit")


def source_name() -> str:
    """This process, as reports name it."""
    return _printable(f"{socket.gethostname()}-{os.getpid()}")


def origin_of(*apps: str) -> str:
    """What is to run where: the host and the APPs. Who comes after a worker of the same origin stands in its place."""
    return _printable(" ".join((socket.gethostname(), *(apps or (os.path.basename(sys.argv[0]),)))))


def source_key(source: str, worker: int) -> str:
    """Under which the store keeps what this worker of a process reports; 0: what the process says that could not join."""
    return f"{source}/{worker}"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def trouble_of(kind: Kind, error: BaseException, place: str = "") -> Trouble:
    """An error as a trouble; without a `place` that of the newest frame of the user's own code."""
    return Trouble(kind, type(error).__qualname__, str(error), place or _place_in(error))


def _place_in(error: BaseException) -> str:
    found, trace = "", error.__traceback__
    while trace is not None:
        if is_yours(trace.tb_frame.f_code.co_filename):
            found = f"{shown_path(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def file_report(driver: Driver, sick: Sickness, now: float, stays: float) -> None:
    """Write what a process has to say that never came to be a worker. Nothing: take back what it said."""
    driver.report(source_key(sick.source, 0), sick.reports(), now + stays, now)


def forerunners(driver: Driver, origin: str, now: float) -> list[Report]:
    """What was reported by workers of the same origin that do not live."""
    found = [each for each in driver.reports(now) if each.origin == origin]
    alive = {row.id for row in driver.workers() if row.alive} if found else set()
    return [each for each in found if each.worker not in alive]


class Reporter:
    """Of one worker. All but `tick` and `close` may be called from any thread."""

    def __init__(self, house: House, origin: str = "") -> None:
        self._house = house
        self._sick = Sickness(source_name(), origin)
        self._lock = threading.Lock()
        self._loop = _LoopWatch(house.loop, house.settings.loop_blocked)
        self._new: set[Kind] = set()
        self._dirty = False
        self._written = False
        self._renew_at = 0.0
        self._inherits = bool(origin)
        self._inherits_until: float | None = None
        self._look_back_at = 0.0

    def joined(self, worker: int) -> None:
        """The worker has this number from now on."""
        with self._lock:
            if self._inherits_until is None:  # who was dead by then seems to live for a lease at most
                self._inherits_until = time.monotonic() + self._house.driver.limits.lease
            before, self._sick.worker = self._sick.worker, worker
            moved, self._written, self._dirty = self._written, False, bool(self._sick)
        if moved:
            self._put(source_key(self._sick.source, before), [])

    # --- hearing ----------------------------------------------------------------------------------------------------

    def failed(self, workflow: str, trouble: Trouble) -> None:
        """It cannot be served, or with an empty name nothing can."""
        now = self._house.clock.now()
        with self._lock:
            self._sick.failed(workflow, trouble, now)
            self._new.add(trouble.kind)
            self._dirty = True

    def store_failed(self, error: BaseException) -> None:
        """The store did not answer, or did not take what was written."""
        self.failed("", Trouble("store", type(error).__qualname__, str(error)))

    def misfits(self, events: Sequence[RunError]) -> None:
        """Runs were held since this code does not fit them."""
        for event in events:
            self.failed(event.workflow, Trouble("misfit", event.error.type, event.error.message))

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Runs are about to be executed. What may kill this process in a moment is reported before."""
        looping = [claim for claim in claims if claim.crashes >= CRASHES]
        for claim in looping:
            line = f"run {claim.id} has outlived {claim.crashes} workers in a row that died while they had it"
            self.failed(claim.workflow, Trouble("crash", "CrashLoop", line))
        if looping:
            self.flush()

    def ended(self, execution: Execution) -> None:
        """A pass is over."""
        name, blocked, fatal = execution.workflow.name, execution.blocked, execution.fatal
        if isinstance(blocked, HistoryDiverged):
            self.failed(name, Trouble("misfit", type(blocked).__qualname__, str(blocked), blocked.source))
        elif isinstance(blocked, RunConflict):
            self.failed(name, Trouble("crash", "Quarantined", str(blocked)))
        elif isinstance(fatal, StoreError):
            self.store_failed(fatal)
        elif fatal is not None and not isinstance(fatal, KeyboardInterrupt):
            self.failed(name, trouble_of("crash", fatal))
        elif self._sick and fatal is None:
            with self._lock:
                self._dirty |= self._sick.went_well(_BY_PASS, name)

    def reports(self) -> list[Report]:
        """What there is to report now, be it written already or not."""
        with self._lock:
            return self._sick.reports()

    # --- telling ----------------------------------------------------------------------------------------------------

    def tick(self, workflows: Mapping[str, Workflow[..., Any]]) -> None:
        """Look whether this process can serve at all, and write what there is to write. A few times a second."""
        if self._inherits and self._sick.worker:
            self._inherit()
        blocked, began = self._loop.look(time.monotonic())
        if blocked is not None and began:
            for name in (name for name, workflow in workflows.items() if workflow.awaits):
                self.failed(
                    name,
                    Trouble(
                        "loop", "BlockedLoop", f"nothing else ran on it for {self._house.settings.loop_blocked:g} s", blocked
                    ),
                )
        if not self._house.writer.healthy and "store" not in self._new:
            self.failed("", Trouble("store", "StoreError", "a write did not land, and is tried again"))
        bad, away = set[Kind](), False
        if self._sick:
            with self._lock:
                bad = {*self._new, *(("loop",) if blocked is not None else ())}
                self._new.clear()
                self._dirty |= self._sick.went_well([kind for kind in _BY_TIME if kind not in bad])
                self._dirty |= self._sick.fade(_BY_PASS, self._house.clock.now())
                away = self._sick.ails("store")
                self._dirty |= away
        landed = self.flush()
        if away:
            self._weigh_the_store(well=landed and "store" not in bad)

    def _weigh_the_store(self, *, well: bool) -> None:
        """That a report lands is the success that counts: claims may fail more seldom than this process looks at itself."""
        with self._lock:
            ended = well and self._sick.went_well(("store",))
            if not well:
                self._sick.relapsed("store")
            self._dirty |= ended
        if ended:
            self.flush()

    def flush(self) -> bool:
        """Bring the store up to date, if there is anything new or it is time to say it again; whether it is up to date."""
        with self._lock:
            due = self._dirty or (bool(self._sick) and time.monotonic() >= self._renew_at)
            if not due or not self._sick.worker or not (self._sick or self._written):
                return True
            reports, self._dirty = self._sick.reports(), False
        landed = self._put(source_key(self._sick.source, self._sick.worker), reports)
        with self._lock:
            self._dirty |= not landed
            self._written = bool(reports) if landed else True
            self._renew_at = time.monotonic() + self._house.settings.report_renew
        return landed

    def close(self) -> None:
        """The worker leaves in order: what was wrong with it alone ends with it."""
        with self._lock:
            reports = self._sick.reports(outliving=True)
            if not reports and not self._written:
                return
        self._put(source_key(self._sick.source, self._sick.worker), reports)

    def _put(self, key: str, reports: list[Report]) -> bool:
        now, settings = self._house.clock.now(), self._house.settings
        until = now + (settings.report_stays if any(report.outlives for report in reports) else settings.report_kept)
        try:
            self._house.driver.report(key, reports, until, now)
        except FlowkitError as error:
            self._house.logger.debug("flowkit: what keeps this worker from serving is told again, it could not be: %s", error)
            return False
        return True

    def _inherit(self) -> None:
        """Take over what was reported by the dead of the same origin, as soon as they are known to be."""
        now = time.monotonic()
        if now < self._look_back_at:
            return
        self._look_back_at = now + self._house.settings.succession
        try:
            found = forerunners(self._house.driver, self._sick.origin, self._house.clock.now())
        except FlowkitError:
            return  # the store's trouble is told of by whoever claims; it is asked again
        self._inherits = self._inherits_until is not None and now <= self._inherits_until
        old = [each for each in found if each.worker != self._sick.worker]
        if not old:
            return
        with self._lock:
            self._sick.inherit(each for each in old if each.outlives)
            self._dirty |= bool(self._sick)
        self.flush()  # before the old ones go: in between both stand there, never none
        for key in {source_key(each.source, each.worker) for each in old}:
            self._put(key, [])


class _LoopWatch:
    """Asks the engine's event loop to answer, again and again, once it runs."""

    def __init__(self, loop: LoopThread, blocked_seconds: float) -> None:
        self._blocked_seconds = blocked_seconds
        self._loop = loop
        self._asked: float | None = None
        self._told = False

    def look(self, now: float) -> tuple[str | None, bool]:
        """Where it is blocked, as far as that can be seen, or None; and whether that is new."""
        thread = self._loop.thread
        if thread is None:
            return None, False
        asked = self._asked  # read once: the loop sets it to None
        if asked is None:
            self._asked = asked = now
            self._told = False
            self._loop.call(self._answer)
        if now - asked < self._blocked_seconds:
            return None, False
        began, self._told = not self._told, True
        return _place_of(thread), began

    def _answer(self) -> None:
        self._asked = None


def _place_of(thread: threading.Thread) -> str:
    """The innermost line of the user's code that the thread is at."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)
    while frame is not None and not is_yours(frame.f_code.co_filename):
        frame = frame.f_back
    return "" if frame is None else f"{shown_path(frame.f_code.co_filename)}:{frame.f_lineno}"
