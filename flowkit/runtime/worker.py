"""The worker: claims due runs, executes them, hears bells, keeps its lease, takes over for the dead, and drains.

One thread claims, one keeps the lease, so that nothing that blocks can lose it, and one does the chores. Runs execute on guest
threads and on the engine's loop, never here.

Longer than 400 lines because claiming, holding and leaving share one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from flowkit.definitions import Workflow
from flowkit.drivers.base import Claim, RunView, WorkerRow
from flowkit.errors import Fenced, FlowkitError, PayloadError, StoreError
from flowkit.registry import project_sources
from flowkit.runtime.codes import Codes
from flowkit.runtime.execution import Execution, start_all
from flowkit.runtime.house import House
from flowkit.runtime.lease import do_chores, keep_lease
from flowkit.runtime.reporter import Reporter, origin_of
from flowkit.runtime.serving import UNVERSIONED, Announcer, Rollout, worker_info
from flowkit.runtime.succession import successor

__all__ = ["Worker"]


class Worker:
    """`workflows` is asked anew for each claim, so that what is imported later is served too."""

    def __init__(
        self, house: House, workflows: Callable[[], Mapping[str, Workflow[..., Any]]], *, concurrency: int | None = None,
        origin: str = "", grace: float | None = None, rollout: Rollout = UNVERSIONED,
    ) -> None:  # fmt: skip
        """`concurrency` and `grace` None: those of the settings. `origin` is what runs where, as in `origin_of`. See
        `succession` for what a `rollout` does.
        """
        self.house = house
        self._settings = house.settings
        self.reporter = Reporter(house, origin or origin_of())
        self.fatal: BaseException | None = None
        self.relieved: WorkerRow | None = None
        """The worker that this one makes room for."""
        self._workflows = workflows
        self._concurrency = house.settings.concurrency if concurrency is None else concurrency
        self._grace = house.settings.grace if grace is None else grace
        self._rollout = rollout
        self._codes = Codes("")
        self._announcer = Announcer(house.driver, "")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._held: dict[int, Execution] = {}
        self._reserved = 0
        self._hungry = False
        self._was_full = False
        self._gentle_until = 0.0
        self._away = ""
        self._stop = threading.Event()
        self._gone = threading.Event()
        self._next_look = 0.0
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
        sources = sources or project_sources()
        self._codes = Codes(sources)
        self._gentle_until = time.monotonic() + gentle
        self._announcer = Announcer(self.house.driver, sources, generation, self._rollout)
        self._id = self.house.joined(self._join())
        self.reporter.joined(self._id)
        self.house.capture.start()
        self.house.evict_later = self.evict_later
        claiming = threading.Thread(target=self._claim_for_ever, name="flowkit-worker", daemon=True)
        own = (self.house, self, self._gone)
        lease = threading.Thread(target=keep_lease, args=own, name="flowkit-lease", daemon=True)
        chores = threading.Thread(target=do_chores, args=own, name="flowkit-chores", daemon=True)
        self._threads += [claiming, lease, chores]
        for thread in self._threads:
            thread.start()

    # --- runs -------------------------------------------------------------------------------------------------------

    def code_of(self, workflow: Workflow[..., Any]) -> str:
        """The fingerprint of a workflow's code."""
        return self._codes.of(workflow)

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
        house, code = self.house, self._codes.of(workflow)
        execution = Execution(house, house.taken(claim), workflow, code, house.recorder(claim.run), self._ended, view)
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
        self.house.left(execution.claim, execution.running)
        self.reporter.ended(execution)
        if execution.fatal is not None and not isinstance(execution.fatal, Exception):
            self._die(execution.fatal)
        if wanted:
            self.house.driver.nudge()

    def _die(self, error: BaseException) -> None:
        """A body was interrupted from the keyboard: give everything back, so that other workers go on with it."""
        first = self.fatal is None
        self.fatal = self.fatal or error
        self._leave_soon()
        if first and self.on_fatal is not None:
            self.on_fatal(error)

    def _leave_soon(self) -> None:
        """As `stop`, without waiting for it."""
        self._stop.set()
        self.house.driver.nudge()
        threading.Thread(target=self.stop, name="flowkit-leaving", daemon=True).start()

    def _free(self) -> int:
        with self._lock:
            return max(0, self._concurrency - len(self._held) - self._reserved)

    # --- claiming ---------------------------------------------------------------------------------------------------

    def _claim_for_ever(self) -> None:
        dead = False
        while not self._stop.is_set():
            try:
                if dead:
                    self._join_anew()
                    dead = False
                self._claim_and_wait()
                self._store_answers()
            except Fenced:
                dead = True
            except StoreError as error:
                self._store_failed(error)
                self._stop.wait(self._settings.poll)
            except Exception:  # a defect here must not leave a worker that claims nothing and says nothing
                self.house.logger.exception("flowkit: the worker's claim failed, and is tried again")
                self._stop.wait(self._settings.poll)

    def _store_failed(self, error: StoreError) -> None:
        """It is logged once for as long as it lasts, and when it is over: an outage of a night is two lines, not 30,000."""
        self.reporter.store_failed(error)
        tell = self.house.logger.debug if str(error) == self._away else self.house.logger.warning
        self._away = str(error)
        tell("flowkit: the worker could not reach the store, and tries again: %s", error)

    def _store_answers(self) -> None:
        if self._away:
            self.house.logger.warning("flowkit: the store answers again")
        self._away = ""

    def _claim_and_wait(self) -> None:
        free = self._room() if self._store_takes_writes() else 0
        now = self.house.clock.now()
        workflows = self._workflows()
        claimed = self.house.driver.claim(self._id, self._codes.all(workflows), free, now)
        self.reporter.claimed(claimed.runs)
        start_all([self._admit(claim, workflows[claim.workflow], self._view_of(claim)) for claim in claimed.runs])
        for run in claimed.bells:
            with self._lock:
                execution = self._held.get(run)
            if execution is not None:
                execution.ring()
        pause = self._settings.poll
        if claimed.next_due is not None:
            due_in = max(0.0, claimed.next_due - self.house.clock.now())
            if due_in > 0 or not self._is_full():
                pause = min(pause, due_in)
        if self.house.driver.wait(pause):
            self._close_lost()
            if not claimed.runs and not claimed.bells:
                self._stop.wait(self._settings.calm)

    def _store_takes_writes(self) -> bool:
        """Whether bodies may begin. If a write failed and nobody repeats it any more, renewing the lease is the next try.

        Raises:
            StoreError: it still fails.
        """
        writer = self.house.writer
        if not writer.healthy and writer.idle:
            self.renew()
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
            self._stop.wait(self._settings.gentle_every)
            return min(self._free(), self._settings.gentle_runs)
        free = self._free()
        if self._was_full and 0 < free < self._concurrency // 2:
            self._stop.wait(self._settings.gather)
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
        self.house.declared_dead()
        for execution in self.holding():
            execution.close()
        self._announcer.joins_anew(self._id)
        self._id = self.house.joined(self._join())
        self.reporter.joined(self._id)

    def _join(self) -> int:
        asked_at = time.monotonic()
        worker = self.house.driver.join(worker_info(info=self._announcer.info(self._workflows())), self.house.clock.now())
        self.house.lease.renewed(asked_at)
        return worker

    # --- lease ------------------------------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether it claims nothing more."""
        return self._stop.is_set()

    def tell(self) -> None:
        """Say what is served. Whatever comes of it, the lease is kept."""
        try:
            left_out = self._announcer.tell(self._id, self._workflows(), self.house.clock.now())
        except (Fenced, StoreError) as error:
            self.house.logger.debug("flowkit: what this worker serves could not be told, and is told again: %s", error)
        except Exception:  # a defect here must not end the takeovers
            self.house.logger.exception("flowkit: what this worker serves could not be told, and is told again")
        else:
            for name, why in left_out.items():  # its runs are served all the same
                self.house.logger.warning(
                    "flowkit: the code of workflow %r could not be described, so its renamed steps will not be known: %s",
                    name,
                    why,
                )

    def tick(self) -> None:
        """Report how the workflows fare, and leave if a worker that joined later takes this one's place."""
        self.reporter.tick(self._workflows())
        now = time.monotonic()
        if self.stopping or now < self._next_look:
            return
        self._next_look = now + self._settings.succession
        self.relieved = successor(self._id, self._announcer.serving(self._workflows()), self.house.driver.workers())
        if self.relieved is not None:
            self.house.logger.info("flowkit: worker %s makes room for worker %s", self._id, self.relieved.id)
            self._leave_soon()

    def renew(self) -> None:
        """Renew the lease."""
        asked_at = time.monotonic()
        self.house.driver.beat(self._id, self.house.clock.now())
        self.house.lease.renewed(asked_at)

    def adopt(self) -> None:
        """Take up what is this worker's to do and not in its hands."""
        with self._lock:
            held = set(self._held)
        workflows = self._workflows()
        codes = self._codes.all(workflows)
        adopted = self.house.driver.adopt(self._id, held, codes, self._free(), self.house.clock.now())
        for claim in adopted.runs:
            self._begin(claim, workflows[claim.workflow])

    # --- leaving ----------------------------------------------------------------------------------------------------

    def evict_later(self, execution: Execution) -> None:
        """Give the run's bodies their grace to end, then give the run up all the same."""
        timer = threading.Timer(self._settings.grace, execution.abandon)
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
            self._threads[0].join(self._settings.join_threads)

    def stop(self, grace: float | None = None, *, spare: Callable[[Execution], bool] = lambda execution: False) -> int:
        """Claim nothing more, let bodies end for `grace` seconds (None: as it was made), give every run back; how many had to
        be given up.

        A run that `spare` says yes to is waited for, however long it takes.
        """
        self._announcer.leaves()
        self._stop.set()
        self.house.driver.nudge()
        with self._leaving:
            if self._left:
                return 0
            self._left = True
            return self._drain(self._grace if grace is None else grace, spare)

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
                self._idle.wait(self._settings.reap)
            late = self.holding()
        self._leave()
        if self.relieved is not None:
            self.house.writer.wait_as_before()
        return given_up

    def _leave(self) -> None:
        self._gone.set()
        self.house.capture.close()
        for thread in self._threads[1:]:
            thread.join(self._settings.join_threads)
        self.reporter.close()
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
