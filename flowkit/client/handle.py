"""`Flowkit`: an open database. Starts, finds and steers runs, and by default works on them too."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar, overload

from flowkit.client.attending import health_now
from flowkit.client.births import born_here, first_claim, id_taken
from flowkit.client.desk import Desk
from flowkit.client.forking import digest
from flowkit.client.metrics import Metrics
from flowkit.client.run import Run
from flowkit.clock import Clock, SystemClock
from flowkit.codec import coder
from flowkit.core.health import Health
from flowkit.core.location import check_run_id, is_storable
from flowkit.core.run import STATUSES
from flowkit.definitions import OnError, Workflow
from flowkit.definitions.options import count
from flowkit.drivers.base import (
    Driver,
    Exists,
    Result,
    RunQuery,
    RunRow,
    Start,
    Started,
)
from flowkit.durations import epoch
from flowkit.engine.observer import Observer
from flowkit.errors import RunNotFound, StoreError
from flowkit.observe.counting import Counters
from flowkit.runtime.house import House
from flowkit.runtime.serving import UNVERSIONED, Rollout, read_serving
from flowkit.runtime.worker import Worker
from flowkit.settings import Settings

__all__ = ["Flowkit", "RunItem", "RunPage"]

P = ParamSpec("P")
R = TypeVar("R")
Duration = float | timedelta | str
_tagged = coder()
_DAY = 86_400.0


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
        concurrency: int | None = None,
        clock: Clock | None = None,
        on_error: OnError | None = None,
        max_payload: int | None = None,
        logger: logging.Logger | None = None,
        grace: float | None = None,
        patience_seconds: float | None = None,
        capture_logs: int | None = logging.INFO,
        settings: Settings | None = None,
        origin: str = "",
        observers: Sequence[Observer] = (),
        rollout: Rollout | None = None,
    ) -> None:
        """What is None is as the settings say; those are the defaults if they are None themselves."""
        self.settings = settings = Settings() if settings is None else settings
        max_payload = settings.max_payload if max_payload is None else max_payload
        self.driver = driver
        self._pid = os.getpid()
        self.house = House(
            driver, clock or SystemClock(), on_error=on_error, logger=logger, max_payload=max_payload,
            patience_seconds=patience_seconds, capture=capture_logs, settings=settings,
            observers=observers,
        )  # fmt: skip
        self.desk = Desk(
            driver,
            self.house.writer,
            workflows=workflows,
            max_payload=max_payload,
            clock=self.house.clock,
            settings=settings,
            watch=self.house.watch,
        )
        self._counters = next((each for each in observers if isinstance(each, Counters)), None)
        self._metrics: Metrics | None = None
        self.house.news = self.desk.bulletin.post
        self.worker: Worker | None = None
        if worker and "retention" in settings.given:
            driver.retain({key: length / _DAY for key, length in settings.retention.items()})
        if worker:
            self.worker = Worker(
                self.house, self.desk.served, concurrency=concurrency, origin=origin, grace=grace, rollout=rollout or UNVERSIONED
            )
            self.desk.code_here = self._code_here
            self.worker.start()

    def __enter__(self) -> Flowkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Claim nothing more, give bodies their grace to end, give all runs back, and close the database.

        In a child of `fork()` this does nothing: threads, locks and connections are the parent's.
        """
        if self._pid != os.getpid():
            return
        self.desk.bulletin.close()
        if self.worker is not None:
            self.worker.stop()
            self.worker = None
        self.house.close()
        self.driver.close()

    @property
    def relieved(self) -> str:
        """The worker of newer code that this handle's own made room for, in words; empty if it is at work, or never was."""
        newer = None if self.worker is None else self.worker.relieved
        return "" if newer is None else f"worker {newer.id} on {newer.host}, version {read_serving(newer.info).version}"

    def _code_here(self, name: str) -> str:
        worker, workflow = self.worker, self.desk.served().get(name)
        return "" if worker is None or worker.stopping or workflow is None else worker.code_of(workflow)

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
        op = born_here(op, birth, made)
        try:
            result = self.house.writer.write(op)
        except BaseException:  # whatever it was, the place kept for the run is free again
            birth.unreserve()
            raise
        if isinstance(result, Started) and result.epoch == 1:
            birth.begin_reserved(*first_claim(op, result, made))
        else:
            birth.unreserve()
        return self._started(op, made, result)

    @overload
    def run(self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run(self, id: str | None, workflow: Workflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run(
        self, id: str | None, workflow: Workflow[..., Coroutine[Any, Any, R]], /, *args: Any, fail_fast: Duration | None,
        **kwargs: Any,
    ) -> R: ...  # fmt: skip
    @overload
    def run(self, id: str | None, workflow: Workflow[..., R], /, *args: Any, fail_fast: Duration | None, **kwargs: Any) -> R: ...
    def run(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """Start a run and wait for its result, with `fail_fast` as in `Run.result`; a parameter of the workflow's own that has
        this name gets what is given by it.
        """
        fail_fast = None if "fail_fast" in self.desk.meet(workflow).input.signature.parameters else kwargs.pop("fail_fast", None)
        return self.start(id, workflow, *args, **kwargs).result(fail_fast=fail_fast)

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
        self.desk.check_tags(workflow.launch.tags)
        run_id = f"{workflow.name}-{uuid.uuid4().hex[:12]}" if id is None else check_run_id(id)
        body = workflow.input.encode(args, kwargs, limit=self.desk.max_payload)
        return Start(
            id=run_id, workflow=workflow.name, input=body, input_hash=digest(body),
            tags=workflow.launch.tags, start_at=self.house.clock.now() + workflow.launch.delay, token=uuid.uuid4().hex,
            context="" if self.house.watch is None else self.house.watch.starts(workflow.name, run_id),
        )  # fmt: skip

    def _started(self, op: Start, workflow: Workflow[..., Any], result: Result) -> Run[Any]:
        match result:
            case Started(run=run):
                return Run(self.desk, op.id, run, created=True)
            case Exists(same=True, run=run) if workflow.launch.if_exists == "return":
                return Run(self.desk, op.id, run)
            case Exists(same=same, workflow=other):
                raise id_taken(op, workflow, other, same)
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
        """A page of the run list, newest first; `after` is the `next` of the page before.

        `since` and `until` bound the instant of the start, in epoch seconds or as datetimes.

        Raises:
            TypeError, ValueError: an argument cannot be what it is to be, such as a status that does not exist.
        """
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

    def health(self, workflow: str | Workflow[..., Any] | None = None) -> Health:
        """Whether anybody serves the workflows that runs wait for, and what keeps workers from it; of all, or of one.

        Raises:
            TypeError: `workflow` is neither a workflow nor a name.
        """
        if not isinstance(workflow, Workflow | str | None):
            raise TypeError(f"workflow is a workflow or its name, not {workflow!r}")
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        own = self.worker.reporter.reports() if self.worker is not None else ()
        return health_now(self.driver, self.house.clock.now(), name, own)

    def metrics(self) -> bytes:
        """This handle's figures in Prometheus' text format: what the store says and, with ``metrics=True``, what it has counted.

        Raises:
            ModuleNotFoundError: prometheus-client is not installed.
        """
        if self._metrics is None:
            self._metrics = Metrics(self, self._counters)
        return self._metrics.text()

    # --- messages ---------------------------------------------------------------------------------------------------

    def send(self, run_id: str, name: str, data: Any = None, *, key: str | None = None) -> None:
        """Send a message to a run. Durable when it returns; the same `key` to the same run is delivered once.

        Raises:
            RunNotFound, RunConflict: there is no such run, or it has ended.
        """
        self.desk.deliver(run_id, name, data, key=key, reply=False)


def _item(row: RunRow) -> RunItem:
    return RunItem(
        id=row.id, workflow=row.workflow, status=row.status, created_at=row.created_at, updated_at=row.updated_at,
        tags=row.tags, current=row.current, attempts=row.attempts, error_line=row.error_line, wake_at=row.wake_at,
    )  # fmt: skip
