"""Spans on OpenTelemetry's API: one per pass, per attempt of a body, per start, send and receive, and one per run when it ends.

What happens is one trace from the start on. A run may sleep for days and wake in another process, so the trace's place
travels with it: a start leaves a context with the run, a park leaves that of its pass, and the next pass stands under the
start with a link to the pass before. What a pass recalls from history makes no span, since no body runs for it.

A span begins where the code runs, so that spans of libraries find it; it ends in a thread of this module, fed by a bounded
queue. So an exporter that hangs or fails, even one that exports in `end()`, costs spans and never a run its time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from flowkit.clock import SystemClock
from flowkit.core.entry import Message
from flowkit.core.fields import OwnLog, own_log
from flowkit.drivers.rules import FINAL
from flowkit.engine.observer import BodyEnds, Held, Observer
from flowkit.settings import in_force

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, TracerProvider

    from flowkit.engine.passes import Pass
    from flowkit.engine.scope import BodyScope

__all__ = ["MISSING", "QUEUE", "Tracing", "read_traceparent", "traceparent"]

MISSING = "traces need OpenTelemetry: pip install 'flowkit-engine[otel]', and an SDK that exports them"

QUEUE = 8_192
"""How many spans may wait to be ended; what comes beyond is dropped."""


class PassSpan:
    """A pass under way: the trace's place that its parks leave, its span, and the bodies' spans that have not ended."""

    __slots__ = ("bodies", "root", "span")

    def __init__(self, root: SpanContext, span: Span) -> None:
        self.root = root
        self.span = span
        self.bodies: dict[int, Span] = {}


class Tracing(Observer):
    """`provider` None: the global one, as OpenTelemetry's SDK, its agent or the user's code sets it up.

    Raises:
        ModuleNotFoundError: opentelemetry-api is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None, *, queue: int = QUEUE) -> None:
        try:
            from opentelemetry import context, trace
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(MISSING) from error
        self._api = trace
        self._context = context
        self._tracer = trace.get_tracer("flowkit", tracer_provider=provider)
        self._clock = SystemClock()
        self._ends = Endings(queue, trace)
        self._passes: dict[tuple[int, int], PassSpan] = {}

    def opened(self, log: OwnLog) -> None:
        """See `Observer.opened`."""
        self._ends.log = log

    # --- starts and messages

    def starts(self, workflow: str, run_id: str) -> str:
        """See `Observer.starts`."""
        return self._moment(f"start {workflow}", {"flowkit.run": run_id, "flowkit.workflow": workflow}, producer=True)

    def sends(self, running: Pass | None, to: str, name: str) -> str:
        """See `Observer.sends`."""
        said = {"flowkit.message": name, "flowkit.to": to}
        if running is not None:
            said["flowkit.run"] = running.facts.id
        return self._moment(f"send {name}", said, self._parent(running), producer=True)

    def receives(self, running: Pass, messages: Sequence[Message]) -> None:
        """See `Observer.receives`."""
        for message in messages:
            sent = read_traceparent(message.context, self._api)
            links = [] if sent is None else [self._api.Link(sent)]
            said = {"flowkit.message": message.name, "flowkit.run": running.facts.id}
            self._moment(f"receive {message.name}", said, self._parent(running), links=links)

    # --- passes

    def begins(self, held: Held) -> str:
        """See `Observer.begins`. Of a run that was started without a trace, the first pass makes the start's span."""
        first, _, last = held.context.partition(" ")
        root, before = read_traceparent(first, self._api), read_traceparent(last, self._api)
        if root is None:
            root = read_traceparent(self.starts(held.workflow, held.id), self._api) or self._api.INVALID_SPAN_CONTEXT
        said: dict[str, Any] = {"flowkit.run": held.id, "flowkit.workflow": held.workflow, "flowkit.epoch": held.epoch}
        span = self._tracer.start_span(
            f"pass {held.workflow}", self._under(root), self._api.SpanKind.CONSUMER, said,
            links=[] if before is None else [self._api.Link(before)], start_time=self._now(),
        )  # fmt: skip
        self._passes[held.run, held.epoch] = PassSpan(root, span)
        return f"{traceparent(root)} {traceparent(span.get_span_context())}".strip()

    def enters(self, held: Held) -> Callable[[], None] | None:
        """See `Observer.enters`."""
        found = self._passes.get((held.run, held.epoch))
        if found is None:
            return None
        token = self._context.attach(self._api.set_span_in_context(found.span))
        return lambda: self._context.detach(token)

    def ends(self, held: Held, status: str, started_at: float) -> None:
        """See `Observer.ends`. A run's own span is made when it ends, for only then is its length known."""
        found = self._passes.pop((held.run, held.epoch), None)
        if found is None:
            return
        now = self._now()
        for number in list(found.bodies):
            if (body := found.bodies.pop(number, None)) is not None:
                self._ends.put(body, now, "given up while it ran", None)
        found.span.set_attribute("flowkit.status", status)
        self._ends.put(found.span, now, "", None)
        if status in FINAL:
            said = {"flowkit.run": held.id, "flowkit.workflow": held.workflow, "flowkit.status": status}
            began = min(now, int(started_at * 1e9))
            links = [self._api.Link(found.span.get_span_context())]
            run = self._tracer.start_span(
                f"run {held.workflow}", self._under(found.root), attributes=said, links=links, start_time=began
            )
            self._ends.put(run, now, "" if status == "completed" else status, None)

    # --- bodies

    def body(self, body: BodyScope) -> BodyEnds | None:
        """See `Observer.body`."""
        running, call = body.scope.running, body.call
        found = self._passes.get((running.ledger.run, running.ledger.epoch))
        if found is None:
            return None
        facts = running.facts
        said: dict[str, Any] = {
            "flowkit.run": facts.id, "flowkit.workflow": facts.workflow, "flowkit.step": call.step,
            "flowkit.attempt": call.attempt, "flowkit.part": call.part,
        }  # fmt: skip
        span = self._tracer.start_span(
            f"step {call.name}" if call.part == "step" else call.name, self._parent(running), attributes=said,
            start_time=self._now(),
        )  # fmt: skip
        number = id(span)
        found.bodies[number] = span
        token = self._context.attach(self._api.set_span_in_context(span))

        def ends(error: BaseException | None) -> None:
            self._context.detach(token)
            if found.bodies.pop(number, None) is None:
                return  # its pass has given it up
            verdict = body.live.verdict
            why = "ran out of time" if verdict == "timeout" else "" if verdict is None or error is None else "given up"
            self._ends.put(span, self._now(), why, error)

        return ends

    def close(self) -> None:
        """See `Observer.close`."""
        self._ends.close()

    # --- the trace's places

    def _parent(self, running: Pass | None) -> Any:
        """Where code stands now, else where its pass does: threads of a pool inherit no context. None: wherever it stands."""
        if running is None or self._api.get_current_span().get_span_context().is_valid:
            return None
        found = self._passes.get((running.ledger.run, running.ledger.epoch))
        return None if found is None else self._api.set_span_in_context(found.span)

    def _under(self, place: SpanContext) -> Any:
        """A context in which only this place is known: the thread that claims stands in no trace of the run's."""
        span = self._api.NonRecordingSpan(place) if place.is_valid else self._api.INVALID_SPAN
        return self._api.set_span_in_context(span, self._context.Context())

    def _moment(
        self, name: str, said: dict[str, str], parent: Any = None, *, producer: bool = False, links: Sequence[Any] = ()
    ) -> str:
        """A span of an instant; its place."""
        kind = self._api.SpanKind.PRODUCER if producer else self._api.SpanKind.CONSUMER
        now = self._now()
        span = self._tracer.start_span(name, parent, kind, said, links=links, start_time=now)
        self._ends.put(span, now, "", None)
        return traceparent(span.get_span_context())

    def _now(self) -> int:
        """Nanoseconds of the machine's clock: what else is traced here goes by it, whatever clock the runs go by."""
        return int(self._clock.now() * 1e9)


