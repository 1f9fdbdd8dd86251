"""B with metrics or traces on, beside B with nothing on: floods in turns, so that a machine that drifts does so for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from flowkit import Workflow
from flowkit.engine.observer import Observer
from flowkit.observe.counting import Counters
from flowkit.observe.tracing import Tracing
from tests.bench.opened import opened
from tests.bench.raw import Raw
from tests.bench.table import Row, Spread
from tests.bench.throughput import ashort, flood, short

__all__ = ["MOST_LOST", "measure_observed"]

MOST_LOST = {"metrics": 0.03, "traces": 0.10}
"""The share of B's steps a second that each may cost."""


def measure_observed(what: Sequence[str], folder: Path, raw: Raw, rounds: int) -> Iterator[Row]:
    """Of ``metrics`` and ``traces``, those in `what`."""
    for name in what:
        for colour, made in (("plain", short), ("async", ashort)):
            losses = Spread(list(_losses(folder / f"{name}-{colour}", raw, made, OBSERVERS[name], max(3, rounds))))
            yield Row(
                f"B with {name}, {colour}",
                f"{losses.median:+.1%} of steps/s lost",
                f"{min(losses.values):+.1%} to {max(losses.values):+.1%}",
                f"≤ {MOST_LOST[name]:.0%}",
                losses.median <= MOST_LOST[name],
                losses.median,
            )


def _losses(
    folder: Path, raw: Raw, made: Workflow[..., int], observers: Callable[[], Sequence[Observer]], rounds: int
) -> Iterator[float]:
    folder.mkdir()
    with opened(folder, "off", made) as (off, first), opened(folder, "on", made, observers=observers()) as (on, second):
        for number in range(2 * rounds):
            turns = [(off, first), (on, second)] if number % 2 else [(on, second), (off, first)]
            rates = {fk: flood(fk, driver, raw, (made,))[3] for fk, driver in turns}
            yield 1 - rates[on] / rates[off]


def _tracing() -> list[Observer]:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return [Tracing(provider)]


OBSERVERS: dict[str, Callable[[], Sequence[Observer]]] = {"metrics": lambda: [Counters()], "traces": _tracing}
