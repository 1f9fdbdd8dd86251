"""Traces: a span for each start, pass, attempt, send and receive, and one for a run when it ends; none is made twice."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

import flowkit
from flowkit import RunFailed, Workflow, step, workflow
from flowkit.client import Flowkit
from flowkit.drivers import open_driver
from flowkit.observe.tracing import Tracing
from tests.observe.flows import (
    fails,
    fails_async,
    naps,
    naps_async,
    relays,
    shops,
    shops_async,
    undoes,
    waits,
    waits_async,
)  # fmt: skip
from tests.observe.traces import Traced, child_of, links_to
from tests.runtime.waiting import until

shop_in_both = pytest.mark.parametrize("code", [shops, shops_async], ids=["plain", "async"])
in_both_stores = pytest.mark.parametrize("store", ["file", "memory"])


def place(path: Path, store: str) -> Path | str:
    return path if store == "file" else ":memory:"


@in_both_stores
@shop_in_both
def test_a_run_is_one_trace_of_start_pass_attempts_and_run(
    path: Path, traced: Traced, store: str, code: Workflow[..., Any]
) -> None:
    with flowkit.open(place(path, store), telemetry=traced.provider) as fk:
        fk.start(f"{store} {code.name}", code, f"{store} {code.name}").result(10)

    start, passed, run = (traced.only(f"{what} {code.name}") for what in ("start", "pass", "run"))
    attempts = [*traced.named("step charge"), *traced.named("step ship"), *traced.named("step ship_async")]
    assert len(attempts) == 4
    assert all(child_of(attempt, passed) for attempt in attempts)
    assert child_of(passed, start)
    assert child_of(run, start)
    assert len(traced.spans) == 7


def test_each_attempt_is_a_span_and_one_that_failed_says_why(path: Path, traced: Traced) -> None:
    with flowkit.open(path, telemetry=traced.provider) as fk:
        fk.start("two attempts", shops, "two attempts").result(10)

    first, second = traced.named("step charge")
    assert (first.attributes or {})["flowkit.attempt"] == 1
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "Refused: not yet, two attempts")
    assert [event.name for event in first.events] == ["exception"]
    assert (second.attributes or {})["flowkit.attempt"] == 2
    assert second.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("code", [fails, fails_async], ids=["plain", "async"])
def test_the_span_of_a_run_that_fails_is_an_error(path: Path, traced: Traced, code: Workflow[..., Any]) -> None:
    with flowkit.open(path, telemetry=traced.provider) as fk, pytest.raises(RunFailed):
        fk.start("r", code).result(10)

    run = traced.only(f"run {code.name}")
    assert (run.status.status_code, run.status.description) == (StatusCode.ERROR, "failed")
    assert len(traced.named("step breaks")) == 2


def test_a_rollback_handler_has_a_span(path: Path, traced: Traced) -> None:
    with flowkit.open(path, telemetry=traced.provider) as fk, pytest.raises(RunFailed):
        fk.start("r", undoes).result(10)

    assert (traced.only("rollback of take").attributes or {})["flowkit.part"] == "rollback"


@in_both_stores
@pytest.mark.parametrize("code", [naps, naps_async], ids=["plain", "async"])
def test_a_pass_links_to_the_one_before_the_park_and_recalls_without_spans(
    path: Path, traced: Traced, store: str, code: Workflow[..., Any]
) -> None:
    with flowkit.open(place(path, store), telemetry=traced.provider, settings={"linger": 0.05}) as fk:
        fk.start("r", code).result(10)

    first, second = traced.named(f"pass {code.name}")
    before, after = [span for span in traced.spans if span.name.startswith("step ship")]
    assert links_to(second, first)
    assert not first.links
    assert child_of(before, first)
    assert child_of(after, second)
    assert len({span.context.trace_id for span in traced.spans}) == 1
    assert (first.attributes or {})["flowkit.status"] == "sleeping"


@pytest.mark.parametrize("code", [waits, waits_async], ids=["plain", "async"])
def test_a_run_that_another_process_started_and_parked_goes_on_in_its_trace(
    path: Path, traced: Traced, code: Workflow[..., Any]
) -> None:
    with flowkit.open(path, telemetry=traced.provider, workflows=[code]) as fk:
        run = fk.start("r", code)
        until(lambda: run.status() == "sleeping")
    with flowkit.open(path, telemetry=traced.provider, workflows=[code]) as fk:
        fk.send("r", "go", 1)
        fk.get("r").result(10)

    first, second = traced.named(f"pass {code.name}")
    assert links_to(second, first)
    assert child_of(second, traced.only(f"start {code.name}"))
    assert len([span for span in traced.spans if span.name.startswith("step ship")]) == 1


def test_a_message_from_outside_carries_its_trace_to_who_receives_it(path: Path, traced: Traced) -> None:
    with flowkit.open(path, telemetry=traced.provider) as fk:
        run = fk.start("r", waits)
        with trace.get_tracer("test", tracer_provider=traced.provider).start_as_current_span("request"):
            run.send("go", 1)
        run.result(10)

    assert child_of(traced.only("send go"), traced.only("request"))
    assert links_to(traced.only("receive go"), traced.only("send go"))
    assert traced.only("receive go").context.trace_id == traced.only("start waits").context.trace_id


@in_both_stores
def test_a_message_from_a_run_carries_its_trace_to_who_receives_it(path: Path, traced: Traced, store: str) -> None:
    with flowkit.open(place(path, store), telemetry=traced.provider) as fk:
        run = fk.start("r", waits)
        fk.start("sender", relays, "r").result(10)
        run.result(10)

    assert child_of(traced.only("send go"), traced.only("pass relays"))
    assert links_to(traced.only("receive go"), traced.only("send go"))


def test_a_start_stands_under_what_its_caller_traces(path: Path, traced: Traced) -> None:
    tracer = trace.get_tracer("test", tracer_provider=traced.provider)
    with flowkit.open(path, telemetry=traced.provider) as fk, tracer.start_as_current_span("request"):
        fk.start("r", naps)

    assert child_of(traced.only("start naps"), traced.only("request"))


def test_what_a_body_traces_stands_under_its_attempt(path: Path, traced: Traced) -> None:
    tracer = trace.get_tracer("test", tracer_provider=traced.provider)

    @step
    def fetch() -> None:
        with tracer.start_as_current_span("GET /prices"):
            pass

    @workflow
    def prices() -> None:
        fetch()

    with flowkit.open(path, telemetry=traced.provider) as fk:
        fk.start("r", prices).result(10)

    assert child_of(traced.only("GET /prices"), traced.only("step fetch"))


def test_a_run_that_was_started_without_a_trace_begins_one(path: Path, traced: Traced) -> None:
    with flowkit.open(path, worker=False) as client:
        client.start("r", naps)
    with flowkit.open(path, telemetry=traced.provider, workflows=[naps], settings={"linger": 0.05}) as fk:
        fk.get("r").result(10)

    assert traced.only("start naps").parent is None
    assert all(child_of(passed, traced.only("start naps")) for passed in traced.named("pass naps"))


def test_no_context_is_kept_where_nothing_is_traced(path: Path) -> None:
    with flowkit.open(path) as fk:
        run = fk.start("r", waits)
        until(lambda: run.status() == "sleeping")

    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT context FROM runs").fetchall() == [("",)]


def test_a_body_that_runs_out_of_time_has_a_span_that_says_so(path: Path, traced: Traced) -> None:
    release = threading.Event()

    @step(timeout=0.1)
    def hangs() -> None:
        release.wait(5)

    @workflow
    def stuck() -> None:
        hangs()

    with flowkit.open(path, telemetry=traced.provider) as fk:
        with pytest.raises(RunFailed):
            fk.start("r", stuck).result(10)
        release.set()

    (hanging,) = traced.named("step hangs")
    assert hanging.status.status_code is StatusCode.ERROR
    assert hanging.status.description in ("ran out of time", "given up while it ran")


class Stalled(SpanExporter):
    """An exporter that hangs until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.free.wait(10)
        return SpanExportResult.SUCCESS


