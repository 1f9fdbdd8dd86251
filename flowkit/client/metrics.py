"""The figures of a handle in Prometheus' text format: what the store says, asked with bounds, and what this process counted.

A scrape never counts all runs. Of each status a thousand are counted, beyond that stands the last exact count, which is made
in the background; of what is due and what waits in inboxes a thousand are counted, and no more. `prometheus_client` is
imported by whoever asks for the figures, since it is an extra.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flowkit.client.across import AcrossReader
from flowkit.client.reader import Reader
from flowkit.errors import FlowkitError
from flowkit.observe.counting import Counters, Histogram

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["CONTENT_TYPE", "MISSING", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MISSING = "metrics need prometheus-client: pip install 'flowkit-engine[metrics]'"

_COUNTED = 1_000


class StoreFigures:
    """What the store says of all runs, at most once in the time of the setting. Thread-safe."""

    def __init__(self, flowkit: Flowkit) -> None:
        self._settings = flowkit.settings
        self._reader = Reader(flowkit)
        self._across = AcrossReader(flowkit)
        self._lock = threading.Lock()
        self._until = 0.0
        self._last: dict[str, Mapping[tuple[str, ...], float]] = {}

    def read(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        """Name of the figure → values by label; only ``up`` while the store does not answer."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._last = {"up": {(): 1.0}, **dict(self._look())}
                except FlowkitError:  # the store fails or is closed: that is a figure, too
                    self._last = {"up": {(): 0.0}}
                self._until = time.monotonic() + self._settings.metrics_kept
            return self._last

    def _look(self) -> Iterator[tuple[str, Mapping[tuple[str, ...], float]]]:
        reader = self._reader
        yield "runs", {(status,): float(count.number) for status, count in reader.counts().items()}
        now = reader.now()
        timers = [row.wake_at for row in reader.timers(_COUNTED) if row.wake_at is not None and row.wake_at <= now]
        yield "due", {(): float(len(timers))}
        yield "late", {(): float(sum(now - at > self._settings.metrics_late for at in timers))}
        yield "oldest", {(): max((now - at for at in timers), default=0.0)}
        if (kept := self._across.kept(_COUNTED)) is not None:
            yield "inbox", {(): float(len(kept))}
        yield "workers", {(): float(sum(worker.alive for worker in reader.workers()))}


class Metrics:
    """The figures of one open `Flowkit`. `counters` are None where this process counts nothing.

    Raises:
        ModuleNotFoundError: prometheus-client is not installed.
    """

    def __init__(self, flowkit: Flowkit, counters: Counters | None = None) -> None:
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(MISSING) from error
        self._flowkit = flowkit
        self._counters = counters
        self._figures = StoreFigures(flowkit)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of it, as `CONTENT_TYPE` says."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def collect(self) -> Iterator[Any]:
        """What a registry of `prometheus_client` asks of a collector."""
        yield from _of_store(self._figures.read())
        yield from _of_house(self._flowkit)
        if self._counters is not None:
            yield from _of_counters(self._counters)


def _of_store(figures: Mapping[str, Mapping[tuple[str, ...], float]]) -> Iterator[Any]:
    for key, name, about, labels in (
        ("up", "flowkit_store_up", "1 if the store answered, else 0 and no other figure of it.", ()),
        ("runs", "flowkit_runs", "Runs by status; beyond 1,000 the last exact count.", ("status",)),
        ("due", "flowkit_runs_due", "Runs whose instant has come and that no worker holds; 1,000 at most.", ()),
        ("late", "flowkit_runs_late", "Those that have been due for longer than the setting metrics_late; 1,000 at most.", ()),
        ("oldest", "flowkit_runs_due_oldest_seconds", "For how long the first of them has been due.", ()),
        ("inbox", "flowkit_inbox_messages", "Messages in the inboxes of all runs; 1,000 at most.", ()),
        ("workers", "flowkit_workers", "Workers that live.", ()),
    ):
        if key in figures:
            yield _gauge(name, about, labels, figures[key].items())


def _of_house(flowkit: Flowkit) -> Iterator[Any]:
    house, worker = flowkit.house, flowkit.worker
    yield _gauge("flowkit_held_runs", "Runs that this process holds in memory.", (), [((), worker.held() if worker else 0)])
    yield _gauge("flowkit_writes_pending", "Operations that wait for a group to take them.", (), [((), house.writer.pending)])
    yield _gauge("flowkit_writer_healthy", "0 from a write that failed until one succeeds.", (), [((), house.writer.healthy)])
    yield _counter(
        "flowkit_log_lines_dropped", "Lines that runs logged and that are not kept.", (), [((), house.capture.dropped)]
    )


def _of_counters(counters: Counters) -> Iterator[Any]:
    by = ("workflow",)
    yield _counter("flowkit_runs_started", "Runs started by this process.", by, _by_one(counters.started))
    yield _counter("flowkit_passes", "Passes begun.", by, _by_one(counters.passes))
    yield _counter("flowkit_runs_ended", "Runs that came to an end here.", ("workflow", "status"), list(counters.ended.items()))
    yield _counter("flowkit_rollbacks", "Rollback handlers that finished.", by, _by_one(counters.undone))
    yield _counter("flowkit_rollback_failures", "Attempts of them that failed.", by, _by_one(counters.undo_failures))
    yield _counter("flowkit_messages_sent", "Messages sent by this process and its runs.", (), [((), counters.sent)])
    lost = [(("fenced",), counters.fenced), (("declared dead",), counters.died)]
    about = "Commits refused because the run had another owner or was steered, and times this worker was declared dead."
    yield _counter("flowkit_lease_losses", about, ("reason",), lost)
    yield _histogram("flowkit_commit_seconds", "How long a group took to be written; its count is that of commits.", (),
                     [((), counters.commit_seconds)])  # fmt: skip
    yield _histogram("flowkit_group_size", "Operations in a group.", (), [((), counters.group_sizes)])
    yield _histogram("flowkit_wake_lateness_seconds", "How late sleeps ended.", (), [((), counters.lateness)])
    steps = list(counters.steps.items())
    outcomes = [((*names, "completed"), series.completed) for names, series in steps]
    outcomes += [((*names, "failed"), series.failed) for names, series in steps]
    yield _histogram("flowkit_step_attempt_seconds", "How long attempts of steps took; their count is that of attempts.",
                     ("workflow", "step", "outcome"), [each for each in outcomes if any(each[1].counts)])  # fmt: skip
    failures = [(names, series.failures) for names, series in steps]
    yield _counter("flowkit_step_failures", "Steps that failed for good.", ("workflow", "step"), failures)


Values = Iterable[tuple[tuple[str, ...], float]]


def _by_one(counted: Counter[str]) -> list[tuple[tuple[str, ...], float]]:
    return [((name,), number) for name, number in list(counted.items())]


def _gauge(name: str, about: str, labels: tuple[str, ...], values: Values) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(name, about, labels=labels), values)


def _counter(name: str, about: str, labels: tuple[str, ...], values: Values) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(name, about, labels=labels), values)


def _filled(family: Any, values: Values) -> Any:
    for labels, value in values:
        family.add_metric(labels, value)
    return family


def _histogram(name: str, about: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], Histogram]]) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, about, labels=labels)
    for place, histogram in values:
        counts, running, buckets = list(histogram.counts), 0, []
        for bound, count in zip((*histogram.bounds, float("inf")), counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), running))
        family.add_metric(place, buckets, histogram.total)
    return family
