"""`Flowkit`: an open database. Starts, finds and steers runs, and by default works on them too."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

import msgspec

from flowkit.client.desk import Desk
from flowkit.client.run import Run
from flowkit.clock import Clock, SystemClock
from flowkit.codec import Codec, coder
from flowkit.core.location import check_run_id, is_storable
from flowkit.core.run import STATUSES
from flowkit.definitions import OnError, Workflow
from flowkit.definitions.options import count
from flowkit.drivers import open_driver
from flowkit.drivers.base import (
    Claim,
    Driver,
    Exists,
    Result,
    RunQuery,
    RunRow,
    RunView,
    Start,
    Started,
)
from flowkit.drivers.sealed import SealedDriver
from flowkit.durations import epoch, size_bytes
from flowkit.errors import RunConflict, RunNotFound, StoreError
from flowkit.runtime.house import House
from flowkit.runtime.worker import GRACE_SECONDS, Worker

__all__ = ["DEFAULT_DATABASE", "Flowkit", "RunItem", "RunPage", "open_flowkit"]

P = ParamSpec("P")
R = TypeVar("R")
_tagged = coder()

DEFAULT_DATABASE = "flowkit.db"
INPUT_DIGITS = 32
"""How much of an input's digest is kept: 128 bits tell two inputs apart, and every run keeps them."""