class Broken(SpanExporter):
    """An exporter that raises."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("the collector is away")


def exporting(exporter: SpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def test_an_exporter_that_hangs_holds_up_no_run(path: Path) -> None:
    exporter = Stalled()
    with flowkit.open(path, telemetry=exporting(exporter)) as fk:
        for number in range(20):
            fk.start(f"r-{number}", fails).status()
        ended = until(lambda: all(fk.get(f"r-{number}").status() == "failed" for number in range(20)), seconds=8)
        exporter.free.set()

    assert ended


def test_spans_that_come_too_fast_are_dropped_and_that_is_said_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exporter = Stalled()
    looking = Tracing(exporting(exporter), queue=3)
    with Flowkit(open_driver(path), observers=[looking], workflows=[fails]) as fk:
        for number in range(5):
            with pytest.raises(RunFailed):
                fk.start(f"r-{number}", fails).result(10)
        exporter.free.set()

    assert [record.getMessage() for record in caplog.records if record.name == "flowkit"] == [
        "flowkit: spans come faster than they can be exported; the newest are dropped"
    ]


def test_a_processor_that_raises_stops_no_run_and_is_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Raises(TracerProvider):
        def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
            made = super().get_tracer(*args, **kwargs)
            made.start_span = refuse  # type: ignore[method-assign]  # an SDK that is broken
            return made

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError("no spans today")

    with flowkit.open(path, telemetry=Raises(), workflows=[waits]) as fk:
        assert fk.start("r", waits).status() in ("pending", "running", "sleeping")
        fk.send("r", "go", 1)
        assert fk.get("r").result(10) == "1"

    said = [record for record in caplog.records if record.name == "flowkit"]
    assert [record.getMessage().partition(",")[0] for record in said] == ["flowkit: Tracing"]
    assert said[0].levelno == logging.ERROR


def test_an_exporter_that_raises_stops_no_run(path: Path) -> None:
    with flowkit.open(path, telemetry=exporting(Broken())) as fk, pytest.raises(RunFailed):
        fk.start("r", fails).result(10)


@pytest.mark.parametrize("given", ["yes, please", 1, object()])
def test_what_is_no_provider_is_refused(path: Path, given: Any) -> None:
    with pytest.raises(TypeError, match="TracerProvider"):
        flowkit.open(path, telemetry=given)


def test_the_environment_switches_traces_on(path: Path, traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", traced.provider)
    monkeypatch.setenv("FLOWKIT_OTEL", "1")
    with flowkit.open(path) as fk, pytest.raises(RunFailed):
        fk.start("r", fails).result(10)

    assert "run fails" in traced.names


def test_an_unreadable_switch_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_OTEL", "perhaps")

    with pytest.raises(ValueError, match="FLOWKIT_OTEL is 1 or 0"):
        flowkit.open(path)
