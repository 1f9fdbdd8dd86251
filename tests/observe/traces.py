"""Spans as the tests read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

__all__ = ["Traced", "child_of", "links_to"]


@dataclass(frozen=True)
class Traced:
    """`spans` are read once the handle is closed, which waits for the last of them."""

    provider: TracerProvider
    exporter: InMemorySpanExporter

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


def child_of(child: ReadableSpan, parent: ReadableSpan) -> bool:
    """Whether one stands directly under the other, in one trace."""
    return (
        child.parent is not None
        and child.parent.span_id == parent.context.span_id
        and child.context.trace_id == parent.context.trace_id
    )


def links_to(span: ReadableSpan, other: ReadableSpan) -> bool:
    """Whether `span` has a link to the other."""
    return any(link.context.span_id == other.context.span_id for link in span.links)
