"""One frozen pass of one stored run, for what it finds and not for what it does."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowkit.check.effects import refuse_effects
from flowkit.core import divergence
from flowkit.core.change import Change
from flowkit.core.entry import Message
from flowkit.core.ledger import Ledger
from flowkit.core.location import split
from flowkit.core.mail import Mail
from flowkit.core.outcome import Done, Failed, Outcome
from flowkit.core.run import TERMINAL
from flowkit.core.trial import Called, Trial
from flowkit.definitions import Workflow
from flowkit.drivers.base import Driver, RunView
from flowkit.engine.awaiting import AWAITING
from flowkit.engine.commits import Commits
from flowkit.engine.passes import Pass, RunFacts
from flowkit.engine.plain import PLAIN
from flowkit.engine.ports import Port
from flowkit.engine.recorder import Answer
from flowkit.engine.replay import drive
from flowkit.engine.scope import Scope
from flowkit.engine.state import RunState
from flowkit.errors import HistoryDiverged, PayloadError, ScopeClosed, Suspended
from flowkit.runtime.fence import Fence, fence_of
from flowkit.runtime.house import House
from flowkit.runtime.rollback import misfit_of

__all__ = ["Rehearsal", "TooSlow", "collect", "rehearse"]


class TooSlow(Exception):
    """The pass did not end in its time."""


class GivenUp(SystemExit):
    """Raised in user code whose pass has taken too long. `except Exception` cannot catch it, and no thread reports it."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the pass came to. `error` left the workflow and is no misfit: the run would fail with it."""

    misfit: HistoryDiverged | None
    error: BaseException | None
    frontiers: Mapping[str, str]
    calls: Sequence[Called]
    missed: int | None = None
    """The number of the entry that the misfit is about."""
    outcome: Outcome[Any] | None = None
    """What the workflow function came to, None if it was not called."""
    moved: Sequence[str] = ()
    """Numbered entries that were called with other arguments than recorded."""


def rehearse(house: House, workflow: Workflow[..., Any], view: RunView, trial: Trial, seconds: float) -> Rehearsal:
    """Pass through `workflow` over the run's history, with what `trial` takes for granted.

    Raises:
        TooSlow: it took longer than `seconds`; what it does from here on comes to nothing. Effect: it is no use to go on.
    """
    refuse_effects()
    try:
        args, kwargs = workflow.input.decode(view.input)
    except PayloadError as unreadable:
        misfit = divergence.unreadable(view.row.id, "", unreadable, "")
        misfit.__cause__ = unreadable
        return Rehearsal(misfit, None, {}, ())
    running = _frozen_pass(house, workflow, view, trial)
    outcome = _run(house, running, lambda: workflow.function(*args, **kwargs), seconds)
    if trial.effects:
        raise trial.effects[0]
    refusing = running.refusing if isinstance(running.refusing, HistoryDiverged) else None
    found = misfit_of(running) if running.collects else refusing
    error = outcome.error if isinstance(outcome, Failed) else None
    ordinary = None if isinstance(error, Suspended | HistoryDiverged) else error
    frontiers = {"": ""} if isinstance(outcome, Done) or ordinary is not None else dict(running.frontiers)
    return Rehearsal(
        found, ordinary, frontiers, tuple(trial.calls), _seq_at(running, found), outcome, tuple(dict.fromkeys(trial.moved))
    )  # fmt: skip


def collect(house: House, workflow: Workflow[..., Any], view: RunView, seconds: float) -> Pass:
    """The frozen pass with which a rollback would begin, whatever the run's status: its `handlers` are what it found.

    Raises:
        TooSlow, Effect: as `rehearse`. PayloadError: the run's input does not decode.
    """
    refuse_effects()
    args, kwargs = workflow.input.decode(view.input)
    trial = Trial()
    running = _frozen_pass(house, workflow, view, trial, collects=True)
    _run(house, running, lambda: workflow.function(*args, **kwargs), seconds)
    if trial.effects:
        raise trial.effects[0]
    return running


def _frozen_pass(
    house: House, workflow: Workflow[..., Any], view: RunView, trial: Trial, *, collects: bool = False
) -> Pass:  # fmt: skip
    row = view.row
    ledger = Ledger(
        run=row.seq, run_id=row.id, epoch=row.epoch, head=row.head, entries=view.entries, last=row.entries, seen=row.seen,
        awaits=workflow.awaits,
    )  # fmt: skip
    facts = RunFacts(
        id=row.id, workflow=row.workflow, started_at=row.start_at, pass_number=row.passes, tags=row.tags, input=view.input,
    )  # fmt: skip
    recorder = _Reader(row.seq, house.driver, house.clock.now())
    return Pass(
        host=house.host, facts=facts, ledger=ledger, recorder=recorder, commits=Commits(ledger, recorder, lambda *_: None),
        report=lambda *_: None, frozen=True, trial=trial,
        collects=collects or row.status == "rolling_back" or bool(row.ending),
        awaits=workflow.awaits, mail=Mail(view.messages, view.messages[-1].seq if view.messages else 0),
        state=RunState(view.state, view.entries), stand_in=_fence(house, view),
    )  # fmt: skip


def _fence(house: House, view: RunView) -> Fence | None:
    """What answers for an open fork, read beforehand: user code's threads may open no database."""
    if view.row.status in TERMINAL:
        return None
    try:
        fence = fence_of(view, house.driver, house.logger)
    except PayloadError:
        return None  # the verdict says so
    if fence is not None:
        fence.read_original()
    return fence


def _seq_at(running: Pass, misfit: HistoryDiverged | None) -> int | None:
    scope, name = split(misfit.location if misfit is not None else "")
    return running.ledger.children.get(scope, {}).get(name)


def _run(house: House, running: Pass, function: Callable[[], Any], seconds: float) -> Outcome[Any]:
    ended = threading.Event()
    found: list[Outcome[Any]] = []

    async def go(port: Port) -> None:
        running.root.task = asyncio.current_task() if port is AWAITING else None
        try:
            found.append(await port.call(Scope(running.root), function))
        finally:
            ended.set()

    if running.root.awaits:
        house.host.loop.call(lambda: _keep(house, go(AWAITING)))
    else:
        house.host.guests.run(lambda: drive(go(PLAIN)))
    if not ended.wait(seconds):
        threads = {strand.thread for strand in running.root.tree()} - {0}
        running.end(ScopeClosed("the check is over"))
        for thread in threads:
            _interrupt(thread)
        raise TooSlow
    return found[0] if found else Failed(ScopeClosed("the check is over"))


def _interrupt(thread: int) -> None:
    """Have user code that loops for ever end where it stands: it would keep this process busy for good. What blocks is left.

    The thread is lost with it, or the loop: whoever asks for this gives up all threads that the pass had.
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(GivenUp))


def _keep(house: House, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    house.tasks.add(task)
    task.add_done_callback(house.tasks.discard)


class _Reader:
    """A Recorder that only reads: a frozen pass has nothing to write, and this one could not."""

    def __init__(self, run: int, driver: Driver, now: float) -> None:
        self._run = run
        self._driver = driver
        self._now = now
        self.healthy = True

    def now(self) -> float:
        return self._now

    def write(self, change: Change) -> Answer:
        raise AssertionError("a frozen pass wrote")

    def submit(self, change: Change, landed: Callable[[Answer | BaseException], None]) -> None:
        raise AssertionError("a frozen pass wrote")

    def inbox(self, names: Collection[str], limit: int) -> list[Message]:
        return self._driver.inbox(self._run, names, limit)

    def inbox_number(self) -> int:
        row = self._driver.get(self._run)
        return 0 if row is None else row.inbox
