"""One claim of one run, from loading it to giving it up: a pass, or a rollback, and the commit that ends it.

The flow is one coroutine over a Port, so both colours share it: a plain workflow's runs to its end on a guest thread, an
async one's on the engine's loop. When the watchdog gives up a plain body, that thread is lost to the run; a new one takes
the flow from the top over the same ledger, and finds the verdict of the body waiting for it.

Longer than 400 lines because one claim of a run is one story, whose ways to end must be read together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

from flowkit.codec import decode_error, encode_error, snapshot
from flowkit.core import divergence
from flowkit.core.change import Change, Finish
from flowkit.core.entry import FailedAttempt
from flowkit.core.events import RunError
from flowkit.core.fields import OwnLog
from flowkit.core.ledger import Ledger
from flowkit.core.mail import Mail
from flowkit.core.origin import origin_in_chain, origin_of
from flowkit.core.outcome import Done, Failed, Outcome, Place, TimedOut
from flowkit.definitions import Workflow
from flowkit.drivers.base import Claim, RunView
from flowkit.engine.awaiting import AWAITING
from flowkit.engine.bodies import LiveBody
from flowkit.engine.commits import Commits, Final
from flowkit.engine.failures import error_line, failed_place
from flowkit.engine.passes import Pass, RunFacts
from flowkit.engine.plain import PLAIN
from flowkit.engine.ports import Port
from flowkit.engine.recorder import Recorder, Written
from flowkit.engine.replay import drive
from flowkit.engine.scope import Scope
from flowkit.engine.state import RunState
from flowkit.errors import Evicted, FlowkitError, HistoryDiverged, Parked, PayloadError, RunConflict, ScopeClosed, Suspended
from flowkit.runtime.deadline import Deadline
from flowkit.runtime.fence import fence_of, is_fork
from flowkit.runtime.house import House
from flowkit.runtime.rollback import Rollback

__all__ = ["Execution", "start_all"]

_LOADED_MESSAGES = 256


class Execution:
    """`house` is what the worker's executions share, `ended` is called once, when nothing of this one runs or writes any more."""

    def __init__(
        self, house: House, claim: Claim, workflow: Workflow[..., Any], code: str, recorder: Recorder,
        ended: Callable[[Execution], None], view: RunView | None = None,
    ) -> None:  # fmt: skip
        self.house = house
        self.claim = claim
        self.workflow = workflow
        self.code = code
        self.recorder = recorder
        self.running: Pass | None = None
        self.outcome: Outcome[Any] | None = None
        self.fatal: BaseException | None = None
        self.blocked: FlowkitError | None = None
        self._ended = ended
        self._view = view
        self._lock = threading.Lock()
        self._over = False
        self._wish: BaseException | None = None
        self._verdicts: dict[str, TimedOut] = {}
        self.ending = "failed"
        self._back = False
        self._handler_failures: list[FailedAttempt] = []
        self.failure = Place()  # what lists show of the run once it is rolled back
        self._deadline: Deadline | None = None
        self._fate: Literal["", "expired", "concludes"] = ""  # what has taken the run out of its pass, once and for good

    @property
    def log(self) -> OwnLog:
        """flowkit's own log, for what is to be said of this run: of most there is nothing."""
        return self.house.logger.of(run=self.claim.id, workflow=self.claim.workflow)

    # --- starting and ending ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in a thread or task of its own."""
        start_all([self])

    def run_plain(self) -> None:
        """The whole of it, on this thread. Plain workflows only."""
        drive(self._guarded(PLAIN))

    def start_task(self) -> None:
        """Begin in a task. On the loop, and for async workflows only."""
        task = asyncio.get_running_loop().create_task(self._guarded(AWAITING))
        self.house.tasks.add(task)
        task.add_done_callback(self.house.tasks.discard)

    async def _guarded(self, port: Port) -> None:
        mine = self._verdicts
        try:
            await (self._flow(port) if (watch := self.house.watch) is None else watch.around(self.claim, self._flow(port)))
        except ScopeClosed:
            pass  # fenced, cancelled or given up: whoever did that has said so
        except BaseException as error:  # a defect or a dying store: it must not die in a thread that nobody joins
            self.fatal = self.fatal or error
            self.log.exception("run %s was given up by this worker: %s", self.claim.id, error)
        if self._verdicts is mine:
            self.over()

    def over(self) -> None:
        """Nothing of this execution runs or writes any more."""
        with self._lock:
            if self._over:
                return
            self._over = True
        if self._deadline is not None:
            self._deadline.rest()
        running = self.running
        if running is not None:
            self.fatal = self.fatal or running.fatal
            running.deliver_reports()
            running.end(ScopeClosed("the pass is over"))
        self._ended(self)
        self.house.news(self.claim.run)

    def evict(self) -> None:
        """Stop soon, without failing: bodies under way may end."""
        signal = Evicted("the run leaves this worker")
        with self._lock:
            self._wish = signal
            running = self.running
        if running is None:
            return
        running.warn_bodies()
        final = running.final_park(signal)
        if final is not None:
            try:
                running.commits.commit(final)
                running.parked()
            except (FlowkitError, ScopeClosed):
                running.end(ScopeClosed("the run was taken away"))
        running.refuse(signal)

    def bodies(self) -> list[LiveBody]:
        """The bodies under way."""
        running = self.running
        if running is None:
            return []
        found = [strand.body for strand in running.root.tree()]
        return [body for body in found if body is not None and body.verdict is None]

    def at_most_once(self) -> bool:
        """Whether a body is under way that may not start a second time."""
        return any(body.at_most_once for body in self.bodies())

    def abandon(self) -> None:
        """The grace of an evict is over: close every scope and give the run up, whatever its bodies still do."""
        running = self.running
        if running is None or self._over:
            return
        running.end(ScopeClosed("the run leaves this worker"))
        self._verdicts = {}
        try:
            running.commits.commit(Final(status=_released(running), release=True))
        except FlowkitError as error:
            self.log.debug("run %s was no longer this worker's: %s", self.claim.id, error)
        self.over()

    def close(self) -> None:
        """This worker no longer owns the run: nothing of it may be written, its bodies should end."""
        running = self.running
        if running is not None:
            running.end(ScopeClosed("the run has another owner, or was cancelled"))
            self._verdicts = {}
            self.over()

    def ring(self) -> None:
        """Something happened to the run: whoever waits in it looks again, and operators' wishes are heard."""
        with self._lock:
            running = self.running
            if running is None:
                self._view = None  # what the claim brought along is old by now
        if running is None:
            return
        row = self.house.driver.get(self.claim.run)
        if row is None or row.epoch != running.ledger.epoch:
            self.close()
        elif row.request == "evict" or row.status == "paused":
            self.evict()
            self.house.evict_later(self)
        else:
            running.ring()

    def _give_up_body(self, running: Pass, location: str, verdict: TimedOut) -> None:
        """The watchdog ended a plain body that holds the run's own thread: go on in another."""
        with self._lock:
            if self._over or self.running is not running:
                return
            self._verdicts = {location: verdict}
        running.end(ScopeClosed("its body ran out of time"))
        self.house.host.guests.run(self.run_plain)

    def _expire(self) -> None:
        """The deadline came while a pass was under way: end it wherever it is, and go on from the top, to fail."""
        with self._lock:
            running = self.running
            if self._over or self._fate or running is None:
                return
            self._fate, self._verdicts = "expired", {}
        running.end(ScopeClosed("the run's deadline has come"))
        start_all([self])

    # --- the flow ---------------------------------------------------------------------------------------------------

    async def _flow(self, port: Port) -> None:
        if self.running is None:
            try:
                self._begin(self._view or await port.blocking(self._load))
            except PayloadError as error:
                return await self._block_unreadable(port, error)
        ledger = self._ledger
        if self.claim.crashes >= self.workflow.max_crashes:
            return await self._block(port, self._new_pass(), self._quarantine())
        if self._back or self.claim.status == "rolling_back":
            return await self._roll_back(port)
        deadline = self._deadline
        assert deadline is not None
        if (late := deadline.exceeded(self.claim.id)) is not None:
            return await self.fail(port, self._new_pass(), late)
        try:
            args, kwargs = self.workflow.input.decode(self._facts.input)
        except PayloadError as error:
            return await self._block(port, self._new_pass(), _unreadable(self.claim.id, error))
        if self.claim.code != self.code and ledger.entries and not self._verdicts:
            tried = await self.frozen(port, args, kwargs)
            if isinstance(tried.refusing, HistoryDiverged):
                return await self._block(port, self._new_pass(), tried.refusing)
        running = self._new_pass(verdicts=True)
        deadline.watch()
        outcome = await self._pass(port, running, args, kwargs)
        with self._lock:
            if self.running is not running or self._fate == "expired":
                return None  # given up by the watchdog; another thread goes on
            if not (isinstance(outcome, Failed) and isinstance(outcome.error, Parked | ScopeClosed)):
                self._fate = "concludes"
        return await self._conclude(port, running, outcome)

    def _load(self) -> RunView:
        view = self.house.driver.load(self.claim.run)
        if view is None:
            raise ScopeClosed("the run is gone")
        return view

    def _begin(self, view: RunView) -> None:
        row = view.row
        self._view = view
        self.ending = row.ending or "failed"
        self._handler_failures = list(view.handler_failures)
        self._fence = None if view.fork is None else fence_of(view, self.house.driver, self.log)
        self._hooked = self._fence is None  # a hook of a fork has effects, and nobody was asked for them
        self._state = RunState(view.state, view.entries)
        self._ledger = Ledger(
            run=row.seq, run_id=row.id, epoch=self.claim.epoch, head=self.claim.head, entries=view.entries,
            last=row.entries, seen=row.seen, crashes=self.claim.crashes, awaits=self.workflow.awaits,
            latest=self._state.latest(), context="" if self.house.watch is None else self.claim.context,
        )  # fmt: skip
        self._ledger.shows(Place(row.current, row.attempts, row.attempts_max, row.error_line))
        if row.ending == "failed" and view.error is not None:
            self.failure = failed_place(self._ledger, view.failed_entry, decode_error(view.error))
        self._facts = RunFacts(
            id=row.id, workflow=row.workflow, started_at=row.start_at, pass_number=row.passes,
            tags=row.tags, input=view.input,
        )  # fmt: skip
        self._deadline = Deadline(self.house, self.workflow, row.start_at, self._expire)
        complete = len(view.messages) < _LOADED_MESSAGES
        self._mail = Mail(view.messages, row.inbox if complete else view.messages[-1].seq)
        self._commits = Commits(self._ledger, self.recorder, self._heard)

    def _new_pass(self, *, verdicts: bool = False, frozen: bool = False, collects: bool = False, back: bool = False) -> Pass:
        made = Pass(
            host=self.house.host, facts=self._facts, ledger=self._ledger, recorder=self.recorder, commits=self._commits,
            report=self._report, frozen=frozen, collects=collects, awaits=self.workflow.awaits, mail=self._mail,
            state=self._state, verdicts=self._verdicts if verdicts else None,
            abandon=None if self.workflow.awaits else self._give_up_body,
            park_status="rolling_back" if back else "sleeping", stand_in=self._fence,
            deadline_at=None if back or self._deadline is None else self._deadline.at,
        )  # fmt: skip
        if not frozen:
            with self._lock:
                self.running = made
                wish = self._wish
            if wish is not None:
                made.refuse(wish)
        return made

    async def _pass(self, port: Port, running: Pass, args: Any, kwargs: Any) -> Outcome[Any]:
        if port is AWAITING:
            running.root.task = asyncio.current_task()
        outcome = await port.call(Scope(running.root), lambda: self.workflow.function(*args, **kwargs))
        running.root.task = None
        return outcome

    async def frozen(self, port: Port, args: Any, kwargs: Any, *, collects: bool = False) -> Pass:
        """A pass in which everything answers from history and nothing new executes; what it found is in the Pass."""
        tried = self._new_pass(frozen=True, collects=collects)
        await self._pass(port, tried, args, kwargs)
        return tried

    # --- how it ends ------------------------------------------------------------------------------------------------

    async def _conclude(self, port: Port, running: Pass, outcome: Outcome[Any]) -> None:
        match outcome:
            case Done(value=value):
                await self._complete(port, running, value)
            case Failed(error=HistoryDiverged() as error):
                await self._block(port, running, error)
            case Failed(error=Evicted()):
                await self.commit(port, running, Final(status=_released(running), release=True))
            case Failed(error=Suspended()):
                return  # parked, with its commit; or fenced, with none
            case Failed(error=error):
                await self.fail(port, running, error)

    async def _complete(self, port: Port, running: Pass, value: Any) -> None:
        try:
            output = self.workflow.returns.encode(value, limit=self.house.host.max_payload)
        except PayloadError as error:
            return await self.fail(port, running, error)
        running.ledger.error_line = None
        await self.commit(port, running, Final(status="completed", ending="", finish=Finish(output=output), release=True))
        self.outcome = Done(self.workflow.returns.decode(output))

    async def fail(self, port: Port, running: Pass, error: BaseException) -> None:
        """An error left the workflow: undo what can be undone, then the run is failed."""
        info = snapshot(error)
        origin = origin_in_chain(error)
        finish = Finish(error=encode_error(info), failed_entry=origin.seq if origin is not None else None)
        self.failure = failed_place(running.ledger, finish.failed_entry, info)
        running.ledger.shows(self.failure)
        mine = origin_of(error)
        if mine is None or mine.source != "step":
            running.report_after(RunError(run_id=self.claim.id, workflow=self.claim.workflow, error=info))
        if running.ledger.owes:
            await self.commit(port, running, Final(status="rolling_back", ending="failed", finish=finish))
            return await self._roll_back(port)
        await self.commit(port, running, Final(status="failed", ending="", finish=finish, release=True))
        self.outcome = Failed(error)

    async def _roll_back(self, port: Port) -> None:
        self._back = True
        try:
            args, kwargs = self.workflow.input.decode(self._facts.input)
        except PayloadError as error:
            return await self._block(port, self._new_pass(back=True), _unreadable(self.claim.id, error))
        collected = await self.frozen(port, args, kwargs, collects=True)
        running = self._new_pass(verdicts=True, back=True)
        work = Rollback(self, running, collected, self._handler_failures)
        if (misfit := work.misfit()) is not None:
            return await self._block(port, running, misfit)
        outcome = await work.perform(port)
        if self.running is running and isinstance(outcome, Failed):
            await self._conclude(port, running, outcome)

    async def _block(self, port: Port, running: Pass, error: FlowkitError) -> None:
        """Code and history do not fit, or the run keeps killing its worker: a person or new code must let it go on."""
        info = snapshot(error)
        running.refusing = None
        running.ledger.error_line = error_line(info)
        finish = Finish(error=encode_error(info))
        running.deliver_reports()
        running.forget_reports()
        running.report_after(RunError(run_id=self.claim.id, workflow=self.claim.workflow, error=info))
        await self.commit(port, running, Final(status="blocked", bump="block", bare=True, finish=finish))
        self.blocked = error
        self.outcome = Failed(error)

    async def _block_unreadable(self, port: Port, error: PayloadError) -> None:
        row = await port.blocking(lambda: self.house.driver.get(self.claim.run))
        if row is None:
            return
        self._begin(RunView(row=row, input=b"{}"))
        self._ledger.owes = row.owes
        self._hooked = not await port.blocking(lambda: is_fork(self.claim.run, self.house.driver))
        await self._block(port, self._new_pass(), _unreadable(self.claim.id, error))

    async def commit(self, port: Port, running: Pass, final: Final) -> None:
        """Write what is staged together with what the run has come to."""
        await port.commit(Scope(running.root), final)

    def _quarantine(self) -> RunConflict:
        ledger = self._ledger
        started = [entry.location for entry in ledger.open_entries() if entry.status == "running" and entry.kind == "step"]
        place = f" at {', '.join(started)}" if started else ""
        return RunConflict(
            f"run {self.claim.id} is quarantined: its worker died {self.claim.crashes} times in a row{place}. Mend what kills "
            f"the process; then resume() the run, or load other code, and it goes on with its crashes at 0."
        )

    def _heard(self, change: Change, written: Written) -> None:
        if self.running is not None:
            self.running.heard(written)
        if change.replies:
            self.house.news(self.claim.run)

    def _report(self, event: object) -> None:
        if self._hooked:
            self.house.report(self.workflow, event)


def start_all(executions: Sequence[Execution]) -> None:
    """Begin each in a thread or task of its own; the loop is woken once."""
    awaiting = [execution for execution in executions if execution.workflow.awaits]
    plain = [execution for execution in executions if not execution.workflow.awaits]
    if awaiting:
        awaiting[0].house.host.loop.call(lambda: _start_tasks(awaiting))
    if plain:
        plain[0].house.host.guests.relay([execution.run_plain for execution in plain])


def _start_tasks(executions: Sequence[Execution]) -> None:
    for execution in executions:
        execution.start_task()


def _released(running: Pass) -> str:
    return "rolling_back" if running.park_status == "rolling_back" else "pending"


def _unreadable(run_id: str, error: PayloadError) -> HistoryDiverged:
    return divergence.unreadable(run_id, "", error, "")
