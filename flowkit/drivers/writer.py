"""Group commit and unknown outcomes, once for all drivers.

Who wants to commit and finds no leader leads: it commits in its own thread all that is waiting, so a lone caller pays
for no thread switch. What came meanwhile is left to the writer's own thread, which commits group after group until
nothing is left. The event loop never commits: it submits, and hears of each group in one call.

A thread that is woken first wakes the next one. Waking them all at once would make them fight for the interpreter's
lock, with each other and with whoever commits the next group.

The hardest part is a write whose outcome is unknown. The same batch is given again, and nothing else of this handle,
until it is acknowledged: every operation is safe to repeat, and what its second answer says about the first is read in
`repeated.settled`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue

from flowkit.clock import Clock
from flowkit.core.fields import OwnLog, own_log
from flowkit.drivers.backlog import Backlog
from flowkit.drivers.base import Driver, GuardFailed, Op, Result
from flowkit.drivers.forks import this_process
from flowkit.drivers.group import RANK, Batch, Collector, Item, Outcome, Sink, stir
from flowkit.drivers.repeated import settled
from flowkit.errors import StoreBusy, StoreError
from flowkit.settings import Settings

__all__ = ["Sink", "Told", "Writer"]

Told = Callable[[Sequence[Op], Sequence[Result], float], None]
"""Who hears of each group that is durable: its operations, their results, and how many seconds the last try took."""


class Writer:
    """Commits what many threads and one event loop want written, a group at a time, through one driver.

    Operations that are not patient raise after `patience_seconds` (None: that of `settings`) of a store that does not
    answer; patient ones wait. `told` hears of every group before those who wait for it do, and must not raise.
    """

    def __init__(
        self, driver: Driver, clock: Clock, *, patience_seconds: float | None = None, backlog: Backlog | None = None,
        settings: Settings | None = None, log: OwnLog | None = None, told: Told | None = None,
    ) -> None:  # fmt: skip
        settings = Settings() if settings is None else settings
        self._retry = settings.write_retry
        self._closing_poll = settings.closing_poll
        self._group_bytes = settings.group_bytes
        self._log = own_log() if log is None else log
        self._told = told
        self._driver = driver
        self._clock = clock
        self._patience = settings.patience if patience_seconds is None else patience_seconds
        self._lock = threading.Lock()
        self._pending = backlog if backlog is not None else Backlog()
        self._work: deque[Batch] = deque()
        self._busy = False
        self._closed = False
        self.healthy = True
        """False from a write that failed until one succeeds: no body should start meanwhile."""
        self._last: float | None = None
        self._turns: SimpleQueue[bool] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = this_process()

    @property
    def idle(self) -> bool:
        """Whether nothing is being written, or to be written again."""
        return not self._busy

    @property
    def is_closing(self) -> bool:
        """Whether nobody waits any more for a store that fails."""
        return self._closed or (self._last is not None and time.monotonic() >= self._last)

    def mend(self) -> None:
        """The store took a write that did not go through here. Without this a handle would stay red whose last failed write
        was given up by its caller: nothing begins, so nothing is written, so nothing succeeds.
        """
        with self._lock:
            if not self._busy:
                self.healthy = True

    @property
    def pending(self) -> int:
        """How many operations wait for a group to take them."""
        return len(self._pending)

    @property
    def waiting(self) -> int:
        """How many more there is no room for yet."""
        return self._pending.outside

    def write(self, op: Op, *, patient: bool = False) -> Result:
        """Write `op` and return once it is durable; in this thread if nobody else is writing.

        Raises:
            GuardFailed: `op` contradicts the store. StoreBusy, StoreError: after `patience_seconds`, unless `patient`;
            `outcome` says whether it may have been written.
        """
        if self._pid != this_process():
            self._refuse_after_fork()
        deadline = None if patient else time.monotonic() + self._patience
        item = Item(op, deadline, None, None)
        with self._lock:
            if self._closed or self._last is not None:
                self._refuse()
            leads = not self._busy
            if leads:
                self._busy = True
                item.taken = True
            else:
                item.lock = threading.Lock()
                item.lock.acquire()
                self._pending.add(item)
        if leads:
            self._lead(item)
        if item.lock is not None:
            self._follow(item)
        outcome = item.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        return outcome

    def write_many(self, ops: Sequence[Op]) -> list[Result]:
        """Write `ops` in as few groups as may be, and return once all are durable; a result for each.

        No more than a group of them is pending at a time, so that others get their turn in between.

        Raises:
            The first error among them; what came behind its group is not written. StoreError: the store did not answer
            within `patience_seconds`.
        """
        results: list[Result] = []
        most = self._driver.limits.batch
        for first in range(0, len(ops), most):
            some = ops[first : first + most]
            collector = Collector(len(some))
            for number, op in enumerate(some):
                self.submit(op, number, collector)
            results += collector.results(self._patience)
        return results

    def submit(self, op: Op, token: object, sink: Sink) -> None:
        """Have `op` written by the writer's thread; `sink` hears of it. Never blocks, and never gives up: while there is no
        room for `op`, it is the caller's task that waits, for what `sink` will hear.
        """
        if self._pid != this_process():
            self._refuse_after_fork()
        item = Item(op, None, sink, token)
        with self._lock:
            if self._closed or self._last is not None:
                self._refuse()
            self._pending.add(item)
            if self._busy:
                return
            self._busy = True
        self._give_turn()

    def wait_no_longer_than(self, seconds: float) -> None:
        """The handle is about to be closed: from `seconds` on nobody waits for a store that fails, however patient."""
        self._last = time.monotonic() + seconds

    def wait_as_before(self) -> None:
        """The handle stays open after all."""
        self._last = None

    def close(self) -> None:
        """Write what is pending, for up to `patience_seconds`, then refuse everything."""
        if self._pid != this_process():
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
        end = time.monotonic() + self._patience
        while self._busy and self.healthy and time.monotonic() < end:
            time.sleep(self._closing_poll)
        if thread is not None:
            self._turns.put(False)
            thread.join(self._patience)
        self._abandon()

    # --- leading

    def _refuse(self) -> None:
        if self._closed:
            raise StoreError("this handle is closed. Open the database again.")
        if self._last is not None and not self.healthy and time.monotonic() >= self._last:
            raise StoreError("the handle is being closed, and the database does not answer.")

    def _refuse_after_fork(self) -> None:
        """Asked for before any lock: another thread of the parent may have held it at the fork."""
        raise StoreError("this handle was opened before fork(). Open the database again in the child process.")

    def _lead(self, item: Item) -> None:
        """One group in this thread. What is left over, a failed batch above all, goes to the writer's thread."""
        self._try(Batch([item]))
        with self._lock:
            if not self._work and not self._pending:
                self._busy = False
                return
            if not item.answered:
                item.lock = threading.Lock()
                item.lock.acquire()
        self._give_turn()

    def _give_turn(self) -> None:
        """Hand the turn to the writer's thread, which is made when it is first needed."""
        with self._lock:
            if not self._closed and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flowkit-writer", daemon=True)
                self._thread.start()
            closed = self._closed
        if not closed:
            self._turns.put(True)
            return
        while (batch := self._next()) is not None and self._try(batch):
            pass
        self._abandon()

    def _run(self) -> None:
        while self._turns.get():
            while (batch := self._next()) is not None:
                if not self._try(batch):
                    self._pause()
                    if self._closed:
                        self._abandon()
                        return

    def _pause(self) -> None:
        """Wait a second after a failure, unless the handle is closed meanwhile."""
        try:
            self._turns.get(timeout=self._retry)
        except Empty:
            return

    def _next(self) -> Batch | None:
        """The next batch, or None, which gives the turn back."""
        with self._lock:
            if self._work:
                return self._work.popleft()
            items = self._pending.take(self._driver.limits.batch, self._group_bytes)
            if not items:
                self._busy = False
                return None
        items.sort(key=RANK)
        return Batch(items)

    def _try(self, batch: Batch) -> bool:
        """Give `batch` to the driver once; False if the store failed and the batch must be given again."""
        began = 0.0 if self._told is None else time.perf_counter()
        ops = [item.op for item in batch.items]
        try:
            results = self._driver.write(ops, self._clock.now())
            if batch.unknown:
                results = [settled(self._driver, item.op, result) for item, result in zip(batch.items, results, strict=True)]
        except GuardFailed as error:
            self._halve(batch, error)
        except StoreError as error:
            self._keep(batch, error)
            return False
        except Exception as error:  # a value that the driver cannot store: its own operation only must suffer
            self._halve(batch, error)
        except BaseException as error:  # a simulated crash, an interrupted thread: nothing is known, nobody may wait
            self._answer(batch.items, [error] * len(batch.items))
        else:
            self.healthy = True
            if self._told is not None:
                self._told(ops, results, time.perf_counter() - began)
            self._answer(batch.items, results)
            if stir(ops, results):
                self._driver.nudge()
        return True

    def _halve(self, batch: Batch, error: Exception) -> None:
        self.healthy = True
        if len(batch.items) == 1:
            self._answer(batch.items, [error])
            return
        middle = len(batch.items) // 2
        halves = [Batch(items, unknown=batch.unknown) for items in (batch.items[:middle], batch.items[middle:])]
        with self._lock:
            self._work.extendleft(reversed(halves))

    def _keep(self, batch: Batch, error: StoreError) -> None:
        """The store failed. Answer those whose patience is over; an unknown outcome keeps the batch as it is."""
        self.healthy = False
        batch.unknown = batch.unknown or error.outcome == "unknown"
        now = time.monotonic()
        last = self._last is not None and now >= self._last
        tired = [item for item in batch.items if last or (item.deadline is not None and item.deadline <= now)]
        refusal = StoreError(str(error), outcome="unknown") if batch.unknown else error
        self._answer(tired, [refusal] * len(tired))
        if not batch.unknown:
            batch.items = [item for item in batch.items if not item.decided]
        with self._lock:
            if batch.items:
                self._work.appendleft(batch)
            behind = self._pending.clear() if last else []
        self._answer(behind, [StoreError(str(error))] * len(behind))

    # --- answering and following

    def _answer(self, items: Sequence[Item], outcomes: Iterable[Outcome]) -> None:
        """Tell everybody: sinks in one call each, threads as a chain that wakes itself."""
        sinks: dict[int, tuple[Sink, list[tuple[object, Outcome]]]] = {}
        first: Item | None = None
        last: Item | None = None
        for item, outcome in zip(items, outcomes, strict=True):
            if item.decided:
                continue
            item.outcome, item.decided = outcome, True
            if item.sink is not None:
                item.answered = True
                sinks.setdefault(id(item.sink), (item.sink, []))[1].append((item.token, outcome))
            elif item.lock is None:
                item.answered = True
            else:
                if last is not None:
                    last.following = item
                first, last = first or item, item
        for sink, told in sinks.values():
            self._tell(sink, told)
        if first is not None:
            self._wake(first)

    def _tell(self, sink: Sink, outcomes: list[tuple[object, Outcome]]) -> None:
        try:
            sink.deliver(outcomes)
        except Exception:  # the engine's code, whose loop may be gone; the other sinks must hear
            self._log.exception("flowkit: a commit could not be reported to the event loop")

    def _wake(self, item: Item | None) -> None:
        """Wake the first thread of a chain that still waits; it wakes the next."""
        with self._lock:
            while item is not None:
                item.answered = True
                if not item.gone and item.lock is not None:
                    item.lock.release()
                    return
                item = item.following

    def _follow(self, item: Item) -> None:
        assert item.lock is not None
        try:
            if item.deadline is None:
                item.lock.acquire()
            elif not item.lock.acquire(timeout=max(0.0, item.deadline - time.monotonic())):
                self._withdraw(item)
                item.lock.acquire()
        except BaseException:
            self._leave(item)
            raise
        if item.following is not None:
            self._wake(item.following)

    def _withdraw(self, item: Item) -> None:
        """Out of patience: an operation that no batch has taken yet was certainly not written."""
        with self._lock:
            if item.taken or item.answered:
                return
            self._pending.remove(item)
        raise StoreBusy(f"the database was not free to write for {self._patience:g} s; nothing was written. Try again.")

    def _leave(self, item: Item) -> None:
        """This thread waits no longer; if it was to wake another, that is done now."""
        with self._lock:
            item.gone = True
            following = item.following if item.answered else None
        self._wake(following)

    def _abandon(self) -> None:
        with self._lock:
            batches = [*self._work, Batch(self._pending.clear())]
            self._work.clear()
        for batch in batches:
            error = StoreError(
                "the handle was closed while the database did not answer.", outcome="unknown" if batch.unknown else "no"
            )
            self._answer(batch.items, [error] * len(batch.items))
