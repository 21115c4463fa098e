"""Small messages to plain values and back: texts, times, failures. A value module."""

from __future__ import annotations

from google.protobuf.message import Message

from perdure.runtime.rpc import taskhub_pb2 as pb
from perdure.runtime.workflow import history as h
from perdure.runtime.workflow.failure import DEPTH_MAX

NOT_A_TASK = -1
"""The event id of everything that is no answer to an action."""


def text(value: str | None) -> pb.StringValue | None:
    return None if value is None else pb.StringValue(value=value)


def text_in(message: Message, field: str) -> str | None:
    """The text of a StringValue; None if it is not set."""
    value: str | None = getattr(message, field).value if message.HasField(field) else None
    return value


def timestamp(us: int, nanos: int = 0) -> pb.Timestamp:
    """Of microseconds since the epoch, and nanoseconds beyond them."""
    seconds, micros = divmod(us, 1_000_000)
    return pb.Timestamp(seconds=seconds, nanos=micros * 1000 + nanos)


def microseconds(time: pb.Timestamp) -> tuple[int, int]:
    """Microseconds since the epoch, and nanoseconds beyond them."""
    micros, nanos = divmod(time.nanos, 1000)
    return time.seconds * 1_000_000 + micros, nanos


def span_id(trace: h.Trace) -> str:
    fields = trace.parent.split("-")
    return fields[2] if len(fields) > 3 else ""


def trace_context(trace: h.Trace) -> pb.TraceContext:
    return pb.TraceContext(
        traceParent=trace.parent,
        spanID=span_id(trace),
        traceState=text(trace.state),
    )


def trace_of(context: pb.TraceContext) -> h.Trace | None:
    if not context.traceParent:
        return None
    return h.Trace(context.traceParent, text_in(context, "traceState"))


def failure_details(failure: h.Failure) -> pb.TaskFailureDetails:
    return pb.TaskFailureDetails(
        errorType=failure.error_type,
        errorMessage=failure.message,
        stackTrace=text(failure.stack_trace),
        innerFailure=None if failure.inner is None else failure_details(failure.inner),
        isNonRetriable=failure.non_retryable,
    )


def failure_of(details: pb.TaskFailureDetails, depth: int = DEPTH_MAX) -> h.Failure:
    """A failure as a worker tells it, with as many of its causes as we store."""
    inner = None
    if details.HasField("innerFailure") and depth > 1:
        inner = failure_of(details.innerFailure, depth - 1)
    return h.Failure(
        details.errorType,
        details.errorMessage,
        text_in(details, "stackTrace"),
        inner,
        details.isNonRetriable,
    )