class Endings:
    """Spans on their way to their end, which is where processors and exporters come in."""

    def __init__(self, most: int, api: Any) -> None:
        self._settings = in_force()
        self._most = most
        self.log = own_log()
        self._api = api
        self._waiting: deque[tuple[Span, int, str, BaseException | None]] = deque()
        self._work = threading.Event()
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told: set[str] = set()

    def put(self, span: Span, at: int, why: str, error: BaseException | None) -> None:
        """Have `span` ended as of `at`; with `why` or an error it failed. Never blocks."""
        if not span.is_recording():
            return
        if len(self._waiting) >= self._most:
            self._once("full", "flowkit: spans come faster than they can be exported; the newest are dropped")
            return
        self._waiting.append((span, at, why, error))
        if not self._work.is_set():
            self._wake()

    def _wake(self) -> None:
        with self._starting:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="flowkit-traces", daemon=True)
                self._thread.start()
        self._work.set()

    def _run(self) -> None:
        last = False
        while not last:
            self._work.wait()
            last = self._closing.wait(self._settings.trace_batch)
            self._work.clear()
            while self._waiting:
                self._end(*self._waiting.popleft())

    def _end(self, span: Span, at: int, why: str, error: BaseException | None) -> None:
        try:
            if error is not None:
                span.record_exception(error)
            if why or error is not None:
                text = why or f"{type(error).__name__}: {error}"
                span.set_status(self._api.Status(self._api.StatusCode.ERROR, text))
            span.end(at)
        except Exception:  # a processor's or exporter's: runs know nothing of it
            self._once("broken", "flowkit: a span could not be ended; runs go on all the same, and this is said once", trace=True)

    def _once(self, what: str, text: str, *, trace: bool = False) -> None:
        if what not in self._told:
            self._told.add(what)
            self.log.warning(text, exc_info=trace)

    def close(self) -> None:
        """End what waits, for some seconds at most."""
        with self._starting:
            self._closing.set()
            thread = self._thread
        self._work.set()
        if thread is not None:
            thread.join(self._settings.trace_closing)


def traceparent(place: SpanContext) -> str:
    """A place in a trace as W3C Trace Context writes it; empty if it is none."""
    if not place.is_valid:
        return ""
    return f"00-{place.trace_id:032x}-{place.span_id:016x}-{int(place.trace_flags):02x}"


def read_traceparent(text: str, api: Any) -> SpanContext | None:
    """The place that `text` names; None if it names none."""
    parts = text.split("-")
    if len(parts) != 4 or [len(part) for part in parts] != [2, 32, 16, 2]:
        return None
    try:
        numbers = [int(part, 16) for part in parts]
    except ValueError:
        return None
    place: SpanContext = api.SpanContext(numbers[1], numbers[2], is_remote=True, trace_flags=api.TraceFlags(numbers[3]))
    return place if place.is_valid else None
