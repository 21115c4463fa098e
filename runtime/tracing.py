"""Spans by OpenTelemetry, if its SDK is set up in this process. An edge module.

Only the API of OpenTelemetry is needed. Whether there is an SDK is looked at each time, because a
program may set it up after its node was made; until then nothing is made, and trace contexts are
handed on as they came. Every span but those of activities is made when what it tells of is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace
from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.messages import RunActivity
from perdure.runtime.workflow.spans import RunEnded, TimerEnded

SCOPE = "perdure"
"""What the spans say that they come from."""

_propagator = TraceContextTextMapPropagator()
_chosen: ContextVar[SpanContext | None] = ContextVar("perdure_span", default=None)
"""The ids of the span that is being made, if they are those of a history."""


class _Ids:
    """Ids as the SDK makes them, but for a span whose ids were made before."""

    def __init__(self, own: Any) -> None:
        self._own = own

    def generate_span_id(self) -> int:
        chosen = _chosen.get()
        return int(self._own.generate_span_id()) if chosen is None else chosen.span_id

    def generate_trace_id(self) -> int:
        chosen = _chosen.get()
        return int(self._own.generate_trace_id()) if chosen is None else chosen.trace_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


@dataclass(slots=True)
class _Running:
    """An activity that runs."""

    message: RunActivity
    span: Span

    def end(self, failure: h.Failure | None) -> None:
        _fail(self.span, failure)
        self.span.end()


class OpenTelemetryTracer:
    """`Tracer` by whatever SDK is the process's own at the time."""

    def __init__(
        self, provider_now: Callable[[], otel.TracerProvider] = otel.get_tracer_provider
    ) -> None:
        self._provider_now = provider_now
        self._provider: object | None = None
        self._found: Any = None

    def _tracer(self) -> Any:
        """The SDK's tracer, whose ids can be chosen; None if there is none."""
        provider = self._provider_now()
        if provider is not self._provider:
            tracer: Any = provider.get_tracer(SCOPE)
            self._provider = provider
            # Part of the SDK, not of the API; its own attributes, which it does not hide.
            is_sdk = hasattr(tracer, "id_generator") and hasattr(tracer, "sampler")
            self._found = tracer if is_sdk else None
            if is_sdk and not isinstance(tracer.id_generator, _Ids):
                tracer.id_generator = _Ids(tracer.id_generator)
        return self._found

    @contextmanager
    def creating(self, event: h.ExecutionStarted, instance_id: str) -> Iterator[h.Trace | None]:
        tracer = self._tracer()
        if tracer is None:
            yield event.trace
            return
        with tracer.start_as_current_span(
            _named("create_orchestration", event.name, event.version),
            # Of a start in this process, what is current here.
            context=None if event.trace is None else _context(event.trace),
            kind=SpanKind.CLIENT,
            attributes=_of_run(event, instance_id),
        ) as span:
            yield _trace(span.get_span_context())

    def begin(self, event: h.ExecutionStarted, instance_id: str, at_us: int) -> h.Span | None:
        tracer = self._tracer()
        if tracer is None:
            return None
        name = _named("orchestration", event.name, event.version)
        context, links = _parent(event)
        above = otel.get_current_span(context).get_span_context()
        ids = tracer.id_generator
        trace_id = above.trace_id if above.is_valid else ids.generate_trace_id()
        sampled = tracer.sampler.should_sample(
            context, trace_id, name, SpanKind.SERVER, _of_run(event, instance_id), links
        )
        flags = TraceFlags.SAMPLED if sampled.decision.is_sampled() else TraceFlags.DEFAULT
        own = SpanContext(
            trace_id, ids.generate_span_id(), False, TraceFlags(flags), sampled.trace_state
        )
        return h.Span(_trace(own), at_us)

    def ended(self, what: RunEnded | TimerEnded) -> None:
        tracer = self._tracer()
        if tracer is None:
            return
        if isinstance(what, TimerEnded):
            _timer(tracer, what)
        else:
            _run(tracer, what)

    @contextmanager
    def running(self, message: RunActivity) -> Iterator[_Running | None]:
        tracer = self._tracer()
        if tracer is None:
            yield None
            return
        attributes: dict[str, Any] = {
            "durabletask.type": "activity",
            "durabletask.task.name": message.name,
            "durabletask.task.instance_id": message.instance_id,
            "durabletask.task.task_id": message.task_id,
        }
        parent = message.trace_parent
        span: Span = tracer.start_span(
            _named("activity", message.name, message.version),
            context=_context(None if parent is None else h.Trace(parent, message.trace_state)),
            kind=SpanKind.SERVER,
            attributes=_with_version(attributes, message.version),
        )
        own = _trace(span.get_span_context())
        token = otel_context.attach(otel.set_span_in_context(span))
        try:
            yield _Running(replace(message, trace_parent=own.parent, trace_state=own.state), span)
        finally:
            otel_context.detach(token)