@dataclass(frozen=True, slots=True)
class RunItem:
    """A row of the run list. Instants are epoch seconds."""

    id: str
    workflow: str
    status: str
    created_at: float
    updated_at: float
    tags: tuple[str, ...]
    current: str | None = None
    attempts: int = 0
    error_line: str | None = None
    wake_at: float | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of the run list, newest first. `next` goes into the next call's `after`; None at the end."""

    items: list[RunItem]
    next: int | None

    def __iter__(self) -> Iterator[RunItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Flowkit:
    """An open database; a context manager. Made by `flowkit.open`."""

    def __init__(
        self,
        driver: Driver,
        *,
        worker: bool = True,
        workflows: Iterable[Workflow[..., Any]] | None = None,
        concurrency: int = 100,
        clock: Clock | None = None,
        on_error: OnError | None = None,
        max_payload: int = 8_000_000,
        logger: logging.Logger | None = None,
        grace: float = GRACE_SECONDS,
        patience_seconds: float = 30.0,
        capture_logs: int | None = logging.INFO,
    ) -> None:
        self.driver = driver
        self._pid = os.getpid()
        self.house = House(
            driver, clock or SystemClock(), on_error=on_error, logger=logger, max_payload=max_payload,
            patience_seconds=patience_seconds, capture=capture_logs,
        )  # fmt: skip
        self.desk = Desk(driver, self.house.writer, workflows=workflows, max_payload=max_payload, clock=self.house.clock)
        self.house.news = self.desk.bulletin.post
        self._grace = grace
        self.worker: Worker | None = None
        if worker:
            self.worker = Worker(self.house, self.desk.served, concurrency=concurrency)
            self.worker.start()

    def __enter__(self) -> Flowkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Claim nothing more, give bodies 10 s to end, give all runs back, and close the database.

        In a child of `fork()` this does nothing: threads, locks and connections are the parent's.
        """
        if self._pid != os.getpid():
            return
        self.desk.bulletin.close()
        if self.worker is not None:
            self.worker.stop(self._grace)
            self.worker = None
        self.house.close()
        self.driver.close()

    # --- starting ---------------------------------------------------------------------------------------------------

    @overload
    def start(
        self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Run[R]: ...
    @overload
    def start(self, id: str | None, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]: ...
    def start(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Run[Any]:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """Start a run; durable when it returns. Starting an id twice gives the same run.

        Raises:
            TypeError, PayloadError: the arguments do not fit or cannot be stored. RunConflict: the id is taken by another
            workflow or input.
        """
        made = self.desk.meet(workflow)
        op = self._start_op(id, made, args, kwargs)
        here = self.desk.serves(made.name) and made.launch.delay == 0
        birth = self.worker if here and self.worker is not None else None
        if birth is None or not birth.reserve():
            return self._started(op, made, self.house.writer.write(op))
        op = _born_here(op, birth, made)
        try:
            result = self.house.writer.write(op)
        except BaseException:  # whatever it was, the place kept for the run is free again
            birth.unreserve()
            raise
        if isinstance(result, Started) and result.epoch == 1:
            birth.begin_reserved(*_first_claim(op, result, made))
        else:
            birth.unreserve()
        return self._started(op, made, result)

    @overload
    def run(self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run(self, id: str | None, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def run(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """Start a run and wait for its result."""
        return self.start(id, workflow, *args, **kwargs).result()

    def start_many(self, starts: Iterable[tuple[str | None, Workflow[..., Any], Sequence[Any]]]) -> list[Run[Any]]:
        """Start many runs in few writes: ``(id, workflow, args)`` each. All are checked before anything is written."""
        made = [(self.desk.meet(workflow), id, args) for id, workflow, args in starts]
        ops = [self._start_op(id, workflow, tuple(args), {}) for workflow, id, args in made]
        results: list[Result] = []
        size = self.driver.limits.batch
        for first in range(0, len(ops), size):
            results += self.house.writer.write_many(ops[first : first + size])
        return [self._started(op, each[0], result) for op, each, result in zip(ops, made, results, strict=True)]

    def _start_op(self, id: str | None, workflow: Workflow[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Start:
        run_id = f"{workflow.name}-{uuid.uuid4().hex[:12]}" if id is None else check_run_id(id)
        body = workflow.input.encode(args, kwargs, limit=self.desk.max_payload)
        return Start(
            id=run_id, workflow=workflow.name, input=body, input_hash=hashlib.sha256(body).hexdigest()[:INPUT_DIGITS],
            tags=workflow.launch.tags, start_at=self.house.clock.now() + workflow.launch.delay, token=uuid.uuid4().hex,
        )  # fmt: skip

    def _started(self, op: Start, workflow: Workflow[..., Any], result: Result) -> Run[Any]:
        match result:
            case Started(run=run):
                return Run(self.desk, op.id, run, created=True)
            case Exists(same=True, run=run) if workflow.launch.if_exists == "return":
                return Run(self.desk, op.id, run)
            case Exists(same=same, workflow=other):
                raise _taken(op, workflow, other, same)
            case _:
                raise StoreError(f"the store answered a start with {type(result).__name__}")

    # --- finding ----------------------------------------------------------------------------------------------------

    def get(self, id: str) -> Run[Any]:
        """The run with this id.

        Raises:
            RunNotFound: there is none.
        """
        row = self.driver.get(id) if isinstance(id, str) and is_storable(id) else None
        if row is None:
            raise RunNotFound(f"there is no run {id!r}")
        return Run(self.desk, row.id, row.seq)

    def runs(
        self,
        *,
        status: str | Sequence[str] | None = None,
        workflow: str | Workflow[..., Any] | None = None,
        tag: str | None = None,
        since: datetime | float | None = None,
        until: datetime | float | None = None,
        limit: int = 50,
        after: int | None = None,
    ) -> RunPage:
        """A page of the run list, newest first; `since` and `until` bound the instant of the start."""
        if status is not None and not isinstance(status, Iterable):
            raise TypeError(f"status is a status or several, not {status!r}")
        if not isinstance(workflow, Workflow | str | None):
            raise TypeError(f"workflow is a workflow or its name, not {workflow!r}")
        if not isinstance(tag, str | None):
            raise TypeError(f"tag is a text, not {tag!r}")
        statuses = (status,) if isinstance(status, str) else tuple(status or ())
        if unknown := [each for each in statuses if each not in STATUSES]:
            raise ValueError(f"there is no status {unknown[0]!r}; statuses are {', '.join(STATUSES)}")
        if count(limit, "limit") < 1:
            raise ValueError(f"limit is a number of runs, at least 1, not {limit}")
        if after is not None:  # a text from a query string would compare as greater than every number: page one for ever
            count(after, "after")
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        if not all(is_storable(each) for each in (name, tag) if each is not None):
            return RunPage([], None)
        rows = self.driver.runs(
            RunQuery(
                statuses=statuses, workflow=name, tag=tag,
                since=None if since is None else epoch(since, "since"),
                until=None if until is None else epoch(until, "until"), after=after, limit=limit + 1,
            )
        )  # fmt: skip
        page = rows[:limit]
        return RunPage([_item(row) for row in page], page[-1].seq if len(rows) > limit else None)

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, run_id: str, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send a message to a run. Durable when it returns; the same `key` to the same run is delivered once.

        Raises:
            RunNotFound, RunConflict: there is no such run, or it has ended.
        """
        self.desk.deliver(run_id, name, data, key=key, reply=False)


def open_flowkit(
    url: str | Path | None = None,
    *,
    worker: bool = True,
    workflows: Iterable[Workflow[..., Any]] | None = None,
    concurrency: int = 100,
    durability: Literal["full", "process"] = "full",
    clock: Clock | None = None,
    on_error: OnError | None = None,
    max_payload: int | str = "8MB",
    logger: logging.Logger | None = None,
    codec: Codec | None = None,
    capture_logs: str | int | None = "INFO",
) -> Flowkit:
    """Open a database, and by default work on its runs in the background.

    `url` is a SQLite file, ``":memory:"``, or by default ``$FLOWKIT_DB``, else ``flowkit.db`` here. ``worker=False`` only
    starts, sends and reads. `workflows` limits what this worker serves (default: all that are imported), `concurrency` how
    many runs it holds in memory. `durability` ``"process"`` may lose the newest commits on power loss. `codec` encrypts or
    compresses every value on its way to the store; all who open the database must give the same. What runs log with `logging` is
    kept beside their history from the level `capture_logs` on, as far as its loggers let it through; None keeps none.

    Raises:
        StoreError, SchemaTooNew: the database cannot be opened. ValueError, TypeError: an argument that cannot be.
    """
    if durability not in ("full", "process"):
        raise ValueError(f'durability is "full" or "process", not {durability!r}')
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise ValueError(f"concurrency is a number of runs, at least 1, not {concurrency!r}")
    if on_error is not None and not callable(on_error):
        raise TypeError(f"on_error is a function that takes the event, not {on_error!r}")
    served = None if workflows is None else _workflows(workflows)
    if logger is not None and not isinstance(logger, logging.Logger | logging.LoggerAdapter):
        raise TypeError(f"logger is a logging.Logger, not {logger!r}")
    if clock is not None and not callable(getattr(clock, "now", None)):
        raise TypeError(f"clock is an object whose now() gives UTC epoch seconds, not {clock!r}")
    level = _level(capture_logs)
    limit = size_bytes(max_payload, "max_payload")
    if limit < 1:
        raise ValueError(f"max_payload is at least 1 byte, not {max_payload!r}")
    target = url if url is not None else os.environ.get("FLOWKIT_DB") or DEFAULT_DATABASE
    driver = open_driver(target, durability=durability)  # last, as nobody would close it if an argument were refused now
    return Flowkit(
        driver if codec is None else cast(Driver, SealedDriver(driver, codec)),
        worker=worker,
        workflows=served,
        concurrency=concurrency,
        clock=clock,
        on_error=on_error,
        max_payload=limit,
        logger=logger,
        capture_logs=level,
    )


def _level(given: object) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
        return given
    found = logging.getLevelNamesMapping().get(given.upper()) if isinstance(given, str) else None
    if found is None:
        raise ValueError(f'capture_logs is a level of logging, such as "INFO", or None for no lines, not {given!r}')
    return found


def _workflows(given: Iterable[object]) -> list[Workflow[..., Any]]:
    made = []
    for each in given:
        if not isinstance(each, Workflow):
            raise TypeError(f"workflows are functions decorated with @workflow, not {each!r}")
        made.append(each)
    return made


def _born_here(op: Start, worker: Worker, workflow: Workflow[..., Any]) -> Start:
    return msgspec.structs.replace(op, worker=worker.id, code=worker.code_of(workflow))


def _first_claim(op: Start, started: Started, workflow: Workflow[..., Any]) -> tuple[Claim, Workflow[..., Any], RunView]:
    """The claim and the view of a run that was born owned: there is nothing to load."""
    row = RunRow(
        seq=started.run, id=op.id, workflow=op.workflow, status="running", owner=op.worker, epoch=started.epoch, passes=1,
        tags=tuple(op.tags), code=op.code, start_at=op.start_at,
    )  # fmt: skip
    claim = Claim(run=started.run, id=op.id, workflow=op.workflow, epoch=started.epoch, head=0, status="running", code=op.code)
    return claim, workflow, RunView(row=row, input=op.input)


def _taken(op: Start, workflow: Workflow[..., Any], other: str, same: bool) -> RunConflict:
    if same:
        return RunConflict(f'run {op.id!r} exists already, and the start said if_exists="reject"')
    if other != workflow.name:
        return RunConflict(f"run {op.id!r} exists already, as a run of workflow {other!r}. Choose another id.")
    return RunConflict(f"run {op.id!r} exists already, with another input. Choose another id.")


def _item(row: RunRow) -> RunItem:
    return RunItem(
        id=row.id, workflow=row.workflow, status=row.status, created_at=row.created_at, updated_at=row.updated_at,
        tags=row.tags, current=row.current, attempts=row.attempts, error_line=row.error_line, wake_at=row.wake_at,
    )  # fmt: skip
