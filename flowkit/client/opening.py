"""`flowkit.open`: what may be asked of a handle, checked before anything is opened."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from flowkit.client.handle import Flowkit
from flowkit.clock import Clock
from flowkit.codec import Codec
from flowkit.definitions import OnError, Workflow
from flowkit.drivers import open_driver
from flowkit.drivers.base import Driver
from flowkit.drivers.sealed import SealedDriver
from flowkit.observe.wanted import observers_of
from flowkit.runtime.serving import UNVERSIONED, Rollout, version_given
from flowkit.settings import Settings, read_settings, rules

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

__all__ = ["DEFAULT_DATABASE", "open_flowkit"]

DEFAULT_DATABASE = "flowkit.db"


def open_flowkit(
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
) -> Flowkit:
    """Open a database, and by default work on its runs in the background.

    `url` is a SQLite file, ``":memory:"``, or by default ``$FLOWKIT_DB``, else ``flowkit.db`` here. ``worker=False`` only
    starts, sends and reads. `workflows` limits what this worker serves (default: all that are imported), `concurrency` how
    many runs it holds in memory. `durability` ``"process"`` may lose the newest commits on power loss. `codec` encrypts or
    compresses every value on its way to the store; all who open the database must give the same. What runs log with `logging` is
    kept beside their history from the level `capture_logs` on, as far as its loggers let it through; None keeps none.
    `settings` are intervals, thresholds and limits, `concurrency` and `max_payload` (8 MB) among them; what is not given
    comes from the environment and from pyproject.toml. With `metrics` this process counts what `Flowkit.metrics` tells;
    `telemetry` makes OpenTelemetry spans, by the global provider or by the one given, and None asks ``$FLOWKIT_OTEL``.
    `version` names this code, else ``$FLOWKIT_VERSION`` does; with `drain_older` workers of another version that joined before
    and serve nothing else make room. `Flowkit.relieved` says that this one did; the handle stays open then, as a client.

    Raises:
        StoreError, SchemaTooNew: the database cannot be opened. ValueError, TypeError: an argument that cannot be.
    """
    if durability not in ("full", "process"):
        raise ValueError(f'durability is "full" or "process", not {durability!r}')
    places = None if concurrency is None else _as_setting("concurrency", concurrency)
    limit = None if max_payload is None else _as_setting("max_payload", max_payload)
    if on_error is not None and not callable(on_error):
        raise TypeError(f"on_error is a function that takes the event, not {on_error!r}")
    served = None if workflows is None else _workflows(workflows)
    if logger is not None and not isinstance(logger, logging.Logger | logging.LoggerAdapter):
        raise TypeError(f"logger is a logging.Logger, not {logger!r}")
    if clock is not None and not callable(getattr(clock, "now", None)):
        raise TypeError(f"clock is an object whose now() gives UTC epoch seconds, not {clock!r}")
    level = _level(capture_logs)
    rollout = _rollout(version, drain_older=drain_older)
    target = url if url is not None else os.environ.get("FLOWKIT_DB") or DEFAULT_DATABASE
    chosen = read_settings(settings).settings
    observers = observers_of(telemetry, os.environ, metrics=metrics)
    driver = open_driver(
        target, durability=durability, settings=chosen
    )  # last, as nobody would close it if an argument were refused now
    return Flowkit(
        driver if codec is None else cast(Driver, SealedDriver(driver, codec)),
        worker=worker,
        workflows=served,
        concurrency=places,
        clock=clock,
        on_error=on_error,
        max_payload=limit,
        logger=logger,
        capture_logs=level,
        settings=chosen,
        observers=observers,
        rollout=rollout,
    )


def _rollout(version: str | None, *, drain_older: bool) -> Rollout:
    version = version_given(version, "argument version=", os.environ)
    if version is None:
        if drain_older:
            raise ValueError("drain_older makes workers of another version leave, so say which version= this is")
        return UNVERSIONED
    return Rollout(version, drain_older)


def _as_setting(name: str, value: object) -> int:
    """An argument that has a setting of the same name."""
    try:
        found: int = rules()[name].read(value)
    except ValueError as error:
        raise ValueError(f"setting {name} (argument {name}=): {error}") from None
    return found


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
