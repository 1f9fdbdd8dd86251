"""The worker: claims due runs, executes them, hears bells, keeps its lease, takes over for the dead, and drains.

One thread claims; a second keeps the lease, so that a blocked event loop cannot lose it. Runs execute on guest threads and
on the engine's loop, never here.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flowkit.definitions import Workflow
from flowkit.drivers.base import Claim, RunView, WorkerInfo
from flowkit.errors import Fenced, FlowkitError, PayloadError, StoreError
from flowkit.registry import fingerprint, project_sources
from flowkit.runtime.execution import Execution, start_all
from flowkit.runtime.house import House
from flowkit.runtime.serving import Announcer

__all__ = ["GRACE_SECONDS", "Worker", "worker_info"]

GRACE_SECONDS = 10.0
BEAT_SECONDS = 5.0
REAP_SECONDS = 0.25
POLL_SECONDS = 1.0
PURGE_SECONDS = 60.0
GATHER_SECONDS = 0.01
"""How long a worker whose places were all taken gathers free ones, so that one claim takes many runs."""
CALM_SECONDS = 0.002
"""How long it takes a breath if the last news was none: a run that is busy hears of its messages from its own commits."""
GENTLE_SECONDS = 0.01
GENTLE_RUNS = 10
"""A worker that takes over from another claims so many runs so often: all its places are filled within 100 ms, the run that
is due first before the others, and not all of them at once."""


def worker_info(kind: str = "worker", info: str = "{}") -> WorkerInfo:
    """Who this process is; `info` is what it serves."""
    return WorkerInfo(
        name=f"{socket.gethostname()}-{os.getpid()}",
        host=socket.gethostname(),
        pid=os.getpid(),
        kind="worker" if kind == "worker" else "client",
        info=info,
    )


class Worker:
    """`workflows` is asked anew for each claim, so that what is imported later is served too."""

    def __init__(
        self, house: House, workflows: Callable[[], Mapping[str, Workflow[..., Any]]], *, concurrency: int = 100
    ) -> None:
        self.house = house
        self.fatal: BaseException | None = None
        self._workflows = workflows
        self._concurrency = concurrency
        self._codes: dict[str, tuple[Workflow[..., Any], str]] = {}
        self._sources = ""
        self._announcer = Announcer(house.driver, "")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._held: dict[int, Execution] = {}
        self._reserved = 0
        self._hungry = False
        self._was_full = False
        self._gentle_until = 0.0
        self._stop = threading.Event()
        self._id = 0
        self._threads: list[threading.Thread] = []
        self._graces: dict[Execution, threading.Timer] = {}
        self._leaving = threading.Lock()
        self._left = False
        self.on_fatal: Callable[[BaseException], None] | None = None

    @property
    def id(self) -> int:
        """This worker's id in the store."""
        return self._id

    def start(self, *, sources: str = "", gentle: float = 0.0, generation: int = 0) -> None:
        """Join and begin to claim, for the first `gentle` seconds a few runs at a time. `sources` is the digest of the code's
        files, if it was taken before; `generation` is told to those who look at workers.
        """
        self._sources = sources or project_sources()
        self._gentle_until = time.monotonic() + gentle
        self._announcer = Announcer(self.house.driver, self._sources, generation)
        self._id = self._join()
        self.house.capture.start()
        self.house.evict_later = self.evict_later
        for name, target in (("flowkit-worker", self._claim_for_ever), ("flowkit-lease", self._keep_lease)):
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    # --- runs -------------------------------------------------------------------------------------------------------

    def codes(self) -> dict[str, str]:
        """Workflow name → fingerprint of its code, for all that this worker serves."""
        return self._codes_of(self._workflows())

    def _codes_of(self, workflows: Mapping[str, Workflow[..., Any]]) -> dict[str, str]:
        return {name: self.code_of(workflow) for name, workflow in workflows.items()}

    def code_of(self, workflow: Workflow[..., Any]) -> str:
        """The fingerprint of a workflow's code."""
        known = self._codes.get(workflow.name)
        if known is None or known[0] is not workflow:
            known = (workflow, fingerprint(workflow, self._sources))
            self._codes[workflow.name] = known
        return known[1]

    def reserve(self) -> bool:
        """Keep a place for a run that is about to be started here; False if there is none."""
        with self._lock:
            if self._stop.is_set() or len(self._held) + self._reserved >= self._concurrency:
                return False
            self._reserved += 1
            return True

    def unreserve(self) -> None:
        """The place is not needed."""
        with self._lock:
            self._reserved -= 1

    def begin_reserved(self, claim: Claim, workflow: Workflow[..., Any], view: RunView) -> None:
        """Execute a run that was born here, in the place that was reserved."""
        self._begin(claim, workflow, view, reserved=True)

    def _begin(self, claim: Claim, workflow: Workflow[..., Any], view: RunView | None = None, *, reserved: bool = False) -> None:
        self._admit(claim, workflow, view, reserved=reserved).start()

    def _admit(self, claim: Claim, workflow: Workflow[..., Any], view: RunView | None, *, reserved: bool = False) -> Execution:
        """The run is held by this worker from here on."""
        execution = Execution(
            self.house, claim, workflow, self.code_of(workflow), self.house.recorder(claim.run), self._ended, view
        )
        with self._lock:
            before = self._held.get(claim.run)
            self._held[claim.run] = execution
            self._reserved -= reserved
            stopping = self._stop.is_set()
        if before is not None:  # taken away by a verb, and claimed again before this worker had noticed
            before.close()
        if stopping:
            execution.evict()
        return execution

    def _ended(self, execution: Execution) -> None:
        with self._lock:
            if self._held.get(execution.claim.run) is execution:
                del self._held[execution.claim.run]
            grace = self._graces.pop(execution, None)
            if not self._held:
                self._idle.notify_all()
            wanted, self._hungry = self._hungry, False
        if grace is not None:
            grace.cancel()
        if execution.fatal is not None and not isinstance(execution.fatal, Exception):
            self._die(execution.fatal)
        if wanted:
            self.house.driver.nudge()

    def _die(self, error: BaseException) -> None:
        """A body was interrupted from the keyboard: give everything back, so that other workers go on with it."""
        first = self.fatal is None
        self.fatal = self.fatal or error
        self._stop.set()
        self.house.driver.nudge()
        if not first:
            return
        threading.Thread(target=self.stop, name="flowkit-leaving", daemon=True).start()
        if self.on_fatal is not None:
            self.on_fatal(error)

    def _free(self) -> int:
        with self._lock:
            return max(0, self._concurrency - len(self._held) - self._reserved)

    # --- claiming ---------------------------------------------------------------------------------------------------

    def _claim_for_ever(self) -> None:
        while not self._stop.is_set():
            try:
                self._claim_and_wait()
            except Fenced:
                self._join_anew()
            except StoreError as error:
                self.house.logger.warning("flowkit: the worker could not reach the store, and tries again: %s", error)
                self._stop.wait(POLL_SECONDS)
            except Exception:  # a defect here must not leave a worker that claims nothing and says nothing
                self.house.logger.exception("flowkit: the worker's claim failed, and is tried again")
                self._stop.wait(POLL_SECONDS)

    def _claim_and_wait(self) -> None:
        free = self._room() if self._store_takes_writes() else 0
        now = self.house.clock.now()
        workflows = self._workflows()
        claimed = self.house.driver.claim(self._id, self._codes_of(workflows), free, now)
        start_all([self._admit(claim, workflows[claim.workflow], self._view_of(claim)) for claim in claimed.runs])
        for run in claimed.bells:
            with self._lock:
                execution = self._held.get(run)
            if execution is not None:
                execution.ring()
        pause = POLL_SECONDS
        if claimed.next_due is not None:
            due_in = max(0.0, claimed.next_due - self.house.clock.now())
            if due_in > 0 or not self._is_full():
                pause = min(pause, due_in)
        if self.house.driver.wait(pause):
            self._close_lost()
            if not claimed.runs and not claimed.bells:
                self._stop.wait(CALM_SECONDS)

    def _store_takes_writes(self) -> bool:
        """Whether bodies may begin. If a write failed and nobody repeats it any more, renewing the lease is the next try.

        Raises:
            StoreError: it still fails.
        """
        writer = self.house.writer
        if not writer.healthy and writer.idle:
            self.house.driver.beat(self._id, self.house.clock.now())
            writer.mend()
        return writer.healthy

    def _view_of(self, claim: Claim) -> RunView | None:
        """A run that has written nothing yet is loaded here: one short read, which costs less than a hop for each."""
        if claim.view is not None or claim.head > 0:
            return claim.view
        try:
            return self.house.driver.load(claim.run)
        except (PayloadError, StoreError):  # the execution finds the same, and no other run suffers
            return None

    def _room(self) -> int:
        """How many runs to claim. If all places were taken a moment ago, more are about to be free."""
        if time.monotonic() < self._gentle_until:
            self._stop.wait(GENTLE_SECONDS)
            return min(self._free(), GENTLE_RUNS)
        free = self._free()
        if self._was_full and 0 < free < self._concurrency // 2:
            self._stop.wait(GATHER_SECONDS)
            free = self._free()
        self._was_full = False
        return free

    def _is_full(self) -> bool:
        """Whether no place is free; if so, the next run that ends wakes this thread."""
        with self._lock:
            self._hungry = self._was_full = len(self._held) + self._reserved >= self._concurrency
            return self._hungry

    def _close_lost(self) -> None:
        with self._lock:
            held = {run: execution.claim.epoch for run, execution in self._held.items()}
        if not held:
            return
        for run in self.house.driver.lost(self._id, held):
            with self._lock:
                execution = self._held.get(run)
            if execution is not None and execution.claim.epoch == held[run]:
                execution.close()

    def _join_anew(self) -> None:
        """This worker was declared dead: whatever it held has another owner now."""
        self.house.logger.warning("flowkit: worker %s was declared dead; it joins anew", self._id)
        for execution in self.holding():
            execution.close()
        self._id = self._join()

    def _join(self) -> int:
        return self.house.driver.join(worker_info(info=self._announcer.info(self._workflows())), self.house.clock.now())

    # --- lease ------------------------------------------------------------------------------------------------------

    def _keep_lease(self) -> None:
        next_beat = next_purge = 0.0
        self._tell()  # first of all, and also if this worker is stopped already
        while not self._stop.wait(REAP_SECONDS):
            now = time.monotonic()
            self._tell()
            try:
                if self.house.driver.reap(self.house.clock.now()):
                    self.house.driver.nudge()
                if now >= next_beat:
                    next_beat = now + BEAT_SECONDS
                    self._beat()
                if now >= next_purge:
                    next_purge = now + PURGE_SECONDS
                    self.house.driver.purge(self.house.clock.now())
            except Fenced:
                self.house.driver.nudge()  # the claiming thread finds the same and joins anew
            except StoreError as error:
                next_beat = min(next_beat, now + POLL_SECONDS)
                self.house.logger.debug("flowkit: the lease could not be renewed, and is tried again: %s", error)
            except Exception:  # a defect here must not silently end the lease
                self.house.logger.exception("flowkit: keeping the lease failed, and is tried again")

    def _tell(self) -> None:
        """Say what is served. Whatever comes of it, the lease is kept."""
        try:
            self._announcer.tell(self._id, self._workflows(), self.house.clock.now())
        except (Fenced, StoreError) as error:
            self.house.logger.debug("flowkit: what this worker serves could not be told, and is told again: %s", error)
        except Exception as error:  # it looks at the user's functions; their runs are served all the same
            self.house.logger.warning("flowkit: the code could not be described, so renamed steps will not be known: %s", error)

    def _beat(self) -> None:
        self.house.driver.beat(self._id, self.house.clock.now())
        with self._lock:
            held = set(self._held)
        workflows = self._workflows()
        codes = self._codes_of(workflows)
        adopted = self.house.driver.adopt(self._id, held, codes, self._free(), self.house.clock.now())
        for claim in adopted.runs:
            self._begin(claim, workflows[claim.workflow])

    # --- leaving ----------------------------------------------------------------------------------------------------

    def evict_later(self, execution: Execution, grace: float = GRACE_SECONDS) -> None:
        """Give the run's bodies `grace` seconds to end, then give the run up all the same."""
        timer = threading.Timer(grace, execution.abandon)
        timer.daemon = True
        with self._lock:
            if self._held.get(execution.claim.run) is not execution or execution in self._graces:
                return
            self._graces[execution] = timer
        timer.start()

    def stop_claiming(self) -> None:
        """Take no run from here on; those held go on. When it returns, no claim is under way."""
        self._stop.set()
        self.house.driver.nudge()
        if self._threads and self._threads[0] is not threading.current_thread():
            self._threads[0].join(timeout=5.0)

    def stop(self, grace: float = GRACE_SECONDS, *, spare: Callable[[Execution], bool] = lambda execution: False) -> int:
        """Claim nothing more, let bodies end for `grace` seconds, give every run back; how many had to be given up.

        A run that `spare` says yes to is waited for, however long it takes.
        """
        self._stop.set()
        self.house.driver.nudge()
        with self._leaving:
            if self._left:
                return 0
            self._left = True
            return self._drain(grace, spare)

    def _drain(self, grace: float, spare: Callable[[Execution], bool]) -> int:
        self.house.writer.wait_no_longer_than(grace)
        self.stop_claiming()
        with self._lock:
            held = list(self._held.values())
        for execution in held:
            execution.evict()
        deadline = time.monotonic() + grace
        with self._idle:
            while self._held and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)
            late = list(self._held.values())
        given_up = 0
        while late:
            spared = [execution for execution in late if spare(execution)]
            for execution in late:
                if execution not in spared:
                    execution.abandon()
                    given_up += 1
            if not spared:
                break
            with self._idle:
                self._idle.wait(REAP_SECONDS)
            late = self.holding()
        self._leave()
        return given_up

    def _leave(self) -> None:
        self.house.capture.close()
        for thread in self._threads[1:]:
            thread.join(timeout=5.0)
        try:
            self.house.driver.leave(self._id, self.house.clock.now())
        except FlowkitError as error:
            self.house.logger.debug("flowkit: the worker left without saying so: %s", error)

    def holding(self) -> list[Execution]:
        """The runs in memory."""
        with self._lock:
            return list(self._held.values())

    def held(self) -> int:
        """How many runs are in memory."""
        with self._lock:
            return len(self._held)
