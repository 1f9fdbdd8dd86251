"""The awaitable twins of `Flowkit` and `Run`, for any event loop: what a call waits for happens in threads of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import copy_context
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from msgspec import UNSET

from flowkit.client.forking import DEFAULT_REASON
from flowkit.client.handle import Flowkit as PlainFlowkit
from flowkit.client.handle import RunPage
from flowkit.client.history import HistoryEntry, Snapshot
from flowkit.client.opening import open_flowkit
from flowkit.client.run import Run as PlainRun
from flowkit.client.waits import gone
from flowkit.clock import Clock
from flowkit.codec import Codec
from flowkit.core.health import Health
from flowkit.definitions import OnError, Workflow
from flowkit.engine.threads import Guests
from flowkit.errors import ErrorInfo
from flowkit.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["Flowkit", "Run", "open"]

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")
Duration = float | timedelta | str

_threads = Guests("flowkit-aio")


def _forget_threads() -> None:
    """In a forked child: the idle threads are the parent's."""
    global _threads
    _threads = Guests("flowkit-aio")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


async def _in_thread(work: Callable[[], T], lost: Callable[[T], None] | None = None) -> T:
    """What `work` returns, called in a thread that nobody else waits for.

    If this is cancelled, waits in `work` end, and `lost` gets what it returns all the same.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    cancelled = threading.Event()
    context = copy_context()
    context.run(gone.set, cancelled)

    def job() -> None:
        try:
            value = context.run(work)
            if cancelled.is_set() and lost is not None:
                return lost(value)
        except BaseException as error:  # it belongs to the caller, in its own task
            _tell(loop, done, error=error)
        else:
            _tell(loop, done, value=value)

    _threads.run(job)
    try:
        return await done
    finally:
        cancelled.set()


def _tell(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], *, value: Any = None, error: BaseException | None = None
) -> None:
    def tell() -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(value)

    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


class Run(Generic[R]):
    """As `flowkit.Run`, awaitable."""

    def __init__(self, run: PlainRun[R]) -> None:
        self._run = run
        self.id = run.id
        self.created = run.created

    def __repr__(self) -> str:
        return repr(self._run)

    async def status(self) -> str:
        """As `flowkit.Run.status`."""
        return await _in_thread(self._run.status)

    async def result(self, timeout: Duration | None = None, *, fail_fast: Duration | None = None) -> R:  # noqa: ASYNC109  # the same signature as the plain one
        """As `flowkit.Run.result`."""
        return await _in_thread(lambda: self._run.result(timeout, fail_fast=fail_fast))

    async def output(self) -> R | None:
        """As `flowkit.Run.output`."""
        return await _in_thread(self._run.output)

    async def error(self) -> ErrorInfo | None:
        """As `flowkit.Run.error`."""
        return await _in_thread(self._run.error)

    async def state(self) -> dict[str, Any]:
        """As `flowkit.Run.state`."""
        return await _in_thread(self._run.state)

    async def history(self, archived: bool = False) -> list[HistoryEntry]:
        """As `flowkit.Run.history`."""
        return await _in_thread(lambda: self._run.history(archived))

    async def watch(self) -> AsyncIterator[Snapshot]:
        """As `flowkit.Run.watch`."""
        snapshots = self._run.watch()
        while (snapshot := await _in_thread(lambda: next(snapshots, None))) is not None:
            yield snapshot

    async def send(self, name: str, data: Any = None, *, key: str | None = None) -> None:
        """As `flowkit.Run.send`."""
        await _in_thread(lambda: self._run.send(name, data, key=key))

    async def request(
        self,
        name: str,
        data: Any = None,
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109  # the same signature
        fail_fast: Duration | None = None,
    ) -> Any:
        """As `flowkit.Run.request`."""
        return await _in_thread(lambda: self._run.request(name, data, timeout=timeout, fail_fast=fail_fast))

    async def wake(self) -> None:
        """As `flowkit.Run.wake`."""
        await _in_thread(self._run.wake)

    async def evict(self) -> None:
        """As `flowkit.Run.evict`."""
        await _in_thread(self._run.evict)

    async def pause(self) -> None:
        """As `flowkit.Run.pause`."""
        await _in_thread(self._run.pause)

    async def resume(self) -> None:
        """As `flowkit.Run.resume`."""
        await _in_thread(self._run.resume)

    async def cancel(self, rollback: bool = False) -> None:
        """As `flowkit.Run.cancel`."""
        await _in_thread(lambda: self._run.cancel(rollback))

    async def recover(self) -> None:
        """As `flowkit.Run.recover`."""
        await _in_thread(self._run.recover)

    async def replay(self, from_step: str | None = None) -> None:
        """As `flowkit.Run.replay`."""
        await _in_thread(lambda: self._run.replay(from_step))

    async def resolve(
        self,
        step: str | None = None,
        *,
        reason: str,
        value: Any = UNSET,
        error: BaseException | None = None,
        again: bool = False,
        real: bool = False,
        args: Mapping[str, Any] | None = None,
        rollback: bool = True,
    ) -> None:
        """As `flowkit.Run.resolve`."""
        await _in_thread(
            lambda: self._run.resolve(
                step, reason=reason, value=value, error=error, again=again, real=real, args=args, rollback=rollback
            )
        )

    async def fork(
        self,
        at: str | int,
        *,
        value: Any = UNSET,
        error: BaseException | None = None,
        message: Any = UNSET,
        name: str | None = None,
        id: str | None = None,
        reason: str = DEFAULT_REASON,
    ) -> Run[R]:
        """As `flowkit.Run.fork`."""
        return Run(
            await _in_thread(
                lambda: self._run.fork(at, value=value, error=error, message=message, name=name, id=id, reason=reason)
            )
        )


class Flowkit:
    """As `flowkit.Flowkit`, awaitable; an async context manager. Made by `flowkit.aio.open`."""

    def __init__(self, handle: PlainFlowkit) -> None:
        self._handle = handle

    async def __aenter__(self) -> Flowkit:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As `flowkit.Flowkit.close`."""
        await _in_thread(self._handle.close)

    @property
    def relieved(self) -> str:
        """As `flowkit.Flowkit.relieved`."""
        return self._handle.relieved

    @overload
    async def start(
        self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Run[T]: ...
    @overload
    async def start(self, id: str | None, workflow: Workflow[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Run[T]: ...
    async def start(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Run[Any]:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """As `flowkit.Flowkit.start`."""
        return Run(await _in_thread(lambda: self._handle.start(id, workflow, *args, **kwargs)))

    @overload
    async def run(
        self, id: str | None, workflow: Workflow[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    async def run(self, id: str | None, workflow: Workflow[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    async def run(
        self, id: str | None, workflow: Workflow[..., Coroutine[Any, Any, T]], /, *args: Any, fail_fast: Duration | None,
        **kwargs: Any,
    ) -> T: ...  # fmt: skip
    @overload
    async def run(
        self, id: str | None, workflow: Workflow[..., T], /, *args: Any, fail_fast: Duration | None, **kwargs: Any
    ) -> T: ...
    async def run(self, id: str | None, workflow: Workflow[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportInconsistentOverload]  # `...` takes any P
        """As `flowkit.Flowkit.run`."""
        return await _in_thread(lambda: self._handle.run(id, workflow, *args, **kwargs))

    async def start_many(self, starts: Iterable[tuple[str | None, Workflow[..., Any], Sequence[Any]]]) -> list[Run[Any]]:
        """As `flowkit.Flowkit.start_many`."""
        return [Run(run) for run in await _in_thread(lambda: self._handle.start_many(starts))]

    async def get(self, id: str) -> Run[Any]:
        """As `flowkit.Flowkit.get`."""
        return Run(await _in_thread(lambda: self._handle.get(id)))

    async def runs(
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
        """As `flowkit.Flowkit.runs`."""
        return await _in_thread(
            lambda: self._handle.runs(
                status=status, workflow=workflow, tag=tag, since=since, until=until, limit=limit, after=after
            )
        )

    async def health(self, workflow: str | Workflow[..., Any] | None = None) -> Health:
        """As `flowkit.Flowkit.health`."""
        return await _in_thread(lambda: self._handle.health(workflow))

    async def metrics(self) -> bytes:
        """As `flowkit.Flowkit.metrics`."""
        return await _in_thread(self._handle.metrics)

    async def send(self, run_id: str, name: str, data: Any = None, *, key: str | None = None) -> None:
        """As `flowkit.Flowkit.send`."""
        await _in_thread(lambda: self._handle.send(run_id, name, data, key=key))


class _Opening:
    """What `open` gives: to be awaited, or entered with ``async with``."""

    def __init__(self, work: Callable[[], PlainFlowkit]) -> None:
        self._work = work
        self._opened: Flowkit | None = None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def _open(self) -> Flowkit:
        self._opened = Flowkit(await _in_thread(self._work, PlainFlowkit.close))
        return self._opened

    async def __aenter__(self) -> Flowkit:
        return await self._open()

    async def __aexit__(self, *_: object) -> None:
        if self._opened is not None:
            await self._opened.close()


def open(
    url: str | Path | None = None,
    *,
    worker: bool = True,
    workflows: Iterable[Workflow[..., Any]] | None = None,
    concurrency: int | None = None,
    durability: Literal["full", "process"] = "full",
    clock: Clock | None = None,
    on_error: OnError | None = None,
    max_payload: int | str | None = None,
    logger: logging.Logger | None = None,
    codec: Codec | None = None,
    capture_logs: str | int | None = "INFO",
    settings: Settings | Mapping[str, object] | None = None,
    metrics: bool = False,
    telemetry: bool | TracerProvider | None = None,
    version: str | None = None,
    drain_older: bool = False,
) -> _Opening:
    """As `flowkit.open`: ``fk = await open(…)``, or ``async with open(…) as fk``."""
    return _Opening(
        lambda: open_flowkit(
            url, worker=worker, workflows=workflows, concurrency=concurrency, durability=durability, clock=clock,
            on_error=on_error, max_payload=max_payload,
            codec=codec, logger=logger, capture_logs=capture_logs, settings=settings,
            metrics=metrics, telemetry=telemetry, version=version, drain_older=drain_older,
        )
    )  # fmt: skip
