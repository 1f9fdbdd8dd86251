"""`Lab`: workflows stepped through by hand, over a store of their own and a clock that stands still.

Everything is the real engine; what is missing is the worker's threads. A pass is made when the test asks for one, on this
call, and nothing lingers, so that each wait ends its pass and every commit can be counted.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from flowkit.client.desk import Desk
from flowkit.client.handle import Flowkit
from flowkit.client.history import HistoryEntry
from flowkit.client.requests import answer_to
from flowkit.client.run import Run
from flowkit.codec import rebuild
from flowkit.core.entry import Message
from flowkit.core.fork import asked_line
from flowkit.core.run import TERMINAL
from flowkit.definitions import OnError, Workflow, known_workflows
from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver, RunRow, Send, Start, Started, Verb
from flowkit.drivers.memory import MemoryDriver
from flowkit.errors import HistoryDiverged, RunCancelled, RunConflict
from flowkit.registry import fingerprint
from flowkit.runtime.execution import Execution
from flowkit.runtime.serving import worker_info
from flowkit.settings import Settings
from flowkit.testing.clock import FakeClock
from flowkit.testing.crashes import CrashingDriver, SimulatedCrash
from flowkit.testing.recorded import RecordedRun, Replica, order_of

__all__ = ["Lab", "Pass", "Stuck"]

P = ParamSpec("P")
R = TypeVar("R")
Length = float | timedelta | str

_MAX_PASSES = 100_000
_WAITING = ("pending", "sleeping", "rolling_back")


class Stuck(Exception):
    """The run waits for something that no clock brings: a message, or `resume()`."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass came to. `wake_at` is epoch seconds; `waiting_for` names awaited messages, ``["*"]`` for any."""

    status: str
    output: Any = None
    error: BaseException | None = None
    wake_at: float | None = None
    waiting_for: Sequence[str] = ()