def current_headers() -> dict[str, str]:
    """The span that the caller is in, as W3C Trace Context tells it; empty if there is none."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier


def _run(tracer: Any, ended: RunEnded) -> None:
    event = ended.started
    if event.span is None:
        return
    own = otel.get_current_span(_context(event.span.trace)).get_span_context()
    if not own.trace_flags.sampled:
        return
    context, links = _parent(event)
    token = _chosen.set(own)
    try:
        span = tracer.start_span(
            _named("orchestration", event.name, event.version),
            context=context,
            kind=SpanKind.SERVER,
            attributes=_of_run(event, ended.instance_id),
            links=links,
            start_time=event.span.began_us * 1000,
        )
    finally:
        _chosen.reset(token)
    _fail(span, ended.failure)
    span.end(max(ended.ended_us, event.span.began_us) * 1000)


def _timer(tracer: Any, ended: TimerEnded) -> None:
    span = tracer.start_span(
        "timer",
        context=_context(ended.trace),
        kind=SpanKind.INTERNAL,
        attributes={
            "durabletask.type": "timer",
            "durabletask.fire_at": _time(ended.fire_at_us),
            "durabletask.task.instance_id": ended.instance_id,
            "durabletask.task.task_id": ended.task_id,
        },
        start_time=ended.created_us * 1000,
    )
    span.end(max(ended.ended_us, ended.created_us) * 1000)


def _parent(event: h.ExecutionStarted) -> tuple[Context, list[Link]]:
    """What a run's span belongs to. A run after continue-as-new only points to the one before.

    A workflow that goes on for ever would be one trace that is never complete otherwise. A run from
    an event has a start of its own, whatever it goes on from.
    """
    context = _context(event.trace)
    if not event.continued or event.forks:
        return context, []
    before = otel.get_current_span(context).get_span_context()
    return Context(), [Link(before)] if before.is_valid else []


def _named(kind: str, name: str, version: str | None) -> str:
    return f"{kind}||{name}||{version}" if version else f"{kind}||{name}"


def _of_run(event: h.ExecutionStarted, instance_id: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "durabletask.type": "orchestration",
        "durabletask.task.name": event.name,
        "durabletask.task.instance_id": instance_id,
    }
    return _with_version(attributes, event.version)


def _with_version(attributes: dict[str, Any], version: str | None) -> dict[str, Any]:
    if version:
        attributes["durabletask.task.version"] = version
    return attributes


def _context(trace: h.Trace | None) -> Context:
    """A context in which that span is the current one; without any if it is none, or unreadable."""
    if trace is None:
        return Context()
    carrier = {"traceparent": trace.parent}
    if trace.state:
        carrier["tracestate"] = trace.state
    return _propagator.extract(carrier, Context())


def _trace(context: SpanContext) -> h.Trace:
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    return h.Trace(parent, context.trace_state.to_header() or None)


def _fail(span: Span, failure: h.Failure | None) -> None:
    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, f"{failure.error_type}: {failure.message}"))


def _time(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).isoformat().replace("+00:00", "Z")