class Lab:
    """A store, a clock and an engine for tests. Plain, a context manager, and for workflows of both colours."""

    def __init__(
        self,
        url: str | Path | None = None,
        *,
        driver: Driver | None = None,
        clock: FakeClock | None = None,
        on_error: OnError | None = None,
        max_payload: int | None = None,
        settings: Settings | None = None,
    ) -> None:
        """`settings` are the defaults if they are None: a test must not depend on the environment."""
        if driver is None:
            driver = MemoryDriver(settings=settings) if url is None else open_driver(url, settings=settings)
        self._settings = settings
        self.clock = clock or FakeClock()
        self._driver = CrashingDriver(driver)
        self._on_error = on_error
        self._max_payload = max_payload
        self._code: dict[str, Workflow[..., Any]] = {}
        self._replica = Replica(self.clock, self._deliver)
        self._open()

    def _open(self) -> None:
        self.client = Flowkit(
            cast(Driver, self._driver),
            worker=False,
            workflows=(),
            clock=self.clock,
            on_error=self._on_error,
            max_payload=self._max_payload,
            settings=self._settings,
        )
        house = self.client.house
        house.host = _still(house.host, self._replica)
        self._worker = self._driver.join(worker_info(), self.clock.now())

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the engine and close the store."""
        self.client.close()

    # --- runs -------------------------------------------------------------------------------------------------------

    @overload
    def start(
        self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Run[R]: ...
    @overload
    def start(self, id: str | None, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]: ...
    def start(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Run[Any]:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """Start a run. It does nothing until a pass is made."""
        run = self.call(lambda: self.client.start(id, workflow, *args, **kwargs))
        self._code.setdefault(run.id, workflow)
        return LabRun(self, run)

    def load(self, record: Mapping[str, Any], workflow: Workflow[..., Any]) -> LoadedRun:
        """Start a run that was recorded elsewhere, with its id, input and messages, and move the clock to its start.

        `record` is what ``flowkit export`` wrote. Steps, sleeps, sends and `version()` are answered from it at the recorded
        instants, and no rollback of theirs is called. What ended a failed run really runs, and so does what it never came to.

        Raises:
            ValueError: the record is of another format. RunConflict: this Lab has a run of that id.
        """
        recorded = RecordedRun(record)
        self.clock.set(max(recorded.created_at, recorded.start_at))
        start = Start(
            id=recorded.id, workflow=workflow.name, input=recorded.input, input_hash=uuid.uuid4().hex, tags=recorded.tags,
            start_at=recorded.start_at, token=uuid.uuid4().hex,
        )  # fmt: skip
        if not isinstance(self.call(lambda: self.client.house.writer.write(start)), Started):
            raise RunConflict(f"this Lab has a run {recorded.id!r} already: load() it into another one")
        self._code[recorded.id] = workflow
        self._replica.add(recorded)
        return LoadedRun(self, self.client.get(recorded.id), recorded, workflow)

    def _deliver(self, run_id: str, message: Message) -> None:
        """A recorded message, at its recorded instant and not as a write of the test's. A run that has ended takes none."""
        op = Send(to=run_id, message_id=message.id, name=message.name, body=message.body, key=message.key, sender=message.sender)
        self._driver.inner.write([op], message.sent_at)

    def adopt(self, run: Run[Any], origin: str) -> Run[Any]:
        """The handle of a fork, which has the code that its original has here."""
        if origin in self._code:
            self._code.setdefault(run.id, self._code[origin])
        return LabRun(self, run)

    def get(self, id: str) -> Run[Any]:
        """The run with this id."""
        return LabRun(self, self.client.get(id))

    def send(self, run_id: str, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send a message to a run."""
        self.call(lambda: self.client.send(run_id, name, data, key=key))

    def history(self, id: str, archived: bool = False) -> list[HistoryEntry]:
        """The run's entries in order of seq."""
        return self.client.get(id).history(archived)

    def state(self, id: str) -> dict[str, Any]:
        """The run's own durable state."""
        return self.client.get(id).state()

    # --- time and crashes -------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The clock's instant, epoch seconds."""
        return self.clock.now()

    def advance(self, duration: float | timedelta | str) -> None:
        """Move the clock on."""
        self.clock.advance(duration)

    @property
    def commits(self) -> int:
        """Durable writes so far: starts, sends, verbs and commits of runs."""
        return self._driver.commits

    def crash_at(self, k: int, when: Literal["before", "after"] = "before") -> None:
        """Have the k-th durable write from now raise SimulatedCrash, before it or after it landed."""
        self._driver.crash_at(k, when)

    def crash(self) -> None:
        """Forget all memory; the store stays. Nothing waits for a lease."""
        self.client.house.close()
        self._driver.reap(self.clock.now(), dead=[self._worker])
        self._open()

    # --- passes -----------------------------------------------------------------------------------------------------

    def run_once(self, id: str, *, workflow: Workflow[..., Any] | None = None) -> Pass:
        """Exactly one pass of the run, due or not, but none before a delayed start; `workflow` is other code, kept from now on.

        Raises:
            SimulatedCrash: a write that `crash_at` chose was reached. RunConflict: another worker has the run in hand.
        """
        row = self._row(id)
        if workflow is not None:
            self._code[id] = workflow
        if self._is_delayed(row) or row.status in TERMINAL or row.status == "paused":
            return self._report(row)
        if row.status == "blocked" and not isinstance(self._recorded(id), HistoryDiverged):
            return self._report(row)
        made = self._workflow(row)
        self.client.desk.meet(made)
        code = fingerprint(made)
        self._replica.deliver_due(id)
        claim = self._driver.take(self._worker, row.seq, code, self.clock.now())
        if claim is None:
            raise RunConflict(f"run {id!r} is executed by somebody else")
        self._execute(Execution, claim, made, code)
        return self._report(self._row(id))

    def run_to_end(self, id: str, *, workflow: Workflow[..., Any] | None = None) -> Any:
        """Passes until the run has ended, the clock jumping to each wake; its output.

        Raises:
            What the run failed with; RunCancelled; HistoryDiverged or RunConflict if it is blocked; Stuck if only a message
            or `resume()` helps.
        """
        row = self._row(id)
        if row.status in _WAITING and row.wake_at is not None and row.wake_at > self.clock.now():
            self.clock.set(row.wake_at)
        for _ in range(_MAX_PASSES):
            made = self.run_once(id, workflow=workflow)
            workflow = None
            match made.status:
                case "completed":
                    return made.output
                case "cancelled":
                    raise RunCancelled(f"run {id!r} was cancelled")
                case "failed" | "blocked":
                    assert made.error is not None
                    raise made.error
                case "paused":
                    asks = asked_line(made.status, self._row(id).error_line)
                    raise Stuck(f"run {id!r} {asks}" if asks else f"run {id!r} is paused: resume() it")
            self._jump(id, made)
        raise Stuck(f"run {id!r} made {_MAX_PASSES} passes without an end")

    def _jump(self, id: str, made: Pass) -> None:
        instants = [at for at in (made.wake_at, self._replica.next_message_at(id)) if at is not None]
        if not instants:
            names = ", ".join(made.waiting_for)
            raise Stuck(f"run {id!r} waits for a message ({names}): send() it")
        if min(instants) > self.clock.now():
            self.clock.set(min(instants))

    # --- below ------------------------------------------------------------------------------------------------------

    def _execute(self, kind: type[Execution], claim: Any, workflow: Workflow[..., Any], code: str) -> None:
        done = threading.Event()
        house = self.client.house
        execution = kind(house, claim, workflow, code, house.recorder(claim.run), lambda _: done.set())
        execution.start()
        done.wait()
        if execution.fatal is not None:
            if isinstance(execution.fatal, SimulatedCrash):
                self.crash()
            raise execution.fatal

    def call(self, work: Any) -> Any:
        """What `work` returns; a simulated crash in it makes the Lab forget its memory."""
        try:
            return work()
        except SimulatedCrash:
            self.crash()
            raise

    def _is_delayed(self, row: RunRow) -> bool:
        """Whether its start was asked for later than now. A clock that was set back delays nobody."""
        return row.passes == 0 and (row.wake_at or 0.0) > max(self.clock.now(), row.created_at)

    def _row(self, id: str) -> RunRow:
        run = self.client.get(id)
        row = self._driver.get(run.id)
        assert isinstance(row, RunRow)
        return row

    def _workflow(self, row: RunRow) -> Workflow[..., Any]:
        made = self._code.get(row.id) or next((w for w in self._code.values() if w.name == row.workflow), None)
        made = made or known_workflows().get(row.workflow)
        if made is None:
            raise RunConflict(f"this Lab has no code for workflow {row.workflow!r}: give run_once(…, workflow=…)")
        return made

    def _recorded(self, id: str) -> BaseException | None:
        info = self.client.get(id).error()
        return None if info is None else rebuild(info)

    def _report(self, row: RunRow) -> Pass:
        run = self.client.get(row.id)
        error = self._recorded(row.id) if row.status in ("failed", "blocked") else None
        made = self._code.get(row.id)
        if made is not None:
            self.client.desk.meet(made)
        output = run.output() if row.status == "completed" else None
        return Pass(row.status, output, error, row.wake_at, list(row.waiting or ()))


class LabRun(Run[R]):
    """A Run in a Lab: it stays usable after a crash, and `result()` makes the passes that are needed."""

    def __init__(self, lab: Lab, run: Run[Any]) -> None:
        self._lab = lab
        super().__init__(lab.client.desk, run.id, run.seq, created=run.created)

    @property
    def desk(self) -> Desk:
        """The Lab's present one: it changes with every crash."""
        return self._lab.client.desk

    @desk.setter
    def desk(self, desk: Desk) -> None:
        """Never kept."""

    def result(self, timeout: Length | None = None, *, fail_fast: Length | None = None) -> R:
        """As `Run.result`, after all passes that the run can make; TimeoutError if it is then still waiting.

        The Lab itself works on the run, so there is nothing to `fail_fast` for.
        """
        try:
            self._lab.run_to_end(self.id)
        except Stuck as error:
            raise TimeoutError(str(error)) from error
        except Exception:  # the run's own: told below as everywhere
            pass
        return super().result(timeout=0 if timeout is None else timeout)

    def request(self, name: str, data: Any = None, *, timeout: Length | None = None, fail_fast: Length | None = None) -> Any:
        """As `Run.request`, after one pass of the receiver."""
        message_id = self._lab.call(lambda: self.desk.deliver(self.id, name, data, key=None, reply=True))
        self._lab.run_once(self.id)
        return answer_to(message_id, name, self, 0 if timeout is None else timeout)

    def send(self, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send the run a message."""
        self._lab.send(self.id, name, data, key=key)

    def recover(self) -> None:
        """A failed run goes on."""
        self._lab.call(super().recover)

    def replay(self, from_step: str | None = None) -> None:
        """Start over from an entry, or from the top."""
        self._lab.call(partial(super().replay, from_step))

    def resolve(self, step: str | None = None, **given: Any) -> None:
        """Give the outcome of the step that stopped the run."""
        self._lab.call(partial(super().resolve, step, **given))

    def fork(self, at: str | int, **changed: Any) -> Run[R]:
        """A new run with this one's history before the entry `at`, and that entry changed."""
        return self._lab.adopt(self._lab.call(partial(super().fork, at, **changed)), self.id)

    def _steer(self, verb: Verb) -> None:
        self._lab.call(partial(super()._steer, verb))


class LoadedRun(LabRun[Any]):
    """A run that was loaded from a record, and what that says of its end."""

    def __init__(self, lab: Lab, run: Run[Any], recorded: RecordedRun, workflow: Workflow[..., Any]) -> None:
        super().__init__(lab, run)
        self._recorded = recorded
        self._workflow = workflow

    def recorded_output(self) -> Any:
        """What the recorded run returned, decoded by the workflow's annotation as it is now; None if it did not."""
        return None if self._recorded.output is None else self._workflow.returns.decode(self._recorded.output)

    def order(self) -> dict[str, list[str]]:
        """The entries of each scope in their order, as far as code decides it: to be compared with `recorded_order`."""
        return order_of(self.history(), self._recorded, self._removed())

    def recorded_order(self) -> dict[str, list[str]]:
        """`order` of the recorded run."""
        return order_of(self._recorded.entries.values(), self._recorded, self._removed())

    def _removed(self) -> set[str]:
        now = {entry.location for entry in self.history() if entry.kind == "removed"}
        return now | {entry.location for entry in self._recorded.entries.values() if entry.kind == "removed"}


def _still(host: Any, stand_in: Replica) -> Any:
    """Nothing lingers, no start of a body is recorded, and chance is fixed."""
    return replace(host, linger=0.0, record_after=None, chance=lambda: 0.5, stand_in=stand_in)
